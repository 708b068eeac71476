"""Data sets in the format of the Well: written by its rules, read back bit for bit, and read as others write them."""

from __future__ import annotations

import gc
import json
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

import sciml
from sciml.io.stored import POSITIONED, StoredArray
from sciml.io.well_write import split_counts


def made(samples: int = 5, shape: tuple[int, ...] = (4, 3), kind: str = "float32", seed: int = 0, steps: int | None = 3) -> xr.Dataset:
    """Two fields, an input, two numbers per sample; steady without ``steps``."""
    rng = np.random.default_rng(seed)
    axes = ("x", "y", "z")[: len(shape)]
    time = {} if steps is None else {"time": ("time", 0.1 * np.arange(steps) ** 1.5, {"units": "s"})}
    dims = ("sample", *time, *axes)
    size = (samples, *(() if steps is None else (steps,)), *shape)
    variables: dict[str, Any] = {name: (dims, rng.standard_normal(size).astype(kind), {"units": "m", "order": 1}) for name in ("u", "v")}
    variables["a"] = (("sample", *axes), rng.random((samples, *shape)).astype(kind), {"long_name": "coefficient"})
    variables["drag"] = ("sample", rng.random(samples), {"units": "1"})
    variables["force"] = ("sample", rng.random(samples))
    coords: dict[str, Any] = {axis: (axis, (np.arange(n) + 0.5) / n / 3, {"axis": axis.upper()}) for axis, n in zip(axes, shape, strict=True)}
    faces = [["periodic", "periodic"], [{"dirichlet": 0.0}, {"neumann": 0.0}], [{"dirichlet": 0.0}, {"dirichlet": 2.0}]][: len(shape)]
    told = {"parameters": {"viscosity": 0.1, "levels": [1, 2], "on": True, "n_trajectories": 7, "drag": 3.0}, "boundaries": faces, "inputs": ["a"]}
    attrs: dict[str, Any] = {name: json.dumps(value) for name, value in told.items()} | {"seed": 3, "dt": 1e-3, "weights": np.arange(3, dtype="i2")}
    return xr.Dataset(variables, {**coords, **time, "sample": np.arange(samples)}, attrs)


def pieces(ds: xr.Dataset, *cuts: int) -> Iterator[xr.Dataset]:
    for start, stop in zip((0, *cuts), (*cuts, ds.sizes["sample"]), strict=True):
        yield ds.isel(sample=slice(start, stop))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "steps"), [((7,), 3), ((4, 3), 3), ((3, 2, 4), 2), ((4, 3), None)])
def test_what_is_written_comes_back_bit_for_bit(tmp_path: Path, shape: tuple[int, ...], steps: int | None, kind: str) -> None:
    ds = made(shape=shape, steps=steps, kind=kind)
    folder = sciml.write_well(tmp_path / "set", pieces(ds, 2, 4), 5, split=(3, 1, 1))
    back = sciml.open_data(folder).to_xarray()
    assert back.identical(ds)
    for name in ("u", "v", "a", "drag", "time", "x"):
        if name in ds.variables:
            assert back[name].values.tobytes() == ds[name].values.tobytes() and back[name].dtype == ds[name].dtype
    assert back.attrs["weights"].dtype == np.int16 and type(back.attrs["seed"]) is int
    parts = {part: sciml.open_data(folder, split=part) for part in ("train", "valid", "test")}
    assert [len(data) for data in parts.values()] == [3, 1, 1]
    assert torch.equal(parts["test"][0].u, torch.from_numpy(np.stack([ds["u"].values[4], ds["v"].values[4]], axis=0 if steps is None else 1)))
    assert torch.equal(parts["valid"][0].inputs, torch.from_numpy(ds["a"].values[3][None]))
    assert parts["valid"][0].parameters.tolist() == [ds["drag"].values[3], ds["force"].values[3]]
    assert parts["train"].steps == steps
    if steps is None:  # a steady state is the same at all instants
        assert np.array_equal(parts["train"].stores[0].read(1, slice(1, 2))[1], ds["v"].values[1])
    file = sciml.open_data(folder / "data" / "train" / "set.hdf5")
    assert file.to_xarray().identical(ds.isel(sample=slice(0, 3)))


