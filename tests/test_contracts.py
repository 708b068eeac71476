"""The shipped contracts: what is sound passes, and planted faults are caught and named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sciml.core.checks import check_state
from sciml.core.equation import Equation
from sciml.core.errors import ContractError, InputError
from sciml.core.grid import Grid
from sciml.core.loading import load_problem, problem_names
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky
from sciml.problems.navier_stokes import VelocityPressure, Vorticity
from sciml.solvers.etdrk import ETDRK2, ETDRK4
from sciml.testing import Trigonometric, check_equation, check_propagator


@pytest.mark.parametrize("name", problem_names())
def test_every_shipped_equation_keeps_its_contract(name):
    equation = load_problem(name).equation
    if isinstance(equation, Equation):
        check_equation(equation)


def test_sound_equations_pass():
    check_equation(KuramotoSivashinsky(nn.Parameter(torch.tensor(1.3)), torch.tensor([0.7, 0.9], dtype=torch.float64), 0.3))
    check_equation(KuramotoSivashinsky(), Grid((24,), (9.0,), origin=(-2.0,)))
    check_equation(Vorticity(0.1) + (lambda u, d: -0.2 * u), engines=("points",))


class Base(Equation):
    def linear(self, u, d):
        return 0.1 * d.x(u, 2)


class TooLow(Base):
    def nonlinear(self, u, d):
        return -d.x(u**3)


class NotPolynomial(Base):
    def nonlinear(self, u, d):
        return torch.sin(u)


class NonlinearLinear(Equation):
    def linear(self, u, d):
        return d.x(u, 2) - u * d.x(u)


class VariableCoefficient(Equation):
    def linear(self, u, d):
        return torch.cos(d.coordinates()[0] * 2 * torch.pi / 6.0) * d.x(u)


class TimeDependent(Equation):
    def linear(self, u, d):
        return (1 + d.time) * d.x(u)


class Affine(Equation):
    def linear(self, u, d):
        return d.x(u) + 1.0


class OneChannelShort(Base):
    fields = ("a", "b")

    def nonlinear(self, u, d):
        a, b = d.split(u)
        return a * b


class NotAField(Base):
    def nonlinear(self, u, d):
        return 1.0


class NotFinite(Base):
    def nonlinear(self, u, d):
        return torch.log(u - 5.0)


class GridBound(Base):
    def nonlinear(self, u, d):
        forcing = torch.linspace(0, 1, 48, dtype=torch.float64)[None]
        return u.apply(lambda v: v + forcing.reshape(v.shape[-2:]) if v.shape[-1] == 48 else v, (u,), {})


class MixesSamples(Base):
    def nonlinear(self, u, d):
        return u.apply(lambda v: v * v.mean(), (u,), {})


class NotAligned(Base):
    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = rate

    def nonlinear(self, u, d):
        return u.apply(lambda v: v**2 * self.rate, (u,), {})


class Casts(Base):
    def nonlinear(self, u, d):
        return u.apply(lambda v: v**2 * torch.ones(1, dtype=torch.float64), (u,), {})


class LosesDigits(Base):
    def nonlinear(self, u, d):
        return u.apply(lambda v: (v + 1e4) - 1e4, (u,), {})


class Unprintable(Base):
    def latex(self):
        return " "


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (TooLow(), r"degree=2 is declared too low.*degree 3"),
        (NotPolynomial(), r"not a polynomial in u, but degree=2.*degree = None"),
        (NonlinearLinear(), r"linear\(\) is not linear.*offending: - u u_x"),
        (VariableCoefficient(), r"depends on the position.*offending: .*cos"),
        (TimeDependent(), r"depends on time.*offending: t u_x"),
        (Affine(), r"is not linear.*offending: 1"),
        (OneChannelShort(), r"unknowns \('a', 'b'\).*d\.stack"),
        (NotAField(), r"nonlinear\(\) returned a float"),
        (NotFinite(), r"nonlinear\(\) is not finite"),
        (GridBound(), r"right-hand side on points differs from the Fourier engine's"),
        (MixesSamples(), r"differs from the Fourier engine's|not the stack of its samples"),
        (NotAligned(), r"rate (cannot be given|given) per sample"),
        (Casts(), r"float32 state gives a torch.float64"),
        (LosesDigits(), r"float32 and float64 differ"),
        (Unprintable(), r"latex\(\) is empty"),
    ],
)
def test_planted_faults_of_equations_are_named(equation, message):
    with pytest.raises(ContractError, match=message):
        check_equation(equation)


def test_samples_that_mix_are_caught_without_the_other_engines():
    with pytest.raises(ContractError, match="not the stack of its samples"):
        check_equation(MixesSamples(), engines=())


def test_what_is_no_equation_is_refused():
    with pytest.raises(InputError, match="got a VelocityPressure"):
        check_equation(VelocityPressure(0.1))
    with pytest.raises(InputError, match=r"unknown engines \['stencil'\]"):
        check_equation(Base(), engines=("stencil",))


# -- propagators -------------------------------------------------------------------------------------------------------

GRID = Grid((32,), (12.0,))


def test_sound_propagators_pass():
    check_propagator(ETDRK4(KuramotoSivashinsky(), GRID, 0.1))
    check_propagator(ETDRK2(KuramotoSivashinsky(), GRID.to(dtype=torch.float32), 0.1))
    check_propagator(ETDRK2(Vorticity(0.1), Grid((12, 12), (6.0, 6.0)), 0.1), torch.rand(1, 12, 12, dtype=torch.float64))


class Sound:
    """Explicit diffusion; faults are planted in subclasses."""

    dt = 0.1
    grid = GRID
    channels = 1

    def __call__(self, u):
        check_state(u, self.grid, 1, who="Sound")
        return self.step(u)

    def step(self, u):
        return u + self.dt * (u.roll(1, -1) - 2 * u + u.roll(-1, -1))


class Mixes(Sound):
    def step(self, u):
        return u - 0.1 * (u - u.mean())


class Mutates(Sound):
    def step(self, u):
        with torch.no_grad():
            u *= 0.9
        return u + 0.0


class CastsSilently(Sound):
    def step(self, u):
        return super().step(u.float()).double()


class ReturnsFloat32(Sound):
    def step(self, u):
        return super().step(u).float()


class ChangesShape(Sound):
    def step(self, u):
        return super().step(u)[..., :-1]


class DropsBatch(Sound):
    def step(self, u):
        return super().step(u).reshape(-1, 1, 32) if u.ndim > 3 else super().step(u)


class Random(Sound):
    def step(self, u):
        return u + 1e-3 * torch.rand_like(u)


class Detaches(Sound):
    def step(self, u):
        return super().step(u.detach())


class HalfDetached(Sound):
    def step(self, u):
        return u**2 * u.detach()


class NotFiniteStep(Sound):
    def step(self, u):
        return u / 0.0


class NoTensor(Sound):
    def step(self, u):
        return u.numpy()


class WrongTangent(Sound):
    def step(self, u):
        return _Wrong.apply(u)


class _Wrong(torch.autograd.Function):
    """Right in reverse mode, wrong in forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u):
        return 2.0 * u

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return 2.0 * g

    @staticmethod
    def jvp(ctx, g):
        return 3.0 * g


