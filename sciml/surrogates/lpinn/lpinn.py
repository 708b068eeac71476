"""``sciml.LPINN``: characteristics and the state on them, each a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from sciml.core.checks import check_whole
from sciml.core.conservation import ConservationLaw
from sciml.core.errors import UnsupportedError
from sciml.core.field import Field
from sciml.core.problem import Problem
from sciml.derivatives.lagrangian import Lagrangian
from sciml.surrogates.lpinn.inversion import labels_at
from sciml.surrogates.pinn.base import PointModel
from sciml.surrogates.pinn.networks import make_network
from sciml.surrogates.pinn.objective import PinnObjective
from sciml.surrogates.pinn.sampling import Sobol
from sciml.surrogates.pinn.shocks import check_smooth
from sciml.training.checkpoint import checksum

BARRIER = 0.05
r"""Where the loss begins to resist: J below this is on the way to crossing."""
LOOK = (65, 513)
"""Instants and labels at which the smallest J is looked for."""


class LPINN(PointModel):
    r"""A Lagrangian physics-informed network for equations that carry a state along characteristics, in one periodic dimension.

    Labels X move along :math:`x = X + \delta(X,t)`, and :math:`W(X,t)` is the state at the label:

    .. math:: \delta = \tau\,\big(c_0 + a\,N_\delta(X,t)\big),\quad W = u_0(X) + \tfrac{\tau}{T}\,b\,N_W(X,t),\qquad \tau = t-t_0

    with two networks of their own, periodic in X; :math:`c_0` is the mean characteristic velocity of the initial state and a, b are the spreads
    of velocity and state. Trained on

    .. math:: \delta_t = c(W),\qquad R[u] = 0 \text{ with } \partial_x = J^{-1}\partial_X,\ \partial_t|_x = \partial_t|_X-\delta_tJ^{-1}\partial_X,
              \ J = 1+\delta_X

    where c is the equation's ``velocity`` and R the residual of the equation itself, evaluated by :class:`~sciml.derivatives.lagrangian.Lagrangian`:
    diffusion is taken over places, not over labels. A call ``lpinn(t, x)`` finds the labels at x by Newton's method and returns W there, with
    exact derivatives. Weights start such that the state is carried at :math:`c_0` without change.

    Characteristics must not cross: J > 0. An inviscid law is refused if they would before ``end``; with viscosity J stays positive but a standing
    shock makes it decay like :math:`e^{-St}`, S its slope, and a network resolves that only for a while.

    Parameters
    ----------
    problem : with one field on a periodic axis and an equation that has a ``velocity``; every :class:`ConservationLaw` does.
    width, depth : of the network for the state.
    path_width, path_depth : of that for the displacement.
    network, activation, adaptive, fourier, frequency : of both, as for :class:`sciml.PINN`.
    harmonics : waves of the label that the networks read.
    state, start, end, points, generator, dtype : as for :class:`sciml.PINN`.

    Raises
    ------
    UnsupportedError : equations without a velocity, systems, bounded or several axes, characteristics that cross before ``end``.
    BlowUpError : from a call, if the trained characteristics have crossed.

    R. Mojgani, M. Balajewicz & P. Hassanzadeh, Comput. Methods Appl. Mech. Eng. 404 (2023) 115810, section 3; with the diffusion of the Eulerian
    equation, which their public code replaces by another.

    >>> lpinn = sciml.LPINN(sciml.load_problem("advection:krishnapriyan2021"))     # doctest: +SKIP
    >>> history = sciml.fit(lpinn, epochs=20, optimizer=sciml.GaussNewton())       # doctest: +SKIP
    """

    def __init__(
        self,
        problem: Problem,
        *,
        width: int = 20,
        depth: int = 3,
        path_width: int = 20,
        path_depth: int = 2,
        network: str = "mlp",
        activation: str = "tanh",
        adaptive: bool = False,
        fourier: int | tuple[int, float] | None = None,
        frequency: float = 1.0,
        harmonics: int = 2,
        state: Tensor | nn.Module | Callable[..., Tensor] | None = None,
        start: float = 0.0,
        end: float | None = None,
        points: int | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        check_whole(1, who="LPINN", harmonics=harmonics)
        self.take(problem, start, end, dtype)
        check_form(problem)
        self.equation = problem.equation
        self.adopt_coefficients()
        if state is None:
            check_smooth(problem, self.end, who="LPINN")
        self.initial_state = self.initial(state, problem.grid(points), generator)
        self.soft_state, self.soft_boundary, self.free_constant = None, False, False
        self.length, self.origin = problem.domain.lengths[0], problem.domain.lower[0]
        self.harmonics = harmonics
        self.options: dict[str, Any] = {
            "width": width,
            "depth": depth,
            "path_width": path_width,
            "path_depth": path_depth,
            "network": network,
            "activation": activation,
            "adaptive": adaptive,
            "fourier": fourier,
            "frequency": frequency,
            "harmonics": harmonics,
            "points": points,
            "dtype": str(dtype).removeprefix("torch."),
        }
        common: dict[str, Any] = {"activation": activation, "adaptive": adaptive, "fourier": fourier, "frequency": frequency, "who": "LPINN"}
        self.network = make_network(network, 2 * harmonics + 1, 1, width=width, depth=depth, **common)
        self.path = make_network(network, 2 * harmonics + 1, 1, width=path_width, depth=path_depth, **common)
        for net in (self.network, self.path):
            nn.init.zeros_(net.last.weight)
        self.to(dtype)
        self.drift, self.speed_spread, self.state_spread = self._scales()

    # -- the two functions of label and time --------------------------------------------------------------------------

    def displacement(self, z: Tensor) -> Tensor:
        r""":math:`\delta` at ``(t, X)``, ``(..., 2)`` to ``(..., 1)``."""
        moved: Tensor = (z[..., :1] - self.start) * (self.drift + self.speed_spread * self.path(self._features(z)))
        return moved

    def carried(self, z: Tensor) -> Tensor:
        """W at ``(t, X)``, ``(..., 2)`` to ``(..., 1)``."""
        elapsed = (z[..., :1] - self.start) / (self.end - self.start)
        w: Tensor = self.initial_state(z[..., 1:]) + elapsed * self.state_spread * self.network(self._features(z))
        return w

    def _features(self, z: Tensor) -> Tensor:
        angle = (2 * torch.pi / self.length) * (z[..., 1:] - self.origin)
        waves = [wave(n * angle) for n in range(1, self.harmonics + 1) for wave in (torch.cos, torch.sin)]
        return torch.cat([2 * (z[..., :1] - self.start) / (self.end - self.start) - 1, *waves], -1)

    # -- at places ----------------------------------------------------------------------------------------------------

    def values(self, z: Tensor) -> Tensor:
        """u at places, ``(..., 2)`` with columns t and x, ``(..., 1)``; raises BlowUpError where characteristics have crossed."""
        flat = z.reshape(-1, 2)
        return self.values_located(flat, self.located(flat)).reshape(*z.shape[:-1], 1)

    def located(self, z: Tensor) -> Tensor:
        """The labels at places ``(n, 2)``, ``(n, 1)``, without derivatives."""

        def along(t: Tensor, label: Tensor) -> Tensor:
            return self.displacement(torch.stack([t, label], -1))[..., 0]

        z = z.detach()
        return labels_at(along, z[:, 0].contiguous(), z[:, 1].contiguous(), self.length).unsqueeze(-1)

    def values_located(self, z: Tensor, found: Tensor) -> Tensor:
        """u at places ``(..., 2)`` with the labels found there, with the derivatives in place, time and weights that the labels' equation implies."""
        label = found
        at = torch.cat([z[..., :1], label], -1)
        direction = torch.zeros_like(at)
        direction[..., 1] = 1.0
        delta, slope = torch.func.jvp(self.displacement, (at,), (direction,))[:2]
        # one more step of Newton's method: nothing in value, and the implicit function's derivative
        label = label - (label + delta - z[..., 1:]) / (1 + slope).detach()
        return self.carried(torch.cat([z[..., :1], label], -1))

    def slope(self, z: Tensor, axis: int) -> Tensor:
        """u_x at places ``(..., 2)``, ``(..., 1)``."""
        flat = z.reshape(-1, 2)
        d, u = self.field_on_labels()
        return d.evaluate(d.x(u), torch.cat([flat[:, :1], self.located(flat)], 1)).reshape(*z.shape[:-1], 1)

    # -- at labels ----------------------------------------------------------------------------------------------------

    def field_on_labels(self) -> tuple[Lagrangian, Field]:
        """An engine, and u as its field."""
        d = Lagrangian(self.displacement)
        return d, d.unknown(self.carried)

    def residual(self, z: Tensor) -> Tensor:
        r"""At labels, ``(..., 2)`` with columns t and X: :math:`(\delta_t - c(W))/a`, the equation's residual, and how far J is below
        :data:`BARRIER`, relative to it; ``(..., 3)``."""
        d, u = self.field_on_labels()
        equation = cast(ConservationLaw, self.live_equation())
        stretch: Any = d.stretch  # a field takes torch's functions
        path = (d.speed - equation.velocity(u)) / self.speed_spread
        lacking: Any = torch.relu(1 - stretch / BARRIER)
        return d.evaluate(d.stack(path, equation.residual(u, d), lacking), z)

    @property
    def residuals(self) -> tuple[str, ...]:
        return ("path", "state", "barrier")

    @torch.no_grad()
    def smallest_stretch(self) -> float:
        r"""The smallest J on a table of instants and labels; characteristics have crossed where it is not positive."""
        t = torch.linspace(self.start, self.end, LOOK[0], dtype=self.dtype, device=self.device)
        label = self.origin + self.length * torch.linspace(0, 1, LOOK[1], dtype=self.dtype, device=self.device)
        z = torch.cartesian_prod(t, label)
        direction = torch.zeros_like(z)
        direction[:, 1] = 1.0
        return 1 + float(torch.func.jvp(self.displacement, (z,), (direction,))[1].min())

    def extra_repr(self) -> str:
        given = ", ".join(f"{k}={'trained' if isinstance(v, Tensor) and v.requires_grad else v}" for k, v in self.problem.parameters.items())
        drawn = list(self.initial_state.buffers())  # a checkpoint must tell one random state from another
        return f"{self.problem.name}({given}), t from {self.start:g} to {self.end:g}" + (f", state {checksum(drawn)}" if drawn else "")

    def objective(self) -> PinnObjective:
        """Mean squares of :meth:`residual` at labels spread evenly."""
        return PinnObjective(Sobol(2000))

    @torch.no_grad()
    def _scales(self) -> tuple[float, float, float]:
        """Mean and spread of the initial characteristic velocity, and spread of the initial state."""
        x = self.origin + self.length * torch.arange(1024, dtype=self.dtype, device=self.device) / 1024
        w = self.initial_state(x.unsqueeze(-1))[:, 0]
        c = torch.as_tensor(cast(ConservationLaw, self.live_equation()).velocity(w), dtype=w.dtype).expand_as(w)
        drift, spread = float(c.mean()), float(c.max() - c.min()) / 2
        # a velocity that does not vary leaves the network nothing to add; a scale of 1 keeps the residual's units
        return drift, spread or 1.0, float(w.max() - w.min()) / 2 or 1.0


def check_form(problem: Problem) -> None:
    """Raise UnsupportedError unless a problem has characteristics that a network of labels can follow."""
    equation = problem.equation
    if problem.steady:
        raise UnsupportedError(f"LPINN: {problem.name} is steady, so nothing moves along characteristics; use sciml.PINN.")
    if not callable(getattr(equation, "velocity", None)):
        raise UnsupportedError(
            f"LPINN: {type(equation).__name__} has no characteristic velocity, so it is not of the form u_t + f(u)_x = (k u_x)_x + s; write it as a "
            "sciml.ConservationLaw with a flux, or use sciml.PINN."
        )
    if problem.domain.ndim != 1 or not all(problem.domain.is_periodic):
        raise UnsupportedError(
            f"LPINN: {problem.name} has {problem.domain.ndim} axes with periodic={problem.domain.is_periodic}; one periodic axis is supported. "
            "Use sciml.PINN."
        )
    if len(equation.fields) != 1:
        raise UnsupportedError(
            f"LPINN: {problem.name} has the fields {', '.join(equation.fields)}, whose characteristics differ; one is supported. Use sciml.PINN."
        )
