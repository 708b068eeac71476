"""Finding problems by name: the one place that resolves ``module:case`` and users' own files."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from sciml.core.errors import InputError
from sciml.core.problem import Problem

CATALOGUE = "sciml.problems"


def problem_names() -> list[str]:
    """Every shipped case as ``module:case``."""
    package = importlib.import_module(CATALOGUE)
    names = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{CATALOGUE}.{info.name}")
        names += [f"{info.name}:{case}" for case in cases(module)]
    return names


def cases(module: ModuleType) -> dict[str, Callable[..., Problem]]:
    """The case functions of a problem module: public functions declared to return a Problem."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and value.__annotations__.get("return") in (Problem, "Problem")
    }


def load_problem(name: str, parameters: Mapping[str, Any] | None = None) -> Problem:
    """The problem called ``module:case``, or the ``problem`` of a user's Python file (``path.py`` or ``path.py:name``).

    ``parameters`` are passed to the case function; unknown ones are refused with the list of known ones.
    """
    settings = dict(parameters or {})
    head, _, case = name.rpartition(":") if ":" in name and not name.endswith(".py") else (name, "", "")
    if head.endswith(".py"):
        source, module = _from_file(Path(head), case or "problem"), head
    else:
        source, module = _from_catalogue(head, case, name), head
    if isinstance(source, Problem):
        if settings:
            raise InputError(f"{name} is a fixed problem; parameters {sorted(settings)} cannot be set. Make it a function that returns the problem.")
        return source
    known = inspect.signature(source).parameters
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"{name}: unknown parameter {', '.join(unknown)}; known: {', '.join(known) or 'none'}.{_hint(unknown[0], known)}")
    for key, value in settings.items():
        if isinstance(value, str) and _takes_number(known[key]):
            raise InputError(f"{name}: {key}={value!r} given; a number is needed.")
    result = source(**settings)
    if not isinstance(result, Problem):
        raise InputError(f"{module}: {case or 'problem'}() returned a {type(result).__name__}; it must return a sciml.Problem.")
    return result


def _from_catalogue(head: str, case: str, name: str) -> Callable[..., Problem]:
    package = importlib.import_module(CATALOGUE)
    modules = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    if head not in modules:
        raise InputError(f"Unknown problem {name!r}; `sciml list` shows all. Modules: {', '.join(modules)}.{_hint(head, modules)}")
    known = cases(importlib.import_module(f"{CATALOGUE}.{head}"))
    if not case:
        raise InputError(f"Problem {name!r} names no case; choose one of: {', '.join(f'{head}:{c}' for c in known)}.")
    if case not in known:
        raise InputError(f"Unknown case {case!r} of {head}; known: {', '.join(known)}.{_hint(case, known)}")
    return known[case]


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"Problem file {path} does not exist; give `module:case` or the path of a Python file with a `problem`.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"Problem file {path} could not be run: {type(error).__name__}: {error}") from error
    value = getattr(module, name, None)
    if not (isinstance(value, Problem) or callable(value)):
        raise InputError(f"Problem file {path} defines no {name!r}; it must hold a sciml.Problem, or a function that returns one, under that name.")
    return value


def _takes_number(parameter: inspect.Parameter) -> bool:
    """Whether a case function's parameter is a number by its default, so that a word is a mistake."""
    return isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)


def _hint(given: str, known: Any) -> str:
    close = difflib.get_close_matches(given, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""
