"""A worker's environment variables: the program's when the pool was made, whenever the nursery started."""

import os

import plait


def test_variables_set_and_removed_before_a_pool_is_made_are_seen(monkeypatch):
    monkeypatch.setenv("PLAIT_TEST_LEAVES", "old")
    monkeypatch.setenv("PLAIT_TEST_CHANGES", "old")
    with plait.ProcessPoolExecutor(1) as first:
        assert first.submit(os.getenv, "PLAIT_TEST_CHANGES").result() == "old"
    monkeypatch.delenv("PLAIT_TEST_LEAVES")
    monkeypatch.setenv("PLAIT_TEST_CHANGES", "new")
    monkeypatch.setenv("PLAIT_TEST_COMES", "€")
    with plait.ProcessPoolExecutor(1) as second:
        seen = [
            second.submit(os.getenv, f"PLAIT_TEST_{name}").result() for name in ("LEAVES", "CHANGES", "COMES")
        ]
    assert seen == [None, "new", "€"]


def test_threads_of_numeric_libraries_are_limited_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    with plait.ProcessPoolExecutor(plait.cpu_count()) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        assert executor.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "7"
