"""joblib's own tests, pointed at plait: the text of its `test_parallel.py` with the name of its process
backend replaced, and a pytest plugin that leaves out what does not run on plait, each with its reason.

`write` makes the file; pytest runs it with `-p joblib_suite` in a process of its own, since it changes
joblib's default backend.
"""

from pathlib import Path

import joblib
import pytest

HEADER = """\
import joblib._parallel_backends, joblib.parallel, plait
from plait._joblib.backend import PlaitBackend
joblib._parallel_backends.PlaitBackend = PlaitBackend
joblib.parallel.register_parallel_backend("plait", PlaitBackend, make_default=True)
"""

# What stands in joblib's text, and what stands there for plait.
REPLACED = [
    ('"loky"', '"plait"'),
    ("LokyBackend", "PlaitBackend"),
    # Of the scripts that tests run.
    ("\nfrom joblib import Parallel, delayed", "\nimport plait\nfrom joblib import Parallel, delayed"),
    # A generator that is dropped stops its own tasks; with loky those of all calls.
    (
        '        ("plait", True),\n        ("threading", False)',
        '        ("plait", False),\n        ("threading", False)',
    ),
]

NESTS = "joblib refuses to nest these pools, or only warns; with plait they may be nested"
MAPPED = "large arrays go through shared memory of plait's, not through files that NumPy maps"

# Tests that are not for plait, by the beginning of their name.
SKIPPED = {
    "test_nested_parallel_warnings[plait-multiprocessing": NESTS,
    "test_nested_parallel_warnings[multiprocessing-plait": NESTS,
    "test_nested_parallel_warnings[threading-plait": NESTS,
    "test_parallel_with_interactively_defined_bound_method_loky": "looks for the name of loky's processes",
    "test_auto_memmap_on_arrays_from_generator": MAPPED,
    "test_memmapping_leaks": MAPPED,
    "test_loky_reuse_workers": "asks loky for its executor; tests/test_joblib.py has the same for plait",
}

# Backends of joblib's own: what is run on these alone says nothing of plait.
OTHERS = {"multiprocessing", "threading", "sequential", "spawn"}


def write(folder):
    """Writes the tests into a folder, and gives the file."""
    text = (Path(joblib.__file__).parent / "test" / "test_parallel.py").read_text(encoding="utf-8")
    for old, new in REPLACED:
        assert old in text, f"joblib {joblib.__version__} has no {old!r} in its tests"
        text = text.replace(old, new)
    path = folder / "test_joblib_on_plait.py"
    path.write_text(HEADER + text, encoding="utf-8")
    return path


def pytest_collection_modifyitems(config, items):
    kept, left = [], []
    for item in items:
        (left if is_of_others(item) else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
    for item in items:
        for name, reason in SKIPPED.items():
            if item.name.startswith(name):
                item.add_marker(pytest.mark.skip(reason=reason))


def is_of_others(item):
    """Whether a test names backends, and none of them is plait."""
    params = getattr(item, "callspec", None)
    if params is None:
        return False
    backends = [
        value for name, value in params.params.items() if "backend" in name and name != "backend_n_jobs"
    ]
    return bool(backends) and not any(value is None or is_plait(value) for value in backends)


def is_plait(backend):
    return "plait" in (backend, type(backend).__name__.removesuffix("Backend").lower())
