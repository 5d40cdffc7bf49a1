"""Recordings as a user's program has them; every type is stated. Read by type checkers, never run."""

from pathlib import Path
from typing import assert_type

import plait


def files() -> None:
    with plait.record("busy.plait", rate=500, children=False) as recording:
        print(recording)
    assert_type(recording, plait.Recording)
    assert_type(recording.verdict, str)
    assert_type(recording.to_json(), str)
    assert_type(recording.seconds, float)
    assert_type(recording.failure, str | None)
    assert_type(recording.path, Path | None)
    recording.save(Path("lanes.json"))


def in_memory() -> str:
    with plait.record() as recording:
        pass
    return str(recording)
