"""What a piece of work was asked to be, so that it is gone on with only if the same is asked again."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from sciml.core.errors import InputError
from sciml.core.problem import Problem
from sciml.io.atomic import atomic_file

PACKAGE = Path(__file__).parents[1]


def code_version(problem: Problem, parts: Sequence[str], others: Iterable[object] = ()) -> str:
    """A hash of the sources that decide a result: those folders of the package, and the files of the problem and of the other objects."""
    return sources_version(parts, (problem.equation, *others), (problem.exact, problem.filter, *vars(problem.initial).values()))


def sources_version(parts: Sequence[str], objects: Iterable[object], functions: Iterable[object] = ()) -> str:
    """A hash of those folders of the package, and of the files of the objects' classes and of functions."""
    found = [f for thing in objects for kind in type(thing).__mro__ for f in vars(kind).values()]
    files = {Path(inspect.getfile(f)) for f in (*found, *functions) if inspect.isfunction(f)}
    return hashlib.sha256(_package_version(tuple(parts)) + _digest(files)).hexdigest()[:16]


@cache
def _package_version(parts: tuple[str, ...]) -> bytes:
    """Read once, because a process keeps the code that it has loaded."""
    return _digest(path for part in parts for path in (PACKAGE / part).rglob("*.py"))


def _digest(files: Iterable[Path]) -> bytes:
    """Of names and contents, wherever the files lie."""
    return b"".join(sorted(hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).digest() for path in files if path.is_file()))


def content_of(values: Tensor) -> str:
    """A hash of the numbers in a tensor."""
    return hashlib.sha256(values.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def write_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """The recipe as a JSON file that appears when it is complete."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


def check_recipe(path: Path, recipe: Mapping[str, Any], remedy: str) -> None:
    """Raise :class:`InputError` with every difference between the recipe in the file and ``recipe``; ``remedy`` ends the sentence."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(recipe))
        found = [f"{key} was {_short(before.get(key))}, is {_short(now.get(key))}" for key in {**before, **now} if before.get(key) != now.get(key)]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {remedy}.") from error
    if found:
        raise InputError(f"{path.parent} holds an interrupted run with other settings: {'; '.join(found)}. Ask for the same, or {remedy}.")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
