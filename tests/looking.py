"""Looking at what a function shares, as the tests do it."""

import pytest
from plait import _state


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    """A fault is a failure, and a loaded machine no reason to see less."""
    monkeypatch.setattr(_state, "RAISES", True)
    monkeypatch.setattr(_state, "SECONDS", 1000)


def seen(fn, *args, **how):
    """What is said of a function after it was called once."""
    look = _state.look(fn, [args], **how)
    before = look.finding
    fn(*args)
    said = look.changed()
    assert before in (None, said)
    return said
