"""`plait record`, `plait report`, `plait watch` and `plait top`: what may be asked for, and who does it.

What stands behind `--` is a command of the user's, and none of its words is plait's.
"""

import argparse
import contextlib
import math
import os
import sys
from pathlib import Path

from plait import _core
from plait._cli import DONE, FAILED, WRONG, _Parser, _say
from plait._recording.target import Refused

# Looks a second.
SLOWEST, USUAL, FASTEST = 10, 1000, 5000

_RECORD_EXAMPLES = """\
examples:
  plait record 1234                                until Ctrl-C or its end
  plait record --duration 10 -o busy.plait 1234
  plait record -- python app.py --port 8000
  plait record -o page.html -- python app.py       a page for any browser
"""

_REPORT_EXAMPLES = """\
examples:
  plait report busy.plait                          the verdict
  plait report busy.plait --json                   the verdict with all its figures
  plait report busy.plait -o page.html             a page for any browser
  plait report busy.plait -o lanes.svg             a picture for papers and slides
  plait report busy.plait -o lanes.json            for ui.perfetto.dev
  plait report busy.plait -o busy.firefox.json     for profiler.firefox.com
  plait report busy.plait -o busy.speedscope.json  for www.speedscope.app
"""

_WATCH_EXAMPLES = """\
examples:
  plait watch 1234
  plait watch -- python app.py --port 8000
  plait watch --plain --duration 30 1234           a line a second
  plait watch --web 1234                           in a browser on this machine
"""


_TOP_EXAMPLES = """\
examples:
  plait top                                        the one program that has pools, or which there are
  plait top 1234
  plait top --interval 0.5 1234
  plait top --json 1234                            once, for other programs
"""


def main(arguments: list[str]) -> int:
    """Run what the arguments say, the first of which is the command's name; returns the exit code."""
    command: list[str] | None = None
    if "--" in arguments and arguments[0] in ("record", "watch"):
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    parser = {
        "record": _record_parser,
        "report": _report_parser,
        "watch": _watch_parser,
        "top": _top_parser,
    }[arguments[0]]()
    asked = parser.parse_args(arguments[1:])
    if arguments[0] in ("record", "watch"):
        _check_target(parser, asked, command)
    try:
        if arguments[0] == "record":
            from plait._recording.record_command import run
        elif arguments[0] == "report":
            from plait._recording.report_command import run
        elif arguments[0] == "top":
            from plait._recording.top_command import run
        else:
            from plait._recording.watch_command import run
        return run(asked)
    except Refused as refused:
        _say(str(refused))
        return WRONG
    except KeyboardInterrupt:
        _say("interrupted")
        return FAILED
    except OSError as error:
        # Of a closed pipe nothing is said: who read the output has enough.
        if not isinstance(error, BrokenPipeError):
            _say(f"cannot print: {error.strerror or error}")
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _check_target(
    parser: argparse.ArgumentParser, asked: argparse.Namespace, command: list[str] | None
) -> None:
    """See to it that there is either a PID or a command."""
    words: list[str] = asked.target
    if command is not None:
        if words:
            parser.error(f"either a PID or a command, not both: {words[0]!r} stands before '--'")
        if not command:
            parser.error("no command stands behind '--'")
    elif not words:
        parser.error("nothing to look at: give a PID, or a command behind '--'")
    elif not words[0].isdecimal():
        parser.error(f"{words[0]!r} is no PID; a command stands behind '--', as in: -- {' '.join(words)}")
    elif words[1:]:
        parser.error(f"one PID, please, not {' '.join(words)}; what a process starts is looked at with it")
    asked.pid = None if command is not None else min(int(words[0]), 2**31)
    asked.command = command


