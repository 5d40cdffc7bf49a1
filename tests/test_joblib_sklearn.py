"""scikit-learn on plait: what it computes in worker processes is what it computes without them."""

import pytest

numpy = pytest.importorskip("numpy")
pytest.importorskip("sklearn")
joblib = pytest.importorskip("joblib")

from plait._joblib import pools  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.multiclass import OneVsRestClassifier  # noqa: E402

# scikit-learn imports what warns under some versions of its own dependencies.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.once]


@pytest.fixture(autouse=True)
def no_pools_kept():
    yield
    pools.clear(kept=True)


@pytest.fixture(scope="module")
def data():
    return make_classification(600, 12, n_informative=6, n_classes=3, random_state=0)


def served():
    """How many calls the pools have taken that joblib uses."""
    return sum(pool.executor._stats()["submitted"] for pool in pools._pools)


def on_plait(compute):
    """What `compute` gives on plait, which must have had part in it."""
    before = served()
    with joblib.parallel_config(backend="plait", n_jobs=2):
        result = compute()
    assert served() > before
    return result


def test_cross_validation(data):
    def compute():
        return cross_val_score(LogisticRegression(), *data, cv=5)

    assert (on_plait(compute) == compute()).all()


@pytest.mark.once
def test_cross_validated_predictions(data):
    def compute():
        return cross_val_predict(RandomForestClassifier(10, random_state=1), *data, cv=4)

    assert (on_plait(compute) == compute()).all()


def test_grid_search(data):
    def compute():
        grid = {"C": [0.01, 0.1, 1.0], "fit_intercept": [True, False]}
        search = GridSearchCV(LogisticRegression(), grid, cv=3)
        search.fit(*data)
        return (
            search.best_params_,
            search.cv_results_["mean_test_score"].tolist(),
            search.predict(data[0]).tolist(),
        )

    assert on_plait(compute) == compute()


@pytest.mark.once
def test_scorers_and_estimators_of_the_script(data):
    class Shifted(LogisticRegression):
        def predict(self, X):
            return super().predict(X) % 3

    def compute():
        return cross_val_score(
            Shifted(), *data, cv=3, scoring=lambda model, X, y: (model.predict(X) == y).mean()
        )

    assert (on_plait(compute) == compute()).all()


@pytest.mark.once
def test_one_against_the_rest(data):
    def compute():
        return OneVsRestClassifier(LogisticRegression()).fit(*data).decision_function(data[0])

    assert (on_plait(compute) == compute()).all()


@pytest.mark.once
def test_random_forest(data):
    X, y = data

    def compute():
        # Fitting goes where it is told to; predicting insists on threads.
        forest = RandomForestClassifier(20, random_state=0).fit(X, y)
        return forest.predict_proba(X)

    assert (on_plait(compute) == compute()).all()


@pytest.mark.once
def test_what_fits_raise_arrives(data):
    def compute():
        cross_val_score(LogisticRegression(C=-1.0), *data, cv=2, error_score="raise")

    with pytest.raises(ValueError) as alone:
        compute()
    with joblib.parallel_config(backend="plait", n_jobs=2), pytest.raises(ValueError) as raised:
        compute()
    assert str(raised.value) == str(alone.value)
    assert type(raised.value) is type(alone.value)
