"""A choice as text for a terminal."""

from typing import TYPE_CHECKING

from plait._choice import parts, words

if TYPE_CHECKING:
    from plait._choice import Choice

_BOLD, _DIM, _END = "\033[1m", "\033[2m", "\033[0m"


def text(choice: "Choice", width: int, color: bool) -> str:
    """The decision, its reasons, the candidates and the figures, in lines of at most `width` columns."""
    bold, dim, end = (_BOLD, _DIM, _END) if color else ("", "", "")
    first, *more = words.wrapped(parts.decision(choice), width, "", "  ")
    lines = [f"{bold}{first}{end}", *more]
    lines += words.wrapped(parts.runner_up(choice), width, "", "  ")
    if choice.reasons:
        lines.append("")
        for reason in choice.reasons:
            lines += words.wrapped(reason, width, "- ", "  ")
    if choice.candidates:
        lines += ["", *_table(choice, width, bold, dim, end)]
    figures = parts.figures(choice)
    if figures:
        lines.append("")
        column = max(len(name) for name, _ in figures) + 2
        for name, value in figures:
            first, *more = words.wrapped(value, width, name.ljust(column), " " * column)
            lines += [f"{dim}{first[:column]}{end}{first[column:]}", *more]
    return "\n".join(lines)


def _table(choice: "Choice", width: int, bold: str, dim: str, end: str) -> list[str]:
    rows = [
        (words.shown(each.backend), str(each.workers), words.seconds(each.seconds))
        for each in choice.candidates
    ]
    head = ("backend", "workers", "predicted")
    wide = [max(len(row[column]) for row in [head, *rows]) for column in range(3)]
    lines = [f"{dim}  {_row(head, wide)}{end}"]
    for each, row in zip(choice.candidates, rows):
        chosen = each.backend == choice.backend
        line = f"{'>' if chosen else ' '} {_row(row, wide)}"
        start, finish = (bold, end) if chosen else ("", "")
        if each.why_not is None:
            lines.append(f"{start}{line}{finish}")
        else:
            first, *more = words.wrapped(f"not: {each.why_not}", width, line + "  ", " " * (len(line) + 2))
            lines += [first, *more]
    return lines


def _row(cells: tuple[str, str, str], wide: list[int]) -> str:
    return f"{cells[0]:<{wide[0]}}  {cells[1]:>{wide[1]}}  {cells[2]:>{wide[2]}}"
