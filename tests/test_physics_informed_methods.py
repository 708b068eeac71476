"""``pinn`` and ``lpinn`` as methods: trained on the problem's own equation from the asked state, compared like any other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import sciml
from sciml.methods.base import Settings
from sciml.methods.registry import find_methods, methods
from sciml.problems import advection, burgers


def settings(**options: Any) -> Settings:
    return Settings(**{"times": [0.0, 0.5, 1.0], "points": 32, "budget": 2.0, **options})


def test_lpinn_carries_a_wave_that_pinn_cannot() -> None:
    problem = advection.krishnapriyan2021(30.0)
    known = methods()
    assert not known["pinn"].default and not known["lpinn"].default
    assert not {"pinn", "lpinn"} & {m.name for m in find_methods(None, problem)}
    assert problem.exact is not None
    x = problem.grid(32).points()[0]
    true = torch.stack([problem.exact(t, x) for t in (0.0, 0.5, 1.0)])
    errors = {}
    for name in ("pinn", "lpinn"):
        before = torch.random.get_rng_state()
        seen: list[float] = []
        result = known[name].run(problem, settings(), seen.append)
        assert torch.equal(torch.random.get_rng_state(), before)
        found = sciml.to_tensor(result.dataset)[:, 0]
        assert found.dtype == torch.float64 and torch.allclose(found[0], true[0], atol=1e-12)
        errors[name] = ((found - true).norm() / true.norm()).item()
        assert "Gauss-Newton steps" in result.notes and seen == sorted(seen) and 0 < seen[-1] <= 0.95 + 1e-9
        assert set(result.cost) == {"training_s", "evaluation_s", "parameters", "state_bytes"}
    assert errors["lpinn"] < 1e-12 < 0.1 < errors["pinn"]
    assert "smallest J = dx/dX 1" in result.notes


def test_random_states_are_those_of_the_other_methods() -> None:
    problem = burgers.li2021()
    asked = settings(times=[0.0, 0.01], seed=3)
    solved = sciml.solve(problem, points=32, times=[0.0, 0.01], seed=3)
    for name in ("pinn", "lpinn"):
        found = sciml.to_tensor(methods()[name].run(problem, asked).dataset)
        torch.testing.assert_close(found[0], sciml.to_tensor(solved)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("method", "problem", "word"),
    [
        ("pinn", "lorenz:sakov2012", "ordinary system"),
        ("pinn", "poisson:random", "problems in time"),
        ("lpinn", "kuramoto_sivashinsky:kassam2005", "no characteristic velocity"),
        ("lpinn", "burgers:raissi2019_dirichlet", "one periodic axis"),
    ],
)
def test_where_they_do_not_apply(method: str, problem: str, word: str) -> None:
    with pytest.raises(sciml.UnsupportedError, match=word):
        methods()[method].run(sciml.load_problem(problem), settings())


def test_no_time_to_learn() -> None:
    with pytest.raises(sciml.InputError, match="budget=0"):
        methods()["pinn"].run(advection.krishnapriyan2021(), settings(budget=0.0))
