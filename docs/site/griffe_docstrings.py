"""Gives the reference generator the package's docstrings as Markdown; loaded by path from ``mkdocs.yml``, after ``hooks.py``."""

from __future__ import annotations

from typing import Any

import griffe
from pages.docstrings import markdown
from pages.reference import identifiers


class HouseDocstrings(griffe.Extension):
    """Every docstring of the package goes through :func:`pages.docstrings.markdown`."""

    def __init__(self) -> None:
        self.links = identifiers()

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, self.links)
