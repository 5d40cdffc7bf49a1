"""Every public name comes out exactly once, has a docstring, and knows where it is from."""

import importlib
import inspect
import pkgutil
import queue
import subprocess
import sys

import plait
import pytest

pytestmark = pytest.mark.once


def test_names_come_out_once_and_in_order():
    assert len(plait.__all__) == len(set(plait.__all__))
    assert plait.__all__ == sorted(plait.__all__)


@pytest.mark.parametrize("name", plait.__all__)
def test_public_names(name):
    thing = getattr(plait, name)
    assert getattr(plait, name) is thing
    assert inspect.getdoc(thing)
    assert thing.__name__ == name


@pytest.mark.parametrize("name", plait.__all__)
def test_public_names_have_one_home(name):
    homes = set()
    for info in pkgutil.iter_modules(plait.__path__, "plait."):
        if info.name == "plait.__main__":
            continue
        module = importlib.import_module(info.name)
        if vars(module).get(name) is getattr(plait, name):
            homes.add(info.name)
    assert homes, "it is defined in a module of plait"


@pytest.mark.parametrize("name", [name for name in plait.__all__ if name[0].isupper()])
def test_classes_say_that_they_are_plaits(name):
    cls = getattr(plait, name)
    if cls is getattr(queue, name, None):
        pytest.skip("it is the stdlib's own, where that has it")
    assert cls.__module__ == "plait"
    assert cls.__qualname__ == name


@pytest.mark.parametrize("name", [name for name in plait.__all__ if name[0].isupper()])
def test_public_methods_have_docstrings(name):
    cls = getattr(plait, name)
    for attribute, value in vars(cls).items():
        if not attribute.startswith("_") and callable(value):
            assert inspect.getdoc(value), f"{name}.{attribute}"


def test_dir_lists_what_there_is():
    assert set(plait.__all__) <= set(dir(plait))
    assert "__version__" in dir(plait)


def test_star_import_gives_just_the_public_names():
    names = {}
    exec("from plait import *", names)
    assert set(names) - {"__builtins__"} == set(plait.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'plait' has no attribute 'proceses'"):
        plait.proceses  # noqa: B018


def test_version():
    from importlib.metadata import version

    assert plait.__version__ == version("plait")


def test_every_private_module_imports_alone():
    for info in pkgutil.iter_modules(plait.__path__, "plait."):
        if info.name != "plait.__main__":
            subprocess.run([sys.executable, "-c", f"import {info.name}"], check=True, timeout=60)


def test_errors_have_the_bases_that_programs_catch():
    import concurrent.futures.process
    import pickle

    assert issubclass(plait.WorkerDied, concurrent.futures.process.BrokenProcessPool)
    assert issubclass(plait.NotPicklable, pickle.PicklingError)
    for name in ("WorkerDied", "NotPicklable", "RemoteError"):
        assert issubclass(getattr(plait, name), plait.PlaitError)
