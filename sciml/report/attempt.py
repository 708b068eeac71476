"""One run of one method, beside a truth, kept so that it need not be repeated: what every report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from sciml.core.errors import BlowUpError, InputError, SciMLError
from sciml.core.problem import Problem
from sciml.io.dataset import parameters_of, to_tensor
from sciml.io.recipe import code_version, content_of
from sciml.methods.base import Method, Settings
from sciml.report.kept import Kept
from sciml.report.metrics import errors, mean_drift
from sciml.report.result import Entry, Finished
from sciml.report.truth import CertifiedRun, ExactSolution, ReferenceFile, Truth
from sciml.solvers.solve import SOURCES

Stage = Callable[[str, float], None]
"""Progress: what is being done, and the fraction of it that is."""


def check_steady(who: str, problem: Problem, given: Mapping[str, Any]) -> None:
    """Raise if settings are given that only evolution problems have."""
    if asked := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{who}: {', '.join(asked)} given, but {problem.name} is steady; leave it out.")


def recipe_of(problem: Problem, methods: Sequence[Method], settings: Settings, external: ReferenceFile | None = None) -> dict[str, Any]:
    """All that the datasets of a report depend on."""
    grid = problem.grid(settings.points)
    initial = problem.initial_state(grid, torch.Generator().manual_seed(settings.seed))
    return {
        "problem": problem.name,
        "parameters": parameters_of(problem),
        "grid": str(grid),
        "methods": [method.name for method in methods],
        "reference": None if external is None else [external.source, content_of(torch.as_tensor(external.values))],
        **{key: str(value) if key == "dtype" else value for key, value in vars(settings).items()},
        "initial": content_of(initial),
        "code": code_version(problem, (*SOURCES, "training", "surrogates", "generation"), methods),
        "threads": torch.get_num_threads(),
        "versions": [version("sciml-pde"), str(torch.__version__)],
    }


def own_truth(problem: Problem, settings: Settings, kept: Kept, tell: Stage) -> Truth:
    """The exact solution if there is one, else a certified run from twice the settings' points."""
    if problem.exact is not None:
        return ExactSolution(problem)
    found = kept.recall("truth")
    if found is not None:
        return CertifiedRun(found[0], **found[1])
    assert settings.points is not None and not isinstance(settings.points, int)
    made = CertifiedRun.make(problem, settings.points, settings.times, settings.seed, tell)
    kept.store("truth", made.dataset, made.facts)
    return made


def attempt(method: Method, problem: Problem, settings: Settings, truth: Truth, kept: Kept, tell: Stage, name: str | None = None) -> Entry:
    """Run one method; whatever goes wrong inside it becomes its row, and the others go on. Its parts are kept as ``name``, or as the method's."""
    label = method.name if name is None else name
    reason = method.applies(problem)
    if reason is not None:
        return Entry(method, failure=f"does not apply: {reason}")
    tell(label, 0.0)
    try:
        earlier = kept.recall_result(label)
        result = earlier or method.run(problem, settings, lambda fraction: tell(label, fraction))
        values = to_tensor(result.dataset).to(torch.float64)
        if not torch.isfinite(values).all():
            raise BlowUpError("its solution is not finite")
        pair = truth.pair(result.dataset)
    except SciMLError as error:
        return Entry(method, failure=str(error))
    except Exception as error:  # a plug-in may raise anything, and PyTorch reports exhausted memory as RuntimeError
        return Entry(method, failure=f"{type(error).__name__}: {error}".splitlines()[0])
    finally:
        tell(label, 1.0)
    if earlier is None:
        kept.store_result(label, result)
    drift = mean_drift(values.numpy()) if problem.domain.ndim and not problem.steady else None
    return Entry(method, Finished(method, result, pair, errors(pair), drift))
