"""The report: as text for people, as JSON for programs."""

import json
import os
import shutil
import textwrap
from typing import Any, TextIO

from plait._doctor.finding import LEVELS, Finding, Level, amount

# Marks and colours of levels; the second line is for terminals without these letters.
_MARKS: dict[Level, str] = {"ok": "✓", "note": "·", "warn": "!", "error": "✗"}
_PLAIN: dict[Level, str] = {"ok": "+", "note": "-", "warn": "!", "error": "x"}
_COLORS: dict[Level, str] = {"ok": "32", "note": "36", "warn": "33", "error": "31"}
_BOLD, _FAINT = "1", "2"

# Columns: the mark with its margin, and the names.
_MARGIN = 4
_NAMES = 20


def summary(findings: list[Finding]) -> dict[str, Any]:
    """Count the findings of each level, and say it in one line."""
    counts: dict[str, Any] = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    changes = counts["warn"] + counts["error"]
    if changes:
        names = dict.fromkeys(finding.name for finding in findings if finding.level in ("warn", "error"))
        text = f"{amount(changes, 'thing')} to change: {', '.join(names)}"
    else:
        text = "nothing to change"
    return {**counts, "text": text}


def as_json(findings: list[Finding]) -> str:
    """Write one object: `plait` (its version, or null), `python`, `findings` and `summary`."""

    def value(section: str, name: str) -> Any:
        return next(
            (found.value for found in findings if (found.section, found.name) == (section, name)), None
        )

    told = {
        "plait": (value("plait", "version") or {}).get("version"),
        "python": value("python", "version"),
        "findings": [finding.as_dict() for finding in findings],
        "summary": summary(findings),
    }
    return json.dumps(told, indent=2)


def for_terminal(findings: list[Finding], stream: TextIO, color: str) -> str:
    """Write as text in the way this stream can show; `color` is "auto", "always" or "never"."""
    terminal = stream.isatty()
    width = min(max(shutil.get_terminal_size().columns, 60), 120) if terminal else 80
    colored = color == "always" or (color == "auto" and terminal and "NO_COLOR" not in os.environ)
    encoding = stream.encoding or "ascii"
    try:
        "✓✗→µ…".encode(encoding)
    except UnicodeEncodeError:
        text = as_text(findings, width, colored, plain=True)
        return text.replace("µ", "u").encode(encoding, "backslashreplace").decode(encoding)
    return as_text(findings, width, colored)


def as_text(findings: list[Finding], width: int = 80, color: bool = False, plain: bool = False) -> str:
    """Write findings by section, each with its mark, name, text and remedy, and the summary below.

    Args:
        findings: Those of one section stand together.
        width: How many columns there are.
        color: With escape sequences.
        plain: With letters of ASCII alone for marks.

    """
    marks, arrow = (_PLAIN, "->") if plain else (_MARKS, "→")

    def paint(code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if color else text

    names = min(_NAMES, max((len(finding.name) for finding in findings), default=0))
    indent = " " * (_MARGIN + names + 2)
    lines: list[str] = []
    section = None
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", paint(_BOLD, section)] if lines else [paint(_BOLD, section)]
        mark = paint(_COLORS[finding.level], marks[finding.level])
        said = fill(finding.text, width - len(indent))
        if finding.remedy is not None:
            hang = len(arrow) + 1
            first, *rest = fill(finding.remedy, width - len(indent) - hang)
            said += [
                paint(_FAINT, line) for line in (f"{arrow} {first}", *(" " * hang + line for line in rest))
            ]
        if len(finding.name) > names:
            # A long name has a line of its own.
            lines.append(f"  {mark} {finding.name}")
        else:
            lines.append(f"  {mark} {finding.name:{names}}  {said.pop(0)}")
        lines += [indent + line for line in said]
    told = summary(findings)
    worst: Level = "error" if told["error"] else "warn" if told["warn"] else "ok"
    first, *rest = textwrap.wrap(told["text"], width, break_long_words=False, break_on_hyphens=False)
    return "\n".join([*lines, "", *(paint(_COLORS[worst], line) for line in (first, *rest))])


def fill(text: str, width: int) -> list[str]:
    """Break into lines between words, and what is longer than a line (a path mostly) at a slash."""
    lines: list[str] = []
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]:
        while len(line) > width:
            at = line.rfind("/", 1, width) if "/" in line[1:width] else width
            lines.append(line[:at])
            line = line[at:]
        lines.append(line)
    return lines
