"""The reference of the Python interface: one page per room, a heading per public name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping

import sciml
from pages.docstrings import cell, first_line
from sciml import testing

ROOMS: Mapping[str, str] = {
    "core": "Equations, domains, grids, problems, propagators",
    "derivatives": "Derivative engines",
    "spectral": "Transforms and spectral layers",
    "solvers": "Solvers",
    "io": "Datasets and files",
    "generation": "Making data sets",
    "surrogates": "Networks",
    "training": "Training",
    "assimilation": "Data assimilation",
    "methods": "Methods of a comparison",
    "report": "Figures and reports",
    "testing": "Contracts of your own classes",
}
"""Titles of the rooms, in the order of the pages; a room that is not named here comes last, under its own name."""

FURTHER: Mapping[str, tuple[str, ...]] = {"sciml.methods.base": ("Method", "Run", "Settings"), "sciml.methods.registry": ("methods",)}
"""What the author of a method meets that is not a name of ``sciml`` itself."""


def public() -> dict[str, str]:
    """Every documented name, as one imports it without ``sciml.``, and the module that defines it: ``Grid`` and ``sciml.core.grid``."""
    names = {name: sciml._MODULE[name] for name in sciml.__all__}
    names |= {f"{module.removeprefix('sciml.')}.{name}": module for module, some in FURTHER.items() for name in some}
    return names | {f"testing.{name}": getattr(testing, name).__module__ for name in testing.__all__}


def identifiers() -> dict[str, str]:
    """The full identifier of every documented name, as cross references use it."""
    return {name: f"{module}.{name.rpartition('.')[2]}" for name, module in public().items()}


def rooms() -> dict[str, list[str]]:
    """The documented names of each room, in the order of the pages."""
    found: dict[str, list[str]] = {}
    for name, module in public().items():
        found.setdefault(module.split(".")[1], []).append(name)
    order = [room for room in ROOMS if room in found] + sorted(set(found) - set(ROOMS))
    return {room: sorted(found[room], key=str.lower) for room in order}


def title(room: str) -> str:
    """The heading of a room's page."""
    return ROOMS.get(room, room.capitalize())


def pages() -> dict[str, str]:
    """The Markdown of every page of the reference, by its path in the site."""
    return {"reference/index.md": index_page(), **{f"reference/{room}.md": room_page(room, names) for room, names in rooms().items()}}


def index_page() -> str:
    """Every public name with its first sentence."""
    parts = ["# Python reference", "Every public name. `import sciml` loads them on first use."]
    links = identifiers()
    for room, names in rooms().items():
        lines = [f"## [{title(room)}]({room}.md)", "", "| name | |", "|---|---|"]
        for name in names:
            lines.append(f"| [`sciml.{name}`][{links[name]}] | {cell(_summary(links[name]))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def room_page(room: str, names: list[str]) -> str:
    """The names of one room in full."""
    links = identifiers()
    blocks = [f"::: {links[name]}\n    options:\n      heading: sciml.{name}\n      toc_label: sciml.{name}" for name in names]
    return "\n\n".join([f"# {title(room)}", *blocks]) + "\n"


def _summary(identifier: str) -> str:
    module, _, name = identifier.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    described = inspect.isclass(value) or inspect.isroutine(value)
    return first_line(value.__doc__) if described else "the type of a term: `(field, engine) -> field`"
