"""Files of the Well as others write them: every part is read, variants are taken, damage is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from well_file import COUNT, SHAPE, STEPS, write_foreign

import sciml


@pytest.mark.parametrize("dims", [("x",), ("x", "y"), ("y", "x"), ("z", "x", "y"), ("r", "theta")])
def test_foreign_files_are_read_in_every_part(tmp_path: Path, dims: tuple[str, ...]) -> None:
    raw = write_foreign(tmp_path / "foreign.hdf5", dims)
    n, shape = len(dims), SHAPE[: len(dims)]
    known = set(dims) <= set("xyz")
    order = sorted(range(n), key=lambda i: dims[i]) if known else list(range(n))
    data = sciml.open_data(tmp_path)
    vectors, tensors = [f"velocity_{d}" for d in dims], [f"D_{a}{b}" for a in dims for b in dims]
    assert data.fields == ("pressure", "forcing", *vectors, *tensors) and data.inputs == ("mask", "layer") and data.parameters == ("Re", "drive")
    assert data.shape == tuple(shape[i] for i in order) and (len(data), data.steps) == (COUNT, STEPS)
    assert [x.tolist() for x in data.coords] == [((np.arange(shape[i]) + 0.5) * (i + 1)).tolist() for i in order]
    np.testing.assert_array_equal(data.times, np.linspace(0, 1, STEPS, dtype=np.float32))
    assert data.grid.periodic == tuple(i == 0 for i in order)
    layer = np.broadcast_to(raw["layer"].reshape(COUNT, *(1,) * (n - 1), shape[-1]), (COUNT, *shape))
    for i in range(COUNT):
        u = np.concatenate(
            [
                raw["pressure"][i][..., None],
                raw["forcing"][..., None],
                raw["velocity"][i],
                raw["D"][i].reshape(STEPS, *shape, n * n),
            ],
            axis=-1,
        )
        wanted = np.moveaxis(u, -1, 1).transpose(0, 1, *(2 + k for k in order))
        sample = data[i]
        assert torch.equal(sample.u, torch.from_numpy(wanted.copy())) and sample.u.dtype == torch.float32
        given = np.stack([raw["mask"], layer[i]]).transpose(0, *(1 + k for k in order))
        assert torch.equal(sample.inputs, torch.from_numpy(given.copy()))
        assert sample.parameters.tolist() == [100.0, float(raw["drive"][i])]
    window = data.windows(2, 1, stride=2)[1]
    assert torch.equal(torch.cat([window.before, window.after]), data[1].u[::2])
    ds = data.to_xarray()
    assert ds.attrs["Re"] == 100.0 and ds.attrs["simulation_parameters"] == ["Re"] and json.loads(ds.attrs["inputs"]) == ["mask", "layer"]
    assert sciml.open_data(sciml.write_well(tmp_path / "ours", ds)).to_xarray().identical(ds)


def edit(path: Path, change: Any) -> Path:
    write_foreign(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(file: h5py.File, name: str, values: Any) -> None:
    attrs = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attrs)


def test_variants_that_others_write(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replace(file, "t2_fields/D", file["t2_fields/D"][()].reshape(COUNT, STEPS, *SHAPE[:2], 4))
        replace(file, "scalars/Re", np.array([100.0]))
        replace(file, "dimensions/time", np.arange(COUNT * STEPS, dtype="f4").reshape(COUNT, STEPS))
        replace(file, "dimensions/x", np.tile(np.arange(4, dtype="f4"), (COUNT, 1)))
        replace(file, "dimensions/y", np.random.default_rng(0).random((COUNT, 6)))
        for name in ("time", "x", "y"):
            file["dimensions"][name].attrs["sample_varying"] = 1
        file["scalars"].attrs["field_names"] = np.array(["Re", "drive", "wind"], dtype="S")
        file["scalars/wind"] = np.zeros(STEPS)
        file["scalars/wind"].attrs.update({"sample_varying": False, "time_varying": True})
        replace(file, "t0_fields/pressure", file["t0_fields/pressure"][()].astype(">f8"))
        file["boundary_conditions/y_wall"].attrs["associated_dims"] = ["x"]

    path = edit(tmp_path / "a.hdf5", change)
    raw = write_foreign(tmp_path / "b.hdf5")
    with pytest.warns(sciml.DataWarning, match="vary in time are left out: wind"):
        data = sciml.open_data(path)
    assert torch.equal(data[1].u[:, 4:], torch.from_numpy(np.moveaxis(raw["D"][1].reshape(STEPS, 4, 6, 4), -1, 1).astype("f8")))
    assert torch.equal(data[2].u[:, 0], torch.from_numpy(raw["pressure"][2].astype("f8"))) and data[0].u.dtype == torch.float64
    assert data.parameters == ("Re", "drive") and json.loads(data.stores[0].facts.attrs["left_out"]) == ["wind"]
    assert [data.stores[0].read_times(i).tolist() for i in (0, 2)] == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]
    for what in ("times", "coords"):
        with pytest.raises(sciml.InputError, match=f"give {what}="):
            getattr(data, what)
    assert data.stores[0].facts.periodic is None
    replaced = edit(tmp_path / "c.hdf5", lambda f: f["boundary_conditions/x_periodic"].attrs.update({"bc_type": np.bytes_("wall")}))
    assert sciml.open_data(replaced).stores[0].facts.periodic == (False, False)
    listed = edit(tmp_path / "e.hdf5", lambda f: f["boundary_conditions/y_wall"].attrs.update({"bc_type": np.array([b"PERIODIC"])}))
    assert sciml.open_data(listed).stores[0].facts.periodic == (True, True)
    small = edit(tmp_path / "d.hdf5", lambda f: f["boundary_conditions/y_wall"].attrs.update({"bc_type": "periodic"}))
    assert sciml.open_data(small).stores[0].facts.periodic == (True, True)


def remove(name: str) -> Any:
    return lambda file: file.pop(name)


def attribute(name: str, key: str, value: Any = None) -> Any:
    return lambda file: file[name].attrs.pop(key) if value is None else file[name].attrs.update({key: value})


def renamed(group: str, old: str, new: str) -> Any:
    def change(file: h5py.File) -> None:
        file[group].move(old, new)
        file[group].attrs["field_names"] = [new if name == old else name for name in file[group].attrs["field_names"]]

    return change


DAMAGED = [
    (remove("t1_fields"), "a group t1_fields is expected.*nothing"),
    (remove("dimensions"), "a group dimensions is expected"),
    (remove("scalars"), "a group scalars is expected"),
    (remove("boundary_conditions"), "a group boundary_conditions is expected"),
    (remove("t0_fields/pressure"), r"/t0_fields names pressure.*/t0_fields/pressure there is nothing"),
    (remove("dimensions/y"), "y is a dimension, but under /dimensions/y there is nothing"),
    (remove("scalars/Re"), "/scalars names Re"),
    (attribute("/", "n_trajectories"), "n_trajectories is None; a whole number"),
    (attribute("/", "n_trajectories", 0), "n_trajectories is .*0.*; a whole number"),
    (attribute("/", "n_trajectories", "three"), "n_trajectories is 'three'"),
    (attribute("/", "n_trajectories", 4), r"pressure has shape \(3, 5, 4, 6\), but by its flags and 4 trajectories"),
    (attribute("/", "n_spatial_dims", 3), r"spatial_dims are \('x', 'y'\) where n_spatial_dims is 3"),
    (attribute("dimensions", "spatial_dims", ["x", "x"]), "spatial_dims are"),
    (attribute("dimensions", "spatial_dims"), "/dimensions needs an attribute spatial_dims with a list of names"),
    (attribute("t0_fields", "field_names", [1, 2]), "/t0_fields needs an attribute field_names with a list of names"),
    (attribute("t0_fields", "field_names"), "/t0_fields needs an attribute field_names"),
    (attribute("t0_fields/pressure", "sample_varying"), "/t0_fields/pressure needs an attribute sample_varying, true or false, and has None"),
    (attribute("t0_fields/pressure", "time_varying", 2), "pressure needs an attribute time_varying, true or false"),
    (attribute("t0_fields/pressure", "time_varying", [True, True]), "pressure needs an attribute time_varying"),
    (attribute("t0_fields/pressure", "time_varying", False), r"pressure has shape .*it should be \(3, 4, 6\)"),
    (attribute("t0_fields/pressure", "dim_varying"), "pressure needs an attribute dim_varying"),
    (attribute("t0_fields/pressure", "dim_varying", [True]), "pressure needs an attribute dim_varying"),
    (attribute("t0_fields/pressure", "dim_varying", [True, False]), r"it should be \(3, 5, 4\)"),
    (attribute("dimensions/time", "sample_varying"), "/dimensions/time needs an attribute sample_varying"),
    (attribute("dimensions/time", "sample_varying", True), r"/dimensions/time has shape \(5,\)"),
    (attribute("dimensions/x", "time_varying", True), "a moving grid cannot be read"),
    (attribute("scalars/drive", "sample_varying", False), r"/scalars/drive has shape \(3,\).*should be \(\)"),
    (
        lambda f: f["boundary_conditions/x_periodic"].attrs.update({"bc_type": "MOVING"}),
        "x_periodic is no group with an attribute bc_type of OPEN, PERIODIC, WALL",
    ),
    (attribute("boundary_conditions/x_periodic", "bc_type"), "x_periodic needs an attribute bc_type"),
    (attribute("boundary_conditions/x_periodic", "associated_dims"), "x_periodic needs an attribute associated_dims"),
    (attribute("boundary_conditions/x_periodic", "associated_dims", ["q"]), "x_periodic belongs to q, which is none of x, y"),
    (lambda f: replace(f, "t1_fields/velocity", np.zeros((3, 5, 4, 6, 3))), r"velocity has shape .*should be \(3, 5, 4, 6, 2\)"),
    (lambda f: replace(f, "t2_fields/D", np.zeros((3, 5, 4, 6, 3, 2))), r"should be \(3, 5, 4, 6, 2, 2\) or \(3, 5, 4, 6, 4\)"),
    (lambda f: replace(f, "t0_fields/pressure", np.zeros((3, 5, 4, 6), complex)), "complex128; real numbers are expected"),
    (lambda f: replace(f, "dimensions/time", np.array([0, 1, 1, 2, 3.0])), "the times in /dimensions/time do not increase"),
    (lambda f: replace(f, "dimensions/x", np.array([0, 1, np.nan, 2])), "/dimensions/x has entries that are not finite"),
    (lambda f: replace(f, "dimensions/x", np.zeros(5)), r"should be \(3, 5, 5, 6\)"),
    (renamed("t0_fields", "forcing", "velocity_x"), "two of its fields are called velocity_x"),
    (renamed("scalars", "drive", "mask"), "scalars Re, mask repeat a name.*rename mask"),
    (
        lambda f: [f[f"t{i}_fields"].attrs.update({"field_names": ["mask"] if i == 0 else np.array([], "S1")}) for i in range(3)],
        "none of its fields varies",
    ),
]


@pytest.mark.parametrize(("change", "message"), DAMAGED)
def test_damage_is_told_with_file_and_item(tmp_path: Path, change: Any, message: str) -> None:
    path = edit(tmp_path / "foreign.hdf5", change)
    with pytest.raises(sciml.InputError, match=f"foreign.hdf5: .*{message}"):
        sciml.open_data(path)