def test_a_solved_run_comes_back(tmp_path: Path) -> None:
    run = sciml.solve(sciml.load_problem("burgers:raissi2019_dirichlet"), points=16, times=3, end=0.1)
    data = sciml.open_data(sciml.write_well(tmp_path / "run", run))
    assert data.to_xarray().identical(run) and data.grid == sciml.grid_of(run) and data[0].parameters.numel() == 0


def test_files_keep_the_rules_of_the_format(tmp_path: Path) -> None:
    ds = made(shape=(4, 3, 5))
    folder = sciml.write_well(tmp_path / "set", ds, name="flow", split=(1.0, 0, 0))
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == ["data", "data/train", "data/train/flow.hdf5", "stats.yaml"]
    with h5py.File(folder / "data" / "train" / "flow.hdf5") as file:
        attrs = file.attrs
        assert (attrs["dataset_name"], attrs["grid_type"], attrs["n_spatial_dims"], attrs["n_trajectories"]) == ("flow", "cartesian", 3, 5)
        assert sorted(attrs["simulation_parameters"]) == ["parameter_n_trajectories", "viscosity"]
        assert attrs["viscosity"] == 0.1 and file["scalars/viscosity"][()] == np.float32(0.1) and file["scalars/viscosity"].shape == ()
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x", "y", "z"]
        varying = {"dimensions/time": (False, True), "dimensions/x": (False, False), "t0_fields/u": (True, True), "t0_fields/a": (True, False)}
        varying |= {"scalars/viscosity": (False, False), "scalars/drag": (True, False), "boundary_conditions/x_periodic": (False, False)}
        for name, flags in varying.items():
            found = [file[name].attrs[flag] for flag in ("sample_varying", "time_varying")]
            assert tuple(found) == flags and all(type(flag) is np.bool_ for flag in found), name
        for name in ("u", "v", "a"):
            assert file["t0_fields"][name].attrs["dim_varying"].tolist() == [True] * 3
            assert file["t0_fields"][name].attrs["dim_varying"].dtype == bool
            assert np.array_equal(file["t0_fields"][name][()], ds[name].values)
        names = {group: list(file[group].attrs["field_names"]) for group in ("t0_fields", "t1_fields", "t2_fields", "scalars")}
        assert names == {"t0_fields": ["u", "v", "a"], "t1_fields": [], "t2_fields": [], "scalars": list(file["scalars"].attrs["field_names"])}
        assert sorted(names["scalars"]) == ["drag", "force", "parameter_n_trajectories", "viscosity"]
        assert np.array_equal(file["scalars/drag"][()], ds["drag"].values.astype(np.float32))
        masks = {name: condition["mask"][()].tolist() for name, condition in file["boundary_conditions"].items()}
        both = [True, *[False] * 3, True]
        assert masks == {"x_periodic": both[:2] + both[3:], "y_wall": [True, False, False], "y_open": [False, False, True], "z_wall": both}
        kinds = {name: (c.attrs["bc_type"], list(c.attrs["associated_dims"])) for name, c in file["boundary_conditions"].items()}
        assert kinds == {name: (name[2:].upper(), [name[0]]) for name in masks}
        assert file["x"] == file["dimensions/x"] and file["x"].dtype == np.float32
    by_name = xr.open_dataset(folder / "data" / "train" / "flow.hdf5", group="t0_fields", engine="h5netcdf")
    assert by_name["u"].dims == ("sample", "time", "x", "y", "z") and by_name["a"].dims == ("sample", "x", "y", "z")
    assert np.array_equal(by_name["u"].values, ds["u"].values)
    tree = xr.open_datatree(folder / "data" / "train" / "flow.hdf5", engine="h5netcdf")
    assert np.array_equal(tree["t0_fields/u"].isel(sample=1, time=2)["y"].values, ds["y"].values.astype(np.float32))


