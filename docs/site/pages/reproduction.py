"""The table of published numbers beside ours: ours from the results of the benchmarks, theirs from ``published.toml``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sciml.core.loading import load_problem

HERE = Path(__file__).parents[1]
RESULTS = HERE.parents[1] / "benchmarks" / "results"


def rows() -> list[dict[str, Any]]:
    """The rows of ``published.toml``; each with the keys of :func:`numbers`."""
    with (HERE / "published.toml").open("rb") as file:
        return list(tomllib.load(file)["row"])


def numbers(row: Mapping[str, Any]) -> tuple[str, str]:
    """The published number and ours, as text.

    ``ours`` is a path into ``file``, a JSON file of the results: keys, indices, and ``name=value`` to select the entry of a
    list. ``published`` is a text, or a path into the ``scores`` of the problem called ``problem``.
    """
    measured = follow(json.loads((RESULTS / row["file"]).read_text(encoding="utf-8")), row["ours"])
    source = row["published"]
    published = follow(load_problem(row["problem"]).scores, source) if isinstance(source, list) else source
    return shown(published), shown(measured)


def follow(data: Any, path: list[str | int]) -> Any:
    """The entry of nested dictionaries and lists at ``path``; KeyError names a step that leads nowhere."""
    return reduce(_step, path, data)


def _step(data: Any, key: str | int) -> Any:
    if isinstance(key, str) and isinstance(data, list):
        name, _, value = key.partition("=")
        found = [entry for entry in data if str(entry.get(name)) == value]
        if len(found) != 1:
            raise KeyError(f"{key}: {len(found)} entries match")
        return found[0]
    return data[key]


def shown(value: Any) -> str:
    """A number with three or four digits, a text as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pages() -> dict[str, str]:
    """The Markdown of the page, by its path in the site."""
    lines = ["| what | published | ours | source | script |", "|---|---|---|---|---|"]
    for row in rows():
        published, ours = numbers(row)
        lines.append(f"| {row['what']} | {published} | {ours} | {row['source']} | `{row['script'].removeprefix('benchmarks/')}` |")
    text = (
        "# Reproduction\n\n"
        "Published numbers beside those of this code. Ours are read from `benchmarks/results/` when the site is built; the script in the last "
        "column, from `benchmarks/`, measures them again. Where the published object is a trajectory or a closed form, the number is the "
        "distance of our solution from it, and the published column says which.\n\n"
    )
    return {"reproduction.md": text + "\n".join(lines) + "\n"}
