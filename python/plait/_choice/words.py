"""Figures in words: two or three digits, and the unit that needs the fewest of them; text that is safe to
show."""

import textwrap

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
# Of a text that is longer, such as an error's, the end is left out.
_LONGEST = 400


def seconds(value: float | None) -> str:
    """A time: `2.0 µs`, `12.1 ms`, `3 min`."""
    if value is None:
        return "not known"
    if value >= 119.5:
        return f"{value / 60:,.0f} min"
    for unit, name in _SECONDS:
        if value >= 0.9995 * unit:
            return f"{_digits(value / unit)} {name}"
    return f"{value * 1e9:.0f} ns"


def size(value: float) -> str:
    """An amount of memory: `312 B`, `76.3 MiB`."""
    for unit, name in _BYTES:
        if abs(value) >= 0.9995 * unit:
            return f"{_digits(value / unit)} {name}"
    return f"{value:.0f} B"


def share(value: float) -> str:
    """A share of a whole: `97 %`."""
    return "less than 1 %" if 0 < value < 0.005 else f"{value * 100:.0f} %"


def number(value: float) -> str:
    """A small number: `0.7`, `12`."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """So many of them: `1 call`, `1,000,000 calls`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def workers(backend: str, count: int) -> str:
    """What a backend and its workers are called: `4 processes`, `1 thread`, `serial`."""
    if backend == "threads":
        return counted(count, "thread")
    if backend == "processes":
        return counted(count, "process", "processes")
    if backend == "interpreters":
        return counted(count, "interpreter")
    return backend if count == 1 else f"{backend}, {counted(count, 'worker')}"


def shown(text: str) -> str:
    """A text in one line, no longer than fits, and without what a terminal would take for an order."""
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def wrapped(text: str, width: int, first: str, then: str) -> list[str]:
    """A text in lines of at most `width` columns, the first and the others begun so."""
    lines = textwrap.wrap(
        shown(text),
        max(width, len(then) + 20),
        initial_indent=first,
        subsequent_indent=then,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def _digits(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 99.95 else f"{value:,.0f}"