def test_faces_follow_the_grid_where_no_boundaries_are_told(tmp_path: Path) -> None:
    ds = made()
    for i, (grid, expected) in enumerate((({"periodic": [True, False]}, ["x_periodic", "y_open"]), ({"periodic": [True]}, []), (5, []))):
        told = ds.assign_attrs(boundaries="not JSON", grid=json.dumps(grid))
        folder = sciml.write_well(tmp_path / str(i), told, split=(5, 0, 0))
        with h5py.File(folder / "data" / "train" / f"{i}.hdf5") as file:
            assert list(file["boundary_conditions"]) == expected


def test_statistics_are_those_of_the_training_part(tmp_path: Path) -> None:
    ds = made(samples=7)
    ds["u"].values[:] += 1e4
    folder = sciml.write_well(tmp_path / "set", pieces(ds, 1, 2, 5), 7, split=(4, 2, 1))
    train = ds.isel(sample=slice(0, 4))
    stats = sciml.read_stats(folder, ("v", "u", "a"))
    for i, name in enumerate(("v", "u", "a")):
        values = train[name].values.astype(np.float64)
        for kind, function in (("mean", np.mean), ("std", np.std), ("rms", lambda v: np.sqrt(np.mean(v**2)))):
            assert getattr(stats, kind)[i] == pytest.approx(function(values), rel=1e-12, abs=1e-14)
            if name != "a":
                assert getattr(stats, f"{kind}_delta")[i] == pytest.approx(function(np.diff(values, axis=1)), rel=1e-11, abs=1e-13)
    assert np.isnan([stats.mean_delta[2], stats.std_delta[2], stats.rms_delta[2]]).all()
    steady = sciml.read_stats(sciml.write_well(tmp_path / "steady", made(steps=None)), ("u",))
    assert (steady.mean_delta[0], steady.std_delta[0], steady.rms_delta[0]) == (0, 0, 0) and steady.std[0] > 0.5


def test_statistics_written_by_others_are_read(tmp_path: Path) -> None:
    text = """---
mean:  # block style
  pressure: 1e-05
  velocity:
  - 0.5
  - -2
  D:
  - - 1.0
    - 2.0
  - - 3.0
    - 4
std:
  'pressure': 2.0
  "velocity": [1.0,
    3.0]
  D: [[1, 2], [3, 4]]
rms:
  D: [[1, 2], [3, .nan]]
mean_delta:
  pressure: -.inf
"""
    (tmp_path / "stats.yaml").write_text(text)
    channels = ("pressure", "velocity_x", "velocity_y", "D_xx", "D_xy", "D_yx", "D_yy")
    stats = sciml.read_stats(tmp_path / "stats.yaml", channels)
    assert stats.mean.tolist() == [1e-05, 0.5, -2, 1, 2, 3, 4] and stats.std.tolist() == [2, 1, 3, 1, 2, 3, 4]
    np.testing.assert_array_equal(stats.rms, [np.nan, np.nan, np.nan, 1, 2, 3, np.nan])
    assert stats.mean_delta[0] == -np.inf and np.isnan(stats.mean_delta[1:]).all()
    with pytest.raises(sciml.InputError, match="velocity has more components than the channels velocity_y name"):
        sciml.read_stats(tmp_path / "stats.yaml", ("velocity_y",))
    odd = {"mean:\n  u: fast\n": "could not convert", "": "it is empty", "- 1\n": "not understood", "mean: 1\n": "not understood"}
    for wrong, message in odd.items():
        (tmp_path / "stats.yaml").write_text(wrong)
        with pytest.raises(sciml.InputError, match=f"stats.yaml: .*{message}.*expected"):
            sciml.read_stats(tmp_path, ("u",))
    (tmp_path / "stats.yaml").write_text("mean:\n  u: 1.0\nstd:\n  w: 1.0\n")
    with pytest.raises(sciml.InputError, match="no mean and std of u; it tells of u"):
        sciml.read_stats(tmp_path, ("u",))
    with pytest.raises(sciml.InputError, match=r"Cannot read .*stats.yaml: No such file.*give the folder"):
        sciml.read_stats(tmp_path / "absent" / "stats.yaml", ("u",))


