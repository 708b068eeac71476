"""Trajectories in files as a PyTorch data set: lazy, exact, shared by workers."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

import sciml
from sciml.io.netcdf_store import write_netcdf


@pytest.fixture(scope="module", params=["float64", "float32"])
def run(request: pytest.FixtureRequest) -> xr.Dataset:
    problem = sciml.load_problem("burgers:li2021")
    return sciml.solve(problem, points=32, times=5, samples=4, end=0.1, dtype=getattr(torch, request.param))


def test_chunks_give_one_identical_file(tmp_path: Path, run: xr.Dataset) -> None:
    path = write_netcdf(tmp_path / "a.nc", (run.isel(sample=[i, i + 1]) for i in (0, 2)), 4)
    assert sciml.load(path).identical(run)
    assert sciml.open_data(path).to_xarray().identical(run)
    assert xr.open_dataset(path, engine="h5netcdf")["u"].equals(run["u"])


def test_samples_and_windows_hold_the_solved_values(tmp_path: Path, run: xr.Dataset) -> None:
    data = sciml.open_data(sciml.save(run, tmp_path / "a.nc"))
    u = sciml.to_tensor(run)
    assert (len(data), data.fields, data.steps) == (4, ("u",), 6)
    assert data.grid == sciml.grid_of(run)
    np.testing.assert_array_equal(data.times, run["time"].values)
    assert torch.equal(data[2].u, u[:, 2]) and torch.equal(data[-1].u, u[:, 3])
    pieces = data.windows(2, 1, stride=2)
    assert len(pieces) == 4 * 2
    assert torch.equal(pieces[5].before, u[[1, 3], 2]) and torch.equal(pieces[5].after, u[[5], 2])
    with pytest.raises(IndexError, match="there are 4"):
        data[4]


def test_workers_read_what_one_process_reads(tmp_path: Path, run: xr.Dataset) -> None:
    data = sciml.open_data(sciml.save(run, tmp_path / "a.nc"))
    data[0]
    loaded = torch.cat([window.before for window in DataLoader(data.windows(), batch_size=3, num_workers=2)])
    assert torch.equal(loaded, torch.stack([data.windows()[i].before for i in range(len(data.windows()))]))
    assert torch.equal(pickle.loads(pickle.dumps(data))[1].u, data[1].u)


def test_a_folder_is_read_file_after_file(tmp_path: Path, run: xr.Dataset) -> None:
    for i in (0, 1):
        sciml.save(run.isel(sample=slice(2 * i, 2 * i + 2)), tmp_path / f"part-{i}.nc")
    data = sciml.open_data(tmp_path)
    assert len(data) == 4 and torch.equal(data[3].u, sciml.to_tensor(run)[:, 3])
    for axis in ("time", "x"):
        sciml.save(run.assign_coords({axis: (axis, 2 * run[axis].values)}), tmp_path / "part-2.nc")
        with pytest.raises(sciml.InputError, match=r"times or positions are not those of .*part-0\.nc"):
            sciml.open_data(tmp_path)
    assert len(sciml.open_data(tmp_path, coords=[run["x"].values])) == 8
    sciml.save(run.rename(u="v"), tmp_path / "part-2.nc")
    with pytest.raises(sciml.InputError, match=r"fields is \('v',\), but \('u',\)"):
        sciml.open_data(tmp_path)


def test_what_is_asked_wrongly_is_refused(tmp_path: Path, run: xr.Dataset) -> None:
    path = sciml.save(run, tmp_path / "a.nc")
    for options, message in (
        ({"times": [0.0, 1.0]}, "6 strictly increasing times are needed"),
        ({"coords": [np.arange(3.0)]}, "one per axis of lengths"),
        ({"periodic": (True, False)}, "one entry per axis"),
    ):
        with pytest.raises(sciml.InputError, match=message):
            sciml.open_data(path, **options)
    data = sciml.open_data(path)
    for arguments, message in (((4, 3), "span 7 instants"), ((0, 1), "at least 1, 0 and 1")):
        with pytest.raises(sciml.InputError, match=message):
            data.windows(*arguments)
    with pytest.raises(sciml.InputError, match="selects none"):
        data.to_xarray(slice(9, 10))


def test_chunks_that_do_not_fit_leave_no_file(tmp_path: Path, run: xr.Dataset) -> None:
    for chunks, samples, message in (
        ([run], 5, "5 samples were announced and 4 came"),
        ([run], 3, "do not fit 3"),
        ([run, run.rename(u="v")], 8, "do not fit 8"),
        ([run.isel(sample=0)], 1, "no sample axis"),
    ):
        with pytest.raises(sciml.InputError, match=message):
            write_netcdf(tmp_path / "a.nc", iter(chunks), samples)
        assert not list(tmp_path.iterdir())


def test_axes_in_another_order_are_refused_and_not_misread(tmp_path: Path, run: xr.Dataset) -> None:
    path = sciml.save(run.transpose("time", "sample", "x"), tmp_path / "a.nc")
    with pytest.raises(sciml.InputError, match="Transpose"):
        sciml.open_data(path)


def test_a_single_run_keeps_its_parameters(tmp_path: Path, run: xr.Dataset) -> None:
    single = run.isel(sample=0, drop=True).assign(k=0.25)
    data = sciml.open_data(sciml.save(single, tmp_path / "a.nc"))
    assert data.parameters == ("k",) and data[0].parameters.tolist() == [0.25]
    assert data.to_xarray()["k"].item() == 0.25


@pytest.mark.parametrize("attrs", [{"grid": "{bad"}, {"grid": '{"a": 1}'}, {"inputs": "bad"}, {"inputs": "3"}])
def test_records_that_make_no_sense_are_refused(tmp_path: Path, run: xr.Dataset, attrs: dict[str, str]) -> None:
    with pytest.raises(sciml.InputError, match="attribute (grid|inputs) is"):
        sciml.open_data(sciml.save(run.assign_attrs(attrs), tmp_path / "a.nc"))


def test_a_repeated_end_of_the_period_is_told(tmp_path: Path, run: xr.Dataset) -> None:
    wrong = xr.concat([run, run.isel(x=[0]).assign_coords(x=[1.0])], "x")
    data = sciml.open_data(sciml.save(wrong, tmp_path / "a.nc"), periodic=True)
    with pytest.warns(sciml.DataWarning, match="both ends of x"):
        assert data.grid.shape == (33,)


@pytest.mark.parametrize("options", [{"periodic": 1}, {"times": ["a"] * 6}, {"times": [0, 1, 2, 3, 4, np.inf]}, {"coords": 0.5}, {"coords": ["abc"]}])
def test_arguments_of_another_kind_are_refused(tmp_path: Path, run: xr.Dataset, options: dict[str, object]) -> None:
    with pytest.raises(sciml.InputError, match="given"):
        sciml.open_data(sciml.save(run, tmp_path / "a.nc"), **options)


def test_what_netcdf_cannot_hold_is_refused(tmp_path: Path, run: xr.Dataset) -> None:
    with pytest.raises(sciml.InputError, match="NetCDF cannot hold"):
        sciml.save(run.assign_attrs(flag=[True, False]), tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())
