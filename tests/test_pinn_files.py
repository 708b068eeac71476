"""Files of physics-informed networks: whatever the model began from, it comes back exactly or says what is missing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.problems import advection, burgers, heat, navier_stokes, poisson
from sciml.surrogates.pinn.march import EndState
from sciml.surrogates.pinn.states import BandLimited

F64 = torch.float64


def made(kind: type[Any], problem: sciml.Problem, **options: Any) -> Any:
    torch.manual_seed(0)
    small = {"width": 6, "depth": 2} if kind is sciml.PINN else {"width": 5, "depth": 1, "path_width": 4, "path_depth": 1}
    model = kind(problem, **{**small, **options})
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def march(problem: sciml.Problem, **options: Any) -> sciml.MarchedPINN:
    torch.manual_seed(0)
    return sciml.march_pinn(
        problem, 3, options={"width": 5, "depth": 1, **options}, loss=sciml.PinnObjective(sciml.Sobol(20)), epochs=2, optimizer=sciml.GaussNewton()
    )


def same(a: Any, b: Any, problem: sciml.Problem) -> None:
    grid = problem.grid(12)
    times = None if problem.steady else [0.0, 0.3 * problem.horizon, 0.5 * problem.horizon, 0.9 * problem.horizon]
    assert torch.equal(a.field(grid, times), b.field(grid, times))
    assert type(a) is type(b) and not b.training
    for (name, p), (other, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other and p.dtype is q.dtype and torch.equal(p, q)


@pytest.mark.parametrize(
    ("kind", "problem", "options"),
    [
        (sciml.PINN, burgers.raissi2019(0.2), {}),
        (sciml.PINN, poisson.neumann(1), {}),
        (sciml.PINN, burgers.li2021(), {"initial": "soft", "points": 32}),
        (sciml.LPINN, burgers.li2021(viscosity=0.2), {"points": 32, "end": 0.1}),
        (sciml.LPINN, advection.krishnapriyan2021(20.0), {"dtype": torch.float32}),
    ],
    ids=["pinn", "steady", "soft random state", "lpinn random state", "lpinn float32"],
)
def test_any_network_is_opened_by_load_model(kind: type[Any], problem: sciml.Problem, options: dict[str, Any], tmp_path: Path) -> None:
    model = made(kind, problem, **options)
    if kind is sciml.LPINN:
        problem = replace(problem, horizon=model.end)
    model.save(tmp_path / "m.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]
    same(model, sciml.load_model(tmp_path / "m.pt"), problem)
    again = kind.load(tmp_path / "m.pt")
    same(model, again, problem)
    again.save(tmp_path / "again.pt")
    same(model, sciml.load_model(tmp_path / "again.pt"), problem)


@pytest.mark.parametrize("kind", [sciml.PINN, sciml.LPINN])
@pytest.mark.parametrize("problem", [burgers.raissi2019(0.3), burgers.li2021()], ids=lambda p: p.name)
def test_a_state_given_by_samples_is_in_the_file(kind: type[Any], problem: sciml.Problem, tmp_path: Path) -> None:
    grid = problem.grid(32)
    u = torch.cos(2 * math.pi * (grid.points()[0] - grid.origin[0]) / grid.lengths[0]).unsqueeze(0)
    model = made(kind, problem, state=u, points=32, end=0.1)
    model.save(tmp_path / "m.pt")
    again = sciml.load_model(tmp_path / "m.pt")
    assert torch.equal(again.field(grid, [0.0, 0.05]), model.field(grid, [0.0, 0.05]))
    assert torch.allclose(again.field(grid, [0.0])[0], u, atol=1e-12)


def test_a_vorticity_given_by_samples_is_in_the_file(tmp_path: Path) -> None:
    problem = navier_stokes.taylor_green(0.1)
    grid = problem.grid(12)
    x, y = grid.points()
    u = (torch.sin(2 * x) * torch.cos(y)).unsqueeze(0)
    model = made(sciml.PINN, problem, state=u, points=12)
    model.save(tmp_path / "m.pt")
    again = sciml.load_model(tmp_path / "m.pt")
    same(model, again, problem)
    assert torch.allclose(again.field(grid, [0.0])[0], u, atol=1e-11)


@pytest.mark.parametrize("kind", [sciml.PINN, sciml.LPINN])
def test_a_function_is_not_in_the_file_and_has_to_be_given(kind: type[Any], tmp_path: Path) -> None:
    def state(x: Tensor) -> Tensor:
        return torch.cos(math.pi * x)

    problem = burgers.raissi2019(0.3)
    model = made(kind, problem, state=state, end=0.2)
    model.save(tmp_path / "m.pt")
    for load in (sciml.load_model, kind.load):
        with pytest.raises(sciml.InputError, match=r"starts from a function of yours, which no file holds; give it: load\(path, state="):
            load(tmp_path / "m.pt")
    again = kind.load(tmp_path / "m.pt", state=state)
    x = torch.linspace(-1, 1, 9, dtype=F64)
    assert torch.equal(again(0.1, x), model(0.1, x)) and torch.allclose(again(0.0, x)[:, 0], state(x), atol=1e-12)
    made(kind, problem).save(tmp_path / "own.pt")
    with pytest.raises(sciml.InputError, match="starts from the problem's own state; leave it out"):
        kind.load(tmp_path / "own.pt", state=state)


def test_a_file_without_a_problem_is_damaged(tmp_path: Path) -> None:
    model = made(sciml.PINN, burgers.raissi2019(0.3))
    model.save(tmp_path / "m.pt")
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    del content["config"]["problem"]
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(sciml.InputError, match="it names no problem"):
        sciml.load_model(tmp_path / "m.pt")


# -- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "options", "kind"),
    [
        (burgers.raissi2019(0.2), {}, BandLimited),
        (burgers.li2021(), {"points": 32, "generator": torch.Generator().manual_seed(3)}, BandLimited),
        (heat.dirichlet(1), {}, EndState),
        (navier_stokes.taylor_green(0.1), {"points": 12}, BandLimited),
        (heat.dirichlet(1), {"dtype": torch.float32}, EndState),
    ],
    ids=["waves", "random state", "box", "vorticity", "float32"],
)
def test_windows_come_back_exactly(problem: sciml.Problem, options: dict[str, Any], kind: type[Any], tmp_path: Path) -> None:
    marched = march(problem, **options)
    assert isinstance(marched.pinns[2].ansatz.state, kind)
    marched.save(tmp_path / "m.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]
    torch.manual_seed(5)
    for again in (sciml.MarchedPINN.load(tmp_path / "m.pt"), sciml.load_model(tmp_path / "m.pt")):
        same(marched, again, problem)
        assert [(w.start, w.end) for w in again.pinns] == [(w.start, w.end) for w in marched.pinns]
        # as plain values, for a validation loss that was not asked for is NaN
        assert str([(h.state(), h.ended, h.optimizer) for h in again.histories]) == str(
            [(h.state(), h.ended, "GaussNewton") for h in marched.histories]
        )
    found = marched.solution(problem.grid(8), [0.0, problem.horizon])
    assert found.attrs["method"] == "MarchedPINN"
    assert torch.equal(sciml.to_tensor(found), marched.field(problem.grid(8), [0.0, problem.horizon]))
    last = marched.solution(problem.grid(8))
    assert torch.equal(sciml.to_tensor(last), marched.field(problem.grid(8))) and last.time.values.tolist() == [problem.horizon]


def test_windows_from_a_function_or_of_an_own_problem(tmp_path: Path) -> None:
    own = replace(burgers.raissi2019(0.3), name="burgers:own")
    march(own).save(tmp_path / "own.pt")
    with pytest.raises(sciml.InputError, match=r"no case of this package; give it: MarchedPINN.load\(path, problem="):
        sciml.load_model(tmp_path / "own.pt")
    same(march(own), sciml.MarchedPINN.load(tmp_path / "own.pt", problem=own), own)

    def state(x: Tensor) -> Tensor:
        return torch.cos(math.pi * x)

    marched = march(burgers.raissi2019(0.3), state=state)
    marched.save(tmp_path / "m.pt")
    with pytest.raises(sciml.InputError, match="starts from a function of yours"):
        sciml.MarchedPINN.load(tmp_path / "m.pt")
    same(marched, sciml.MarchedPINN.load(tmp_path / "m.pt", state=state), own)


def test_files_of_windows_that_hold_something_else(tmp_path: Path) -> None:
    marched = march(heat.dirichlet(1))
    marched.save(tmp_path / "m.pt")
    with pytest.raises(sciml.InputError, match="holds a MarchedPINN, not a PINN"):
        sciml.PINN.load(tmp_path / "m.pt")
    marched.pinns[0].save(tmp_path / "one.pt")
    with pytest.raises(sciml.InputError, match="holds a PINN, not a MarchedPINN"):
        sciml.MarchedPINN.load(tmp_path / "one.pt")
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    torch.save({**content, "config": {"problem": content["config"]["problem"]}}, tmp_path / "bad.pt")
    with pytest.raises(sciml.InputError, match="damaged: its windows cannot be made"):
        sciml.load_model(tmp_path / "bad.pt")
    torch.save({**content, "state": {}}, tmp_path / "bad.pt")
    with pytest.raises(sciml.InputError, match="do not fit together|function of yours"):
        sciml.load_model(tmp_path / "bad.pt")
    with pytest.raises(sciml.InputError, match="does not exist"):
        marched.save(tmp_path / "nowhere" / "m.pt")
