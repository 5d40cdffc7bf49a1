"""A program of a user's: scikit-learn's cross-validation and grid search on two workers of joblib's."""

from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score

X, y = make_classification(n_samples=400, n_features=20, random_state=0)
forest = RandomForestClassifier(n_estimators=40, random_state=0)
print(cross_val_score(forest, X, y, cv=8, n_jobs=2).tolist())
search = GridSearchCV(forest, {"max_depth": [2, 4, 8], "max_features": [3, 6]}, cv=3, n_jobs=2).fit(X, y)
print(search.best_params_, search.cv_results_["mean_test_score"].tolist())
