"""What the chooser is told of the machine and of the build."""

import json
import sys

import plait
import pytest
from plait import _core
from plait._auto import deciding

CPU = {"calls": 20, "wall": 0.01, "longest": 0.011, "cpu": 0.01, "remaining": 500, "sendable": True}


def chosen(**figures):
    machine = {"cpus": 4, "physical": 4, "memory": 8 << 30, "thread_pool": "warm", "process_pool": "warm"}
    return deciding.choose(CPU | figures, machine, deciding.Bounds())


@pytest.mark.once
def test_a_build_without_a_gil_computes_on_threads(monkeypatch):
    assert chosen(held=0.01)["backend"] == "processes"
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not deciding.has_gil()
    choice = chosen(held=None)
    assert (choice["backend"], choice["workers"]) == ("threads", 4)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True)
    assert chosen(held=0.01)["backend"] == "processes"


def test_the_machine_is_told_as_it_is():
    machine = deciding.machine("cold")
    assert machine["cpus"] == plait.cpu_count()
    assert 1 <= machine["physical"] <= machine["cpus"]
    assert machine["process_pool"] == "cold"
    assert machine["memory"] is None or machine["memory"] > 0


def test_bounds_are_kept():
    machine = deciding.machine("warm")
    only = deciding.choose(CPU | {"held": 0.01}, machine, deciding.Bounds(3, 7, ("threads",)))
    assert (only["backend"], only["workers"], only["chunksize"]) == ("threads", 3, 7)


@pytest.mark.once
@pytest.mark.parametrize("wrong", ["", '{"calls": "many"}', "null"])
def test_what_is_no_figure_is_an_error(wrong):
    with pytest.raises(ValueError):
        _core.choose(wrong, json.dumps(deciding.machine("warm")), deciding.Bounds().told())
