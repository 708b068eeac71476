"""The docstrings of the package as Markdown: roles, sections, displayed equations and examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

_SECTION = re.compile(r"^(?P<title>[A-Z][A-Za-z ]*)\n-{3,}\n(?P<body>(?:.+\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^(?P<names>\S.*?) : (?P<text>.*)$")
_DISPLAY = re.compile(r"^(?P<indent> *)\.\. math::(?P<first>.*)\n(?P<rest>(?:(?P=indent) +\S.*\n|\n(?=(?P=indent) +\S))*)", re.MULTILINE)
_EXAMPLE = re.compile(r"^>>> (?:.*\n?)(?:^\S.*\n?|^\s+\S.*\n?)*", re.MULTILINE)
_ROLE = re.compile(r":(?P<role>math|class|func|meth|mod|attr|data):`(?P<text>[^`]+)`", re.DOTALL)


def markdown(text: str | None, links: Mapping[str, str] | None = None) -> str:
    """A docstring as Markdown with mathematics between dollars.

    Parameters
    ----------
    text : the docstring.
    links : identifier of a public name in the reference, by name; other names are set as code.
    """
    body = inspect.cleandoc(text or "") + "\n"
    body = _EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", body)
    body = _SECTION.sub(_section, body)
    body = _DISPLAY.sub(_display, body)
    parts = re.split(r"(^```.*?^```$)", body, flags=re.MULTILINE | re.DOTALL)  # every second one is code
    return "\n".join(part if i % 2 else _prose(part, links or {}) for i, part in enumerate(parts)).strip()


def first_line(text: str | None, links: Mapping[str, str] | None = None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(markdown(inspect.cleandoc(text or "").split("\n\n")[0], links).split())


def cell(text: str) -> str:
    """A line of Markdown for a cell of a table: bars that do not end the cell, by name within mathematics."""

    def escaped(match: re.Match[str]) -> str:
        if match["math"] is None:
            return "\\|"
        return match["math"].replace("\\|", "\\Vert ").replace("|", "\\vert ")

    return re.sub(r"(?P<math>\$[^$]*\$)|\|", escaped, text)


def _prose(text: str, links: Mapping[str, str]) -> str:
    def role(match: re.Match[str]) -> str:
        content = " ".join(match["text"].split())
        if match["role"] == "math":
            return f"${content}$"
        name = content.lstrip("~").removeprefix("sciml.")
        return f"[`{name}`][{links[name]}]" if name in links else f"`{name}`"

    return re.sub(r"::$", ":", _ROLE.sub(role, text), flags=re.MULTILINE).replace("``", "`")


def _section(match: re.Match[str]) -> str:
    """``name : text`` entries as a list; deeper lines go on with the entry above."""
    entries: list[str] = []
    for line in match["body"].splitlines():
        found = _ENTRY.match(line)
        if found is not None:
            names = ", ".join(f"`{name.strip()}`" for name in found["names"].split(","))
            entries.append(f"- {names}: {found['text']}")
        elif entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line)
    return f"**{match['title']}**\n\n" + "\n".join(entries) + "\n"


def _display(match: re.Match[str]) -> str:
    lines = [match["first"], *match["rest"].splitlines()]
    return f"\n$$ {' '.join(' '.join(lines).split())} $$\n\n"
