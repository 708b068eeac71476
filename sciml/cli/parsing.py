"""Texts of the command line as values."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sciml.core.errors import InputError

Value = int | float | bool | str

MOST_TIMES = 10_000_000

_WORDS: dict[str, bool] = {"true": True, "false": False, "yes": True, "no": False}
_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def parse_settings(texts: Sequence[str]) -> dict[str, Value]:
    """``["viscosity=0.01", "dealias=false"]`` as a dictionary of numbers, truth values and words."""
    result: dict[str, Value] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not (separator and name.isidentifier() and value.strip()):
            raise InputError(f"--set {text!r} is not NAME=VALUE; write for example --set viscosity=0.01.")
        if name in result:
            raise InputError(f"--set {name} is given more than once; give each name once.")
        result[name] = parse_value(value.strip())
    return result


def parse_value(text: str) -> Value:
    """An integer, a number, true/false, or else the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _WORDS.get(text.lower(), text)


def parse_points(text: str | None) -> int | tuple[int, ...] | None:
    """``"128"`` or ``"128,64"`` (``128x64`` too)."""
    if text is None:
        return None
    try:
        counts = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise InputError(f"--points {text!r} is not a number of samples; write --points 128, or --points 128,64 with one per axis.") from None
    return counts[0] if len(counts) == 1 else counts


def parse_sizes(texts: Sequence[str]) -> list[int] | dict[str, list[int]] | None:
    """``["32,64", "inr=8,12"]``: a list if there is only one without a name, else lists by name, where "points" is the name of that one."""
    result: dict[str, list[int]] = {}
    for text in texts:
        name, separator, counts = text.rpartition("=")
        name = name.strip() if separator else ""
        try:
            sizes = [int(count) for count in counts.split(",")]
        except ValueError:
            raise InputError(f"--sizes {text!r} is no list of whole numbers; write --sizes 32,64 or --sizes inr=8,12.") from None
        if name in result or (separator and not name):
            raise InputError(f"--sizes {text!r} has {'a name that was given before' if name or not separator else 'no name'}; give each name once.")
        result[name] = sizes
    if not result:
        return None
    return result[""] if list(result) == [""] else {name or "points": sizes for name, sizes in result.items()}


def parse_names(text: str | None) -> list[str] | None:
    """``"a,b"`` as ``["a", "b"]``."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"{text!r} holds no name; write one, or several separated by commas.")
    return names


def parse_variable(text: str | None) -> list[str] | dict[str, str] | None:
    """``"usol,vsol"`` as a list of names, ``"u=usol,v=vsol"`` as field and name."""
    names = parse_names(text)
    if names is None or not any("=" in name for name in names):
        return names
    return parse_pairs(",".join(name if "=" in name else f"{name}={name}" for name in names), "--var", "u=usol,v=vsol")


def parse_pairs(text: str | None, option: str, example: str) -> dict[str, str] | None:
    """``"x=lon,t=0:1"`` as a dictionary of texts."""
    if text is None:
        return None
    result: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (word.strip() for word in part.partition("="))
        if not (separator and name and value) or name in result:
            raise InputError(f"{option} {text!r} is not a list of NAME=VALUE with each name once; write for example {option} {example}.")
        result[name] = value
    if not result:
        raise InputError(f"{option} {text!r} names nothing; write for example {option} {example}.")
    return result


def check_times(count: int | None) -> None:
    """Refuse a number of output intervals whose list alone would fill the memory."""
    if count is not None and count > MOST_TIMES:
        raise InputError(f"--times {count} given; at most {MOST_TIMES} output intervals are kept.")


def parse_dtype(text: str | None) -> torch.dtype | None:
    """A precision by name."""
    if text is None:
        return None
    if text not in _DTYPES:
        raise InputError(f"--dtype {text!r} is not known; use float64 or float32.")
    return _DTYPES[text]
