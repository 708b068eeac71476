"""Results in and out of files: labels, round trips, complete-or-absent writing."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from sciml.core.domain import Dirichlet, Domain, Neumann
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.problem import Problem, Profile
from sciml.io.atomic import MARKER, atomic_file, atomic_folder, check_writable
from sciml.io.dataset import grid_of, parameters_of, to_dataset, to_tensor
from sciml.io.netcdf import load, save


class Pair(Equation):
    """Two decoupled heat equations with different coefficients."""

    fields = ("a", "b")

    def __init__(self, diffusivity: float = 0.25) -> None:
        super().__init__()
        self.diffusivity = diffusivity

    def linear(self, u, d):
        a, b = d.split(u)
        return d.stack(self.diffusivity * d.laplacian(a), 2 * self.diffusivity * d.laplacian(b))


def problem(domain: Domain | None = None) -> Problem:
    domain = domain or Domain.box((0.0, -1.0), (2.0, 2.0), Dirichlet(1.5), Neumann(0.0), Neumann(0.0), Neumann(0.0))
    return Problem(
        name="test:pair",
        equation=Pair(),
        domain=domain,
        initial=Profile(lambda x, y: torch.stack([x, y])),
        horizon=1.0,
        points=(4, 6),
        reference="A. Author, J. Tests 1 (2000) 1",
        parameters={"ratio": 2, "tensor": torch.tensor([1.0, 2.0])},
        units={"a": "m s-1", "x": "m", "t": "s"},
    )


@pytest.mark.parametrize("samples", [0, 3])
def test_dataset_labels_every_value(samples: int) -> None:
    case = problem()
    grid = case.grid()
    shape = (5, *((samples,) if samples else ()), 2, 4, 6)
    u = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ds = to_dataset(u, [0.0, 0.1, 0.2, 0.4, 0.8], grid, case, {"method": "etdrk4", "dt": 0.1, "seed": 7, "nothing": None})
    where = {"time": 3, "x": 2, "y": 5, **({"sample": 1} if samples else {})}
    index = (3, *((1,) if samples else ()))
    assert ds["b"].isel(where).item() == u[(*index, 1, 2, 5)].item()
    assert ds["a"].dims == ((*(("sample",) if samples else ()), "time", "x", "y"))
    assert ds["time"].values.tolist() == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert np.array_equal(ds["y"].values, grid.axes()[1].numpy())
    assert ds["a"].attrs["units"] == "m s-1" and ds["b"].attrs["units"] == "1" and ds["time"].attrs["units"] == "s"
    assert ds["x"].attrs["axis"] == "X" and ds["time"].attrs["axis"] == "T"
    assert ds["x"].attrs["units"] == "m" and ds["y"].attrs["units"] == "1"
    assert not samples or ds["sample"].values.tolist() == [0, 1, 2]
    assert torch.equal(to_tensor(ds), u)
    assert grid_of(ds) == grid


def test_dataset_says_what_it_is() -> None:
    case = problem()
    ds = to_dataset(torch.zeros(1, 2, 4, 6, dtype=torch.float32), [0.0], case.grid(dtype=torch.float32), case, {"method": "rk4", "nothing": None})
    assert ds.attrs["Conventions"] == "CF-1.11" and ds.attrs["problem"] == "test:pair" and ds.attrs["dtype"] == "float32"
    assert json.loads(ds.attrs["parameters"]) == {"diffusivity": 0.25, "ratio": 2, "tensor": [1.0, 2.0]}
    assert json.loads(ds.attrs["boundaries"]) == [[{"dirichlet": 1.5}, {"neumann": 0.0}], [{"neumann": 0.0}, {"neumann": 0.0}]]
    assert ds.attrs["torch_version"] == torch.__version__ and ds.attrs["date"].endswith("+00:00")
    assert "nothing" not in ds.attrs
    assert grid_of(ds).dtype == torch.float32


def test_parameters_include_what_is_learnt() -> None:
    case = problem()
    case.equation.diffusivity = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    assert parameters_of(case)["diffusivity"] == 0.5


def test_dataset_refuses_what_does_not_fit() -> None:
    case = problem()
    with pytest.raises(InputError, match="shape"):
        to_dataset(torch.zeros(3, 2, 4, 5), [0.0, 1.0, 2.0], case.grid(), case)
    with pytest.raises(InputError, match="2 times"):
        to_dataset(torch.zeros(3, 2, 4, 6), [0.0, 1.0], case.grid(), case)
    with pytest.raises(InputError, match="not made by sciml"):
        grid_of(xr.Dataset())


def trajectory() -> xr.Dataset:
    case = problem(Domain.periodic((2.0, math.pi), origin=(0.1, -0.3)))
    u = torch.randn((3, 2, 2, 4, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    u[0, 0, 0, 0, :3] = torch.tensor([-0.0, 5e-324, math.nan], dtype=torch.float64)
    return to_dataset(u, [0.0, 0.1, 0.3], case.grid(), case, {"method": "etdrk4", "dt": 0.1, "seed": 3, "steps": 12, "flag": True})


def test_netcdf_returns_the_same_bits(tmp_path: Path) -> None:
    ds = trajectory()
    path = save(ds, tmp_path / "run.nc")
    again = load(path)
    xr.testing.assert_identical(again, ds)
    assert again.attrs == ds.attrs and {k: type(v) for k, v in again.attrs.items()} == {k: type(v) for k, v in ds.attrs.items()}
    assert all(again[name].values.tobytes() == ds[name].values.tobytes() for name in ds.variables)
    assert grid_of(again) == grid_of(ds)
    assert path.read_bytes()[:4] == b"\x89HDF"
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_netcdf_is_readable_without_this_package(tmp_path: Path) -> None:
    ds = trajectory()
    with xr.open_dataset(save(ds, tmp_path / "run.nc"), engine="h5netcdf", decode_times=False) as plain:
        assert np.array_equal(plain["b"].values, ds["b"].values) and set(plain.coords) == {"sample", "time", "x", "y"}


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    ds = xr.Dataset({"u": ("x", np.random.default_rng(0).random(200_000))})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match="Cannot write"):
            save(ds, tmp_path / "run.nc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    for error in (KeyboardInterrupt, RuntimeError):
        with pytest.raises(error), atomic_file(target) as temporary:
            temporary.write_text("half")
            raise error
    assert target.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = trajectory()
    with pytest.raises(InputError, match="does not exist"):
        save(ds, tmp_path / "missing" / "run.nc")
    with pytest.raises(InputError, match="is a folder"):
        save(ds, tmp_path)
    with pytest.raises(InputError, match="NetCDF cannot hold"):
        save(ds.assign_attrs(bad={"a": 1}), tmp_path / "run.nc")
    check_writable(tmp_path / "later.nc")

    def refuse(path: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        check_writable(tmp_path / "run.nc")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_netcdf(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.nc")
    (tmp_path / "bad.nc").write_bytes(b"not a file")
    with pytest.raises(InputError, match="not a readable"):
        load(tmp_path / "bad.nc")


def test_folder_appears_when_complete_and_replaces_its_predecessor(tmp_path: Path) -> None:
    target = tmp_path / "report"
    for text in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / f"{text}.txt").write_text(text)
            assert not (target / f"{text}.txt").exists()
    assert sorted(p.name for p in target.iterdir()) == [MARKER, "two.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_interrupted_folder_keeps_what_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "report"
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as folder:
        (folder / "done.txt").write_text("done")
        raise KeyboardInterrupt
    assert not target.exists() and (tmp_path / "report.partial" / "done.txt").read_text() == "done"
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "other"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["report.partial"]


def test_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    (tmp_path / "report.partial").mkdir()
    for name, message in (("thesis", "something else"), ("file", "something else"), ("report", "in the way"), ("file/report", "Cannot write")):
        with pytest.raises(InputError, match=message), atomic_folder(tmp_path / name):
            raise AssertionError("must not be reached")
    assert (tmp_path / "thesis" / "chapter.txt").exists()
