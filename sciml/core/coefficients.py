"""An equation's coefficients, found and exchanged without touching the original: for printing and for checks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

Convert = Callable[[str, Any], Any]
M = TypeVar("M", bound=nn.Module)


def substituted(module: M, convert: Convert, network: Convert | None = None, prefix: str = "") -> M:
    """A shallow copy of an equation in which every coefficient c called ``name`` is ``convert(name, c)``.

    Coefficients are the public attributes that are floats, tensors, parameters, buffers, or sequences of them. Modules
    that bear the unknowns' names in ``fields`` (equations inside equations) are copied alike, their coefficients
    called ``child.name``. Any other module is exchanged for ``network(name, module)`` if that is given.
    """
    clone = copy.copy(module)
    own = clone.__dict__
    for store in ("_parameters", "_buffers", "_modules"):
        own[store] = dict(own[store])
    for store in ("_parameters", "_buffers"):
        for name, value in list(own[store].items()):
            if value is not None:
                del own[store][name]
                own[name] = convert(prefix + name, value)
    for name, value in vars(module).items():
        if not name.startswith("_"):
            own[name] = _converted(value, prefix + name, convert)
    for name, child in list(own["_modules"].items()):
        path = prefix + name
        if isinstance(child, nn.ParameterList):
            replacement: Any = [convert(f"{path}.{i}", p) for i, p in enumerate(child)]
        elif isinstance(child, nn.ParameterDict):
            replacement = {key: convert(f"{path}.{key}", p) for key, p in child.items()}
        elif _is_equation(child):
            own["_modules"][name] = substituted(child, convert, network, f"{path}.")
            continue
        elif network is not None and child is not None:
            replacement = network(path, child)
        else:
            continue
        del own["_modules"][name]
        own[name] = replacement
    return clone


def coefficients_of(module: nn.Module) -> dict[str, Any]:
    """Every coefficient by its name, ``child.name`` in nested equations."""
    found: dict[str, Any] = {}
    substituted(module, lambda name, value: found.setdefault(name, value))
    return found


def _is_equation(module: Any) -> bool:
    return isinstance(module, nn.Module) and isinstance(getattr(type(module), "fields", None), tuple)


def _converted(value: Any, name: str, convert: Convert) -> Any:
    if isinstance(value, float | Tensor):
        return convert(name, value)
    if type(value) in (tuple, list) and value and all(isinstance(item, float | Tensor) for item in value):
        return type(value)(convert(f"{name}.{i}", item) for i, item in enumerate(value))
    return value
