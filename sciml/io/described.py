"""Settings in words that are the same in every process, by which a later run knows whether it is the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor, nn

from sciml.core.grid import Grid
from sciml.io.recipe import content_of


def described(value: Any) -> str:
    """What a setting is, in words that are the same in every process."""
    if isinstance(value, FunctionType) and "<" in value.__qualname__:  # a lambda, or made within a function: its name does not tell it apart
        code = value.__code__
        cells = [described(cell.cell_contents) for cell in value.__closure__ or ()]
        content = f"{code.co_code!r} {_constants(code)} {code.co_names} {cells} {described(value.__defaults__)}"
        return f"{value.__module__}.{value.__qualname__} {hashlib.sha256(content.encode()).hexdigest()[:8]}"
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Grid):
        return str(value)
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype} {content_of(value)}"
    if isinstance(value, nn.Module):
        return described_model(value)
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__qualname__}({', '.join(f'{f.name}={described(getattr(value, f.name))}' for f in fields(value) if f.repr)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {described(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(described, value)) + "]"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _constants(code: CodeType) -> list[str]:
    """The constants of a function, those of functions within it among them."""
    return [f"{c.co_code!r} {_constants(c)}" if isinstance(c, CodeType) else repr(c) for c in code.co_consts]


def described_model(model: nn.Module) -> str:
    """Structure and sizes of a model, without its weights."""
    sizes = [f"{name} {tuple(p.shape)} {p.dtype} {p.requires_grad}" for name, p in model.named_parameters()]
    numbers = {k: v for k, v in sorted(vars(model).items()) if isinstance(v, bool | int | float | str | Grid) and k != "training"}
    return f"{type(model).__qualname__} {numbers} {hashlib.sha256(chr(10).join([str(model), *sizes]).encode()).hexdigest()[:16]}"
