"""PDEBench's three layouts: what others wrote is read, what is written comes back, what is damaged is refused."""

from __future__ import annotations

import json
import math
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

import sciml
from sciml.core.derivatives import AXES

Spoil = Callable[[h5py.File], Any]


def values(*shape: int, dtype: str = "f4", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def centres(n: int, start: float = -1.0, length: float = 2.0) -> np.ndarray:
    return (start + (np.arange(n) + 0.5) * length / n).astype("f4")


def write(path: Path, content: dict[str, Any], attrs: dict[str, Any] | None = None) -> Path:
    """A file as somebody else would write it; a key ``group@name`` is an attribute."""
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            group, _, attribute = name.partition("@")
            if attribute:
                file[group].attrs[attribute] = value
            else:
                file[name] = value
        file.attrs.update(attrs or {})
    return path


def scalar(samples: int = 3, steps: int = 4, n: int = 8) -> dict[str, Any]:
    return {"tensor": values(samples, steps, n), "x-coordinate": centres(n), "t-coordinate": np.arange(steps + 1, dtype="f4") / 8}


def flow(ndim: int) -> dict[str, Any]:
    names, shape = ("density", "pressure", "Vx", "Vy", "Vz")[: 2 + ndim], (5, 6, 7)[:ndim]
    fields = {name: values(2, 3, *shape, seed=i) for i, name in enumerate(names)}
    lines = {f"{axis}-coordinate": centres(n) for axis, n in zip(AXES, shape, strict=False)}
    return {**fields, **lines, "t-coordinate": np.arange(4.0)}


def darcy() -> dict[str, Any]:
    return {"tensor": values(3, 1, 5, 6), "nu": values(3, 5, 6, seed=1), "x-coordinate": centres(5), "y-coordinate": centres(6)}


def groups(names: tuple[str, ...] = ("0000", "0001"), space: tuple[int, ...] = (5, 6), channels: int = 2) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for i, name in enumerate(names):
        content[f"{name}/data"] = values(4, *space, channels, seed=i)
        content |= {f"{name}/grid/{axis}": centres(n) for axis, n in zip(AXES, space, strict=False)}
        content[f"{name}/grid/t"] = np.arange(4, dtype="f4") / 4
    return content


def incompressible(samples: int = 2, steps: int = 4) -> dict[str, Any]:
    t = np.tile(np.arange(steps, dtype="f4") / 4, (samples, 1))
    velocity, particles = values(samples, steps, 5, 6, 2), values(samples, steps, 5, 6, 1, seed=1)
    return {"velocity": velocity, "particles": particles, "force": values(samples, 5, 6, 2, seed=2), "t": t}


# What others wrote


def test_a_scalar_equation_is_read_with_its_coefficient(tmp_path: Path) -> None:
    content = scalar()
    data = sciml.open_data(write(tmp_path / "any.name", content, {"Nu": 0.01, "note": np.bytes_(b"text")}), periodic=True)
    assert (data.fields, data.parameters, data.inputs, data.shape, len(data)) == (("u",), ("Nu",), (), (8,), 3)
    np.testing.assert_array_equal(data.times, content["t-coordinate"][:4])
    np.testing.assert_array_equal(data.coords[0], content["x-coordinate"])
    assert data.grid == sciml.Grid((8,), (2.0,), True, (float(content["x-coordinate"][0]),), torch.float32)
    assert torch.equal(data[2].u, torch.from_numpy(content["tensor"][2])[:, None])
    assert data[1].parameters.tolist() == [0.01] and data.to_xarray().attrs == {"Nu": 0.01, "note": "text"}
    assert torch.equal(data.windows(1, 1, stride=2)[3].after, torch.from_numpy(content["tensor"][1, 3:4])[:, None])
    assert torch.equal(pickle.loads(pickle.dumps(data))[-1].u, data[2].u)


def test_files_of_several_coefficients_make_one_parametric_data_set(tmp_path: Path) -> None:
    for name, value in (("Nu", np.array([0.1])), ("nu", 0.2)):  # some writers keep a number as a list of one
        write(tmp_path / f"{name}.hdf5", scalar(2), {name: value, "rho": 1})
    data = sciml.open_data(tmp_path)
    assert data.parameters == ("Nu", "rho")
    assert [sample.parameters.tolist() for sample in data] == [[0.1, 1.0], [0.1, 1.0], [0.2, 1.0], [0.2, 1.0]]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_compressible_flow_has_its_fields_in_order(tmp_path: Path, ndim: int) -> None:
    content = flow(ndim)
    data = sciml.open_data(write(tmp_path / "a.h5", content, {"eta": 0.1, "zeta": 0.2, "M": 1.0}))
    assert data.fields == ("density", "pressure", "Vx", "Vy", "Vz")[: 2 + ndim] and data.parameters == ("eta", "zeta", "M")
    np.testing.assert_array_equal(data[1].u, np.stack([content[name][1] for name in data.fields], axis=1))
    with pytest.raises(sciml.InputError, match="give periodic= to open_data"):
        _ = data.grid


def test_darcy_flow_is_steady_with_an_input(tmp_path: Path) -> None:
    content = darcy()
    data = sciml.open_data(write(tmp_path / "a.hdf5", content, {"beta": 1.0}), periodic=False)
    assert (data.steps, data.fields, data.inputs, data.parameters) == (None, ("u",), ("nu",), ("beta",))
    np.testing.assert_array_equal(data[2].u, content["tensor"][2])
    np.testing.assert_array_equal(data[2].inputs, content["nu"][2:])
    assert data.grid.lengths == pytest.approx((2.0, 2.0)) and data.grid.origin == pytest.approx((-1.0, -1.0))
    ds = data.to_xarray()
    assert ds["u"].dims == ds["nu"].dims == ("sample", "x", "y") and json.loads(ds.attrs["inputs"]) == ["nu"]
    again = sciml.open_data(sciml.write_pdebench(tmp_path / "b.hdf5", ds)).to_xarray()
    assert again.identical(ds)


def test_a_coefficient_beside_times_is_an_input(tmp_path: Path) -> None:
    content = scalar() | {"nu": values(3, 8, seed=5)}
    data = sciml.open_data(write(tmp_path / "a.hdf5", content))
    assert (data.steps, data.inputs) == (4, ("nu",))
    np.testing.assert_array_equal(data[1].inputs, content["nu"][1:2])


@pytest.mark.parametrize("stored", [">f4", "<f8", "<f2", "<i4"])
def test_any_type_of_number_is_handed_out_as_float(tmp_path: Path, stored: str) -> None:
    content = scalar()
    content["tensor"] = (8 * content["tensor"]).astype(stored)
    data = sciml.open_data(write(tmp_path / "a.hdf5", content))
    assert data[0].u.dtype == (torch.float32 if stored in (">f4", "<f2") else torch.float64)
    np.testing.assert_array_equal(data[0].u[:, 0], content["tensor"][0].astype("f8"))


@pytest.mark.parametrize(("missing", "argument"), [("t-coordinate", "times"), ("x-coordinate", "coords")])
def test_what_a_file_does_not_say_is_asked_for_by_name(tmp_path: Path, missing: str, argument: str) -> None:
    content = scalar()
    path = write(tmp_path / "a.hdf5", {k: v for k, v in content.items() if k != missing})
    given: dict[str, Any] = {"times": np.arange(4.0)} if argument == "times" else {"coords": [centres(8)]}
    with pytest.raises(sciml.InputError, match=f"give {argument}= to open_data"):
        sciml.open_data(path).to_xarray()
    ds = sciml.open_data(path, **given).to_xarray()
    np.testing.assert_array_equal(ds["u"], content["tensor"])


def test_one_state_with_a_time_is_not_steady(tmp_path: Path) -> None:
    content = scalar(steps=1)
    data = sciml.open_data(write(tmp_path / "a.hdf5", content))
    assert data.steps == 1 and data.times.tolist() == [0.0]
    np.testing.assert_array_equal(data[1].u, content["tensor"][1][None])


def test_the_rank_tells_the_dimension_where_coordinates_do_not(tmp_path: Path) -> None:
    tensor = values(2, 3, 5, 6)
    data = sciml.open_data(write(tmp_path / "a.hdf5", {"tensor": tensor}))
    assert (data.steps, data.shape) == (3, (5, 6))
    np.testing.assert_array_equal(data[1].u[:, 0], tensor[1])


@pytest.mark.parametrize("space", [(8,), (5, 6), (3, 4, 5)])
def test_groups_are_samples_in_the_order_of_their_numbers(tmp_path: Path, space: tuple[int, ...]) -> None:
    content = groups(("0123", "7", "10000"), space)
    data = sciml.open_data(write(tmp_path / "a.h5", content), periodic=False)
    assert (len(data), data.fields, data.shape, data.steps) == (3, ("u0", "u1"), space, 4)
    for i, name in enumerate(("7", "0123", "10000")):
        np.testing.assert_array_equal(data[i].u, np.moveaxis(content[f"{name}/data"], -1, 1))
    np.testing.assert_array_equal(data.windows()[1].after, np.moveaxis(content["7/data"][2:3], -1, 1))
    np.testing.assert_array_equal(data.times, [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(data.coords[-1], centres(space[-1]))


@pytest.mark.parametrize(
    ("name", "channels", "fields"),
    [
        ("2d_diff-react", 2, ("activator", "inhibitor")),
        ("2d_rdb", 1, ("h",)),
        ("1d_diff-sorp", 1, ("u",)),
        ("2d_rdb", 2, ("u0", "u1")),
        ("other", 1, ("u",)),
    ],
)
@pytest.mark.parametrize("at", ["0000@config", "@0000/config"])
def test_the_configuration_names_the_channels_and_stays_a_text(tmp_path: Path, at: str, name: str, channels: int, fields: tuple[str, ...]) -> None:
    text = f"work_dir: .\nname: {name}\nsim:\n  k: 5E-3\n"
    path = write(tmp_path / "a.h5", groups(channels=channels))
    with h5py.File(path, "r+") as file:
        group, _, attribute = at.partition("@")
        file[group or "/"].attrs[attribute] = text
    data = sciml.open_data(path)
    assert data.fields == fields and data.to_xarray().attrs == {"config": text}


def test_incompressible_flow_has_components_and_a_force(tmp_path: Path) -> None:
    content = incompressible()
    data = sciml.open_data(write(tmp_path / "a.h5", content, {"config": "NU: 0.01", "latestIndex": 3}))
    assert data.fields == ("velocity_x", "velocity_y", "particles") and data.inputs == ("force_x", "force_y")
    np.testing.assert_array_equal(data[1].u, np.moveaxis(np.concatenate([content["velocity"], content["particles"]], -1)[1], -1, 1))
    np.testing.assert_array_equal(data[1].inputs, np.moveaxis(content["force"][1], -1, 0))
    np.testing.assert_array_equal(data.times, content["t"][0])
    with pytest.raises(sciml.InputError, match="give coords= to open_data"):
        _ = data.coords
    ds = sciml.open_data(data.stores[0].path, coords=[centres(5), centres(6)]).to_xarray()
    assert ds.attrs["config"] == "NU: 0.01" and ds["force_y"].dims == ("sample", "x", "y")


def test_incompressible_flow_without_its_extras(tmp_path: Path) -> None:
    content = incompressible()
    data = sciml.open_data(write(tmp_path / "a.h5", {k: content[k] for k in ("velocity", "t")}))
    assert (data.fields, data.inputs) == (("velocity_x", "velocity_y"), ())
    np.testing.assert_array_equal(data[0].u, np.moveaxis(content["velocity"][0], -1, 1))
    untimed = sciml.open_data(write(tmp_path / "b.h5", {k: content[k] for k in ("velocity", "particles")}))
    with pytest.raises(sciml.InputError, match="give times= to open_data"):
        _ = untimed.times


def test_an_interrupted_simulation_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    content = incompressible()
    content["t"][:, 2:] = 0
    data = sciml.open_data(write(tmp_path / "a.h5", content, {"latestIndex": 1}))
    assert data.steps == 2 and data[0].u.shape[0] == 2
    np.testing.assert_array_equal(data[0].u[:, 2], content["particles"][0, :2, ..., 0])
    np.testing.assert_array_equal(data.times, [0, 0.25])
    for latest in (-1, 1):
        assert sciml.open_data(write(tmp_path / f"{latest}.h5", incompressible(), {"latestIndex": latest})).steps == 4


def test_samples_with_times_of_their_own_keep_them(tmp_path: Path) -> None:
    content = incompressible()
    content["t"][1] *= 2
    store = sciml.open_data(write(tmp_path / "a.h5", content)).stores[0]
    for i in (0, 1):
        np.testing.assert_array_equal(store.read_times(i), content["t"][i])


def test_one_sample_of_a_file_of_eight_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    one = values(201, 1024)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        big = file.create_dataset("tensor", (10000, 201, 1024), "f4", chunks=(1, 201, 1024))
        big[7777] = one
        assert big.nbytes > 8e9
    tracemalloc.start()
    data = sciml.open_data(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(data[7777].u[:, 0], one)
    assert len(data) == 10000 and tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


# What is written


def dataset(ndim: int, fields: tuple[str, ...] = ("u",), dtype: str = "f8", samples: int = 3, steps: int = 4, inputs: int = 0) -> xr.Dataset:
    """A dataset as :func:`sciml.to_dataset` makes them; ``steps=0`` is steady."""
    space, shape = AXES[:ndim], (5, 6, 7)[:ndim]
    lead, sizes = (("sample", "time"), (samples, steps)) if steps else (("sample",), (samples,))
    variables: dict[str, Any] = {}
    for i, name in enumerate(fields):
        variables[name] = ((*lead, *space), values(*sizes, *shape, dtype=dtype, seed=i), {"long_name": name, "units": "1"})
    given = ["a", "b"][:inputs]
    for i, name in enumerate(given):
        variables[name] = (("sample", *space), values(samples, *shape, dtype=dtype, seed=9 + i))
    coords: dict[str, Any] = {a: (a, (np.arange(n) + 0.3) * math.pi / n, {"axis": a.upper()}) for a, n in zip(space, shape, strict=True)}
    coords["sample"] = ("sample", np.arange(samples), {"units": "1"})
    if steps:
        coords["time"] = ("time", np.cumsum(values(steps, dtype="f8") ** 2) / 3, {"axis": "T"})
    attrs = {"title": "case", "dt": 0.1, "seed": 7, "flags": ["a", 1], "parameters": '{"nu": 0.5, "name": "x"}'}
    attrs |= {"table": np.array([0.1, 0.2], "f4"), "single": np.float32(0.1)}
    return xr.Dataset(variables, coords, attrs | ({"inputs": json.dumps(given)} if given else {}))


def parametric() -> xr.Dataset:
    return dataset(1).assign(viscosity=("sample", np.array([0.1, 0.2, 0.3]), {"units": "m2/s"}), nu=("sample", np.array([3, 4, 5])))


CASES: dict[str, Callable[[], xr.Dataset]] = {
    "1d": lambda: dataset(1),
    "2d single": lambda: dataset(2, dtype="f4"),
    "3d": lambda: dataset(3),
    "flow": lambda: dataset(2, ("density", "pressure", "Vx", "Vy"), "f4"),
    "own names": lambda: dataset(1, ("v", "u", "density")),
    "one state": lambda: dataset(1, steps=1),
    "one sample": lambda: dataset(1, samples=1),
    "no sample axis": lambda: dataset(2).isel(sample=0, drop=True),
    "parameters": parametric,
    "no sample axis, parameters": lambda: parametric().isel(sample=0, drop=True),
}
ONLY_A: dict[str, Callable[[], xr.Dataset]] = {
    "darcy": lambda: dataset(2, steps=0, inputs=1, dtype="f4"),
    "steady": lambda: dataset(3, steps=0),
    "steady, two inputs": lambda: dataset(1, steps=0, inputs=2),
    "steady system": lambda: dataset(1, ("u", "v"), steps=0, inputs=1),
    "steady, no sample axis": lambda: dataset(2, steps=0, inputs=1).isel(sample=0, drop=True),
    "times and input": lambda: dataset(2, inputs=1),
    "input called nu": lambda: dataset(1, inputs=1).rename(a="nu"),
}


def saved(folder: Path, ds: xr.Dataset, layout: str = "A") -> Path:
    return sciml.write_pdebench(folder / ("a.hdf5" if layout == "A" else "a.h5"), ds, layout=layout)


@pytest.mark.parametrize(("layout", "case"), [("A", case) for case in CASES | ONLY_A] + [("B", case) for case in CASES])
def test_what_is_written_comes_back_identical(tmp_path: Path, layout: str, case: str) -> None:
    ds = (CASES | ONLY_A)[case]()
    data = sciml.open_data(saved(tmp_path, ds, layout))
    back = data.to_xarray()
    assert back.identical(ds)
    assert (back.attrs["table"].dtype, type(back.attrs["single"]), type(back.attrs["dt"])) == (np.float32, np.float32, float)
    assert {name: back[name].dtype for name in data.fields} == {name: ds[name].dtype for name in data.fields}
    assert (data.fields, len(data)) == (tuple(n for n in ds.data_vars if ds[n].attrs.get("long_name")), ds.sizes.get("sample", 1))


@pytest.mark.parametrize("layout", ["A", "B"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_solved_problem_comes_back_with_its_grid(tmp_path: Path, layout: str, dtype: str) -> None:
    run = sciml.solve(sciml.load_problem("burgers:li2021"), points=16, times=4, samples=3, end=0.1, dtype=getattr(torch, dtype))
    data = sciml.open_data(saved(tmp_path, run, layout))
    assert data.to_xarray().identical(run) and data.grid == sciml.grid_of(run)
    assert torch.equal(data[2].u, sciml.to_tensor(run)[:, 2])


def theirs_single(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Samples ``(sample, x, ..., t, channel)`` and grid, as PDEBench's reader of single files makes them."""
    assert path.name[-2:] != "h5"
    with h5py.File(path) as file:
        if "tensor" not in file:
            ndim = file["density"].ndim - 2
            fields = [np.array(file[name], "f4") for name in ("density", "pressure", "Vx", "Vy", "Vz")[: 2 + ndim]]
            data = np.stack([np.moveaxis(field, 1, -1) for field in fields], -1)
        else:
            tensor = np.array(file["tensor"], "f4")
            ndim = tensor.ndim - 2
            data = np.moveaxis(tensor, 1, -1)
            if ndim == 2:
                data = np.concatenate([np.array(file["nu"], "f4")[..., None], data], -1)
            data = data[..., None]
        lines = [np.array(file[f"{axis}-coordinate"], "f4") for axis in AXES[:ndim]]
        assert "nu" in file or len(file["t-coordinate"]) == data.shape[-2] + 1
    return data, np.stack(np.meshgrid(*lines, indexing="ij"), -1)


def theirs_multiple(path: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """One sample ``(x, ..., t, channel)`` and its grid, as PDEBench's reader of files with groups makes them."""
    assert path.name[-2:] == "h5"
    with h5py.File(path) as file:
        group = file[sorted(file)[index]]
        data = np.array(group["data"], "f4")
        lines = [np.array(group["grid"][axis], "f4") for axis in AXES[: data.ndim - 2]]
    return np.moveaxis(data, 0, -2), np.stack(np.meshgrid(*lines, indexing="ij"), -1)


@pytest.mark.parametrize("case", ["1d", "flow", "darcy", "parameters", "one state"])
def test_their_reader_finds_the_values_of_layout_a(tmp_path: Path, case: str) -> None:
    ds = (CASES | ONLY_A)[case]()
    data, grid = theirs_single(saved(tmp_path, ds))
    axes = [a for a in AXES if a in ds.dims]
    if case == "darcy":
        expected = np.stack([ds["a"].values, ds["u"].values], -1)[..., None]
    else:
        names = [name for name in ds.data_vars if "time" in ds[name].dims]
        expected = np.stack([ds[name].transpose("sample", *axes, "time").values for name in names], -1)
    np.testing.assert_array_equal(data, expected.astype("f4"))
    np.testing.assert_array_equal(grid, np.stack(np.meshgrid(*(ds[a].values for a in axes), indexing="ij"), -1).astype("f4"))


@pytest.mark.parametrize("case", ["1d", "2d single", "3d", "flow", "parameters"])
def test_their_reader_finds_the_values_of_layout_b(tmp_path: Path, case: str) -> None:
    ds = CASES[case]()
    axes = [a for a in AXES if a in ds.dims]
    names = [name for name in ds.data_vars if "time" in ds[name].dims]
    path = saved(tmp_path, ds, "B")
    for i in range(3):
        data, grid = theirs_multiple(path, i)
        np.testing.assert_array_equal(data, np.stack([ds[name][i].transpose(*axes, "time").values for name in names], -1).astype("f4"))
        np.testing.assert_array_equal(grid, np.stack(np.meshgrid(*(ds[a].values for a in axes), indexing="ij"), -1).astype("f4"))
    with h5py.File(path) as file:
        told = json.loads(file["0001"].attrs["config"])["sim"]
    assert told == ({"viscosity": 0.2, "nu": 4.0} if case == "parameters" else {"nu": 0.5})


def test_coefficients_are_attributes_by_our_names_and_theirs(tmp_path: Path) -> None:
    told = {"burgers:c": ({"viscosity": 0.02}, {"Nu": 0.02 * math.pi}), "advection:c": ({"speed": 0.4, "diffusivity": 0.0}, {"beta": 0.4})}
    told["advection:d"] = ({"speed": 0.4, "diffusivity": 0.1, "periodic": True}, {})
    for problem, (own, theirs) in told.items():
        path = saved(tmp_path, dataset(1).assign_attrs(problem=problem, parameters=json.dumps(own)))
        with h5py.File(path) as file:
            assert dict(file.attrs) == {k: v for k, v in own.items() if v is not True} | theirs
            t = file["t-coordinate"][:]
            assert t[-1] - t[-2] == pytest.approx(t[-2] - t[-3])
    for text in ("not JSON", "[1]"):
        assert sciml.open_data(saved(tmp_path, dataset(1).assign_attrs(parameters=text))).to_xarray().attrs["parameters"] == text


NAMES = {"steady system": {"u", "v", "a"}, "steady, two inputs": {"tensor", "a", "b"}, "darcy": {"tensor", "nu", "y-coordinate"}}


@pytest.mark.parametrize("case", NAMES)
def test_several_fields_or_inputs_keep_their_names(tmp_path: Path, case: str) -> None:
    with h5py.File(saved(tmp_path, ONLY_A[case]())) as file:
        assert set(file) == NAMES[case] | {"sciml", "x-coordinate"}


@pytest.mark.parametrize("layout", ["A", "B"])
def test_chunks_make_the_file_of_the_whole(tmp_path: Path, layout: str) -> None:
    ds, suffix = parametric(), {"A": ".hdf5", "B": ".h5"}[layout]
    path = sciml.write_pdebench(tmp_path / f"a{suffix}", (ds.isel(sample=part) for part in ([0], [1, 2])), 3, layout=layout)
    assert sciml.open_data(path).to_xarray().identical(ds)
    assert path.read_bytes() == sciml.write_pdebench(tmp_path / f"b{suffix}", [ds], 3, layout=layout).read_bytes()


def moved(ds: xr.Dataset, name: str) -> xr.Dataset:
    return ds.assign_coords({name: ds[name] + 1})


@pytest.mark.parametrize("layout", ["A", "B"])
@pytest.mark.parametrize(
    ("chunks", "samples", "message"),
    [
        (lambda ds: [ds], 5, "5 samples were announced and 3 came"),
        (lambda ds: [ds], 2, "samples 0 to 2 do not fit the others: 2 samples were announced"),
        (lambda ds: [ds, ds.rename(u="v")], 6, r"samples 3 to 5 .* fields \('v',\) where \('u',\) came before"),
        (lambda ds: [ds, ds.astype("f4")], 6, "dtypes"),
        (lambda ds: [ds, ds.isel(x=slice(4))], 6, r"shape \(4,\) where \(5,\)"),
        (lambda ds: [ds, ds.isel(time=slice(3))], 6, "steps 3 where 4"),
        (lambda ds: [ds, moved(ds, "time")], 6, "another time coordinate"),
        (lambda ds: [ds, moved(ds, "x")], 6, "another x coordinate"),
        (lambda ds: [ds, ds.assign(k=("sample", [1.0, 2.0, 3.0]))], 6, r"parameters \('k',\) where \(\)"),
        (lambda ds: [ds, ds.isel(sample=0, drop=True)], 4, "labelled False where True"),
        (lambda ds: [ds], None, "samples=None given; say how many"),
        (lambda ds: [], 0, "samples=0 given"),
        (lambda ds: [], 2, "2 samples were announced and 0 came"),
    ],
)
def test_chunks_that_do_not_fit_leave_no_file(tmp_path: Path, layout: str, chunks: Callable[..., Any], samples: int | None, message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        sciml.write_pdebench(tmp_path / {"A": "a.hdf5", "B": "a.h5"}[layout], iter(chunks(dataset(1))), samples, layout=layout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layout", "name", "ds", "message"),
    [
        ("A", "a.h5", dataset(1), "so let it end in .hdf5"),
        ("B", "a.hdf5", dataset(1), "so let it end in .h5"),
        ("D", "a.h5", dataset(1), "use 'A'"),
        ("B", "a.h5", dataset(2, steps=0), "no place for steady data; use layout='A'"),
        ("B", "a.h5", dataset(1, inputs=1), r"no place for inputs \(a\); use layout='A'"),
        ("A", "a.hdf5", dataset(1, ("u", "tensor")), "needs the name tensor for itself"),
        ("A", "a.hdf5", dataset(1, ("u", "a/b")), "needs the name a/b for itself"),
        ("A", "a.hdf5", dataset(1, ("u", "sciml", "parameters")), "needs the name sciml, parameters for itself"),
        ("A", "a.hdf5", dataset(1).rename(x="y"), "x at least"),
        ("A", "a.hdf5", dataset(1).rename(x="level"), "Rename or remove the others"),
        ("A", "a.hdf5", dataset(1).isel(time=slice(0)), "none empty"),
        ("A", "a.hdf5", dataset(2).transpose("sample", "time", "y", "x"), "no place for u; .* Transpose"),
        ("A", "a.hdf5", dataset(1).isel(sample=0), "no place for sample"),
        ("A", "a.hdf5", dataset(1).assign(k=("x", np.ones(5))), "no place for k"),
        ("A", "a.hdf5", dataset(1).assign(k=3.0), "no place for k"),
        ("A", "a.hdf5", dataset(1, steps=0).assign_attrs(inputs='["u"]'), "a dataset without fields"),
        ("A", "a.hdf5", dataset(1).astype("f2"), "u float16; float32 or float64 is needed"),
        ("A", "a.hdf5", dataset(1).assign(v=dataset(1, dtype="f4")["u"]), "one for all fields"),
        ("A", "a.hdf5", dataset(1).drop_vars("x"), "no coordinate x"),
        ("B", "a.h5", dataset(1).drop_vars("time"), "no coordinate time"),
        ("A", "a.hdf5", dataset(1).assign_coords(x=[0, 1, 2, 3, math.nan]), "coordinate x .* must hold finite numbers; correct it"),
        ("A", "a.hdf5", dataset(1).assign_coords(x=list("abcde")), "coordinate x .* must hold finite numbers"),
        ("A", "a.hdf5", dataset(1).assign_coords(time=[0, 1, 1, 2]), "numbers that increase"),
        ("A", "a.hdf5", dataset(1).assign(k=("sample", list("abc"))), "k is of type <U1"),
        ("A", "a.hdf5", dataset(1).assign(k=("sample", [0, 1, 2**53 + 1])), "float64 must hold its numbers exactly"),
        ("A", "a.hdf5", dataset(1).assign_attrs(odd={"a": 1}), r"attribute of the dataset cannot be written \(a dict\)"),
        ("B", "a.h5", dataset(1).assign_attrs(odd=np.array([1j])), "cannot be written .an array of complex128"),
        ("A", "a.hdf5", dataset(1).assign_attrs(inputs="a"), "a JSON list of names is expected"),
        ("A", "a.hdf5", dataset(1).assign_attrs(inputs='"a"'), "a JSON list of names is expected"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path: Path, layout: str, name: str, ds: xr.Dataset, message: str) -> None:
    with pytest.raises(sciml.InputError, match=message):
        sciml.write_pdebench(tmp_path / name, ds, layout=layout)
    assert not list(tmp_path.iterdir())


def test_an_input_that_all_samples_share_is_written_for_each(tmp_path: Path) -> None:
    ds = dataset(2, steps=0, inputs=1)
    shared = ds.assign(a=ds["a"][0].drop_vars("sample"))
    data = sciml.open_data(saved(tmp_path, shared))
    for sample in data:
        np.testing.assert_array_equal(sample.inputs[0], ds["a"][0])


# What is damaged


def drop(*names: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        for name in names:
            del file[name]

    return spoil


def put(name: str, value: Any) -> Spoil:
    def spoil(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return spoil


def move(old: str, new: str) -> Spoil:
    return lambda file: file.move(old, new)


def swap(name: str, one: int, other: int) -> Spoil:
    return lambda file: put(name, np.swapaxes(file[name][()], one, other))(file)


NAN = np.array([0, 1, math.nan, 3])
DAMAGES: dict[str, tuple[dict[str, Any], Spoil, str]] = {
    "A: no field": (scalar(), drop("tensor"), "neither tensor nor any of density"),
    "A: field is a group": (scalar(), lambda f: (drop("tensor")(f), f.create_group("tensor")), "under /tensor, and there is a group"),
    "A: field is text": (scalar(), put("tensor", "text"), "array of real numbers is expected under /tensor"),
    "A: field is complex": (scalar(), put("tensor", np.zeros((3, 4, 8), complex)), "there is complex128"),
    "A: rank 2": (scalar(), put("tensor", values(4, 8)), r"/tensor has shape \(4, 8\)"),
    "A: rank 6": (scalar(), put("tensor", values(1, 1, 2, 2, 2, 2)), "/tensor has shape"),
    "A: no samples": (scalar(), put("tensor", values(0, 4, 8)), "no axis empty"),
    "A: time last": (scalar(), swap("tensor", 1, 2), "coordinates are x of 8 points"),
    "A: samples and times swapped": (scalar(), swap("tensor", 0, 1), "time coordinate has 5 entries"),
    "A: x and y swapped": (darcy(), lambda f: (swap("tensor", 2, 3)(f), swap("nu", 1, 2)(f)), "x of 5 points, y of 6 points"),
    "A: one axis too many": (scalar(), put("tensor", values(3, 4, 8, 2)), "space has 8 x 2 points, but the coordinates are x of 8 points"),
    "A: one axis too few": (darcy(), put("tensor", values(3, 1, 5)), "coordinates are x of 5 points, y of 6 points"),
    "A: y missing": (flow(2), drop("y-coordinate"), "One per axis is expected"),
    "A: x missing, y not": (flow(2), drop("x-coordinate"), "the coordinates are y of 6 points"),
    "A: fields differ": (flow(1), put("Vx", values(2, 3, 4)), r"/Vx has shape \(2, 3, 4\); \(2, 3, 5\) is expected by /density"),
    "A: coefficient differs": (darcy(), put("nu", values(3, 6, 5)), r"/nu has shape \(3, 6, 5\); \(3, 5, 6\) is expected"),
    "A: times too few": (scalar(), put("t-coordinate", np.arange(3.0)), "time coordinate has 3 entries"),
    "A: times stand still": (scalar(), put("t-coordinate", np.zeros(4)), "time coordinate does not increase"),
    "A: last time goes back": (scalar(), put("t-coordinate", np.array([0, 1, 2, 3, 0.0])), "time coordinate does not increase"),
    "A: NaN in times": (scalar(), put("t-coordinate", NAN), "/t-coordinate has entries that are not finite"),
    "A: NaN in positions": (scalar(), put("x-coordinate", np.full(8, math.nan)), "/x-coordinate has entries that are not finite"),
    "A: positions on a mesh": (scalar(), put("x-coordinate", np.zeros((8, 1))), r"/x-coordinate has shape \(8, 1\)"),
    "B: no data": (groups(), drop("0001/data"), "expected under /0001/data, and there is nothing"),
    "B: first without data": (groups(), drop("0000/data"), "expected under /0000/data, and there is nothing"),
    "B: an array among the groups": (groups(), put("0002", np.zeros(3)), "/0002 is no group"),
    "B: a name that is no number": (groups(), move("0001", "sample_1"), "sample_1 is none of them"),
    "B: an array at the root": (groups(), put("mean", np.zeros(3)), "mean is none of them"),
    "B: grid is an array": (groups(), lambda f: (drop("0000/grid")(f), put("0000/grid", np.zeros(3))(f)), "/0000/grid is no group"),
    "B: rank 2": (groups(), put("0000/data", values(4, 5)), r"/0000/data has shape \(4, 5\)"),
    "B: channels first": (groups(), swap("0000/data", 1, 3), "x of 5 points, y of 6 points"),
    "B: times last": (groups(space=(5,)), swap("0000/data", 0, 1), "x of 5 points"),
    "B: a sample of another shape": (groups(), put("0001/data", values(4, 5, 7, 2)), r"/0001/data has shape \(4, 5, 7, 2\)"),
    "B: a sample of another type": (groups(), put("0001/data", values(4, 5, 6, 2, dtype="f8")), "of type float64, but float32"),
    "B: a sample on another grid": (groups(), put("0001/grid/x", centres(5, 0.0)), "/0001/grid/x differs from that of sample 0000"),
    "B: a sample at other times": (groups(), put("0001/grid/t", np.arange(4.0)), "/0001/grid/t differs"),
    "B: a sample without y": (groups(), drop("0001/grid/y"), "/0001/grid/y differs"),
    "B: y missing": (groups(), drop("0000/grid/y"), "One per axis is expected"),
    "B: NaN in times": (groups(), put("0000/grid/t", NAN), "/0000/grid/t has entries that are not finite"),
    "B: NaN in times of another": (groups(), put("0001/grid/t", NAN), "/0001/grid/t has entries that are not finite"),
    "C: rank 4": (incompressible(), put("velocity", values(2, 4, 5, 2)), r"/velocity has shape \(2, 4, 5, 2\)"),
    "C: components first": (incompressible(), swap("velocity", 2, 4), "/velocity has shape"),
    "C: particles differ": (incompressible(), put("particles", values(2, 3, 5, 6, 1)), "/particles has shape"),
    "C: force differs": (incompressible(), put("force", values(2, 6, 5, 2)), "/force has shape"),
    "C: times differ": (incompressible(), put("t", np.zeros(4)), r"/t has shape \(4,\)"),
    "C: NaN in times": (incompressible(), put("t", np.stack([NAN, NAN])), "/t has entries that are not finite"),
    "C: times of another stand still": (incompressible(), put("t", np.stack([np.arange(4.0), np.zeros(4)])), "time coordinate does not increase"),
    "C: times stand still": (incompressible(), put("t", np.zeros((2, 4))), "time coordinate does not increase"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, case: str) -> None:
    content, spoil, message = DAMAGES[case]
    path = write(tmp_path / "broken.h5", content)
    sciml.open_data(path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(sciml.InputError, match=message) as caught:
        sciml.open_data(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


RECORDS: dict[str, tuple[str, Spoil, str]] = {
    "no JSON": ("A", put("sciml", "{"), "record /sciml is damaged .JSONDecodeError"),
    "a number": ("A", put("sciml", 3.0), "record /sciml is damaged"),
    "entries missing": ("B", put("0000/sciml", "{}"), "record /0000/sciml is damaged .KeyError"),
    "another layout": ("B", lambda f: put("0000/sciml", f["0000/sciml"].asstr()[()].replace('"B"', '"A"'))(f), "in layout A, not B; remove it"),
    "another field": ("A", lambda f: put("sciml", f["sciml"].asstr()[()].replace('"tensor"', '"gone"'))(f), "expected under /gone"),
    "too few fields": ("B", lambda f: put("0000/data", values(4, 5, 2, dtype="f8"))(f), "its record names the fields u"),
    "no parameters": ("A", drop("parameters"), "expected under /parameters, and there is nothing"),
    "other parameters": ("A", put("parameters", np.zeros((3, 5))), r"/parameters has shape \(3, 5\); \(3, 2\) is expected"),
    "parameters of one sample": ("B", put("0002/parameters", np.zeros(5)), r"/0002/parameters has shape \(5,\); \(2,\) is expected"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_damaged_record_is_refused(tmp_path: Path, case: str) -> None:
    layout, spoil, message = RECORDS[case]
    path = saved(tmp_path, parametric(), layout)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(sciml.InputError, match=message):
        sciml.open_data(path)


def test_steady_data_with_several_states_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, dataset(1, steps=0))
    with h5py.File(path, "r+") as file:
        put("tensor", values(3, 2, 5))(file)
    with pytest.raises(sciml.InputError, match="says that the solutions are steady; one state is expected"):
        sciml.open_data(path)


@pytest.mark.parametrize("content", [scalar(), groups(), incompressible()], ids="ABC")
def test_truncated_files_give_one_clear_error(tmp_path: Path, content: dict[str, Any]) -> None:
    whole = write(tmp_path / "whole.h5", content).read_bytes()
    for i, size in enumerate(np.random.default_rng(3).integers(0, len(whole), 20)):
        (tmp_path / f"{i}.h5").write_bytes(whole[:size])
        with pytest.raises(sciml.InputError, match="Cannot read"):
            sciml.open_data(tmp_path / f"{i}.h5")


@pytest.mark.parametrize(
    ("content", "name"),
    [(scalar(), "tensor"), (darcy(), "nu"), (groups(), "0001/data"), (incompressible(), "velocity"), (incompressible(), "force")],
    ids=["tensor", "nu", "data", "velocity", "force"],
)
def test_a_sample_that_cannot_be_read_gives_one_clear_error(tmp_path: Path, content: dict[str, Any], name: str) -> None:
    path = write(tmp_path / "a.h5", content)
    with h5py.File(path, "r+") as file:
        array = file[name][()]
        del file[name]
        file.create_dataset(name, data=array, chunks=True, fletcher32=True)
        place = file[name].id.get_chunk_info(file[name].id.get_num_chunks() - 1).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place] ^= 255
    path.write_bytes(raw)
    data = sciml.open_data(path)
    with pytest.raises(sciml.InputError, match=r"a\.h5: the file is damaged"):
        data[len(data) - 1]


def test_what_is_not_pdebench_is_not_taken_for_it(tmp_path: Path) -> None:
    for i, content in enumerate(({"u": values(2, 3)}, {"velocity": values(2, 3)}, {"run/u": values(2, 3)}, {})):
        with pytest.raises(sciml.InputError, match="the format is not known"):
            sciml.open_data(write(tmp_path / f"{i}.h5", content))


def test_an_attribute_called_grid_means_nothing_in_a_file_made_by_others(tmp_path: Path) -> None:
    data = sciml.open_data(write(tmp_path / "a.hdf5", scalar(2), {"grid": "uniform"}))
    with pytest.raises(sciml.InputError, match="give periodic="):
        print(data.grid)
