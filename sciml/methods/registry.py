"""Which methods there are: the modules of this package, and plug-ins under the entry point ``sciml.methods``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

import sciml.methods
from sciml.core.errors import InputError
from sciml.core.problem import Problem
from sciml.methods.base import Method

GROUP = "sciml.methods"


def methods() -> dict[str, Method]:
    """Every known method by name.

    A module of :mod:`sciml.methods` offers its methods in a tuple ``METHODS``; another distribution names such a
    tuple, or a single method, in the entry point group ``sciml.methods``.
    """
    found: dict[str, Method] = {}
    for info in pkgutil.iter_modules(sciml.methods.__path__):
        module = importlib.import_module(f"{sciml.methods.__name__}.{info.name}")
        _add(found, getattr(module, "METHODS", ()), module.__name__)
    for point in entry_points(group=GROUP):
        _add(found, _loaded(point), point.value)
    return found


def find_methods(names: Sequence[str] | None, problem: Problem) -> list[Method]:
    """The methods called ``names``; for None the default ones that apply to ``problem``.

    Raises :class:`InputError` for an unknown name, for one given twice, or if no method is left.
    """
    known = methods()
    if names is None:
        chosen = [m for m in known.values() if m.default and m.applies(problem) is None]
    else:
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, list(known), 1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise InputError(f"Unknown method {name!r}; known: {', '.join(known)}.{hint}")
            if list(names).count(name) > 1:
                raise InputError(f"Method {name!r} is named more than once; name each method once.")
        chosen = [known[name] for name in names]
    if not chosen:
        reasons = "; ".join(f"{m.name}: {m.applies(problem)}" for m in known.values())
        raise InputError(f"No method applies to {problem.name} ({reasons}).")
    return chosen


def _add(found: dict[str, Method], offered: Method | Iterable[Method], where: str) -> None:
    for method in (offered,) if isinstance(offered, Method) else tuple(offered):
        if not isinstance(method, Method):
            raise InputError(f"{where} offers a {type(method).__name__} as a method; it must be a sciml Method.")
        if method.name in found:
            raise InputError(f"{where} offers a method called {method.name!r}, but there is one already; rename it.")
        found[method.name] = method


def _loaded(point: EntryPoint) -> Method | Iterable[Method]:
    try:
        return point.load()
    except Exception as error:
        raise InputError(f"The plug-in {point.value} (entry point {GROUP}) cannot be loaded: {error}. Repair or uninstall it.") from error
