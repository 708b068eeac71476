"""Whether an equation can be solved forward in time: how its shortest waves grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from sciml.core.coefficients import coefficients_of
from sciml.core.equation import ResidualForm
from sciml.core.errors import InputError, UnsupportedError
from sciml.core.field import Field
from sciml.core.problem import Problem
from sciml.derivatives.functional import Functional
from sciml.surrogates.pinn.ansatz import faces_of
from sciml.surrogates.pinn.boundary import values_at
from sciml.surrogates.pinn.jets import Jets
from sciml.surrogates.pinn.series import Index, factorial

SHORT = {1: 1e6, 2: 1e4}
"""Waves per length of the domain that count as short, for one field (whose growth is computed without rounding) and for several."""
HIGHEST = 8
"""Order of derivatives that equations with functions unknown to the series may have."""
POINTS = 16
"""Points of space-time at which coefficients are looked at."""
NOISE, NOISE_OF_SYSTEMS = 1e-9, 1e-7
"""Rates of growth that are rounding, relative to the largest rate of all points; eigenvalues of a Jordan block are uncertain by 1e-8."""

Wave = Callable[[Index], Tensor | None]
"""An index to the coefficient of a wave at its own origin, ``(n, 1)``; None for zero."""


def check_posed(
    problem: Problem, equation: ResidualForm, state: nn.Module | None, start: float, end: float, *, shift: float | None = None, who: str
) -> None:
    r"""Raise InputError if short waves grow without bound, as those of the heat equation with a negative diffusivity, or run backwards, do.

    The residual is linearised at constants taken from the state and from boundary values. A wave :math:`e^{ik\cdot x}` grows at the rates
    :math:`\lambda(k)` with :math:`\det(\lambda A + B(k)) = 0`, A and B the residual's derivatives by :math:`u_t` and by the wave. The problem is
    ill-posed if :math:`\mathrm{Re}\,\lambda` grows with k at a million waves per length of the domain, ten thousand for systems, where any higher
    derivative that stops the growth of longer waves has long taken over (H.-O. Kreiss & J. Lorenz, Initial-Boundary Value Problems and the
    Navier-Stokes Equations, 1989, chapter 2).

    Parameters
    ----------
    equation : with its coefficients as they are before training.
    state : at the start, points ``(..., ndim)`` to ``(..., channels)``; None where it is unknown, and taken for 0.
    shift : of the Laplacian that the equation inverts, if it does.
    """
    if problem.steady or problem.domain.ndim == 0:
        return
    channels = len(equation.fields)
    z = _points(problem, start, end)
    try:
        with torch.no_grad():
            u = z.new_zeros((len(z), channels)) if state is None else state(z[:, 1:]).to(z)
            for face in (f for f in faces_of(problem.domain) if f.fixes_value):  # the solution has these values too
                on = z[:POINTS].clone()
                on[:, face.axis + 1] = face.position
                z, u = torch.cat([z, on]), torch.cat([u, values_at(face.condition, on[:, 0], channels, f"{who}, face {face.name}")])
            near, far = _growth(equation, z, u, problem.domain.lengths, shift)
    except UnsupportedError:
        return  # an equation that points cannot have; the network says so
    bad = (near * (end - start) > 1) & (far > 1.5 * near)
    if not bool(bad.any()) or (state is None and not bool(bad.all())):
        return
    worst = int(torch.where(bad, far, -math.inf).argmax())
    where = ", ".join(f"{n}={float(c):.3g}" for n, c in zip("txyz", z[worst], strict=False))
    negative = [f"{name}={value:g}" for name, value in _numbers(equation) if value < 0]
    raise InputError(
        f"{who}: {problem.name} is ill-posed forward in time: at {where} waves grow the faster the shorter they are, as they do with a negative "
        "diffusivity or backward in time. Change the sign of the coefficient of the highest even derivative"
        + (f" (negative here: {', '.join(negative)})." if negative else ".")
    )


def _points(problem: Problem, start: float, end: float) -> Tensor:
    """Some points of space-time, ``(POINTS, 1 + ndim)``."""
    ndim = problem.domain.ndim
    unit = torch.rand((POINTS, 1 + ndim), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low = torch.tensor([start, *problem.domain.lower], dtype=torch.float64)
    high = torch.tensor([end, *problem.domain.upper], dtype=torch.float64)
    return low + (high - low) * unit


def _growth(equation: ResidualForm, z: Tensor, u: Tensor, lengths: Sequence[float], shift: float | None) -> tuple[Tensor, Tensor]:
    """The largest real part of the rates at every point over some directions, 0 where it is rounding, ``(n,)``; of waves, and of shorter ones."""
    # of two opposite directions one
    ways = [way for way in product((0, 1, -1), repeat=len(lengths)) if next((c for c in way if c), 0) == 1]
    waves = 2 * math.pi * SHORT[min(2, u.shape[-1])] * torch.tensor(ways, dtype=z.dtype) / torch.tensor(lengths, dtype=z.dtype)
    k = torch.cat([waves, 2 * waves]).repeat_interleave(len(z), 0)
    points, states = z.repeat(2 * len(ways), 1), u.repeat(2 * len(ways), 1)
    now, later = (_response(equation, points, states, k, shift, elapsed) for elapsed in (0, 1))
    # of a single field the cosine's response is the real part itself: odd derivatives have none
    values = -now.real[:, :, 0] / later.real[:, :, 0] if u.shape[-1] == 1 else _rates(later, now)
    values = torch.where(torch.isfinite(values.abs()), values, 0.0).view(2, len(ways), len(z), -1)
    size, rate = values.abs().amax((1, 3)), values.real.amax((1, 3))
    # without rounding, all points share what counts as small
    rate = torch.where(rate > (NOISE * size.amax(1, keepdim=True) if u.shape[-1] == 1 else NOISE_OF_SYSTEMS * size), rate, 0.0)
    return rate[0], rate[1]


def _rates(a: Tensor, b: Tensor) -> Tensor:
    r"""The finite :math:`\lambda` with :math:`\det(\lambda A+B)=0`, ``(n, C)``; 0 in place of infinite ones, which belong to constraints."""
    rows = b.abs().amax(-1, keepdim=True).clamp_min(1e-300)
    if int(torch.linalg.matrix_rank(a).min()) == a.shape[-1]:
        return torch.linalg.eigvals(-torch.linalg.solve(a, b))
    inverse, info = torch.linalg.inv_ex(b / rows)
    regular = (info == 0).unsqueeze(-1)  # otherwise some field stands still at any rate
    values = torch.linalg.eigvals(torch.where(regular.unsqueeze(-1), inverse, 0.0) @ (a / rows))
    large = values.abs() > 1e-9 * values.abs().amax(-1, keepdim=True)
    found = torch.where(large & regular, -1 / values, 0.0)
    return found


def _response(equation: ResidualForm, z: Tensor, u: Tensor, k: Tensor, shift: float | None, elapsed: int) -> Tensor:
    r"""The residual's derivative by the size of the wave :math:`(t-t_0)^\text{elapsed}e^{ik\cdot(x-x_0)}` added to each field, at its own point.

    ``(n, equations, fields)``, complex; the imaginary part is left at 0 for a single field.
    """
    parts = []
    for turn in (0, 1)[: u.shape[-1]]:  # cosine, sine

        def wave(index: Index, turn: int = turn) -> Tensor | None:
            quarter = (sum(index[1:]) - turn) % 4
            if quarter % 2 or index[0] != elapsed:
                return None
            powers = (k[:, i : i + 1] ** n for i, n in enumerate(index[1:]))
            return (1 - quarter) / factorial(index) * math.prod(powers, start=torch.ones_like(k[:, :1]))

        units = torch.eye(u.shape[-1], dtype=u.dtype)
        parts.append(torch.stack([_derivative(equation, z, u, unit.expand_as(u), wave, shift) for unit in units], -1))
    return torch.complex(parts[0], parts[1] if len(parts) > 1 else torch.zeros_like(parts[0]))


def _derivative(equation: ResidualForm, z: Tensor, u: Tensor, unit: Tensor, wave: Wave, shift: float | None) -> Tensor:
    """The derivative of the residual by the size of one wave, ``(n, equations)``."""

    def of_size(size: Tensor) -> Tensor:
        def coefficient(index: Index) -> Tensor | None:
            height = wave(index)
            moved = None if height is None else size * height * unit
            return moved if any(index) else u if moved is None else u + moved

        d = Jets(z, lambda field, s: potential[0])
        potential: list[Field] = [d.unknown(coefficient)]
        field: Field = potential[0]
        if shift is not None:
            field = d.laplacian(field) - shift * field
        return d.values(equation.residual(field, d)).expand(len(z), -1)

    size = torch.zeros((), dtype=z.dtype)
    try:
        found: Tensor = torch.func.jvp(of_size, (size,), (torch.ones_like(size),))[1]
        return found
    except UnsupportedError:
        return _derivative_of_function(equation, z, u, unit, wave, shift)


def _derivative_of_function(equation: ResidualForm, z: Tensor, u: Tensor, unit: Tensor, wave: Wave, shift: float | None) -> Tensor:
    """The same for equations with functions that series do not know, by polynomials for waves."""
    ndim = z.shape[-1] - 1
    known = {index: wave(index) for index in product(range(2), *(range(HIGHEST + 1),) * ndim) if sum(index[1:]) <= HIGHEST}
    orders = [index for index, height in known.items() if height is not None]
    heights = torch.cat([height for height in known.values() if height is not None], 1)
    powers = torch.tensor(orders, dtype=torch.long)

    def at(size: Tensor, point: Tensor, value: Tensor, way: Tensor, height: Tensor) -> Tensor:
        def function(p: Tensor) -> Tensor:
            table = [torch.ones_like(p)]
            for _ in range(HIGHEST):
                table.append(table[-1] * (p - point))
            rows = torch.stack(table, 1)
            monomials = math.prod((rows[i][powers[:, i]] for i in range(1 + ndim)), start=torch.ones_like(height))
            return value + size * (height @ monomials) * way

        d = Functional(ndim, inverse_laplacian=lambda field, s: potential[0])
        potential: list[Field] = [d.unknown(function, u.shape[-1])]
        field: Field = potential[0]
        if shift is not None:
            field = d.laplacian(field) - shift * field
        return d.evaluate(equation.residual(field, d), point)

    def of_size(size: Tensor) -> Tensor:
        found: Tensor = torch.func.vmap(at, (None, 0, 0, 0, 0))(size, z, u, unit, heights)
        return found

    size = torch.zeros((), dtype=z.dtype)
    derivative: Tensor = torch.func.jvp(of_size, (size,), (torch.ones_like(size),))[1]
    return derivative


def _numbers(equation: ResidualForm) -> list[tuple[str, float]]:
    """The coefficients that are single numbers."""
    found = []
    for name, value in coefficients_of(equation).items():
        if isinstance(value, Tensor) and value.numel() == 1:
            found.append((name, float(value.detach())))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((name, float(value)))
    return found
