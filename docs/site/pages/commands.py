"""The reference of the command line, read from the application itself."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import typer

from pages.docstrings import cell
from sciml.cli.main import app

WORDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
"""What stands for a value of a type."""


def pages() -> dict[str, str]:
    """The Markdown of the page, by its path in the site."""
    group: Any = typer.main.get_command(app)
    parts = [
        "# Command line",
        _text(group.help),
        "`sciml --help` and `sciml COMMAND --help` say the same. Exit codes: 0, done; 2, bad input or a place that cannot be written to, "
        "said in one line; 130, interrupted.",
    ]
    types = {info.name or (info.callback.__name__ if info.callback else ""): _types(info.callback) for info in app.registered_commands}
    for name, command in group.commands.items():
        parts += [f"## `sciml {name}`", _text(command.help), f"```text\n{usage(name, command)}\n```"]
        rows = [_row(p, types[name]) for p in command.params if not getattr(p, "hidden", False)]
        if rows:
            parts.append("\n".join(["| argument or option | default | |", "|---|---|---|", *rows]))
    return {"reference/cli.md": "\n\n".join(parts) + "\n"}


def usage(name: str, command: Any) -> str:
    """``sciml solve PROBLEM [options]``."""
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    return " ".join(["sciml", name, *arguments, *(["[options]"] if len(arguments) < len(command.params) else [])])


def _row(parameter: Any, types: Mapping[str, Any]) -> str:
    if parameter.param_type_name == "argument":
        shown = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        names = ", ".join(f"`{n}`" for n in [*parameter.opts, *parameter.secondary_opts])
        shown = names if parameter.is_flag else f"{names} `{parameter.metavar or WORDS.get(types[parameter.name], 'VALUE')}`"
    return f"| {shown} | {_default(parameter)} | {cell(_text(parameter.help))} |"


def _types(callback: Any) -> dict[str, Any]:
    """The type of one value of every parameter: ``Annotated[list[str] | None, ...]`` is a str."""
    hints = typing.get_type_hints(callback)
    for name, hint in hints.items():
        inner = [part for part in typing.get_args(hint) if part is not NoneType]
        single = inner[0] if inner else hint
        hints[name] = (typing.get_args(single) or (single,))[0]
    return hints


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
