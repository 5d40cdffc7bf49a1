"""A choice as HTML for a notebook: two tables, whose colours are those of the page around them."""

from html import escape
from typing import TYPE_CHECKING

from plait._choice import parts, words

if TYPE_CHECKING:
    from plait._choice import Choice

# Grey that can be seen on light and on dark.
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = f"text-align:left;padding:.2em .8em .2em 0;vertical-align:top;{_LINE}"
_NUMBER = f"text-align:right;padding:.2em .8em .2em 0;vertical-align:top;white-space:nowrap;{_LINE}"
_NAME = ";font-weight:normal;opacity:.7;white-space:nowrap"
_TABLE = "border-collapse:collapse;margin:.6em 0;background:transparent;color:inherit;font-size:inherit"
_AROUND = "max-width:60em;overflow-wrap:anywhere;line-height:1.4"


def page(choice: "Choice") -> str:
    """The decision, its reasons, the candidates and the figures."""
    made = [f'<div style="{_AROUND}">', f"<strong>{_safe(parts.decision(choice))}</strong>"]
    made.append(f"<div>{_safe(parts.runner_up(choice))}</div>")
    if choice.reasons:
        items = "".join(f"<li>{_safe(reason)}</li>" for reason in choice.reasons)
        made.append(f'<ul style="margin:.4em 0;padding-left:1.4em">{items}</ul>')
    if choice.candidates:
        made.append(_candidates(choice))
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL}{_NAME}">{_safe(name)}</th>'
        f'<td style="{_CELL}">{_safe(value)}</td></tr>'
        for name, value in parts.figures(choice)
    )
    if rows:
        made.append(f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>')
    return "".join([*made, "</div>"])


def _candidates(choice: "Choice") -> str:
    heads = (("backend", _CELL), ("workers", _NUMBER), ("predicted", _NUMBER), ("", _CELL))
    head = "".join(f'<th scope="col" style="{style}">{name}</th>' for name, style in heads)
    rows: list[str] = []
    for each in choice.candidates:
        weight = ";font-weight:bold" if each.backend == choice.backend else ""
        note = f"not: {each.why_not}" if each.why_not is not None else "chosen" if weight else ""
        cells = (each.backend, str(each.workers), words.seconds(each.seconds), note)
        row = (f'<td style="{style}{weight}">{_safe(cell)}</td>' for cell, (_, style) in zip(cells, heads))
        rows.append(f"<tr>{''.join(row)}</tr>")
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _safe(text: str) -> str:
    return escape(words.shown(text), quote=True)
