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
from model_cases import F32, F64, SMALL, field, grid_of, model_of
from torch import Tensor

import sciml
from sciml.spectral.mixing import CP, Separable, Tucker
from sciml.surrogates.base import Surrogate


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