def _parser(name: str, usage: str, description: str, examples: str) -> argparse.ArgumentParser:
    return _Parser(
        prog=f"plait {name}",
        usage=f"plait {name} {usage}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _record_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "record",
        "[-o FILE] [--duration S] [--rate HZ] [--no-pause] [--no-children] [--quiet] PID | -- COMMAND...",
        "Record who holds the GIL and what each thread does, in a Python program that runs, or in a\n"
        "command and all it starts; say at the end what was seen. The program is not changed, and goes on\n"
        "whatever becomes of the recorder.",
        _RECORD_EXAMPLES,
    )
    parser.add_argument(
        "-o",
        dest="out",
        metavar="FILE",
        type=Path,
        help="where to: .plait (default: plait-record-PID.plait), .html for a page, .svg for a picture, "
        ".json for Perfetto, .firefox.json, .speedscope.json, .plait.json",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    _add_common(parser, "recording")
    return parser


def _report_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "report",
        "TRACE [-o OUT] [--format FORM] [--json]",
        "Say what a recording shows, or write it in a form that other programs open.",
        _REPORT_EXAMPLES,
    )
    parser.add_argument("trace", metavar="TRACE", type=Path, help="a file of `plait record`")
    parser.add_argument("-o", dest="out", metavar="OUT", type=Path, help="write it to this file")
    parser.add_argument(
        "--format",
        dest="form",
        choices=_core.forms(),
        help="the form of OUT (default: by the end of its name: .json is perfetto)",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict with all its figures as JSON")
    return parser


def _watch_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "watch",
        "[--rate HZ] [--plain | --web] [--duration S] [--no-pause] [--no-children] PID | -- COMMAND...",
        "Show live who holds the GIL and what each thread does: a lane for each thread over the last\n"
        "seconds, and what they say. What a command prints is shown when the view is left.",
        _WATCH_EXAMPLES,
    )
    views = parser.add_mutually_exclusive_group()
    views.add_argument(
        "--plain",
        action="store_true",
        help="a line a second instead of the view (default where the output is no terminal)",
    )
    views.add_argument(
        "--web",
        action="store_true",
        help="the view in a browser: prints the address, which only this machine reaches",
    )
    _add_common(parser, "watching")
    return parser


def _top_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "top",
        "[--interval S] [--once | --json] [PID]",
        "Show the pools of a running program and what their workers do: for each worker its task, for how\n"
        "long it has been at that, its processor time and memory, and the line it is at. The program is\n"
        "neither stopped nor changed. Without PID: the one program of yours that has pools.",
        _TOP_EXAMPLES,
    )
    parser.add_argument("pid", metavar="PID", nargs="?", type=_pid, help="a program that uses plait")
    parser.add_argument(
        "--interval",
        metavar="S",
        type=_seconds,
        default=1.0,
        help="seconds between two looks (default: 1); with --once and --json from the first to the one shown",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--once",
        action="store_true",
        help="print one table and end (default where the output is no terminal)",
    )
    forms.add_argument("--json", action="store_true", help="print one JSON object and end")
    return parser


def _pid(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no PID; `plait top` alone lists the programs that have pools"
        )
    return min(int(text), 2**31)


def _add_common(parser: argparse.ArgumentParser, doing: str) -> None:
    parser.add_argument(
        "target", metavar="PID", nargs="*", help="a process; what it starts is looked at, too"
    )
    parser.add_argument(
        "--duration",
        metavar="S",
        type=_seconds,
        help=f"end {doing} after so many seconds (default: at its end)",
    )
    parser.add_argument(
        "--rate",
        metavar="HZ",
        type=_rate,
        default=USUAL,
        help=f"looks a second, {SLOWEST} to {FASTEST} (default: {USUAL})",
    )
    parser.add_argument(
        "--no-pause",
        dest="pause",
        action="store_false",
        help="never stop a thread: functions of native code that keep the GIL have no names then",
    )
    parser.add_argument(
        "--no-children", dest="children", action="store_false", help="leave out the processes that it starts"
    )


def _seconds(text: str) -> float:
    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text)
    if not 0 < number <= 1e7:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return number


def _rate(text: str) -> int:
    number = 0
    with contextlib.suppress(ValueError):
        number = int(text)
    if not SLOWEST <= number <= FASTEST:
        raise argparse.ArgumentTypeError(f"must be a whole number from {SLOWEST} to {FASTEST}, not {text!r}")
    return number


__all__ = ["DONE", "FAILED", "WRONG", "main"]