def test_records_that_contradict_their_file_are_told(tmp_path: Path) -> None:
    def spoiled(change: Any) -> Path:
        path = sciml.write_well(tmp_path / f"{len(list(tmp_path.iterdir()))}", made(), split=(5, 0, 0)).rglob("*.hdf5").__next__()
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    def note(**changes: Any) -> Any:
        def change(file: h5py.File) -> None:
            text = json.loads(file["sciml/sciml"].asstr()[()]) | changes
            del file["sciml/sciml"]
            file["sciml/sciml"] = json.dumps(text)

        return change

    def short(file: h5py.File) -> None:
        del file["sciml/parameters/drag"]
        file["sciml/parameters/drag"] = np.zeros(4)

    for change, message in (
        (note(fields={"u": "t0_fields/u"}), "names u, other fields than the file has"),
        (note(inputs={}), "other fields than the file has"),
        (note(steady=True), "data are steady, but there are 3 times"),
        (note(parameters=["lift"]), "its record names lift among the parameters, but under /sciml/parameters/lift there is nothing"),
        (short, r"/sciml/parameters/drag has shape \(4,\); \(5,\) is expected"),
        (note(attrs=3), "the record /sciml/sciml is damaged"),
    ):
        with pytest.raises(sciml.InputError, match=message):
            sciml.open_data(spoiled(change))
    bare = sciml.open_data(spoiled(lambda file: file.pop("sciml")))
    assert bare.fields == ("u", "v") and bare.parameters == ("viscosity", "parameter_n_trajectories", "drag", "force")
    assert torch.equal(bare[3].u[:, 1], torch.from_numpy(made()["v"].values[3]))


def test_parts_of_a_folder(tmp_path: Path) -> None:
    ds = made(samples=10)
    folder = sciml.write_well(tmp_path / "set", ds)
    assert [len(sciml.open_data(folder, split=part)) for part in ("train", "valid", "test")] == [8, 1, 1]
    assert len(sciml.open_data(folder / "data")) == 10 and len(sciml.open_data(folder / "data" / "train")) == 8
    assert sciml.open_data(folder / "data", split="valid")[0].parameters[0] == ds["drag"].values[8]
    with pytest.raises(sciml.InputError, match="split='dev' asked for, but there are train, valid, test"):
        sciml.open_data(folder, split="dev")
    with pytest.raises(sciml.InputError, match="split='test' asked for, but it is not laid out"):
        sciml.open_data(tmp_path, split="test")
    with pytest.raises(sciml.InputError, match="holds no file that ends in"):
        sciml.open_data(tmp_path)
    small = sciml.write_well(tmp_path / "small", made(samples=2))
    assert [path.name for path in (small / "data").iterdir()] == ["train"]


