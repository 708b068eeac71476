"""Steady problems: equations, data sets, laws, reports, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from steady_cases import F64, D, Given, N, numbers
from torch import Tensor

import sciml
from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.errors import BlowUpError, ContractError, InputError, UnsupportedError
from sciml.core.problem import Problem, Profile
from sciml.core.steady import SteadyDiffusion, SteadyEquation
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.functional import PointResidual
from sciml.derivatives.points import Points
from sciml.io.dataset import field_names, given_fields, to_steady_dataset, to_tensor
from sciml.methods.registry import methods
from sciml.problems import darcy, poisson
from sciml.solvers.conjugate_gradients import conjugate_gradients
from sciml.solvers.steady import STEADY, solve_steady
from sciml.spectral.cosine_fields import CosineRandomField
from sciml.spectral.modes import Modes
from sciml.testing import check_equation, check_steady_equation

# -- the equation as an object ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_shipped_equations_keep_their_contract(ndim: int) -> None:
    check_steady_equation(darcy.Darcy(ndim=ndim))
    check_steady_equation(poisson.Poisson(ndim=ndim))
    check_steady_equation(darcy.periodic(ndim).equation)


class Bent(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return -d.laplacian(u) + u**2


class Constant(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return 3.0


class Double(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return d.stack(u, u)


class Tied(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return -d.laplacian(u) * (2.0 if d.trailing == 1 else 1.0)


class Mixing(SteadyEquation):
    inputs = ("a",)
    a: Any = None

    def operator(self, u: Any, d: Any) -> Any:
        a = self.given("a", d)
        return u * a if d.trailing == 1 else u * a + (d.values(u)[:1] - d.values(u)[-1:]) * 1.0


class Wide(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return -d.laplacian(u)

    def source(self, d: Any) -> Any:
        return d.coordinates()[0] * torch.ones((), dtype=F64)


class Blank(SteadyEquation):
    def operator(self, u: Any, d: Any) -> Any:
        return -d.laplacian(u)

    def latex(self) -> str:
        return " "


class Mute(Blank):
    def latex(self) -> str:
        raise UnsupportedError("no words")


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (Bent(), "not linear"),
        (Constant(), "returned a float"),
        (Double(), "one channel per unknown"),
        (Tied(), "differs from the Fourier"),
        (Mixing(), "stack of its samples"),
        (Blank(), "is empty"),
        (Mute(), "latex.* fails"),
    ],
)
def test_broken_contracts_are_found(equation: SteadyEquation, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_steady_equation(equation)


def test_equations_print_with_operator_and_source() -> None:
    assert darcy.Darcy().latex() == r"- \left(a u_x\right)_x - \left(a u_y\right)_y = 1"
    assert darcy.Darcy(3.0, forcing=2.5, ndim=1).latex() == r"- \left(a u_x\right)_x = F"
    assert darcy.periodic(1).equation.latex() == r"- \left(a u_x\right)_x = f"
    assert poisson.Poisson(ndim=3).latex() == r"- \Delta u = f"
    assert Blank.__mro__[1].latex(Wide()) == "- u_{xx} = x"


def test_inputs_are_exchanged_on_a_copy() -> None:
    equation = Given(2.0, 1.0, 1)
    other = equation.with_inputs({"a": 5.0})
    assert (equation.a, other.a, other.f) == (2.0, 5.0, 1.0)
    array = numbers(3, 2, 7)
    both = equation.with_inputs(array)
    assert torch.equal(both.a, array[:, :1]) and torch.equal(both.f, array[:, 1:]) and equation.a == 2.0
    parameter = torch.nn.Parameter(torch.tensor(2.0))
    assert list(Given(parameter, 1.0).with_inputs({"a": 1.0}).parameters()) == []
    with pytest.raises(InputError, match="its inputs are a, f"):
        equation.with_inputs({"b": 1.0})
    with pytest.raises(InputError, match="1 space axes is expected"):
        equation.with_inputs(numbers(3, 3, 7))


def test_residuals_at_points_take_the_coefficient_as_a_function() -> None:
    """What a physics-informed network is trained on: all point engines, with and without a batch of weights."""
    problem = darcy.periodic(2)
    assert problem.exact is not None and isinstance(problem.initial, Profile)
    stated = problem.equation.with_inputs({"a": problem.initial.function})
    network = torch.nn.Sequential(torch.nn.Linear(2, 8, dtype=F64), torch.nn.Tanh(), torch.nn.Linear(8, 1, dtype=F64))

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, t: Tensor, *x: Tensor) -> Tensor:
            return self.inner(torch.cat(x, -1))

    x, y = numbers(9, 1, seed=1), numbers(9, 1, seed=2)
    d, u = Points.of(Wrapped(), 0.0, x, y)
    residual = d.values(stated.residual(u, d))
    residual.square().mean().backward()
    assert all(float(layer.weight.grad.abs().max()) > 0 for layer in (network[0], network[2]))
    functional = PointResidual(stated, Wrapped(), 2)(torch.cat([torch.zeros_like(x), x, y], -1))
    assert float((functional - residual).detach().abs().max()) < 1e-11 * float(residual.detach().abs().max())
    with pytest.raises(UnsupportedError, match="give it as a function of the coordinates"):
        problem.equation.with_inputs({"a": numbers(9, 1)}).residual(u, d)
    with pytest.raises(InputError, match="no values yet"):
        problem.equation.residual(u, d)


def test_given_fields_of_a_wrong_shape_or_dtype_are_refused() -> None:
    grid = Domain.periodic(1.0).grid(8)
    d = Fourier(grid)
    for values in (numbers(7), numbers(3, 8), numbers(8).float()):
        with pytest.raises(InputError, match="given field a"):
            d.given("a", values)
    assert torch.equal(d.values(d.given("a", numbers(8))), numbers(1, 8))
    assert d.given("a", 2.5) == 2.5


# -- sciml.solve and files --------------------------------------------------------------------------------------------------


def test_solve_gives_a_labelled_dataset(tmp_path: Path) -> None:
    ds = sciml.solve(darcy.li2021(), points=16, samples=3, seed=4)
    assert ds.sizes == {"sample": 3, "x": 16, "y": 16} and list(ds.data_vars) == ["u", "a"]
    assert json.loads(ds.attrs["inputs"]) == ["a"] and ds.attrs["method"] == "finite_volume_cg" and "bounded" in ds.attrs["method_reason"]
    assert 0 < ds.attrs["residual"] < 2e-10 and 10 < ds.attrs["iterations"] < 40 and ds.attrs["seed"] == 4
    assert set(np.unique(ds["a"])) == {3.0, 12.0}
    assert field_names(ds) == ["u"] and to_tensor(ds).shape == (3, 1, 16, 16)
    again = sciml.solve(darcy.li2021(), points=16, initial=given_fields(ds))
    assert torch.equal(to_tensor(again), to_tensor(ds))
    single = sciml.solve(darcy.li2021(), points=16, seed=4)
    assert single.sizes == {"x": 16, "y": 16} and np.array_equal(single["a"], ds["a"][0])
    sciml.save(ds, tmp_path / "d.nc")
    data = sciml.open_data(tmp_path / "d.nc")
    sample = data[1]
    assert sample.u.shape == (1, 16, 16) and torch.equal(sample.u[0], torch.from_numpy(ds["u"].values[1]))
    assert torch.equal(sample.inputs[0], torch.from_numpy(ds["a"].values[1]))
    xr.testing.assert_identical(sciml.load(tmp_path / "d.nc")[list(ds.data_vars)], ds)


def test_methods_are_chosen_with_a_reason() -> None:
    assert sciml.solve(darcy.periodic(), points=16).attrs["method"] == "spectral_cg"
    assert sciml.solve(poisson.periodic(1), points=16).attrs["method"] == "spectral_cg"
    rough = Problem("own:rough", darcy.Darcy(forcing=lambda x: torch.sin(2 * math.pi * x), ndim=1), Domain.periodic(1.0), Profile(_step), 0.0, (32,))
    ds = sciml.solve(rough)
    assert ds.attrs["method"] == "finite_volume_cg" and "jumps" in ds.attrs["method_reason"]
    assert sciml.solve(rough, method="spectral_cg").attrs["method_reason"] == "asked for"
    named = Problem("own:named", rough.equation, rough.domain, rough.initial, 0.0, (32,), scheme="spectral_cg")
    assert sciml.solve(named).attrs["method_reason"] == "the problem names it"


def _step(x: Tensor) -> Tensor:
    return torch.where(x < 0.5, 1.0, 10.0).to(x.dtype)


def test_an_equation_without_inputs_is_solved_too() -> None:
    class Rod(SteadyDiffusion):
        def source(self, d: Any) -> Any:
            return 1.0

    problem = Problem("own:rod", Rod(), Domain.box(0.0, 1.0, D), Profile(lambda x: x), 0.0, (16,))
    ds = sciml.solve(problem)
    x = ds["x"].values
    assert list(ds.data_vars) == ["u"] and np.abs(ds["u"].values - (x * (1 - x) / 2 + 1 / 16**2 / 8)).max() < 1e-12
    assert sciml.solve(problem, samples=2).sizes == {"sample": 2, "x": 16}
    assert given_fields(ds).shape == (0, 16)


def test_float32_stays_float32() -> None:
    ds = sciml.solve(darcy.li2021(), points=32, dtype=torch.float32)
    exact = sciml.solve(darcy.li2021(), points=32)
    assert ds["u"].dtype == np.float32 and ds["a"].dtype == np.float32
    assert np.abs(ds["u"] - exact["u"]).max() < 1e-4 * float(exact["u"].max())


def test_progress_runs_to_one() -> None:
    seen: list[float] = []
    sciml.solve(darcy.li2021(), points=16, progress=seen.append)
    assert seen[-1] == 1.0 and seen == sorted(seen) and len(seen) > 5


# -- laws ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_cosine_fields_are_one_function_at_every_resolution(ndim: int) -> None:
    law = CosineRandomField(1.0, 3.0, 2.0, modes=6)
    domain = Domain.box((1.0,) * ndim, (3.0,) * ndim, N)
    fine, coarse = (law.sample(domain.grid(n), torch.Generator().manual_seed(5)) for n in (18, 6))
    assert float((fine[(slice(1, None, 3),) * ndim] - coarse).abs().max()) < 1e-13  # every third centre is a centre
    c = Modes(domain.grid(18), domain.boundaries).forward(fine)
    assert abs(float(c.view(-1)[0])) < 1e-13 and float(c[(slice(6, None),) * ndim].abs().max()) < 1e-12


def test_cosine_fields_have_the_declared_variance() -> None:
    law, domain = CosineRandomField(2.0, 3.0, 1.5, modes=5), Domain.box((0.0, 0.0), (1.0, 2.0), N)
    grid, generator = domain.grid(10), torch.Generator().manual_seed(0)
    modes = Modes(grid, domain.boundaries)
    # orthonormal functions sampled at cell centres are orthonormal vectors times the root of the cell's volume
    c = modes.forward(torch.stack([law.sample(grid, generator) for _ in range(4000)])) * grid.cell_volume**0.5
    expected = 4.0 * (modes.squared_wavenumbers() + 9.0) ** -1.5
    ratio = (c.square().mean(0) / expected)[:5, :5]
    assert float((ratio.reshape(-1)[1:] - 1).abs().max()) < 0.12 and float(ratio[0, 0]) < 1e-20


def test_li2021_is_one_medium_at_every_resolution() -> None:
    problem = darcy.li2021(low=1.0, high=4.0)
    fine, coarse = (problem.initial_state(problem.grid(n), torch.Generator().manual_seed(2)) for n in (63, 21))
    assert torch.equal(fine[:, 1::3, 1::3], coarse) and set(coarse.unique().tolist()) == {1.0, 4.0}
    assert problem.scores["FNO"]["relative_l2"][85] == 0.0108
    shares = torch.stack([problem.initial_state(problem.grid(16), torch.Generator().manual_seed(s)) == 4.0 for s in range(60)]).double().mean()
    assert 0.4 < float(shares) < 0.6


def test_lognormal_media_have_the_declared_deviation() -> None:
    problem = darcy.lognormal(1, deviation=0.7)
    grid = problem.grid(64)
    logs = torch.stack([problem.initial_state(grid, torch.Generator().manual_seed(s)).log() for s in range(400)])
    assert abs(float(logs.square().mean().sqrt()) - 0.7) < 0.05


# -- bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{"dt": 0.1}, {"times": 5}, {"end": 1.0}])
def test_settings_of_evolution_problems_are_refused(setting: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{next(iter(setting))} given, but poisson:periodic is steady"):
        sciml.solve(poisson.periodic(), points=8, **setting)
    with pytest.raises(InputError, match=f"{next(iter(setting))} given, but poisson:periodic is steady"):
        sciml.compare("poisson:periodic", out=tmp_path / "r", **setting)


def test_coefficients_that_are_not_positive_are_refused() -> None:
    grid = Domain.box((0.0, 0.0), (1.0, 1.0), D).grid(8)
    a = torch.ones(1, 8, 8, dtype=F64)
    for value in (0.0, -1.0, math.nan, math.inf):
        a[0, 2, 5] = value
        for method in STEADY:
            with pytest.raises(InputError, match=r"at 1 of 64 points, first at \(2, 5\); it must be positive"):
                solve_steady(Given(a, 1.0, 2), grid, ((D, D), (D, D)), method=method)
    with pytest.raises(InputError, match="positive everywhere"):
        darcy.Darcy(-1.0)
    with pytest.raises(InputError, match="must be positive and finite"):
        solve_steady(Given(-2.0, 1.0, 2), grid, ((D, D), (D, D)))
    with pytest.raises(InputError, match="source, or a wall value, is not finite"):
        solve_steady(Given(1.0, torch.full((1, 8, 8), math.nan, dtype=F64), 2), grid, ((D, D), (D, D)))


@pytest.mark.parametrize("domain", [Domain.periodic(1.0), Domain.box(0.0, 1.0, N)], ids=["periodic", "neumann"])
def test_sources_that_nothing_balances_are_refused(domain: Domain) -> None:
    for method in STEADY:
        with pytest.raises(InputError, match="must balance"):
            solve_steady(Given(1.0, 1.0, 1), domain.grid(16), domain.boundaries, method=method)
    # a slope through the wall may balance it
    closed = Domain.box(0.0, 1.0, Neumann(0.5), Neumann(-0.5))
    u, _ = solve_steady(Given(1.0, 1.0, 1), closed.grid(16), closed.boundaries)
    x = closed.grid(16).axes()[0]
    exact = x * (1 - x) / 2
    assert abs(float(u.mean())) < 1e-15 and float((u[0] - exact + exact.mean()).abs().max()) < 1e-12


def test_what_a_method_cannot_do_is_said() -> None:
    grid, walls = Domain.box(0.0, 1.0, D).grid(8), ((D, D),)
    with pytest.raises(InputError, match="Unknown method 'rk4' for a steady equation"):
        solve_steady(Given(1.0, 1.0), grid, walls, method="rk4")
    with pytest.raises(InputError, match="between 0 and 1"):
        solve_steady(Given(1.0, 1.0), grid, walls, tolerance=0.0)
    with pytest.raises(UnsupportedError, match="operator of its own"):
        solve_steady(Bent(), grid, walls)
    with pytest.raises(InputError, match="2 space axes but the grid has 1"):
        solve_steady(Given(1.0, 1.0, 2), grid, walls)
    pair = Given(1.0, 1.0)
    pair.fields = ("u", "v")
    with pytest.raises(UnsupportedError, match="take one unknown"):
        solve_steady(pair, grid, walls)
    for wrong, text in (((D, Dirichlet(1.0)), "different values"), ((Neumann(1.0), D), "lower wall of axis 0 prescribes a slope")):
        with pytest.raises(UnsupportedError, match=text):
            solve_steady(Given(1.0, 1.0), grid, (wrong,), method="spectral_cg")
    with pytest.raises(InputError, match="Unknown method"):
        sciml.solve(poisson.periodic(), method="etdrk4")
    with pytest.raises(InputError, match="horizon=1.0 for a steady equation"):
        Problem("own:x", poisson.Poisson(ndim=1), Domain.periodic(1.0), Profile(torch.sin), 1.0, (8,))
    with pytest.raises(InputError, match="given fields"):
        sciml.solve(poisson.periodic(1), points=8, initial=numbers(2, 8))
    with pytest.raises(InputError, match=r"\(sample, input, \*space\) is expected"):
        sciml.solve(poisson.periodic(1), points=8, initial=numbers(2, 2, 1, 8))
    with pytest.raises(InputError, match="inputs has shape"):
        to_steady_dataset(numbers(1, 8), numbers(2, 8), poisson.periodic(1).grid(8), poisson.periodic(1))
    other: Any = poisson.Poisson()
    with pytest.raises(InputError, match="use check_steady_equation"):
        check_equation(other)
    other = "poisson"
    with pytest.raises(InputError, match=r"instance of sciml\.SteadyEquation"):
        check_steady_equation(other)


def test_bad_parameters_of_cases_are_refused() -> None:
    for make in (darcy.lognormal, darcy.periodic, poisson.periodic, poisson.dirichlet, poisson.neumann, poisson.random):
        with pytest.raises(InputError, match="choose 1, 2 or 3"):
            make(4)
    with pytest.raises(InputError, match="positive correlation length"):
        darcy.lognormal(scale=0.0)
    with pytest.raises(InputError, match="whole number of layers"):
        darcy.layers(count=0)
    with pytest.raises(InputError, match="positive everywhere"):
        darcy.layers(low=-1.0)
    with pytest.raises(InputError, match="must not be negative"):
        CosineRandomField(-1.0, 3.0, 2.0)


def test_iterations_that_do_not_converge_are_reported() -> None:
    case = darcy.li2021()
    grid = case.grid(32)
    stated = case.equation.with_inputs(case.initial_state(grid))
    with pytest.raises(BlowUpError, match="after 3 iterations the relative residual is"):
        solve_steady(stated, grid, case.domain.boundaries, iterations=3)
    with pytest.raises(BlowUpError, match="not positive and finite"):
        conjugate_gradients(lambda u: -u, torch.ones(1, 4), lambda r: r, axes=1, tolerance=1e-3)


# -- reports ---------------------------------------------------------------------------------------------------------------


def test_methods_apply_to_steady_problems_only() -> None:
    known, heat = methods(), sciml.load_problem("heat:periodic")
    assert known["finite_volume_cg"].applies(heat) == "it needs a steady problem, and this one evolves"
    assert known["etdrk4"].applies(poisson.periodic()) is not None
    assert "different values" in str(known["spectral_cg"].applies(darcy.layers()))
    own = Problem("own:bent", Bent(), Domain.periodic(1.0), Profile(torch.sin), 0.0, (8,))
    assert "operator of its own" in str(known["finite_volume_cg"].applies(own))
    assert [known[name].applies(poisson.dirichlet()) for name in STEADY] == [None, None]


@pytest.mark.parametrize(("name", "settings"), [("poisson:dirichlet", {"ndim": 1}), ("poisson:neumann", {"ndim": 3})])
def test_reports_of_steady_problems(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    result = sciml.compare(name, out=tmp_path / "r", points=12, parameters=settings)
    total = {e.method.name: e.errors.total for e in result.finished}
    assert total["spectral_cg"] < 1e-6 < total["finite_volume_cg"] < 0.1
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Iterations" in page and "Mean drift" not in page and "--times" not in page and not (tmp_path / "r" / "error.png").exists()
    truth = sciml.load(tmp_path / "r" / "truth.nc")
    assert "time" not in truth.dims and set(truth.data_vars) == {"u", *json.loads(truth.attrs["inputs"])}


def test_reports_without_an_exact_solution_use_a_certified_run(tmp_path: Path) -> None:
    result = sciml.compare("darcy:lognormal", methods=["finite_volume_cg"], out=tmp_path / "r", points=24)
    assert result.truth.kind == "certified run" and "quarter" not in result.truth.description
    assert 1e-5 < result.finished[0].errors.total < 1e-2


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pictures_of_steady_solutions(ndim: int, tmp_path: Path) -> None:
    ds = sciml.solve(darcy.lognormal(ndim), points=8, samples=2)
    fig = sciml.plot(ds, tmp_path / "p.png")
    titles = [ax.get_title(loc="left") for ax in fig.axes if ax.get_title(loc="left")]
    assert titles == ["given", "solution"] and (tmp_path / "p.png").stat().st_size > 5000
    with pytest.raises(InputError, match="needs a time axis"):
        sciml.animate(ds, tmp_path / "p.gif")


def test_the_command_line_solves_steady_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from sciml.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main(["solve", "darcy:li2021", "--points", "16", "--samples", "2", "--out", "d.nc", "--plot", "p.png"]) == 0
    assert "finite_volume_cg, u, a (sample, x, y: 2 x 16 x 16)" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.nc", "p.png"]
    for wrong, text in ((["--dt", "0.1"], "dt given"), (["--times", "4"], "times given"), (["--animate", "a.gif"], "does not move")):
        assert main(["solve", "darcy:li2021", "--points", "8", *wrong]) == 2
        assert text in capsys.readouterr().err
