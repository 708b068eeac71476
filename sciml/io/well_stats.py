"""Statistics of the fields of a data set, as the Well keeps them in ``stats.yaml``: gathered sample by sample, written and read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciml.core.errors import InputError

STATS = "stats.yaml"
OF_VALUES = ("mean", "std", "rms")
OF_CHANGES = ("mean_delta", "std_delta", "rms_delta")


class Moments:
    """Mean and variance of numbers that come in pieces, in float64 [Chan, Golub & LeVeque, Am. Stat. 37 (1983) 242, eq. 2.1]."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in an array of any shape."""
        if values.size == 0:
            return
        numbers = values.astype(np.float64, copy=False)
        mean = float(numbers.mean())
        squares = float(np.square(numbers - mean).sum())
        total = self.count + numbers.size
        gap = mean - self.mean
        self.squares += squares + gap * gap * self.count * numbers.size / total
        self.mean += gap * numbers.size / total
        self.count = total

    def numbers(self) -> tuple[float, float, float]:
        """Mean, standard deviation (divided by the count), root mean square; zeros if nothing was taken in."""
        variance = self.squares / max(self.count, 1)
        return self.mean, math.sqrt(variance), math.sqrt(self.mean**2 + variance)


class FieldStatistics:
    """The six numbers of every field: of its values, and of its changes from one instant to the next (0 where there is one instant only)."""

    def __init__(self) -> None:
        self._values: dict[str, Moments] = {}
        self._changes: dict[str, Moments] = {}

    def add(self, name: str, trajectory: np.ndarray) -> None:
        """Take in the values ``(time, *space)`` of an evolving field in one sample."""
        numbers = trajectory.astype(np.float64)
        self.add_constant(name, numbers)
        self._changes.setdefault(name, Moments()).add(np.diff(numbers, axis=0))

    def add_constant(self, name: str, values: np.ndarray) -> None:
        """Take in the values of a field that does not evolve."""
        self._values.setdefault(name, Moments()).add(values)

    def text(self) -> str:
        """The content of ``stats.yaml``."""
        lines = []
        for kinds, gathered in ((OF_VALUES, self._values), (OF_CHANGES, self._changes)):
            for i, kind in enumerate(kinds):
                lines.append(f"{kind}:")
                # a reader of YAML 1.1 takes y for true and 1e-05 for text: hence quotes and 17 digits with a point
                lines += [f"  {json.dumps(name)}: {moments.numbers()[i]:.16e}".replace(": nan", ": .nan") for name, moments in gathered.items()]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Statistics:
    """Numbers for normalisation, each ``(channel,)``, float64; NaN where the file has none, as for changes of a constant field."""

    mean: np.ndarray
    std: np.ndarray
    rms: np.ndarray
    mean_delta: np.ndarray
    std_delta: np.ndarray
    rms_delta: np.ndarray


