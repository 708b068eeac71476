"""What a data set is made of: everything that fixes its bits, and the key that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from sciml.core.domain import Boundary
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.generation.draws import initial_states
from sciml.io.dataset import parameters_of
from sciml.io.recipe import code_version, content_of
from sciml.solvers.choice import choose_method
from sciml.solvers.march import make_stepper
from sciml.solvers.solve import solve

ROOMS = ("core", "spectral", "derivatives", "solvers", "io", "generation")
"""Folders of this package on whose code the bits of a data set depend."""


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes the bits of a data set.

    ``dt``, ``method`` and, for steady problems, ``end`` and ``times`` may be None: what :func:`sciml.solve` does then is fixed by the problem
    and the code. ``first_state`` and ``first_steps`` are checksums of sample 0 and of single steps from it (its solution for a steady
    problem): they tell apart problems that share name and parameters but not their functions.
    """

    problem: str
    parameters: Mapping[str, Any]
    domain: Sequence[Any]
    points: tuple[int, ...]
    dt: float | None
    end: float | None
    times: int | tuple[float, ...] | None
    method: str | None
    samples: int
    chunk: int
    seed: int
    dtype: str
    device: str
    format: str
    first_state: str
    first_steps: str
    code: str
    torch: str
    numpy: str

    def entries(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        result: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return result

    @property
    def key(self) -> str:
        """SHA-256 of the entries."""
        return hashlib.sha256(json.dumps(self.entries(), sort_keys=True).encode()).hexdigest()

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.samples // self.chunk)

    def samples_of(self, index: int) -> range:
        """The samples of one chunk."""
        return range(index * self.chunk, min((index + 1) * self.chunk, self.samples))

    def differences(self, other: Mapping[str, Any]) -> str:
        """The entries in which ``other`` differs, each with its value there and here, in words; checksums only if nothing else explains them."""
        here = self.entries()
        names = [name for name in here if here[name] != other.get(name)]
        names = [name for name in names if not name.startswith("first_")] or names
        return "; ".join(f"{name} {_short(other.get(name))} there, {_short(here[name])} here" for name in names)


def describe_domain(problem: Problem) -> list[Any]:
    """Corners and faces of the domain; a value that is a function of time is only named (the first steps hang on it)."""

    def face(boundary: Boundary) -> Any:
        value = getattr(boundary, "value", None)
        return [type(boundary).__name__, "a function of time" if callable(value) else value]

    domain = problem.domain
    return [list(domain.lower), list(domain.upper), [[face(a), face(b)] for a, b in domain.boundaries]]


def fingerprint(problem: Problem, grid: Grid, seed: int, method: str | None, dt: float | None, end: float | None) -> tuple[str, str]:
    """Checksums of sample 0, and of a step of the scheme from it at the start and later (a forcing may hang on time), or of its solution."""
    with torch.no_grad(), np.errstate(all="ignore"):
        u = initial_states(problem, grid, seed, range(1))
        if end is None:
            ds = solve(problem, points=grid.shape, initial=u, method=method, dtype=grid.dtype, device=grid.device)
            return content_of(u), content_of(torch.stack([torch.from_numpy(ds[name].values) for name in problem.equation.fields]))
        chosen = choose_method(problem, grid)[0] if method is None else method
        step = make_stepper(problem, grid, "rk4" if chosen == "scipy" else chosen, dt or problem.dt or 1e-4 * end)
        return content_of(u), content_of(torch.stack([step(u, time) for time in (0.0, 0.37 * end)]))


def recipe_of(
    problem: Problem,
    grid: Grid,
    samples: int,
    *,
    dt: float | None,
    end: float | None,
    times: int | Sequence[float] | None,
    method: str | None,
    seed: int,
    chunk: int,
    format: str,
) -> Recipe:
    """The recipe of a data set; what was asked for has been checked, and ``end`` is None for steady problems alone."""
    first_state, first_steps = fingerprint(problem, grid, seed, method, dt, end)
    return Recipe(
        problem=problem.name,
        parameters=parameters_of(problem),
        domain=describe_domain(problem),
        points=grid.shape,
        dt=dt,
        end=end,
        times=times if times is None or isinstance(times, int) else tuple(float(t) for t in times),
        method=method,
        samples=samples,
        chunk=chunk,
        seed=seed,
        dtype=str(grid.dtype).removeprefix("torch."),
        device=grid.device.type,
        format=format,
        first_state=first_state,
        first_steps=first_steps,
        code=code_version(problem, ROOMS),
        torch=str(torch.__version__),
        numpy=np.__version__,
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]}..."
