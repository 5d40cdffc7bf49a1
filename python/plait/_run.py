"""`plait run`: a program as Python itself would run it, its pools served by plait.

Promises: `__main__`, `sys.argv`, `sys.path`, standard input, exit code and tracebacks are those of the
program run by Python alone, and nothing of plait is on standard output. Options of plait's own stand before
the program; what stands behind it is the program's. Little is imported: a program without pools pays next
to nothing.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType, TracebackType
    from typing import Any

WRONG = 2

# Python sets it before 3.15.
_CACHED: "dict[str, Any]" = {"__cached__": None} if sys.version_info < (3, 15) else {}

USAGE = """\
usage: plait run [--report[=FILE]] PROGRAM [ARGUMENTS...]

Run a Python program as it is, with its pools served by plait: those of concurrent.futures, multiprocessing
and joblib. What plait cannot serve as the standard library would is left to the standard library.

program:
  SCRIPT          a file, a folder or a zip file with a __main__.py, or "-" for standard input
  COMMAND         a command in PATH that is a Python program of this environment
  -m MODULE       a module or a package
  -c CODE         a text

options:
  --report[=FILE] say at the end which pools were served, with how many tasks, and what was
                  left alone, and why; on standard error, or in FILE
  -h, --help      show this help and exit

examples:
  plait run script.py --verbose data.csv
  plait run --report -m compileall -j 0 src
  plait run --report=pools.txt black src
"""


def main(arguments: list[str]) -> int:
    """Run what the arguments after `plait run` say; returns, or ends the process as the program does."""
    left = list(arguments)
    report: str | None = None
    while left and left[0].startswith("-") and left[0] != "-" and left[0][:2] not in ("-m", "-c"):
        option = left.pop(0)
        if option in ("-h", "--help"):
            print(USAGE, end="")
            return 0
        if option == "--report":
            report = ""
        elif option.startswith("--report="):
            report = option.removeprefix("--report=")
            if not report:
                return _wrong("--report= names no file; leave '=' out to have the report on standard error")
        elif option == "--":
            break
        else:
            return _wrong(f"there is no option {option}; options of the program stand behind it")
    if not left:
        return _wrong("no program given")
    if report is not None:
        refused = _report_at_exit(report)
        if refused is not None:
            return _wrong(refused)
    return _start(left)


def _wrong(why: str) -> int:
    print(f"plait: {why}; see 'plait run --help'", file=sys.stderr)
    return WRONG


def _start(left: list[str]) -> int:
    """Run the program that these arguments begin with."""
    program, *arguments = left
    if program[:2] in ("-m", "-c"):
        # As Python takes it: with or without a space between.
        what = program[2:]
        if not what:
            if not arguments:
                return _wrong(f"{program} needs an argument")
            what = arguments.pop(0)
        if program[:2] == "-m":
            _set_up([program[:2], *arguments], os.getcwd())
            _run_module(what, True)
        else:
            _set_up(["-c", *arguments], "")
            _run_code(lambda main: _with_source(what))
        return 0
    if program == "-":
        _set_up(["-", *arguments], "")
        _run_code(_read_program)
        return 0
    path = _find(program)
    if path is None:
        return WRONG
    _run_file(path, arguments)
    return 0


def _read_program(main: "ModuleType") -> "CodeType":
    vars(main).update(__file__="<stdin>", **_CACHED)
    return compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True)


def _find(program: str) -> str | None:
    """The file to run; None, and a line on standard error, when there is none."""
    if os.path.exists(program) or os.sep in program:
        if os.path.exists(program):
            return program
        print(f"plait: cannot open {os.path.abspath(program)!r}: no such file", file=sys.stderr)
        return None
    from shutil import which

    path = which(program)
    if path is None:
        said = f"there is no file {program!r}, and no such command in PATH"
    else:
        interpreter = _interpreter_of(path)
        if interpreter is None:
            said = f"{path!r} is no Python program"
        elif os.path.dirname(interpreter) not in (
            os.path.dirname(sys.executable),
            os.path.join(sys.prefix, "bin"),
        ):
            said = f"{path!r} belongs to another Python, {interpreter}; install plait there"
        else:
            return path
    print(f"plait: {said}", file=sys.stderr)
    return None


def _interpreter_of(path: str) -> str | None:
    """The Python that the first lines of a command name; None when they name none."""
    import re
    from shutil import which

    try:
        with open(path, "rb") as file:
            head = file.read(1024).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    if not head or not head[0].startswith("#!"):
        return None
    words = head[0][2:].split()
    if words and os.path.basename(words[0]) == "env":
        words = [which(word) or word for word in words[1:] if not word.startswith("-")]
    elif words == ["/bin/sh"] and len(head) > 1:
        # What installers write where the path is too long for the kernel, or has a space.
        words = re.findall(r"^'''exec'\s+\"?([^\"]+?)\"?\s+\"\$0\"", head[1])
    if words and os.path.basename(words[0]).startswith("python"):
        return words[0]
    return None


def _run_file(path: str, arguments: list[str]) -> None:
    """Run a script, or what has a `__main__.py` in it."""
    if _can_be_imported_from(path):
        _set_up([path, *arguments], os.path.abspath(path), always=True)
        _run_module("__main__", False)
        return
    # Through a link, as Python does it: modules are looked for beside the file itself.
    _set_up([path, *arguments], os.path.dirname(os.path.realpath(path)))
    # Not made shorter, as Python does not.
    full = os.path.join(os.getcwd(), path)

    def code(main: "ModuleType") -> "CodeType":
        import importlib.machinery

        compiled = full.endswith(".pyc")
        kind = importlib.machinery.SourcelessFileLoader if compiled else importlib.machinery.SourceFileLoader
        vars(main).update(__file__=full, __loader__=kind("__main__", full), **_CACHED)
        try:
            with open(full, "rb") as file:
                if compiled:
                    from pkgutil import read_code

                    if (known := read_code(file)) is not None:
                        return known  # type: ignore[no-any-return]
                    file.seek(0)
                text = file.read()
        except OSError as error:
            print(f"plait: cannot open {full!r}: {error.strerror}", file=sys.stderr)
            sys.exit(WRONG)
        return compile(text, full, "exec", dont_inherit=True)

    _run_code(code)


def _can_be_imported_from(path: str) -> bool:
    """Whether it is a folder or a zip file: something that modules are looked for in."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _set_up(argv: list[str], first: str, always: bool = False) -> None:
    """Make `sys` what the program finds; `first` is where its modules are looked for first."""
    sys.argv[:] = argv
    if sys.flags.safe_path:
        # There is no entry to replace. A folder or a zip file is looked into all the same.
        if always:
            sys.path.insert(0, first)
    elif sys.path:
        sys.path[0] = first
    from plait._patch import patch

    patch()


