"""What every function of space-time that is trained on an equation shares: calls, fields on grids, observations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import xarray as xr
from torch import Tensor, nn
from torch.utils.data import Dataset

from sciml.core.coefficients import coefficients_of, substituted
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.core.steady import SteadyEquation
from sciml.io.dataset import to_dataset, to_steady_dataset
from sciml.surrogates.checkpoint import read_model, write_model
from sciml.surrogates.pinn.identity import found_again, identity_of
from sciml.surrogates.pinn.observations import Rows, check_range, observed
from sciml.surrogates.pinn.states import ProfileState, sampled, state_of

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

    def take(self, problem: Problem, start: float, end: float | None, dtype: torch.dtype) -> None:
        """Check and keep the problem and the interval of time."""
        who = type(self).__name__
        if not isinstance(problem, Problem):
            raise InputError(f"{who}: a {type(problem).__name__} given; a sciml.Problem is needed, such as sciml.load_problem('burgers:raissi2019').")
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"{who}: dtype={dtype} given; torch.float64 or torch.float32 is needed.")
        self.problem, self.ndim, self.channels = problem, problem.domain.ndim, len(problem.equation.fields)
        self.start, self.end = (0.0, 0.0) if problem.steady else check_range(who, start, problem.horizon if end is None else end)

    def initial(self, state: Any, grid: Grid, generator: torch.Generator | None) -> nn.Module:
        """The initial state as a function of points: the problem's own if ``state`` is None."""
        who = type(self).__name__
        if state is None:
            return state_of(self.problem, grid, generator, who=who)
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

    def adopt_coefficients(self) -> None:
        """Register trainable coefficients that the equation keeps in tuples, where modules do not look."""
        known = {id(p) for p in self.equation.parameters()}
        self._extra: dict[str, str] = {}
        self.coefficients = nn.ParameterDict()
        for name, value in coefficients_of(self.equation).items():
            if not (isinstance(value, Tensor) and value.requires_grad) or id(value) in known:
                continue
            if not isinstance(value, nn.Parameter):
                raise InputError(
                    f"{type(self).__name__}: the coefficient {name} requires a gradient but is no torch.nn.Parameter; make it one to train it."
                )
            self._extra[name] = name.replace(".", "_")
            self.coefficients[self._extra[name]] = value

    def live_equation(self) -> ResidualForm:
        """The equation with its coefficients as they are now trained."""
        if not self._extra:
            return self.equation
        return substituted(self.equation, lambda name, value: self.coefficients[self._extra[name]] if name in self._extra else value)

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
        """
        grid = self.problem.grid() if grid is None else grid
        if self.problem.steady and times is not None:
            raise InputError(f"{type(self).__name__}.field: times given, but {self.problem.name} is steady; leave them out.")
        x = torch.stack([c.flatten() for c in grid.points()], -1) if grid.ndim else torch.zeros((1, 0), dtype=grid.dtype, device=grid.device)
        states = []
        for t in torch.as_tensor([self.end] if times is None else times, dtype=torch.float64).flatten().tolist():
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
        config = {"problem": identity_of(self.problem), "start": self.start, "end": self.end, **self.options}
        write_model(path, type(self).__name__, config, self.state_dict())

    @classmethod
    def load(cls, path: str | Path, *, problem: Problem | None = None, device: torch.device | str = "cpu") -> Self:
        """The model that :meth:`save` wrote, in evaluation mode.

        ``problem`` is needed where it is not one of the package's cases. Raises InputError for files that are missing, damaged or
        made by others, and for problems that cannot be found or that the weights do not fit.
        """
        content = read_model(path, device)
        if content["class"] != cls.__name__:
            raise InputError(f"{path} holds a {content['class']}, not a {cls.__name__}; use sciml.load_model.")
        config = dict(content["config"])
        try:
            name, start, end, dtype = (config.pop(key) for key in ("problem", "start", "end", "dtype"))
            solved = problem if problem is not None else found_again(name, str(path))
            interval = {} if solved.steady else {"start": start, "end": end}
            model: Any = cls(solved, **interval, **config, dtype=getattr(torch, dtype))
            model.load_state_dict(content["state"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{path}: options, weights and problem do not fit together ({str(error).splitlines()[0]}).") from error
        return model.to(device).eval()

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
