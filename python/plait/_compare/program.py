"""The file of `plait compare`: loads it, and finds the function and the items in it.

The file is run once, in this process, as a module that is not `__main__`: what stands under a guard does not
run, what stands free runs, and prints, once. Its name is one that cannot be imported, and its functions go to
workers by value, also those that it sends itself while it is loaded. So whatever executors a file without a
guard uses, no worker can run it again, and make workers that run it again.
"""

import functools
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from plait._compare.contest import listed


class UsageError(Exception):
    """The command cannot be carried out as it was given; says why and what to do."""


class ProgramError(Exception):
    """The user's own code failed; `trace` is what to show of it, which may be nothing."""

    def __init__(self, message: str, trace: str = "") -> None:
        """Take the line and the traceback."""
        super().__init__(message)
        self.trace = trace


def split_target(target: str) -> tuple[Path, str | None]:
    """Take `FILE.py[:FUNC]` apart; the file is there and can be read."""
    path, name = Path(target), None
    if not path.exists() and ":" in target:
        before, _, name = target.rpartition(":")
        path = Path(before)
    if not path.exists():
        raise UsageError(f"there is no file {str(path)!r}; give FILE.py or FILE.py:FUNCTION")
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; give a Python file")
    if path.suffix != ".py":
        raise UsageError(f"{str(path)!r} is not a Python file: its name must end in .py")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{str(path)!r} may not be read; change its permissions")
    if name == "":
        raise UsageError(
            f"there is no function name after the colon of {target!r}; leave the colon out, or name one"
        )
    return path, name


def load(path: Path) -> types.ModuleType:
    """Run the file as a module of its own, its folder first on `sys.path`, as `python FILE.py` has it.

    Raises:
        ProgramError: it raised, or ended itself.

    """
    file = os.path.abspath(path)
    sys.path.insert(0, os.path.dirname(file))
    sys.argv[:] = [str(path)]
    name = _module_name(path.stem)
    loader = importlib.machinery.SourceFileLoader(name, file)
    spec = importlib.util.spec_from_loader(name, loader, origin=file)
    assert spec is not None
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    cloudpickle.register_pickle_by_value(module)
    try:
        # Compiled here, so that no __pycache__ is left beside a file that was only looked at.
        exec(loader.source_to_code(loader.get_data(file), file), module.__dict__)
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        guard = 'put that under `if __name__ == "__main__":`'
        raise ProgramError(f"{path} ended itself by sys.exit({code}) while it was loaded; {guard}") from None
    except Exception as error:
        message = f"{path} raised {type(error).__name__} while it was loaded"
        raise ProgramError(message, _user_trace(error, file)) from None
    return module


def _module_name(stem: str) -> str:
    """Make a name that import finds nothing under, now or in a worker."""
    name = f"compared_{stem}".replace(".", "_")
    while name in sys.modules or importlib.util.find_spec(name) is not None:
        name += "_"
    return name


def _user_trace(error: Exception, file: str) -> str:
    """Format the traceback from the file's own first line on: nothing before it is the user's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != file:
        trace = trace.tb_next
    # A file that does not compile has no frame of its own; its error says where by itself.
    return "".join(traceback.format_exception(type(error), error, trace))


def find_function(module: types.ModuleType, path: Path, name: str | None) -> tuple[str, Callable[[Any], Any]]:
    """Return the function that was asked for, or the only one that it can be, with its name."""
    public = _public_functions(module)
    fitting = [known for known, function in public.items() if _misfit(function) is None]
    if name is None:
        if not fitting:
            has = f"; there are only {', '.join(public)}" if public else ""
            remedy = "put what is to be done with one item into one"
            raise UsageError(f"{path} has no public function of one argument{has}; {remedy}")
        if len(fitting) > 1:
            raise UsageError(
                f"{path} has several functions ({', '.join(fitting)}); choose: {path}:{fitting[0]}"
            )
        name = fitting[0]
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        has = f"; there are {', '.join(public)}" if public else ""
        raise UsageError(f"{path} has no function {name!r}{has}")
    if not callable(found):
        raise UsageError(f"{name} in {path} is no function, but {type(found).__name__}")
    misfit = _misfit(found)
    if misfit is not None:
        raise UsageError(f"{path}:{name} {misfit}")
    return name, found


def _public_functions(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    kinds = (types.FunctionType, functools._lru_cache_wrapper)
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, kinds) and value.__module__ == module.__name__
    }


def _misfit(function: Callable[..., Any]) -> str | None:
    """Why a function cannot be compared, or None."""
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        return "is a coroutine function; give a plain one, which may call asyncio.run"
    if inspect.isgeneratorfunction(plain):
        return "is a generator function, whose call does nothing yet; give one that returns a list"
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return f"cannot be called with one item; its arguments are {inspect.signature(function)}"
    except ValueError:
        return None  # a function of C that does not tell its arguments
    return None


def find_items(module: types.ModuleType, path: Path, expression: str | None) -> tuple[str, list[Any]]:
    """Return the items, and how the user wrote them: `--items`, else the file's `ITEMS`."""
    if expression is None:
        if not hasattr(module, "ITEMS"):
            lists = [name for name, value in vars(module).items() if isinstance(value, list | tuple | range)]
            like = next((name for name in lists if not name.startswith("_")), "'[…]'")
            raise UsageError(f"{path} has no ITEMS; give it a list ITEMS = […], or the option --items {like}")
        source, written, items = f"ITEMS of {path}", "ITEMS", module.ITEMS
    else:
        source, written = f"--items {expression!r}", expression
        try:
            items = eval(compile(expression.strip(), "--items", "eval"), module.__dict__)
        except (Exception, SystemExit) as error:
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            raise UsageError(f"{source} raised {type(error).__name__}: {' '.join(said.split())}") from None
    try:
        iter(items)
    except TypeError:
        raise UsageError(f"{source} is {type(items).__name__}, which is not iterable; give a list") from None
    try:
        return written, listed(items)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None
    except Exception as error:
        raise ProgramError(f"{source} raised {type(error).__name__} while it was read: {error}") from None
