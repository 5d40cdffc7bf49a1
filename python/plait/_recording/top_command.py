"""`plait top`: the pools of a running program, in the terminal, as a table or as JSON."""

import argparse
import time

from plait import _core
from plait._cli import DONE, FAILED, WRONG, _say
from plait._recording.signals import Signals
from plait._recording.target import Refused, attach
from plait._recording.watch_command import is_screen

# Between two looks at what asks for the end.
_TURN = 0.1


def run(asked: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    pid: int | None = asked.pid
    if pid is None:
        found = _core.programs()
        if len(found) != 1:
            return _choose(found)
        pid = found[0][0]
    target = attach(pid, children=True)
    try:
        looker = _core.PoolLooker(target.pid)
    except OSError as error:
        raise Refused(str(error.strerror or error)) from None
    finally:
        target.close()
    with Signals() as signals:
        if not looker.look():
            raise Refused(f"process {pid} has ended already")
        if asked.once or asked.json or not is_screen():
            return _print(looker, pid, asked, signals)
        if not looker.show(asked.interval, lambda: not signals.asked):
            _say(f"process {pid} has ended")
    return DONE


def _print(looker: _core.PoolLooker, pid: int, asked: argparse.Namespace, signals: Signals) -> int:
    """Print what a second look shows: processor time and tasks a second are of the time between the two."""
    deadline = time.monotonic() + asked.interval
    while not signals.asked and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _TURN))
    # Where the program has ended meanwhile, the first look is what there is.
    if not signals.asked:
        looker.look()
    if looker.pools == 0:
        why = "those that it had are gone" if looker.uses_plait else "it has made none, or by another version"
        _say(f"process {pid} has no pools of plait now: {why}")
        return FAILED
    print(looker.json() if asked.json else looker.text(), end="\n" if asked.json else "", flush=True)
    return DONE


def _choose(found: list[tuple[int, str, int]]) -> int:
    """Say that no program has pools, or which have; the exit code."""
    if not found:
        _say("no program of yours has plait's pools now; give the PID of one to wait for its pools")
        return FAILED
    _say(f"{len(found)} programs have plait's pools; give the PID of one:")
    for pid, command, pools in found:
        _say(f"  {pid}  {pools} pool{'s' * (pools != 1)}  {command}")
    return WRONG
