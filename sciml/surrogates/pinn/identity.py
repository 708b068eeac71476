"""Problems in files: by name and parameters, never by code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.core.loading import load_problem
from sciml.core.problem import Problem


def identity_of(problem: Problem) -> dict[str, Any]:
    """Name and parameters as plain values; ``cataloged`` says whether :func:`found_again` will find the problem by them."""
    parameters = {name: _plain(value) for name, value in problem.parameters.items()}
    return {"name": problem.name, "parameters": parameters, "cataloged": _cataloged(problem)}


def found_again(identity: dict[str, Any], path: str, who: str = "PINN") -> Problem:
    """The problem that :func:`identity_of` described; raises InputError for one that only its author has."""
    if not identity["cataloged"]:
        raise InputError(f"{path}: the model solves {identity['name']}, which is no case of this package; give it: {who}.load(path, problem=...).")
    return _made(identity["name"], {name: _revived(value) for name, value in identity["parameters"].items()})


def _cataloged(problem: Problem) -> bool:
    try:
        found = _made(problem.name, dict(problem.parameters))
    except InputError:
        return False
    same = (found.domain.lower, found.domain.upper, type(found.equation)) == (problem.domain.lower, problem.domain.upper, type(problem.equation))
    return same and {k: _plain(v) for k, v in found.parameters.items()} == {k: _plain(v) for k, v in problem.parameters.items()}


def _made(name: str, parameters: dict[str, Any]) -> Problem:
    try:
        return load_problem(name, parameters)
    except InputError:  # a case may record values that it does not take
        return load_problem(name)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"tensor": value.detach().cpu().tolist(), "dtype": str(value.dtype).removeprefix("torch."), "trained": isinstance(value, nn.Parameter)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        found = torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
        return nn.Parameter(found) if value["trained"] else found
    return tuple(map(_revived, value)) if isinstance(value, list) else value
