"""Equations typeset, coefficients by name; the linearity check."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sciml.core.conservation import ConservationLaw
from sciml.core.equation import Equation
from sciml.core.errors import UnsupportedError
from sciml.core.loading import load_problem, problem_names
from sciml.core.printing import is_linear, nonlinear_terms
from sciml.core.symbolic import SymPy
from sciml.derivatives.functional import Functional
from sciml.problems.allen_cahn import AllenCahn
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky
from sciml.problems.lorenz import Lorenz63, Lorenz96
from sciml.problems.navier_stokes import VelocityPressure, Vorticity


class Plain(Equation):
    """An equation from two functions of (equation, u, d)."""

    def __init__(self, linear=None, nonlinear=None, fields=("u",), ndim=1, **coefficients):
        super().__init__()
        self.fields, self.ndim = fields, ndim
        self._linear, self._nonlinear = linear, nonlinear
        for name, value in coefficients.items():
            setattr(self, name, value)

    def linear(self, u, d):
        return self._linear and self._linear(self, u, d)

    def nonlinear(self, u, d):
        return self._nonlinear and self._nonlinear(self, u, d)


def test_unit_coefficients_print_as_numbers():
    assert KuramotoSivashinsky().latex() == r"u_t = - u_{xx} - u_{xxxx} - \frac{\left(u^{2}\right)_x}{2}"


def test_other_coefficients_print_by_name_and_zero_ones_vanish():
    printed = KuramotoSivashinsky(0.8, 0.8, torch.tensor(0.0)).latex()
    assert printed == r"u_t = - \mathrm{antidiffusion} u_{xx} - \frac{\mathrm{advection} \left(u^{2}\right)_x}{2}"


def test_parameters_and_values_per_sample_print_by_name_even_when_one():
    for value in (nn.Parameter(torch.tensor(1.0)), torch.tensor([1.0, 2.0]), torch.tensor(1.0, requires_grad=True)):
        assert AllenCahn(value, 1.0).latex() == r"u_t = u + \kappa u_{xx} - u^{3}"


def test_printing_leaves_the_equation_alone():
    equation = KuramotoSivashinsky(nn.Parameter(torch.tensor(2.0)), 0.5)
    before = dict(vars(equation)), dict(equation.named_parameters())
    equation.latex()
    assert dict(vars(equation)) == before[0] and dict(equation.named_parameters()) == before[1]


def test_systems_and_streamfunction():
    assert Lorenz63().latex() == r"x_t = - \sigma x + \sigma y \\ y_t = - y + \rho x - x z \\ z_t = - \beta z + x y"
    printed = Vorticity(0.1, drag=0.2, forcing=lambda x, y: -4 * torch.cos(4 * y)).latex()
    assert printed == r"w_t = - \mu w + \nu \Delta w - 4 \cos{\left(4 y \right)} - \psi_x w_y + \psi_y w_x \\ \psi = \Delta^{-1} w"
    two = Plain(lambda e, u, d: d.stack(d.x(d.split(u)[1]), d.y(d.split(u)[0], 2)), fields=("q1", "omega"), ndim=2)
    assert two.latex() == r"q_{1,t} = \omega_x \\ \omega_t = q_{1,yy}"


def test_lattice_neighbours():
    assert Lorenz96().latex() == "X_t = - X - X_{i-1} X_{i-2} + F + X_{i+1} X_{i-1}"


def test_conservation_law_and_torch_functions():
    class Law(ConservationLaw):
        def __init__(self):
            super().__init__()
            self.k = 0.3
            self.exponent = 2.5

        def flux(self, u):
            return u**2 / 2

        def diffusivity(self, u):
            return self.k * torch.clamp(u, min=0.0) ** self.exponent

        def source(self, u, d):
            return torch.sin(math.pi * d.coordinates()[0]) * torch.where(u > 0, torch.tanh(u), 0.0) - 0.25 * torch.exp(-d.time)

    printed = Law().latex()
    for part in (
        r"- \frac{\left(u^{2}\right)_x}{2}",
        r"+ k \left(u_x \max\left(0, u\right)^{m}\right)_x",
        r"\begin{cases} \tanh{\left(u \right)} & \text{for}\: u > 0 \\0 & \text{otherwise} \end{cases}",
        r"\sin{\left(\pi x \right)}",
        r"- \frac{e^{- t}}{4}",
    ):
        assert part in printed

    class Constant(ConservationLaw):
        ndim = 2

        def flux(self, u):
            return u**2, u**3

        def diffusivity(self, u):
            return 0.5

    assert Constant().latex() == r"u_t = \frac{\Delta u}{2} - \left(u^{2}\right)_x - \left(u^{3}\right)_y"


def test_sums_distinguish_coefficients_of_the_same_name():
    total = AllenCahn(0.1, 0.0) + AllenCahn(0.1, 0.0) + (lambda u, d: 0.3 * u * d.x(u))
    assert total.latex() == r"u_t = \kappa u_{xx} + \kappa' u_{xx} + \frac{3 u u_x}{10}"
    shared = torch.tensor(0.3)
    assert (AllenCahn(shared, 0.0) + AllenCahn(shared, 0.0)).latex() == r"u_t = 2 \kappa u_{xx}"
    assert (Vorticity(0.1) + (lambda u, d: -u)).ndim == 2


def test_neural_terms_print_as_named_functions():
    class Closure(nn.Module):
        def __init__(self):
            super().__init__()
            self.strength = nn.Parameter(torch.tensor(0.5))
            self.network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))

        def forward(self, u, d):
            return self.strength * d.x(d.pointwise(self.network, d.x(u)))

    printed = (KuramotoSivashinsky() + Closure()).latex()
    assert printed.endswith(r"+ \mathrm{strength} \left(\mathrm{network}\left(u_x\right)\right)_x")
    inside = Plain(None, lambda e, u, d: e.net(u) + e.weights[1] * u, weights=nn.ParameterList([torch.tensor(1.0), torch.tensor(2.0)]))
    inside.net = nn.Linear(1, 1)
    assert inside.latex() == r"u_t = \mathrm{net}\left(u\right) + \mathrm{weights}_{2} u"


def test_coefficients_that_python_needs_as_numbers_print_as_values():
    assert Plain(lambda e, u, d: math.sqrt(e.c) * d.x(u), c=4.0).latex() == "u_t = 2 u_x"
    assert Plain(lambda e, u, d: e.c[1] * d.x(u), c=(1.0, 0.7)).latex() == "u_t = c_{2} u_x"


def test_shifted_inverse_and_powers_of_the_laplacian():
    d = SymPy(2)
    equation = Plain(lambda e, u, d: d.laplacian(u, 2) - 3.0 * d.inverse_laplacian(u, 2.5), ndim=2)
    assert equation.latex() == r"u_t = - 3 \left(\Delta - \frac{5}{2}\right)^{-1} u + \Delta^{2} u"
    assert d.values(d.laplacian(d.unknown() * 0 + 1.0)) == (0,)  # of a constant


def test_velocity_pressure_residual():
    lines = VelocityPressure(0.1).latex().split(r" \\ ")
    assert lines == [r"p_x + u u_x + u_t + v u_y - \nu \Delta u = 0", r"p_y + u v_x + v v_y + v_t - \nu \Delta v = 0", "u_x + v_y = 0"]


@pytest.mark.parametrize("name", problem_names())
def test_every_shipped_equation_prints_and_is_linear_where_it_says_so(name):
    equation = load_problem(name).equation
    lines = equation.latex().split(r" \\ ")
    assert len(lines) >= len(equation.fields)
    assert all(" = " in line for line in lines) and "mathbf" not in equation.latex()
    if isinstance(equation, Equation):
        assert all("_t = " in line or ",t} = " in line for line in lines[: len(equation.fields)])
        assert is_linear(equation)


@pytest.mark.parametrize(
    ("term", "printed"),
    [
        (lambda e, u, d: u * d.x(u), "u u_x"),
        (lambda e, u, d: d.coordinates()[0] * u, "x u"),
        (lambda e, u, d: torch.sin(d.time) * d.x(u), r"\sin{\left(t \right)} u_x"),
        (lambda e, u, d: torch.tanh(u), r"\tanh{\left(u \right)}"),
        (lambda e, u, d: 0 * u + 2.0, "2"),
    ],
)
def test_terms_that_do_not_belong_into_linear_are_named(term, printed):
    assert nonlinear_terms(Plain(lambda e, u, d: 0.5 * d.x(u, 3) + term(e, u, d))) == [printed]


def test_what_cannot_be_written_symbolically_says_so():
    with pytest.raises(UnsupportedError, match=r"Plain cannot be written symbolically.*override latex\(\)"):
        Plain(None, lambda e, u, d: u if float(torch.as_tensor(u)) > 0 else -u).latex()
    with pytest.raises(UnsupportedError, match="returned a float"):
        Plain(None, lambda e, u, d: 1.5).latex()
    with pytest.raises(UnsupportedError, match="another engine"):
        SymPy(1).x(Functional(1).unknown(lambda z: z))