class AcceptsAnything(Sound):
    def __call__(self, u):
        return self.step(u)


class RaisesAnything(Sound):
    def __call__(self, u):
        if u.shape[-2:] != (1, 32) or u.dtype != torch.float64:
            raise RuntimeError("size mismatch")
        return self.step(u)


class NoStep(Sound):
    dt = -1.0


class NoGrid(Sound):
    grid = None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Mixes(), "samples must not mix"),
        (Mutates(), "changed in place"),
        (CastsSilently(), "lower precision than the state's"),
        (ReturnsFloat32(), "the dtype changed from torch.float64 to torch.float32"),
        (ChangesShape(), "the shape changed"),
        (DropsBatch(), "keep all leading axes"),
        (Random(), "two different results"),
        (Detaches(), "does not carry gradients"),
        (HalfDetached(), "cut from the graph"),
        (NotFiniteStep(), "not finite"),
        (NoTensor(), "returned a ndarray"),
        (WrongTangent(), "torch.func.jvp differs"),
        (AcceptsAnything(), "wrong dtype .* was accepted"),
        (RaisesAnything(), "raised RuntimeError, not an InputError"),
        (NoStep(), "dt=-1.0"),
        (NoGrid(), "grid=None"),
    ],
)
def test_planted_faults_of_propagators_are_named(step, message):
    check_propagator(Sound())
    with pytest.raises(ContractError, match=message):
        check_propagator(step)


def test_a_batched_example_state_is_refused():
    with pytest.raises(InputError, match="without batch axes"):
        check_propagator(Sound(), torch.ones(2, 1, 32, dtype=torch.float64))


def test_trigonometric_interpolation_is_exact_between_the_points():
    grid = Grid((12, 9), (6.0, 7.0), origin=(-1.0, 2.0))
    u = Trigonometric.random(grid, 3, 2, torch.Generator().manual_seed(0))
    through = Trigonometric.interpolating(u.on(grid, 0.3), grid)
    t, x, y = torch.full((5, 1), 0.3, dtype=torch.float64), *torch.rand(2, 5, 1, dtype=torch.float64)
    assert torch.allclose(through(t, x, y), u(t, x, y), atol=1e-13)
    assert (u.on(grid, 0.0) - 1).abs().amax() <= 0.3
