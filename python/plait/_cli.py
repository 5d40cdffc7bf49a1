"""The command line: what is asked for, and what is said where.

Results go to standard output; what went wrong is one line on standard error. Exit codes: 0 done, 1 the user's
program failed (or Ctrl-C), 2 wrong usage. Everything is loaded when it is needed, so that `plait --help` is
quick.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from plait._compare import Comparison
    from plait._compare.contest import Contest

DONE, FAILED, WRONG = 0, 1, 2

_EXAMPLES = """\
examples:
  plait compare primes.py
  plait compare primes.py:count_primes --items "[200_000] * 8" --workers 4
  plait compare primes.py --peers --html primes.html --json primes.json
"""

# What a comparison can be written as, by the option's name, and what that is called.
_OUTS = {"html": "page", "svg": "picture", "json": "figures"}

_DOCTOR_EXAMPLES = """\
examples:
  plait doctor
  plait doctor --json --no-trial
  plait doctor --import mypackage
"""

_ALL_EXAMPLES = f"""{_EXAMPLES}\
  plait run --report script.py --verbose data.csv
  plait watch 1234
  plait top 1234
  plait record -- python app.py
  plait doctor
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the usage and a line."""
        self.exit(WRONG, f"plait: {message}; see '{self.prog} --help'\n")


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return number


def _backends(text: str) -> tuple[str, ...]:
    from plait._compare.backends import check_names

    try:
        return check_names(["serial", *filter(None, map(str.strip, text.split(",")))])
    except (ValueError, ImportError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="plait",
        description="Run Python functions on threads or processes, and measure which one helps.",
        epilog=_ALL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    compare = commands.add_parser(
        "compare",
        help="run a function serially, on threads and on processes, and tell which one to use",
        description="Call a function of FILE.py with each item, serially, on threads and on processes, in\n"
        "turns; print a table of what it took, a verdict, and the line of code to paste.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    compare.add_argument(
        "target",
        metavar="FILE.py[:FUNC]",
        help="the file, and its function of one argument (not needed where there is one only)",
    )
    compare.add_argument(
        "--items",
        metavar="EXPR",
        help="the items, a Python expression in the file's names (default: its ITEMS)",
    )
    compare.add_argument(
        "--workers",
        metavar="N",
        type=_at_least_one,
        help="threads and processes (default: the cores there are)",
    )
    compare.add_argument(
        "--rounds",
        metavar="N",
        type=_at_least_one,
        help="rounds of each backend (default: by how long they take)",
    )
    compare.add_argument("--html", metavar="OUT", type=Path, help="write a page with table and plots")
    compare.add_argument("--svg", metavar="OUT", type=Path, help="write a picture, for papers and slides")
    compare.add_argument("--json", metavar="OUT", type=Path, help="write the figures")
    compare.add_argument(
        "--backends",
        metavar="NAMES",
        type=_backends,
        default=("serial", "threads", "processes"),
        help="which, with commas: serial (always), threads, processes, interpreters (Python 3.14), dask, ray "
        "(default: the first three)",
    )
    compare.add_argument(
        "--peers",
        action="store_true",
        help="also run the standard library's executors, and loky's and joblib's if installed",
    )
    doctor = commands.add_parser(
        "doctor",
        help="tell what of this machine and this Python limits parallel work, and what to change",
        description="Look at processors, memory, this Python, native threads, limits, packages, plait\n"
        "itself; say of each what was found, and what to do where something is wrong.",
        epilog=_DOCTOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="colours in the text (default: auto, on a terminal unless NO_COLOR is set)",
    )
    doctor.add_argument(
        "--import",
        dest="modules",
        metavar="MODULE",
        action="append",
        default=[],
        help="also import this module, in a process of its own, to see which threads it brings",
    )
    doctor.add_argument("--no-trial", action="store_true", help="start no pools")
    commands.add_parser(
        "run", help="run a Python program as it is, with its pools served by plait", add_help=False
    )
    for name, what in (
        ("watch", "show live who holds the GIL, in any running Python program"),
        ("record", "record who holds the GIL, and say what was seen"),
        ("top", "show live what the workers of a running program's pools do"),
        ("report", "say what a recording shows, or write it for other programs"),
    ):
        commands.add_parser(name, help=what, add_help=False)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command with these arguments, by default the program's; returns the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        # What stands behind it is the program's.
        from plait._run import main as run

        return run(arguments[1:])
    if arguments[:1] in (["record"], ["report"], ["top"], ["watch"]):
        from plait._recording.commands import main as recording

        return recording(arguments)
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.version:
        from plait import _core

        print(f"plait {_core.__version__}")
        return DONE
    if asked.command is None:
        parser.error("no command given")
    try:
        return _doctor(asked) if asked.command == "doctor" else _compare(asked)
    except KeyboardInterrupt:
        _say("interrupted")
        return FAILED
    except BrokenPipeError:
        # Who read the output has enough. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _say(line: str) -> None:
    # Where nobody can read it any more, nothing is lost.
    with contextlib.suppress(OSError):
        print(f"plait: {line}", file=sys.stderr, flush=True)


def _doctor(asked: argparse.Namespace) -> int:
    """Look at everything and print it; 1 if something keeps plait from working."""
    from plait._doctor import examine, show

    findings = examine(not asked.no_trial, tuple(asked.modules))
    if asked.json:
        print(show.as_json(findings), flush=True)
    else:
        print(show.for_terminal(findings, sys.stdout, asked.color), flush=True)
    return FAILED if any(finding.level == "error" for finding in findings) else DONE


def _compare(asked: argparse.Namespace) -> int:
    from plait._compare.contest import Contest
    from plait._compare.program import ProgramError, UsageError, find_function, find_items, load, split_target
    from plait._compare.progress import Progress

    try:
        path, name = split_target(asked.target)
        outs = {f"--{name}": out for name in _OUTS if (out := getattr(asked, name)) is not None}
        for out in outs.values():
            _check_writable(out)
        if len(set(outs.values())) < len(outs):
            raise UsageError(f"{' and '.join(outs)} name the same file; give each its own")
        module = load(path)
        name, function = find_function(module, path, name)
        written, items = find_items(module, path, asked.items)
    except UsageError as error:
        _say(str(error))
        return WRONG
    except ProgramError as error:
        sys.stderr.write(error.trace)
        _say(str(error))
        return FAILED
    _forget_pools(module, asked.peers)
    contest = Contest(
        function,
        items,
        asked.workers,
        asked.rounds,
        asked.peers,
        Progress(sys.stderr.isatty()),
        f"{path.name}:{name}",
        str(path),
        written,
        # The page alone shows it.
        scaling=asked.html is not None,
        backends=asked.backends,
    )
    return _run(contest, asked)


def _check_writable(out: Path) -> None:
    """Raise a UsageError unless `out` can be written: known before the measuring instead of after it."""
    from plait._compare.program import UsageError

    if out.is_dir():
        raise UsageError(f"{str(out)!r} is a folder; give a file to write")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {str(out.parent)!r} to write {out.name!r} into; make it first")
    try:
        # Opened, since permissions alone do not tell; a new file is taken away again.
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        out.unlink()
    except FileExistsError:
        if not os.access(out, os.W_OK):
            raise UsageError(
                f"cannot write {str(out)!r}: it may not be changed; choose another place"
            ) from None
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror}; choose another place") from None


def _forget_pools(module: object, peers: bool) -> None:
    """Close what `plait.map` keeps for its next call: idle workers would count as memory of each backend."""
    from plait import _kept

    _kept.pools.clear()
    if peers:
        from plait._compare.peers import send_by_value

        send_by_value(module)


def _run(contest: "Contest", asked: argparse.Namespace) -> int:
    """Measure, print, write."""
    from plait._compare import Comparison

    _stop_at_second_interrupt()
    with contextlib.suppress(KeyboardInterrupt):
        contest.run()
    comparison = Comparison(contest.measurements(), contest.notes())
    code = _report(comparison)
    for name, what in _OUTS.items():
        out: Path | None = getattr(asked, name)
        if out is None:
            continue
        text = getattr(comparison, f"to_{name}")().rstrip("\n")
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            _say(f"cannot write {str(out)!r}: {error.strerror}")
            code = FAILED
        else:
            print(f"{what}: {out}")
    if contest.interrupted:
        _say("interrupted; what was measured until then is above")
        # At once: a thread that still runs a call of the user's cannot be stopped, and must not be waited
        # for.
        sys.stdout.flush()
        os._exit(FAILED)
    return code


def _stop_at_second_interrupt() -> None:
    """Let the first Ctrl-C end the measuring in good order, and another one end everything."""
    seen: list[bool] = []

    def on_interrupt(*_: object) -> None:
        if seen:
            os._exit(FAILED)
        seen.append(True)
        raise KeyboardInterrupt

    # Where Ctrl-C is ignored (a job in the background), it stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, on_interrupt)


def _report(comparison: "Comparison") -> int:
    """Print the comparison; 1 if one of plait's own backends did not do all calls."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    color = terminal and "NO_COLOR" not in os.environ
    print(comparison.table(width, color))
    text_width = min(width or 120, 120)
    for paragraph in (*(f"Note: {note}." for note in comparison.notes), comparison.verdict):
        print(
            textwrap.fill(paragraph, text_width, break_long_words=False, break_on_hyphens=False), end="\n\n"
        )
    if comparison.code is not None:
        print(f"    {comparison.code}\n")
    sys.stdout.flush()
    failed: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.error is not None and not row.peer:
            failed.setdefault(row.error, []).append(row.backend)
    if failed:
        _say("; ".join(f"{' and '.join(backends)}: {error}" for error, backends in failed.items()))
    return FAILED if failed else DONE
