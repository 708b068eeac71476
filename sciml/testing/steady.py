"""The contract of a steady equation, as a test that users can run on their own classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sciml.core.errors import ContractError, InputError, SciMLError, UnsupportedError
from sciml.core.field import Field
from sciml.core.grid import Grid
from sciml.core.steady import SteadyEquation
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.functional import Functional
from sciml.derivatives.points import Points
from sciml.testing.trigonometric import Trigonometric

SHAPES = {1: (48,), 2: (24, 22), 3: (16, 15, 14)}
LENGTHS = (6.0, 7.0, 5.0)


def check_steady_equation(equation: SteadyEquation, *, seed: int = 0) -> None:
    """Raise :class:`ContractError` unless a steady equation keeps its contract.

    In this order: ``operator`` gives a field and is linear; the residual is operator minus source in every engine, for
    band-limited fields and inputs; a batch, with inputs given per sample, is the stack of its samples; float32 stays float32 and
    agrees; the equation prints. The equation's own inputs are exchanged for waves about 1.
    """
    if not isinstance(equation, SteadyEquation):
        raise InputError(f"check_steady_equation: got a {type(equation).__name__}; give an instance of sciml.SteadyEquation.")
    generator = torch.Generator().manual_seed(seed)
    name, ndim = type(equation).__name__, equation.ndim
    grid = Grid(SHAPES[ndim], LENGTHS[:ndim])
    d = Fourier(grid)
    inputs = {key: _wave(ndim, generator) for key in equation.inputs}
    stated = equation.with_inputs(inputs)
    channels = len(equation.fields)
    functions = [Trigonometric.random(grid, 2, channels, generator) for _ in range(3)]
    states = torch.stack([f.on(grid, 0.0) for f in functions])

    def fail(what: str, remedy: str) -> None:
        raise ContractError(f"{name}: {what}. To mend it, {remedy}.")

    def operator(u: Tensor) -> Tensor:
        result = stated.operator(d.field(u), d)
        if not isinstance(result, Field):
            fail(f"operator() returned a {type(result).__name__}", "return a field built from u and d")
        return d.values(result)

    with torch.no_grad():
        a, b = (operator(u) for u in states[:2])
        scale = float(a.abs().amax() + b.abs().amax())
        if a.shape != states[0].shape:
            fail(f"operator() maps {tuple(states[0].shape)} to {tuple(a.shape)}", "return one channel per unknown")
        mixed = operator(1.7 * states[0] - 0.6 * states[1])
        if not float((mixed - 1.7 * a + 0.6 * b).abs().amax()) <= 1e-10 * scale:
            fail("operator() is not linear in u", "move what does not depend on u to source(); a steady equation cannot hold nonlinear terms")
        expected = stated.residual(states[0], d)
    _check_engines(stated, functions[0], expected, grid, fail)
    with torch.no_grad():
        _check_batch(equation, states, grid, generator, fail)
        small = Fourier(grid.to(dtype=torch.float32))
        value = stated.residual(states[0].float(), small)
        if value.dtype != torch.float32:
            fail(f"a float32 state gives a {value.dtype} residual", "make constants with the dtype of the field, or use Python numbers")
        if not float((value - expected).abs().amax()) <= 1e-3 * float(expected.abs().amax()):
            fail("float32 and float64 differ by more than a thousandth", "avoid differences of large numbers and casts")
    try:
        text = equation.latex()
    except SciMLError as error:
        raise ContractError(f"{name}: latex() fails: {error}") from error
    if not text.strip():
        fail("latex() is empty", "return the typeset equation")


def _check_engines(stated: SteadyEquation, function: Trigonometric, expected: Tensor, grid: Grid, fail: Callable[[str, str], None]) -> None:
    wanted = expected.movedim(0, -1).reshape(-1, len(stated.fields))
    for engine, value in _residuals(stated, function, grid):
        error = float((value - wanted).detach().abs().amax())
        if not error <= 1e-9 * float(wanted.abs().amax()):
            fail(f"the residual on {engine} differs from the Fourier engine's by {error:.3g}", "use d for derivatives, positions and given fields")


def _residuals(stated: SteadyEquation, function: Trigonometric, grid: Grid) -> Iterator[tuple[str, Tensor]]:
    """The residual at the grid's points, ``(points, channels)``, by the engines that can."""
    x = [c.reshape(-1, 1) for c in grid.points()]
    t = torch.zeros((math.prod(grid.shape), 1), dtype=torch.float64)
    for name in ("points", "functional"):
        try:
            if name == "points":
                with torch.enable_grad():
                    d, u = Points.of(function, t, *x)
                    yield name, d.values(stated.residual(u, d))
            else:
                f = Functional(grid.ndim)
                unknown = f.unknown(lambda z: function(*z.split(1)), len(stated.fields))
                yield name, f.evaluate(stated.residual(unknown, f), torch.cat([t, *x], -1))
        except UnsupportedError:
            continue


def _check_batch(equation: SteadyEquation, states: Tensor, grid: Grid, generator: torch.Generator, fail: Callable[[str, str], None]) -> None:
    """The state axis in front is a batch axis, for the unknowns and for the given fields."""
    d = Fourier(grid)
    waves = [torch.stack([_wave(grid.ndim, generator)(*grid.points()) for _ in equation.inputs]) for _ in states] if equation.inputs else []
    given = torch.stack(waves) if waves else None
    together = (equation if given is None else equation.with_inputs(given)).residual(states, d)
    apart = torch.stack([(equation if given is None else equation.with_inputs(given[i])).residual(u, d) for i, u in enumerate(states)])
    if together.shape != apart.shape or not torch.allclose(together, apart, rtol=1e-9, atol=1e-10 * float(apart.abs().amax())):
        fail("the residual of a batch is not the stack of its samples", "let no operation reduce over or mix leading axes")


def _wave(ndim: int, generator: torch.Generator) -> Callable[..., Tensor]:
    """A function of the coordinates, periodic on the grid, between 0.6 and 1.4."""
    phases = (2 * math.pi * torch.rand(ndim, generator=generator, dtype=torch.float64)).tolist()

    def wave(*x: Tensor) -> Tensor:
        value = torch.ones_like(x[0])
        for c, length, phase in zip(x, LENGTHS, phases, strict=False):
            value = value + 0.4 / ndim * torch.cos(2 * math.pi / length * c + phase)
        return value

    return wave