@pytest.mark.parametrize(
    ("split", "samples", "expected"),
    [
        ((0.8, 0.1, 0.1), 10, [8, 1, 1]),
        ((0.8, 0.1, 0.1), 5, [4, 1, 0]),
        ((0.5, 0.25, 0.25), 7, [4, 1, 2]),
        ((3, 0, 4), 7, [3, 0, 4]),
        ((1, 0, 0), 9, [9, 0, 0]),
    ],
)
def test_splits_add_up(split: tuple[float, ...], samples: int, expected: list[int]) -> None:
    assert split_counts(split, samples) == expected


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.9, 0.2, 0.1), (3, 1, 0), (-1, 3, 3), (0, 1, 4), (0, 0.5, 0.5), (2.5, 2.5, 0), (float("nan"), 0, 1)])
def test_splits_that_do_not_add_up_are_refused(tmp_path: Path, split: tuple[float, ...]) -> None:
    with pytest.raises(sciml.InputError, match="are expected, with at least one sample for training"):
        sciml.write_well(tmp_path / "set", made(), split=split)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    ds = made()
    shared = [ds.isel(sample=slice(0, 2)).assign(a=ds["a"][0]), ds.isel(sample=slice(2, 5)).assign(a=ds["a"][1])]
    refused: list[tuple[Any, Any, dict[str, Any], str]] = [
        (iter([ds]), None, {}, "samples=None given; say how many"),
        (ds, 0, {}, "samples=0 given"),
        (ds, 6, {}, "6 samples were announced and 5 came"),
        (ds, 4, {}, "samples 0 to 4 do not fit the others: 4 samples were announced"),
        (pieces(ds, 2), 4, {}, "samples 2 to 4 do not fit"),
        ((part.rename(u=f"u{i}") for i, part in enumerate(pieces(ds, 2))), 5, {}, "samples 2 to 4 do not fit the others: fields"),
        ((part.assign_coords(x=part["x"] + i) for i, part in enumerate(pieces(ds, 2))), 5, {}, "another x coordinate"),
        (iter(shared), 5, {}, "a has no axis of samples but differs from chunk to chunk"),
        (ds.rename(u="a/b"), None, {}, "a/b cannot be the name of an HDF5 item"),
        (ds.assign_attrs(odd={1: 2}), None, {}, "write_well: an attribute of the dataset cannot be written"),
        (ds.assign(u=ds["u"].astype(int)), None, {}, "write_well: the variables are of types"),
        (ds, None, {"name": "a/b"}, "name='a/b' cannot be the name of a file"),
        (ds, None, {"name": ".hidden"}, "cannot be the name of a file"),
    ]
    for chunks, samples, options, message in refused:
        with pytest.raises(sciml.InputError, match=message):
            sciml.write_well(tmp_path / "set", chunks, samples, **options)
        assert list(tmp_path.iterdir()) == [], message
    (tmp_path / "file").write_text("")
    with pytest.raises(sciml.InputError, match="file holds data already"):
        sciml.write_well(tmp_path / "file", ds)
    with pytest.raises(sciml.InputError, match="Cannot write .*below: .*Choose a place that is writable"):
        sciml.write_well(tmp_path / "file" / "below", ds)
    folder = sciml.write_well(tmp_path / "set", ds)
    with pytest.raises(sciml.InputError, match="holds data already; give a new folder"):
        sciml.write_well(folder, ds)
    assert sciml.open_data(folder).to_xarray().identical(ds)


def test_an_interruption_leaves_nothing_and_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    def broken() -> Iterator[xr.Dataset]:
        yield made(samples=4)
        assert (tmp_path / "set").is_dir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sciml.write_well(tmp_path / "set", broken(), 8)
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / "set" / ".data.partial" / "train"
    left.mkdir(parents=True)
    (left / "old.hdf5").write_text("half")
    (tmp_path / "set" / "data").mkdir()
    sciml.write_well(tmp_path / "set", made())
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["set", "data", "stats.yaml", *["train", "valid", "set.hdf5", "set.hdf5"]])


def test_one_chunk_is_held_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def chunks() -> Iterator[xr.Dataset]:
        nonlocal most
        for i in range(4):
            gc.collect()
            most = max(most, sum(reference() is not None for reference in alive))
            ds = made(samples=3, seed=i)
            alive.append(weakref.ref(ds["u"].values.base if ds["u"].values.base is not None else ds["u"].values))
            yield ds
            del ds

    sciml.write_well(tmp_path / "set", chunks(), 12)
    assert most <= 1


def test_inputs_that_samples_share_are_stored_once(tmp_path: Path) -> None:
    ds = made().assign(a=made()["a"][0])
    folder = sciml.write_well(tmp_path / "set", pieces(ds, 2), 5)
    with h5py.File(folder / "data" / "valid" / "set.hdf5") as file:
        assert file["t0_fields/a"].shape == (4, 3) and not file["t0_fields/a"].attrs["sample_varying"]
    for sample in sciml.open_data(folder):
        assert torch.equal(sample.inputs[0], torch.from_numpy(ds["a"].values))
        sample.inputs.zero_()  # the reader's copy is untouched


