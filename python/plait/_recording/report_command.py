"""`plait report`: what a trace says, and other forms of it."""

import argparse
import sys
from pathlib import Path

from plait import _core
from plait._cli import DONE, FAILED, _say
from plait._recording import shown, written
from plait._recording.formats import TRACE, form_of
from plait._recording.target import Refused


def run(asked: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    out: Path | None = asked.out
    form = _form(asked)
    if out is not None:
        if out.exists() and asked.trace.exists() and out.samefile(asked.trace):
            raise Refused(f"{str(out)!r} is the recording itself; give another file to write")
        written.check(out)
    trace = written.read(asked.trace)
    if not trace.is_whole:
        _say(
            f"{str(asked.trace)!r} was cut off, as by a recorder that was killed or a full disk; "
            f"there are {trace.seconds:.1f} s of it"
        )
    if asked.json:
        print(trace.to_json())
    elif out is None:
        print(shown.verdict(trace))
    sys.stdout.flush()
    return DONE if out is None else _write(trace, out, form, asked.json)


def _form(asked: argparse.Namespace) -> str:
    if asked.out is None:
        if asked.form is not None:
            raise Refused("--format is for a file: give it with -o OUT")
        return ""
    if asked.form is not None:
        return str(asked.form)
    try:
        form = form_of(asked.out)
    except ValueError as error:
        raise Refused(f"{error}; or say --format") from None
    if form == TRACE:
        raise Refused(f"{str(asked.trace)!r} is a .plait file already; copy it")
    return form


def _write(trace: _core.Trace, out: Path, form: str, silently: bool) -> int:
    why = written.export(trace, out, form)
    if why is not None:
        _say(why)
        return FAILED
    if not silently:
        print(written.told(out, form), flush=True)
    return DONE
