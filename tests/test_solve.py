"""``sciml.solve``: the choice of scheme and step, output times, blow-up, reproduction of published data."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

import sciml
from sciml.core.domain import Domain
from sciml.core.equation import Equation
from sciml.core.problem import Problem, Profile
from sciml.problems import kuramoto_sivashinsky as ks
from sciml.problems.burgers import Burgers

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


class Growth(Equation):
    def nonlinear(self, u: Any, d: Any) -> Any:
        return u**2


def growth_problem() -> sciml.Problem:
    return sciml.Problem(
        name="user:growth",
        equation=Growth(),
        domain=sciml.Domain.periodic(1.0),
        initial=sciml.Profile(lambda x: 1.0 + 0.0 * x),
        horizon=2.0,
        points=(8,),
        dt=0.01,
    )


def test_kassam_golden_numbers() -> None:
    """Values of an independent run at h = 1/128 (its own error below 3e-10 at t = 30)."""
    ds = sciml.solve(ks.kassam2005(), dt=1 / 128, times=[0.0, 30.0, 60.0])
    u = ds["u"].values
    assert abs(u[1].max() - 1.479094364) < 2e-9
    assert abs(u[1, 0] - 0.323491125) < 2e-9
    assert abs((u[1] ** 2).mean() - 0.248139813) < 2e-9
    assert abs(u[2].max() - 2.4447877) < 2e-6
    assert abs(u[2, 0] - 1.3868057) < 2e-6


@pytest.mark.skipif(not SHARED.is_dir(), reason="published data files are not part of the package")
def test_published_ks_trajectory_is_reproduced() -> None:
    reference = scipy.io.loadmat(SHARED / "kuramoto_sivashinsky_pdefind.mat")["uu"].T
    problem = ks.kassam2005(points=1024)
    u = sciml.solve(problem, points=1024, dt=0.025, times=[0.4 * i for i in range(176)])["u"].values
    errors = np.linalg.norm(u - reference[:176], axis=1) / np.linalg.norm(reference[:176], axis=1)
    assert errors.max() < 1e-10


def test_design_example() -> None:
    ds = sciml.solve(ks.kassam2005(), points=1024, dt=0.25, times=50)
    assert ds["u"].shape == (51, 1024)
    assert ds["time"].values[-1] == 150.0 and ds["time"].values[1] == 3.0
    assert ds.attrs["method"] == "etdrk4" and ds.attrs["dt"] == 0.25 and ds.attrs["steps"] == 600


def test_the_choice_is_made_and_explained() -> None:
    expected = {
        "kuramoto_sivashinsky:kassam2005": "etdrk4",
        "burgers:raissi2019": "etdrk4",
        "burgers:raissi2019_dirichlet": "finite_volume",
        "porous_medium:pme": "finite_volume",
        "lorenz:sakov2012": "rk4",
    }
    for name, method in expected.items():
        problem = sciml.load_problem(name)
        ds = sciml.solve(problem, points=32 if problem.domain.ndim else None, times=1, end=problem.horizon / 1000)
        assert ds.attrs["method"] == method, name
        assert ds.attrs["method_reason"] and ds.attrs["dt_reason"]


def test_automatic_steps_are_stable_and_accurate() -> None:
    problem = ks.kassam2005()
    for method, tolerance in (("etdrk4", 2e-3), ("ark3", 2e-2), ("cnab2", 5e-2), ("rk4", 1e-5), ("dopri5", 1e-5)):
        times = [0.0, 20.0]
        reference = sciml.solve(problem, points=64, dt=1 / 64, times=times)["u"].values[-1]
        automatic = sciml.solve(problem, points=64, times=times, method=method)
        assert np.abs(automatic["u"].values[-1] - reference).max() < tolerance, method


def test_blow_up_says_when_where_and_what_to_do() -> None:
    with pytest.raises(sciml.BlowUpError) as error:
        sciml.solve(growth_problem())
    message = str(error.value)
    assert "field u" in message and "t=1." in message and "dt=0.01" in message and "smaller step" in message
    with pytest.raises(sciml.BlowUpError, match="rk4"):
        sciml.solve(ks.kassam2005(), dt=2.0, end=100, method="rk4")


def test_samples_and_seeds() -> None:
    problem = sciml.load_problem("burgers:li2021")
    a = sciml.solve(problem, points=64, times=2, samples=3, seed=1)
    b = sciml.solve(problem, points=64, times=2, samples=3, seed=1)
    c = sciml.solve(problem, points=64, times=2, samples=3, seed=2)
    assert a["u"].dims == ("sample", "time", "x") and a["u"].shape == (3, 3, 64)
    assert np.array_equal(a["u"].values, b["u"].values) and not np.allclose(a["u"].values, c["u"].values)


def test_steps_divide_the_output_interval() -> None:
    ds = sciml.solve(ks.kassam2005(), dt=0.4, times=[0.0, 1.0, 2.0])
    assert math.isclose(ds.attrs["dt"], 1 / 3)


def test_bad_input() -> None:
    problem = ks.kassam2005()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"method": "euler"}, "Unknown method 'euler'; known: etdrk1"),
        ({"dt": 0.0}, "positive, finite time step"),
        ({"times": 0}, "at least 1"),
        ({"times": [1.0, 2.0]}, "must start at 0"),
        ({"end": -1.0}, "positive, finite time"),
        ({"device": "warp"}, "cannot be used here"),
        ({"points": 1}, "at least 2"),
    ]
    for arguments, message in cases:
        with pytest.raises(sciml.InputError, match=message):
            sciml.solve(problem, **arguments)
    if not torch.cuda.is_available():
        with pytest.raises(sciml.InputError, match="cpu"):
            sciml.solve(problem, device="cuda")
    with pytest.raises(sciml.UnsupportedError, match="ConservationLaw"):
        sciml.solve(problem, method="finite_volume")


def test_progress_reaches_the_end_and_never_goes_back() -> None:
    for method in ("etdrk4", "dopri5"):
        seen: list[float] = []
        sciml.solve(ks.kassam2005(), points=32, end=4.0, times=4, method=method, progress=seen.append)
        assert seen[-1] == 1.0 and seen == sorted(seen) and len(seen) >= 4


def test_the_time_goes_on_between_output_times() -> None:
    class Forced(sciml.Equation):
        autonomous = False

        def linear(self, u, d):
            return -1.0 * u

        def nonlinear(self, u, d):
            return 0.0 * u + math.cos(d.time)

    forced = Problem("test:forced", Forced(), Domain.periodic(1.0), Profile(torch.zeros_like), 1.0, (4,))
    for method in ("etdrk4", "rk4", "dopri5"):
        ds = sciml.solve(forced, times=[0.0, 0.4, 1.0], dt=0.02, method=method)
        exact = [(math.cos(t) + math.sin(t) - math.exp(-t)) / 2 for t in (0.0, 0.4, 1.0)]
        assert ds["u"].values[:, 0].tolist() == pytest.approx(exact, abs=1e-7), method


def test_the_automatic_step_shortens_when_the_explicit_part_becomes_faster() -> None:
    """From small noise the advection of Kuramoto-Sivashinsky grows until it limits the step."""
    problem = sciml.Problem(
        name="user:growing",
        equation=ks.KuramotoSivashinsky(),
        domain=sciml.Domain.periodic(22.0),
        initial=sciml.Profile(lambda x: 1e-2 * torch.cos(2 * math.pi * 2 * x / 22.0)),
        horizon=100.0,
        points=(32,),
    )
    early = sciml.solve(problem, end=1.0, times=1)
    late = sciml.solve(problem, end=60.0, times=30)
    assert late.attrs["dt"] < 0.5 * early.attrs["dt"]
    reference = sciml.solve(problem, end=60.0, times=30, dt=0.01)
    assert float(abs(late["u"] - reference["u"]).max()) < 5e-2


def test_inviscid_conservation_laws_go_to_finite_volumes() -> None:
    burgers = sciml.load_problem("burgers:li2021")
    for viscosity, method in ((0.0, "finite_volume"), (torch.zeros(2, dtype=torch.float64), "finite_volume"), (0.1, "etdrk4")):
        problem = replace(burgers, equation=Burgers(viscosity))
        ds = sciml.solve(problem, points=32, times=1, end=0.01, samples=2)
        assert ds.attrs["method"] == method, viscosity


def test_an_automatic_step_that_proves_too_long_is_cut() -> None:
    """The porous medium starts empty, where the rate is zero, and is then filled through the wall."""
    problem = sciml.load_problem("porous_medium:pme", {"exponent": 1.0})
    ds = sciml.solve(problem, points=50, times=10, method="rk4")
    exact = problem.exact_state(problem.grid(50), 1.0)[0].numpy()
    assert np.abs(ds["u"].values[-1] - exact).max() < 2e-2


def test_a_problem_may_be_given_by_its_name() -> None:
    named, made = (sciml.solve(p, points=32, times=1, end=0.1) for p in ("kuramoto_sivashinsky:kassam2005", ks.kassam2005()))
    assert named["u"].equals(made["u"])
    with pytest.raises(sciml.InputError, match="solve: a int given"):
        sciml.solve(3)
