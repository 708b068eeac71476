"""A self-contained HTML page: text, tables and embedded pictures, no link to anything outside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from sciml.report.style import house_style, new_figure

STYLE = """
:root { --ink: #1f2328; --muted: #6b7280; --line: #d9dde3; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .7rem; }
p { margin: .5rem 0; max-width: 46rem; }
.muted, figcaption, caption { color: var(--muted); font-size: .9rem; }
.equation { margin: 1.2rem 0 1rem; }
.equation img { height: auto; max-width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
table { border-top: 1.5px solid var(--ink); border-bottom: 1.5px solid var(--ink); }
caption { caption-side: bottom; text-align: left; padding-top: .6rem; }
th, td { padding: .42rem .7rem; text-align: right; white-space: nowrap; }
thead th { font-weight: 600; border-bottom: 1px solid var(--ink); vertical-align: bottom; white-space: normal; }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid #eceef1; }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
tbody th { font-weight: 600; }
td.best { font-weight: 700; color: var(--accent); }
td.failed { text-align: left; white-space: normal; color: #a33a00; }
figure { margin: 1.4rem 0 0; }
figure img { width: 100%; height: auto; display: block; }
figcaption { margin-top: .5rem; max-width: 46rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.4rem; font-size: .9rem; margin: .4rem 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: .85rem ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: #f5f6f8; padding: .7rem .9rem; overflow-x: auto; border-radius: 4px; }
@media print { main { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Cell:
    """One entry of the table; ``best`` marks the best of its column, ``span`` covers several columns with a sentence."""

    text: str
    best: bool = False
    span: int = 1


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption."""

    title: str
    png: bytes
    caption: str


def page(
    *,
    title: str,
    equation: Sequence[str],
    introduction: Sequence[str],
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    caption: str,
    pictures: Sequence[Picture],
    details: Mapping[str, Mapping[str, str]],
    command: str,
) -> str:
    """The whole document."""
    parts = [f"<h1>{_text(title)}</h1>"]
    for line in equation:
        parts.append(f'<div class="equation">{_typeset(line)}</div>')
    parts += [f"<p>{_text(sentence)}</p>" for sentence in introduction]
    parts += ["<h2>Results</h2>", _table(head, rows, caption)]
    for picture in pictures:
        parts.append(
            f"<h2>{_text(picture.title)}</h2><figure>{_image(picture.png, picture.title)}<figcaption>{_text(picture.caption)}</figcaption></figure>"
        )
    for name, entries in details.items():
        items = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in entries.items())
        parts.append(f"<h2>{_text(name)}</h2><dl>{items}</dl>")
    parts.append(f"<h2>To repeat this</h2><pre>{_text(command)}</pre>")
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def png_of(fig: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    with house_style():
        fig.savefig(buffer, format="png")
    return buffer.getvalue()


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], caption: str) -> str:
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = []
    for name, cells in rows:
        body.append(f"<tr><th>{_text(name)}</th>{''.join(map(_cell, cells))}</tr>")
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _cell(cell: Cell) -> str:
    if cell.span > 1:
        return f'<td class="failed" colspan="{cell.span}">{_text(cell.text)}</td>'
    return f"<td{' class=best' if cell.best else ''}>{_text(cell.text)}</td>"


def _typeset(latex: str) -> str:
    """An equation as a picture, by matplotlib's own typesetter; as plain text where that does not know a command."""
    try:
        with house_style():
            fig = new_figure(0.1, width=0.1)
            fig.set_layout_engine("none")
            fig.text(0.0, 0.0, f"${latex.replace('frac', 'dfrac')}$", fontsize=13, math_fontfamily="stix")
            buffer = io.BytesIO()
            fig.savefig(buffer, format="png", dpi=220, bbox_inches="tight", pad_inches=0.02)
    except ValueError:
        return f"<code>{_text(latex)}</code>"
    # drawn at 220 dots per inch, shown at 110: sharp on dense screens
    return f'<img src="data:image/png;base64,{_encoded(buffer.getvalue())}" style="zoom:.5" alt="{_text(latex)}">'


def _image(png: bytes, title: str) -> str:
    return f'<img src="data:image/png;base64,{_encoded(png)}" alt="{_text(title)}">'


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _text(value: str) -> str:
    return html.escape(value)