def _new_main() -> "ModuleType":
    """An empty `__main__`, as Python begins with."""
    import builtins
    from importlib.machinery import BuiltinImporter

    # The old one is kept: functions of it are on the stack.
    _kept.append(sys.modules["__main__"])
    main = type(sys)("__main__")
    vars(main).update(__builtins__=builtins, __loader__=BuiltinImporter)
    if sys.version_info < (3, 14):
        vars(main)["__annotations__"] = {}
    sys.modules["__main__"] = main
    if "__mp_main__" in sys.modules:
        sys.modules["__mp_main__"] = main
    return main


_kept: "list[ModuleType]" = []


def _run_code(make: "Any") -> None:
    main = _new_main()
    try:
        _execute(make, main)
    except SystemExit:
        raise
    except BaseException:
        _show_from_program_on()
        raise


def _execute(make: "Any", main: "ModuleType") -> None:
    exec(make(main), vars(main))


def _run_module(name: str, is_module: bool) -> None:
    """Run a module by the standard library's own means, whose frames are in its tracebacks always."""
    from runpy import _run_module_as_main  # type: ignore[attr-defined]

    _new_main()
    try:
        _run_module_as_main(name, is_module)
    except SystemExit:
        raise
    except BaseException:
        _show_from_program_on()
        raise


def _with_source(text: str) -> "CodeType":
    """Compile what `-c` gave; newer Pythons show its lines in tracebacks."""
    code = compile(text, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):
        import linecache

        # What the lines are found by was the file's name in the first ones, and is the code since.
        key: Any = code if hasattr(linecache, "_interactive_cache") else "<string>"
        try:
            linecache._register_code(key, text, "<string>")  # type: ignore[attr-defined]
        except (AttributeError, TypeError):
            # It is nobody's interface, and may have changed.
            pass
    return code


def _show_from_program_on() -> None:
    """Have the traceback that ends the program begin where the program does."""
    hook = sys.excepthook

    def shown(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> "Any":
        sys.excepthook = hook
        error.__traceback__ = trace = _of_program(trace)
        sys.last_traceback = trace
        return hook(kind, error, trace)

    sys.excepthook = shown


def _of_program(trace: "TracebackType | None") -> "TracebackType | None":
    """The part of a traceback below the frames of this module."""
    here = __file__
    while trace is not None and trace.tb_frame.f_code.co_filename != here:
        trace = trace.tb_next
    while trace is not None and trace.tb_frame.f_code.co_filename == here:
        trace = trace.tb_next
    return trace


def _report_at_exit(file: str) -> str | None:
    """Have the report written when all else is done; why not, if that cannot be."""
    import atexit

    from plait._patch import _ledger

    path = os.path.abspath(file) if file else None
    if path is not None:
        try:
            with open(path, "w"):
                pass
        except OSError as error:
            return f"cannot write {file!r}: {error.strerror}"
    _ledger.watch_processes()
    program = os.getpid()

    def write() -> None:
        if os.getpid() != program:
            return
        text = _ledger.report()
        if path is None:
            sys.stderr.write(text)
            return
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)

    # The first that is registered runs last.
    atexit.register(write)
    return None
