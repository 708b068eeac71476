"""Files of trained models: what is saved comes back exactly, and anything else is refused without running it."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sciml
from sciml.spectral.mixing import CP, Separable, Tucker
from sciml.surrogates.base import Surrogate

F64, F32 = torch.float64, torch.float32
SMALL: dict[str, dict[str, Any]] = {
    "FNO": {"modes": 3, "width": 6, "depth": 2, "mlp": 0.5},
    "FactorisedFNO": {"modes": 3, "width": 6, "depth": 2},
    "DeepONet": {"width": 8, "depth": 2, "basis": 5},
    "Transolver": {"width": 8, "depth": 2, "heads": 2, "slices": 4},
}


def grid_of(shape: tuple[int, ...], periodic: bool | tuple[bool, ...] = True, dtype: torch.dtype = F64) -> sciml.Grid:
    n = len(shape)
    return sciml.Grid(shape, (2.0, 3.0, 0.5)[:n], periodic if isinstance(periodic, tuple) else (periodic,) * n, (0.5, -1.0, 0.0)[:n], dtype)


def model_of(name: str, grid: sciml.Grid, channels: int = 1, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(sciml, name)(grid, channels, **{**SMALL[name], **options}).eval()


def field(model: Surrogate, *batch: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, model.channels, *model.grid.shape, dtype=model.grid.dtype, generator=generator)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", SMALL)
def test_a_saved_model_computes_the_same(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = model_of(name, grid_of((8, 7), (True, False), dtype), 2, dt=0.25, residual=True, noise=0.1, inputs=1)
    u, a = field(model, 3), torch.randn(3, 1, 8, 7, dtype=dtype)
    model.normalise(u, 2 * u + 1, a)
    model.save(tmp_path / "m.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]
    for again in (sciml.load_model(tmp_path / "m.pt"), type(model).load(tmp_path / "m.pt")):
        assert type(again) is type(model) and not again.training
        assert again.config() == model.config() == json.loads(json.dumps(model.config()))
        assert (again.grid, again.dt) == (model.grid, 0.25)
        assert torch.equal(again(u, a), model(u, a))


@pytest.mark.parametrize("weights", [Tucker(0.6), CP(5), Separable()])
def test_the_kind_of_weights_is_kept(weights: Any, tmp_path: Path) -> None:
    model = model_of(
        "FNO", grid_of((8, 7)), weights=weights, skip="gate", mlp_skip="linear", mlp_activation="tanh", lifting=5, projection=0, twice=True
    )
    model.save(tmp_path / "m.pt")
    again = sciml.load_model(tmp_path / "m.pt")
    assert torch.equal(again(field(model, 2)), model(field(model, 2))) and again.config() == model.config()


class Own(Surrogate):
    """A user's own model."""

    def operate(self, v: Tensor) -> Tensor:
        return 2 * v

    def options(self) -> dict[str, Any]:
        return {}


class Harm:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch harmed",)


def test_files_that_hold_something_else_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("m.pt")
    model = model_of("FNO", grid_of((9,)))
    model.save(path)
    good = torch.load(path, weights_only=True)

    def refused(words: str, load: Callable[[Path], object] = sciml.load_model) -> None:
        with pytest.raises(sciml.InputError, match=words):
            load(path)

    refused("DeepONet", sciml.DeepONet.load)
    for change, words in (
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "another kind"),
        ({"config": 3}, "damaged"),
        ({"config": {**good["config"], "width": 7}}, "do not fit"),
        ({"config": {**good["config"], "colour": 1}}, "colour"),
        ({"config": {}}, "do not fit"),
        ({"state": {}}, "do not fit"),
        ({"class": "Own"}, "own load"),
    ):
        torch.save({**good, **change}, path)
        refused(words)
    torch.save({"fno_blocks.convs.0.bias": torch.zeros(3)}, path)
    refused("from_neuraloperator")
    torch.save(torch.zeros(3), path)
    refused("Tensor of another kind")
    torch.save(Harm(), path)
    refused("never run")
    path.write_bytes(pickle.dumps(Harm()))
    refused("m.pt")
    assert not Path("harmed").exists()
    model.save(path)
    path.write_bytes(path.read_bytes()[:-400])
    refused("damaged")
    path.write_bytes(b"")
    refused("m.pt")
    path.unlink()
    refused("no such file")
    path.mkdir()
    refused("folder")
    own = Own(grid_of((9,)))
    own.save("own.pt")
    with pytest.raises(sciml.InputError, match="own load"):
        sciml.load_model("own.pt")
    assert torch.equal(Own.load("own.pt")(field(own, 2)), 2 * field(own, 2))
    with pytest.raises(sciml.InputError, match="does not exist"):
        model.save("nowhere/m.pt")