def read_stats(path: str | Path, channels: Sequence[str]) -> Statistics:
    """The statistics of a data set of the Well for channels as :func:`sciml.open_data` names them (``data.fields`` or ``data.inputs``).

    Parameters
    ----------
    path : the folder of the data set, or its ``stats.yaml``.
    channels : names; ``velocity_x`` and ``velocity_y`` are the components of ``velocity``, in the order in which they stand here.

    Raises :class:`InputError` if the file is missing or damaged, or has no mean and standard deviation of a channel.

    >>> stats = sciml.read_stats("flow", sciml.open_data("flow").fields)    # doctest: +SKIP
    """
    source = Path(path) / STATS if Path(path).is_dir() else Path(path)
    try:
        content = parse_stats(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {source}: {error.strerror}; give the folder of a data set of the Well.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {source}: {error}; mean, std, ... with a number or a list of numbers for each field are expected.") from error
    numbers = {kind: _of_channels(content.get(kind, {}), channels) for kind in OF_VALUES + OF_CHANGES}
    missing = [name for i, name in enumerate(channels) if any(np.isnan(numbers[kind][i]) for kind in ("mean", "std"))]
    if missing:
        told = ", ".join(content.get("mean", {})) or "no field"
        raise InputError(f"{source}: there is no mean and std of {', '.join(missing)}; it tells of {told}.")
    return Statistics(**numbers)


def _of_channels(kind: Mapping[str, Any], channels: Sequence[str]) -> np.ndarray:
    """The number of every channel; of a field with components, the channels ``name_...`` take them in turn."""
    parts: dict[str, Iterator[float]] = {name: iter(np.ravel(value).tolist()) for name, value in kind.items() if isinstance(value, list)}
    result, used = [], set[str | None]()
    for channel in channels:
        owner = max((name for name in parts if channel.startswith(f"{name}_")), key=len, default=None)
        plain = kind.get(channel)
        result.append(plain if isinstance(plain, float) else next(parts[owner], math.nan) if owner is not None else math.nan)
        used |= {owner} if owner is not None and not isinstance(plain, float) else set()
    if left := [name for name in used if name is not None and next(parts[name], None) is not None]:
        raise InputError(f"{left[0]} has more components than the channels {', '.join(channels)} name; name all of them, in the order of the file.")
    return np.array(result, dtype=np.float64)


def parse_stats(text: str) -> dict[str, dict[str, Any]]:
    """The part of YAML that such files use: two levels of names, then a number or (nested) lists of numbers, in block or flow style.

    Raises :class:`ValueError` for anything else.
    """
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in _joined(text)]
    if not lines:
        raise ValueError("it is empty")
    content, end = _block(lines, 0)
    if end < len(lines) or not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(f"it is not understood from {lines[min(end, len(lines) - 1)][1]!r} on")
    return content


def _joined(text: str) -> Iterator[str]:
    """Lines without comments; a list in brackets becomes one line."""
    held = ""
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not line.strip() or line == "---":
            continue
        held = f"{held} {line.strip()}" if held else line
        if held.count("[") <= held.count("]"):
            yield held
            held = ""
    if held:
        yield held


def _block(lines: list[tuple[int, str]], at: int) -> tuple[Any, int]:
    """The value that begins in line ``at``, and the line behind it."""
    indent, text = lines[at]
    if text == "-" or text.startswith("- "):
        items = []
        while at < len(lines) and lines[at][0] == indent and (lines[at][1] == "-" or lines[at][1].startswith("- ")):
            rest = lines[at][1][1:].lstrip()
            if rest:  # what follows the dash is a value of its own, indented by the dash
                lines[at] = (indent + len(lines[at][1]) - len(rest), rest)
                item, at = _block(lines, at)
            else:
                item, at = _deeper(lines, at + 1, indent)
            items.append(item)
        return items, at
    if not (match := _ENTRY.fullmatch(text)):
        return _value(text), at + 1
    entries: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent and (match := _ENTRY.fullmatch(lines[at][1])):
        name = json.loads(match[1]) if match[1].startswith('"') else match[1].strip("'")
        if match[2]:
            entries[name], at = _value(match[2]), at + 1
        else:
            dashed = at + 1 < len(lines) and lines[at + 1][0] == indent and lines[at + 1][1].startswith("-")
            entries[name], at = _block(lines, at + 1) if dashed else _deeper(lines, at + 1, indent)
    return entries, at


_ENTRY = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\[\]{}#&*!|>%@`-][^:\[\]{}]*?)\s*:(?:\s+(.+))?""")


def _deeper(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[Any, int]:
    """The value that begins in line ``at`` if it is indented more; an empty group otherwise."""
    return _block(lines, at) if at < len(lines) and lines[at][0] > indent else ({}, at)


def _value(text: str) -> Any:
    """A number, or lists of them in brackets."""
    if text == "{}":
        return {}
    if text.startswith("[") and text.endswith("]"):
        inner, depth, start, items = text[1:-1], 0, 0, []
        for i, letter in enumerate(f"{inner},"):
            depth += (letter == "[") - (letter == "]")
            if letter == "," and depth == 0:
                if inner[start:i].strip():
                    items.append(_value(inner[start:i].strip()))
                start = i + 1
        return items
    return float(re.sub(r"^([-+]?)\.(nan|inf)$", r"\1\2", text.lower()))
