"""What every function of space-time that is trained on an equation shares: calls, fields on grids, observations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
import xarray as xr
from torch import Tensor, nn
from torch.utils.data import Dataset

from sciml.core.domain import check_imposed
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.io.dataset import to_dataset, to_steady_dataset
from sciml.surrogates.checkpoint import read_model, write_model
from sciml.surrogates.pinn.identity import found_again, identity_of
from sciml.surrogates.pinn.observations import Rows, check_range, check_reach, observed
from sciml.surrogates.pinn.states import Held, ProfileState, sampled, state_of, stored_state
from sciml.surrogates.pinn.unknowns import Bounds, Unknowns

CHUNK = 2**14
"""Points evaluated at once where no gradients are kept."""


class PointModel(nn.Module, ABC):
    """A solution u(t, x) of a problem, with the residual of the problem's equation at any point.

    Attributes
    ----------
    problem, equation : that it solves; the equation with its given fields.
    ndim, channels : number of space axes and of fields.
    start, end : of time; both 0 for a steady problem.
    soft_state : the initial state, points ``(..., ndim)`` to ``(..., channels)``, where the loss asks for it; None where it is built in.
    soft_boundary : whether the loss asks for the boundary conditions.
    free_constant : whether the solution is known up to a constant, which is then chosen so that the mean is 0.
    options : the constructor's other arguments, as plain values, for files.
    begins : with what state: "problem" (its own), "samples", or "function" (which files do not hold).
    """

    problem: Problem
    equation: ResidualForm
    network: nn.Module
    ndim: int
    channels: int
    start: float
    end: float
    soft_state: nn.Module | None
    soft_boundary: bool
    free_constant: bool
    options: dict[str, Any]
    begins: str = "problem"

    def take(self, problem: Problem, start: float, end: float | None, dtype: torch.dtype) -> None:
        """Check and keep the problem and the interval of time."""
        who = type(self).__name__
        if not isinstance(problem, Problem):
            raise InputError(f"{who}: a {type(problem).__name__} given; a sciml.Problem is needed, such as sciml.load_problem('burgers:raissi2019').")
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"{who}: dtype={dtype} given; torch.float64 or torch.float32 is needed.")
        check_imposed(problem.domain.boundaries, who=who)
        self.problem, self.ndim, self.channels = problem, problem.domain.ndim, len(problem.equation.fields)
        self.start, self.end = (0.0, 0.0) if problem.steady else check_range(who, start, problem.horizon if end is None else end)

    def initial(self, state: Any, grid: Grid, generator: torch.Generator | None) -> nn.Module:
        """The initial state as a function of points: the problem's own if ``state`` is None."""
        who = type(self).__name__
        self.begins = "problem" if state is None else "samples" if isinstance(state, Tensor) else "function"
        if state is None:
            return state_of(self.problem, grid, generator, who=who)
        if isinstance(state, Held):
            state = state.module
        if isinstance(state, nn.Module):
            return state.to("cpu", torch.float64)  # where conditions are checked; it follows the weights from then on
        if isinstance(state, Tensor):
            expected = (self.channels, *grid.shape)
            if tuple(state.shape) != expected:
                got = tuple(state.shape)
                raise InputError(f"{who}: state of shape {got} given; {expected} (channel, *space) on the grid of points= is expected.")
            return sampled(state.detach().to(grid.device, grid.dtype), grid, who=who)
        if callable(state):
            return ProfileState(state, self.problem.domain, self.channels)
        raise InputError(f"{who}: state is a {type(state).__name__}; samples, a function of the coordinates or a module are needed.")

    def adopt_coefficients(self, bounds: Bounds | None) -> None:
        """Register trained coefficients that modules do not find, or that have bounds."""
        self.unknowns = Unknowns(type(self).__name__, self.equation, bounds)
        self.equation = self.unknowns.released(self.equation)

    def live_equation(self) -> ResidualForm:
        """The equation with its coefficients as they are now trained."""
        return self.unknowns.put_into(self.equation)

    def coefficients(self) -> dict[str, Tensor]:
        """The trained coefficients by name, in their own units, as they are now; the caller's own parameters are given the same values."""
        self.unknowns.follow()
        with torch.no_grad():
            trained = self.unknowns.trained(self.equation)
            return {name: p.detach().clone() if bound is None else bound(p) for name, (p, bound) in trained.items()}

    @abstractmethod
    def values(self, z: Tensor) -> Tensor:
        """u at points ``(..., 1 + ndim)`` with columns t and x, ``(..., channels)``; for a solution known up to a constant, with any mean."""

    @abstractmethod
    def residual(self, z: Tensor) -> Tensor:
        """The equation's residual at points ``(..., 1 + ndim)``, ``(..., equations)``; ``torch.func`` can transform it."""

    def prepared(self, z: Tensor) -> Tensor:
        """Points ``(n, 1 + ndim)`` with all that their residual needs and that does not depend on the weights, as further columns."""
        return z

    def residual_prepared(self, row: Tensor) -> Tensor:
        """:meth:`residual` at rows of :meth:`prepared`."""
        return self.residual(row)

    @property
    def residuals(self) -> tuple[str, ...]:
        """Names of the residuals, by which their terms and weights are called."""
        return tuple(self.problem.equation.fields)

    def located(self, z: Tensor) -> Tensor:
        """What finding u at points ``(n, 1 + ndim)`` needs and a search by the present weights finds, as further columns ``(n, m)``."""
        return z[:, :0]

    def values_located(self, z: Tensor, found: Tensor) -> Tensor:
        """:meth:`values` with the columns of :meth:`located` at hand; ``torch.func`` can transform it."""
        return self.values(z)

    @abstractmethod
    def slope(self, z: Tensor, axis: int) -> Tensor:
        """The derivative along a space axis at points ``(..., 1 + ndim)``, ``(..., channels)``."""

    def forward(self, t: Tensor | float, *x: Tensor | float) -> Tensor:
        """u at points.

        Parameters
        ----------
        t, x : one coordinate each, numbers or tensors that broadcast to ``(*points)``; or columns ``(*points, 1)``, which is what a last axis
            of length 1 is taken for.

        Returns
        -------
        ``(*points, channel)``.
        """
        u = self.values(self.coordinates(t, *x))
        return u - self._mean() if self.free_constant else u

    @torch.no_grad()
    def field(self, grid: Grid | None = None, times: Sequence[float] | Tensor | None = None) -> Tensor:
        """u on a grid, ``(time, channel, *space)``, or ``(channel, *space)`` of a steady solution.

        Parameters
        ----------
        grid : the problem's by default.
        times : the end alone by default; of a steady solution none.

        Raises InputError for places and times that the network was not made for.
        """
        grid = self.problem.grid() if grid is None else grid
        if self.problem.steady and times is not None:
            raise InputError(f"{type(self).__name__}.field: times given, but {self.problem.name} is steady; leave them out.")
        instants = torch.as_tensor([self.end] if times is None else times, dtype=torch.float64).flatten().tolist()
        check_reach(self, grid, instants, f"{type(self).__name__}.field")
        x = torch.stack([c.flatten() for c in grid.points()], -1) if grid.ndim else torch.zeros((1, 0), dtype=grid.dtype, device=grid.device)
        states = []
        for t in instants:
            pieces = [self(t, *part.unbind(-1)) if grid.ndim else self(torch.tensor(t)) for part in x.split(CHUNK)]
            states.append(torch.cat([p.reshape(-1, self.channels) for p in pieces]).T.reshape(self.channels, *grid.shape))
        return states[0] if self.problem.steady else torch.stack(states)

    def solution(self, grid: Grid | None = None, times: Sequence[float] | Tensor | None = None) -> xr.Dataset:
        """:meth:`field` as a labelled dataset, like that of :func:`sciml.solve`."""
        grid = self.problem.grid() if grid is None else grid
        if isinstance(self.equation, SteadyEquation):
            given = [getattr(self.equation, name) for name in self.equation.inputs]
            fields = [torch.as_tensor(f(*grid.points()) if callable(f) else f, dtype=grid.dtype).expand(grid.shape) for f in given]
            inputs = torch.stack(fields) if fields else torch.empty((0, *grid.shape))
            return to_steady_dataset(self.field(grid, times), inputs, grid, self.problem, {"method": type(self).__name__})
        chosen = [self.end] if times is None else times
        return to_dataset(self.field(grid, chosen), chosen, grid, self.problem, {"method": type(self).__name__})

    def save(self, path: str | Path) -> None:
        """Write the problem's name and parameters, the options and the weights to ``path``, for :meth:`load`."""
        self.unknowns.follow()
        write_model(path, type(self).__name__, {"problem": identity_of(self.problem), **self.config()}, self.state_dict())

    def config(self) -> dict[str, Any]:
        """All that makes this model of its problem but the weights, as plain values."""
        return {"start": self.start, "end": self.end, "state": self.begins, **self.options}

    @classmethod
    def load(cls, path: str | Path, *, problem: Problem | None = None, state: Any = None, device: torch.device | str = "cpu") -> Self:
        """The model that :meth:`save` wrote, in evaluation mode.

        ``problem`` is needed where it is not one of the package's cases, ``state`` where the model was given a function or a module to start from.
        Raises InputError for files that are missing, damaged or made by others, and for problems that cannot be found or that the weights do not fit.
        """
        content = read_model(path, device)
        if content["class"] != cls.__name__:
            raise InputError(f"{path} holds a {content['class']}, not a {cls.__name__}; use sciml.load_model.")
        config = dict(content["config"])
        identity = config.pop("problem", None)
        if identity is None:
            raise InputError(f"{path} is damaged: it names no problem.")
        solved = problem if problem is not None else found_again(identity, str(path), cls.__name__)
        return cls.rebuilt(config, content["state"], solved, state, str(path)).to(device).eval()

    @classmethod
    def rebuilt(cls, config: Mapping[str, Any], weights: Mapping[str, Tensor], problem: Problem, state: Any, path: str) -> Self:
        """The model of a :meth:`config`; raises InputError, with the file's name, for what does not fit together."""
        given = dict(config)
        try:
            start, end, dtype = (given.pop(key) for key in ("start", "end", "dtype"))
            begins = given.pop("state", "problem")
            interval: dict[str, Any] = {} if problem.steady else {"start": start, "end": end}
            if begins != "problem":
                interval["state"] = stored_state(weights, problem.domain.lower) if state is None else state
                if interval["state"] is None:
                    raise InputError(f"{path}: the model starts from a function of yours, which no file holds; give it: load(path, state=...).")
            elif state is not None:
                raise InputError(f"{path}: state= given, but the model starts from the problem's own state; leave it out.")
            model: Any = cls(problem, **interval, **given, dtype=getattr(torch, dtype))
            model.begins = begins
            model.load_state_dict(weights)
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{path}: options, weights and problem do not fit together ({str(error).splitlines()[0]}).") from error
        found: Self = model
        return found

    # -- the caller's own parameters follow wherever weights have changed: the end of a training, files, checkpoints, precision ---------

    def train(self, mode: bool = True) -> Self:
        self.unknowns.follow()
        return super().train(mode)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        found = super().load_state_dict(state_dict, strict, assign)
        self.unknowns.follow()
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.unknowns.follow()
        return self

    def dataset(self, data: Any) -> Dataset:
        """Observations ``(t, x, ..., u)``, as one sample, so that an epoch is one step; None for none."""
        return Rows(observed(self, data))

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def coordinates(self, t: Tensor | float, *x: Tensor | float) -> Tensor:
        """Points ``(*points, 1 + ndim)`` from one coordinate each; raises InputError for a wrong number, and shapes that do not broadcast."""
        who = type(self).__name__
        if len(x) != self.ndim:
            raise InputError(
                f"{who}: {len(x)} space coordinates given for {self.problem.name}, which has {self.ndim} space axes; call {who.lower()}(t"
                + "".join(f", {c}" for c in "xyz"[: self.ndim])
                + ")."
            )
        columns = [torch.as_tensor(c, dtype=self.dtype, device=self.device) for c in (t, *x)]
        try:
            columns = list(torch.broadcast_tensors(*columns))
        except RuntimeError:
            shapes = [tuple(c.shape) for c in columns]
            raise InputError(f"{who}: coordinates of shapes {shapes} given; they must broadcast against each other.") from None
        if columns[0].ndim and columns[0].shape[-1] == 1:
            columns = [c.squeeze(-1) for c in columns]
        return torch.stack(columns, -1)

    def _mean(self) -> Tensor:
        """The mean over the domain, by a rule that is exact up to rounding for smooth functions."""
        count = (64, 32, 16)[self.ndim - 1]
        nodes, weights = [], []
        for low, length, periodic in zip(self.problem.domain.lower, self.problem.domain.lengths, self.problem.domain.is_periodic, strict=True):
            xi, w = _uniform_rule(count) if periodic else _gauss_rule(count)
            nodes.append(low + length * xi)
            weights.append(w)
        z = torch.stack([torch.zeros(()).double().expand(count**self.ndim), *(c.flatten() for c in torch.meshgrid(*nodes, indexing="ij"))], -1)
        weight = math.prod(torch.meshgrid(*weights, indexing="ij"), start=torch.ones(())).flatten()
        total: Tensor = weight.to(self.device, self.dtype) @ self.values(z.to(self.device, self.dtype))
        return total


def _uniform_rule(count: int) -> tuple[Tensor, Tensor]:
    return torch.arange(count, dtype=torch.float64) / count, torch.full((count,), 1 / count, dtype=torch.float64)


def _gauss_rule(count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre on [0, 1], from the eigenvalues of its Jacobi matrix (Golub & Welsch 1969)."""
    k = torch.arange(1, count, dtype=torch.float64)
    off = k / torch.sqrt(4 * k**2 - 1)
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return (nodes + 1) / 2, vectors[0] ** 2