def test_workers_and_pickles_read_the_same(tmp_path: Path) -> None:
    ds = made(samples=6)
    data = sciml.open_data(sciml.write_well(tmp_path / "set", ds, split=(4, 1, 1)))
    pieces = data.windows(1, 1)
    expected = torch.from_numpy(np.stack([ds["u"].values, ds["v"].values], axis=2))
    assert torch.equal(data[5].u, expected[5])
    loaded = list(DataLoader(pieces, batch_size=3, num_workers=2))
    assert torch.equal(torch.cat([w.before[:, 0] for w in loaded]), expected[:, :2].flatten(0, 1))
    assert torch.equal(torch.cat([w.after[:, 0] for w in loaded]), expected[:, 1:].flatten(0, 1))
    numbers = torch.from_numpy(np.stack([ds["drag"].values, ds["force"].values], 1)).repeat_interleave(2, 0)
    assert torch.equal(torch.cat([w.parameters for w in loaded]), numbers)
    first, second = pieces[0], pieces[1]
    first.inputs.zero_()
    assert torch.equal(second.inputs, pieces[0].inputs) and second.inputs.abs().sum() > 0
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[3].u, data[3].u) and torch.equal(again[3].parameters, data[3].parameters)
    data.stores[0].close()
    assert torch.equal(data[1].u, again[1].u)


NUMBERS = np.random.default_rng(0).standard_normal((4, 5, 3, 2))


@pytest.mark.parametrize(
    ("kind", "options", "direct"),
    [
        ("f4", {}, True),
        ("f8", {}, True),
        (">f4", {}, False),
        ("i4", {}, False),
        ("f8", {"chunks": (1, 5, 3, 2)}, False),
        ("f4", {"chunks": (1, 5, 3, 2), "compression": "gzip"}, False),
    ],
)
@pytest.mark.parametrize("block", [0, 1024])
def test_arrays_are_read_the_same_with_and_without_the_library(tmp_path: Path, kind: str, options: dict[str, Any], direct: bool, block: int) -> None:
    values = (10 * NUMBERS).astype(kind)
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=block) as file:
        file["before"] = np.ones(37)
        file.create_dataset("u", data=values, **options)
        file.create_dataset("unwritten", (3, 2), kind)
        file["one"] = np.float64(2.5)
    with h5py.File(tmp_path / "a.h5") as file:
        array = StoredArray(file["u"])
        assert (array._start is not None) == (direct and POSITIONED)
        whole: list[tuple[tuple[int, ...], slice | None]] = [((), None), ((2,), None), ((3, 4, 2), None)]
        for lead, rows in [*whole, ((1,), slice(1, 4)), ((1,), slice(0, 5, 2)), ((), slice(-1, None)), ((0,), slice(3, 3))]:
            found = array.read(lead, rows)
            expected = values[lead] if rows is None else values[(*lead, rows)]
            assert np.array_equal(found, expected) and found.shape == expected.shape and found.dtype == expected.dtype, (lead, rows)
        for lead in ((4,), (-1,), (0, 5)):
            with pytest.raises(IndexError, match=r"/u has shape \(4, 5, 3, 2\)"):
                array.read(lead)
        assert np.array_equal(StoredArray(file["unwritten"]).read(), np.zeros((3, 2)))
        assert StoredArray(file["one"]).read() == 2.5


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = next(sciml.write_well(tmp_path / "set", made(samples=1, shape=(64, 64)), split=(1, 0, 0)).rglob("*.hdf5"))
    data = sciml.open_data(path)
    assert data[0].u.shape == (3, 2, 64, 64)
    with open(path, "rb+") as file:
        file.truncate(20_000)
    with pytest.raises(sciml.InputError, match=r"the file ends before /t0_fields/\w does"):
        data[0]
