"""What there is to show of a choice, in words: for the text in a terminal and for the table in a notebook
alike.

Takes the choice's own data and decides nothing. A figure that is not known is left out.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from plait._choice import words

if TYPE_CHECKING:
    from plait._choice import Choice

# Backends nearer than this are about equally quick.
_NEAR = 1.1
# What happens less often a call is not worth a word.
_SELDOM = 0.05


def decision(choice: "Choice") -> str:
    """What was decided, and what it is thought to take."""
    text = words.workers(choice.backend, choice.workers)
    if choice.chunksize is not None:
        text += f", chunks of {words.counted(choice.chunksize, 'item')}"
    remaining = choice.figures.get("remaining")
    if remaining == 0:
        return f"{text}: all calls were made while they were measured"
    if choice.seconds is not None:
        text += f": {words.seconds(choice.seconds)} predicted"
        text += "" if remaining is None else f" for {words.counted(int(remaining), 'call')}"
    return text


def runner_up(choice: "Choice") -> str:
    """Which backend would have been next, and how close it was."""
    name, margin = choice.runner_up, choice.margin
    if name is None:
        return "no other backend was possible"
    if choice.figures.get("remaining") == 0:
        return f"runner-up: {name}"
    if margin is None:
        return f"runner-up: {name}, how close is not known"
    if margin < 1:
        return f"runner-up: {name}, predicted to take {words.share(margin)} of the time"
    if margin < _NEAR:
        return f"runner-up: {name}, about as quick ({margin:.2f} times as long)"
    return f"runner-up: {name}, {words.number(margin)} times as long"


def figures(choice: "Choice") -> list[tuple[str, str]]:
    """The figures behind it, each line with its name."""
    figures, machine = choice.figures, choice.machine
    lines = [
        ("measured", _measured(figures)),
        ("a call", _call(figures)),
        ("meanwhile", _meanwhile(figures)),
        ("sending", _sending(figures)),
        ("shares state", _state(figures)),
        *(("tried", each) for each in _tried(figures)),
        ("machine", _machine(machine)),
        (
            "deciding",
            "" if choice.deciding is None else f"took {words.seconds(choice.deciding)} beside the calls",
        ),
    ]
    return [(name, words.shown(value)) for name, value in lines if value]


def _measured(figures: Mapping[str, Any]) -> str:
    calls, remaining = figures.get("calls"), figures.get("remaining")
    if calls is None:
        return ""
    text = words.counted(int(calls), "call")
    if figures.get("unfinished"):
        text += ", and one that still ran"
    return text + ("" if remaining is None else f"; {int(remaining):,} to come")


def _call(figures: Mapping[str, Any]) -> str:
    wall = figures.get("wall")
    if not wall:
        return ""
    text = words.seconds(wall)
    if figures.get("longest"):
        text += f", the longest {words.seconds(figures['longest'])}"
    shares = [("on a processor", "cpu"), ("holding the GIL", "held"), ("waiting for it", "wanted")]
    told = [
        f"{name} {words.share(figures[key] / wall)}" for name, key in shares if figures.get(key) is not None
    ]
    if figures.get("gil") is False:
        told.append("no GIL in this build")
    return "; ".join([text, ", ".join(told)]) if told else text


def _meanwhile(figures: Mapping[str, Any]) -> str:
    told: list[str] = []
    if figures.get("switches", 0) and figures["switches"] >= _SELDOM:
        told.append(f"waited {words.number(figures['switches'])} times a call")
    if figures.get("native"):
        told.append(f"other threads used {words.number(figures['native'])} processors")
    if figures.get("memory"):
        told.append(f"memory grew by {words.size(figures['memory'])}")
    return ", ".join(told)


def _sending(figures: Mapping[str, Any]) -> str:
    if figures.get("sendable") is False:
        return f"not possible: {figures.get('why_not') or 'why is not known'}"
    sent, beside, took = (figures.get(key) for key in ("sent_bytes", "buffer_bytes", "pickle"))
    told: list[str] = []
    if sent is not None:
        told.append(f"{words.size(sent)} pickled")
    if beside:
        told.append(f"{words.size(beside)} beside that")
    if took is not None:
        told.append(f"{words.seconds(took)} to pickle")
    return ", ".join(told)


def _state(figures: Mapping[str, Any]) -> str:
    said = figures.get("task")
    if said is not None:
        return f"plait.task says {'yes' if said else 'no'}"
    return figures.get("shares_state") or ""


def _tried(figures: Mapping[str, Any]) -> Iterator[str]:
    for backend in ("threads", "processes", "interpreters"):
        tried = figures.get(f"{backend}_tried")
        if tried and tried.get("rate") is not None:
            workers = words.workers(backend, int(tried["workers"]))
            yield f"{workers}: {words.number(tried['rate'])} calls a second"


def _machine(machine: Mapping[str, Any]) -> str:
    told: list[str] = []
    if machine.get("cpus") is not None:
        told.append(words.counted(int(machine["cpus"]), "processor"))
    if machine.get("physical") is not None:
        told.append(words.counted(int(machine["physical"]), "core"))
    if machine.get("memory") is not None:
        told.append(f"{words.size(machine['memory'])} of memory free")
    told += [
        f"{pool} pool {machine[key]}" for pool in ("thread", "process") if machine.get(key := f"{pool}_pool")
    ]
    if machine.get("interpreters") is not None:
        told.append(f"interpreters {machine['interpreters']}")
    return ", ".join(told)
