"""Files made by others: every format, any order of axes, any names; what is damaged or makes no sense is refused in one line."""

from __future__ import annotations

import itertools
import os
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
import xarray as xr
from reference_files import U2, U3, T, U, X, Y, Z, write

import sciml
from sciml.cli.main import main
from sciml.cli.parsing import parse_pairs, parse_variable
from sciml.core.errors import DataWarning, InputError
from sciml.io.reference import read_reference

DATA = Path(__file__).parents[2] / "shared" / "data"
SQUARE = np.random.default_rng(1).random((5, 5))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder; a warning that a test does not expect is an error."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


# -- formats and orders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mat", "a.v4.mat", "a.v73.mat", "a.npz", "a.h5", "a.hdf5"])
@pytest.mark.parametrize("time_first", [True, False])
def test_every_format_and_order(name: str, time_first: bool) -> None:
    extra = {} if name == "a.v4.mat" else {"nu": np.array(0.01)}
    reference = read_reference(write(name, tt=T, x=X, usol=U if time_first else U.T, **extra))
    assert np.array_equal(reference.times, T) and np.array_equal(reference.coords[0], X)
    assert list(reference.fields) == ["usol"] and np.array_equal(reference.fields["usol"], U)
    assert reference.values.shape == (5, 1, 7) and reference.notes == () and reference.source == name and not reference.steady


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_orders_in_two_dimensions(order: tuple[int, ...]) -> None:
    reference = read_reference(write("a.npz", t=T, x=X, y=Y, w=U2.transpose(order)))
    assert np.array_equal(reference.fields["w"], U2) and np.array_equal(reference.coords[1], Y)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
@pytest.mark.parametrize("named", [True, False])
def test_orders_in_three_dimensions(order: tuple[int, ...], named: bool) -> None:
    dims = ["txyz"[i] for i in order] if named else None
    reference = read_reference(write("a.h5", t=T, x=X, y=Y, z=Z, w=U3.transpose(order)), dims=dims)
    assert np.array_equal(reference.fields["w"], U3) and [len(x) for x in reference.coords] == [7, 4, 3]


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.npz"])
def test_space_axes_of_equal_length_keep_the_order_of_the_file(name: str) -> None:
    w = np.sin(Y)[:, None] * np.cos(2 * Y) * np.exp(-T)[:, None, None]
    assert np.array_equal(read_reference(write(name, t=T, x=Y, y=Y, w=w)).fields["w"], w)
    assert np.array_equal(read_reference(name, dims=("t", "y", "x")).fields["w"], w.transpose(0, 2, 1))


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.npz", "a.h5"])
def test_axes_of_equal_length_are_told_by_dims(name: str) -> None:
    write(name, t=T, x=X[:5], u=SQUARE)
    with pytest.raises(InputError, match=r"u \(5, 5\) could be read in more than one way; name their order, such as dims t,x\..*u \(5, 5\)"):
        read_reference(name)
    for dims in (("t", "x"), ["time", "X"], "t,x", "t, x"):
        assert np.array_equal(read_reference(name, dims=dims).fields["u"], SQUARE)
    assert np.array_equal(read_reference(name, dims=("x", "t")).fields["u"], SQUARE.T)


def test_mesh_grids() -> None:
    grid_x, grid_t = np.meshgrid(X, T)
    assert np.array_equal(read_reference(write("a.mat", X=grid_x, T=grid_t, u=U)).fields["u"], U)
    # both as vectors and as mesh grids: the vectors are taken, and the grids are no candidates for the field
    for first in ({"x": X, "X": grid_x}, {"X": grid_x, "x": X}, {"X": 2 * X, "x": X}):
        reference = read_reference(write("b.npz", t=T, T=grid_t, u=U, **first))
        assert np.array_equal(reference.fields["u"], U) and np.array_equal(reference.coords[0], X)


@pytest.mark.parametrize(("flip", "last"), [(slice(None), 1.25), (slice(None, None, -1), 0.0)])
def test_extra_time(flip: slice, last: float) -> None:
    times = np.append(T, 1.25)[flip]
    write("b.hdf5", **{"t-coordinate": times, "x-coordinate": X, "tensor": U})
    for options in ({}, {"dims": "t,x"}):
        with pytest.warns(DataWarning) as caught:
            reference = read_reference("b.hdf5", **options)
        assert f"6 entries but its fields have 5 states; the last one, t = {last:g}, was left out" in str(caught[-1].message)
        assert np.array_equal(reference.times, np.sort(times[:5])) and np.array_equal(reference.fields["tensor"], U[flip])
        assert len(caught) == (1 if flip == slice(None) else 2)
    with pytest.raises(InputError, match="different numbers of states, 5, 6"):
        read_reference(write("c.npz", t=np.append(T, 1.25), x=X, a=U, b=np.vstack([U, U[:1]])), ["a", "b"])


def test_labelled_files() -> None:
    ds = xr.Dataset({"u": (("x", "time"), SQUARE)}, {"x": X[:5], "time": T})
    for name, engine in (("four.nc", "h5netcdf"), ("three.nc", "scipy")):
        ds.to_netcdf(name, engine=engine)
        assert np.array_equal(read_reference(name).fields["u"], SQUARE.T)
        assert np.array_equal(read_reference(name, dims="x,t").fields["u"], SQUARE.T)
        with pytest.raises(InputError, match="dims=t,x given, but it says itself that the axes of u are x, time"):
            read_reference(name, dims="t,x")
    # other names, dimensions with other names than the coordinates, and groups
    earth = xr.Dataset({"h": (("lat", "when", "lon"), U2.transpose(2, 0, 1))}, {"lon": X, "lat": Y, "when": T})
    earth.to_netcdf("earth.nc", group="run/one", engine="h5netcdf")
    for prefix in ("", "/"):
        names = {axis: f"{prefix}run/one/{name}" for axis, name in (("t", "when"), ("x", "lon"), ("y", "lat"))}
        assert np.array_equal(read_reference("earth.nc", f"{prefix}run/one/h", coords=names).fields["run/one/h"], U2)
    labelled = xr.Dataset({"u": (("n", "m"), SQUARE), "position": ("m", X[:5]), "instant": ("n", T)})
    labelled.to_netcdf("plain.nc", engine="h5netcdf")
    assert np.array_equal(read_reference("plain.nc", coords={"x": "position", "t": "instant"}).fields["u"], SQUARE)
    assert np.array_equal(read_reference("plain.nc", coords={"t": "position", "x": "instant"}).fields["u"], SQUARE.T)


def test_own_trajectories() -> None:
    problem = sciml.load_problem("heat:periodic")
    ds = sciml.solve(problem, points=(8,), times=3)
    reference = read_reference(sciml.save(ds, "own.nc"))
    assert np.array_equal(reference.values, sciml.to_tensor(ds).numpy()) and np.array_equal(reference.coords[0], ds["x"].values)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.mat"])
def test_bare_arrays(name: str) -> None:
    write(name, u=U.T)
    with pytest.raises(InputError, match=r"no time axis was found; name an array t, or say where it is: coords t=NAME or t=0:1"):
        read_reference(name)
    for coords in ({"t": T, "x": list(X)}, {"t": (0, 1), "x": (-1.0, 1.0)}, {"time": "0:1", "X": "-1:1"}):
        reference = read_reference(name, "u", dims=("x", "t"), coords=coords)
        assert np.array_equal(reference.fields["u"], U) and np.array_equal(reference.coords[0], X) and np.array_equal(reference.times, T)
    assert np.array_equal(read_reference(name, {"w": "u"}, coords={"t": T, "x": X}).fields["w"], U)  # lengths tell the order
    periodic = read_reference(name, dims="x,t", coords={"t": (0, 1), "x": "-1:6:periodic"}).coords[0]
    assert np.array_equal(periodic, np.arange(-1.0, 6.0))
    cells = read_reference(name, dims="x,t", coords={"t": (0, 1), "x": (-1, 6, "cells")}).coords[0]
    assert np.array_equal(cells, np.arange(-0.5, 6.0))
    with pytest.raises(InputError, match="x as a range, whose number of points is the field's; name the order of its axes with dims"):
        read_reference(name, "u", coords={"t": T, "x": (-1, 1)})


def test_entries_stacked_fields_and_steady_fields() -> None:
    many = np.stack([U, 2 * U, 3 * U])
    write("a.h5", **{"t-coordinate": T, "x-coordinate": X, "tensor": many})
    assert np.array_equal(read_reference("a.h5", dims=(1, "t", "x")).fields["tensor"], 2 * U)
    assert np.array_equal(read_reference("a.h5", dims="-1,t,x").fields["tensor"], 3 * U)
    stacked = read_reference("a.h5", "tensor", dims="field,t,x")
    assert list(stacked.fields) == ["tensor_0", "tensor_1", "tensor_2"] and np.array_equal(stacked.values, many.transpose(1, 0, 2))
    steady = read_reference(write("b.npz", x=X, y=Y, p=U2[0].T), dims=("y", "x"))
    assert steady.steady and steady.times.tolist() == [0.0] and np.array_equal(steady.fields["p"], U2[:1])
    assert steady.to_xarray()["p"].dims == ("x", "y") and np.array_equal(steady.to_xarray()["p"].values, U2[0])
    ordinary = read_reference(write("c.mat", t=T, y=U), "y", dims=("t", "field"))
    assert ordinary.coords == () and np.array_equal(ordinary.values, U)
    swapped = r"does not have the axes t \(5\) and x \(7\) in the order x,t"
    for dims, message in (("3,t,x", "name each of its axes"), ("t,x", "name each of its axes"), ("x,0,t", swapped)):
        with pytest.raises(InputError, match=message):
            read_reference("a.h5", "tensor", dims=dims)
    with pytest.raises(InputError, match="no array has the axes"):
        read_reference("a.h5", dims="t,x")


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_of_fields() -> None:
    write("b.npz", t=T, x=X, u=U, v=2 * U)
    with pytest.raises(InputError, match="several arrays could be the field: u, v; name one"):
        read_reference("b.npz")
    assert np.array_equal(read_reference("b.npz", "v").fields["v"], 2 * U)
    assert list(read_reference("b.npz", ("v", "u")).fields) == ["v", "u"]
    renamed = read_reference("b.npz", {"height": "v", "speed": "u"})
    assert list(renamed.fields) == ["height", "speed"] and np.array_equal(renamed.fields["height"], 2 * U)
    assert renamed.reading == {"variable": {"height": "v", "speed": "u"}}


def test_groups_and_structures() -> None:
    with h5py.File("a.h5", "w") as file:
        for run, factor in (("one", 1), ("two", 2)):
            file[f"{run}/x"], file[f"{run}/t"], file[f"{run}/u"] = factor * X, T, factor * U
        file["deep/er/u"] = U
    two = read_reference("a.h5", "/two/u")
    assert np.array_equal(two.fields["two/u"], 2 * U) and np.array_equal(two.coords[0], 2 * X)
    with pytest.raises(InputError, match="several arrays could be the axis t: one/t, two/t; say which, as in coords t=one/t"):
        read_reference("a.h5", "deep/er/u")
    assert np.array_equal(read_reference("a.h5", "deep/er/u", coords={"t": "one/t", "x": "/one/x"}).fields["deep/er/u"], U)
    with h5py.File("a.h5", "a") as file:
        file["deep/x"], file["t"] = X, T  # the group around, and the one around that
    assert np.array_equal(read_reference("a.h5", "deep/er/u").coords[0], X)
    scipy.io.savemat("s.mat", {"run": {"x": X, "t": T, "u": scipy.sparse.csc_matrix(U)}, "cells": np.array([X, "a"], dtype=object)})
    assert np.array_equal(read_reference("s.mat").fields["run/u"], U)
    with pytest.raises(InputError, match="cells cannot be used: it is a cell array"):
        read_reference("s.mat", "cells")
    np.savez("p.npz", t=T, x=X, u=U, extra=np.array([{"a": 1}], dtype=object))
    assert np.array_equal(read_reference("p.npz").fields["u"], U)
    with pytest.raises(InputError, match="extra cannot be used: it is pickled Python objects"):
        read_reference("p.npz", "extra")


def test_matlab_text_and_empty_arrays_are_no_numbers() -> None:
    write("a.v73.mat", t=T, x=X, u=U, name=np.array([[97]] * 5, dtype=np.uint16), nothing=np.zeros(2))
    with h5py.File("a.v73.mat", "a") as file:
        file["name"].attrs["MATLAB_class"] = np.bytes_("char")
        file["nothing"].attrs["MATLAB_empty"] = 1
        pair = np.zeros((7, 5), dtype=[("real", "f8"), ("imag", "f8")])
        pair["real"], pair["imag"] = U.T, 2 * U.T
        file["psi"] = pair
    parts = read_reference("a.v73.mat", {"a": "psi.real", "b": "psi.imag"})
    assert np.array_equal(parts.fields["a"], U) and np.array_equal(parts.fields["b"], 2 * U)
    with pytest.raises(InputError, match=r"no variable 'name'\. The file holds: psi \(5, 7\); t \(5,\); u \(5, 7\); x \(7,\)\.$"):
        read_reference("a.v73.mat", "name")


# -- what makes no sense -----------------------------------------------------------------------------------------------

ARRAYS = {"t": T, "x": X, "u": U}
SENSELESS: dict[str, tuple[dict[str, np.ndarray], dict[str, object], str]] = {
    "no time": ({"x": X, "u": U}, {}, "no time axis.*coords t=NAME.*holds: x"),
    "no space": ({"t": T, "u": U}, {}, "no space axis.*u"),
    "no y": (ARRAYS, {"dims": "t,x,y"}, "no axis y was found"),
    "no numbers": ({"words": np.array(["a", "b"])}, {}, "no time axis.*no numeric arrays"),
    "time of two dimensions": ({**ARRAYS, "t": U}, {}, "t is not a strictly increasing 1-D axis, nor a mesh grid"),
    "repeated entry": ({**ARRAYS, "x": np.sort(np.append(X[:6], 0.0))}, {}, r"increasing 1-D axis: it repeats an entry \(entry 3 is"),
    "unsorted": ({**ARRAYS, "x": np.roll(X, 2)}, {}, r"it goes up and down \(entry 1 is 1, the next -1\); sort it"),
    "one position": (ARRAYS, {"coords": {"x": [0.5]}}, "x is not a strictly increasing 1-D axis"),
    "wrong lengths": ({**ARRAYS, "u": U[:, :3]}, {}, r"no array has the axes t \(5\) and x \(7\); if these are not"),
    "short by one": ({**ARRAYS, "u": U[:, 1:]}, {"dims": "t,x"}, r"no array has the axes t \(5\) and x \(7\)"),
    "swapped": (ARRAYS, {"dims": "x,t"}, r"no array has the axes t \(5\) and x \(7\)"),
    "swapped by name": (ARRAYS, {"dims": "x,t", "variable": "u"}, r"u \(5, 7\) does not have the axes t \(5\) and x \(7\) in the order x,t"),
    "no such variable": (ARRAYS, {"variable": "q"}, "no variable 'q'.*holds: t"),
    "variable of another rank": ({**ARRAYS, "k": T}, {"variable": "k"}, r"k \(5,\) does not have the axes"),
    "no such coordinate": (ARRAYS, {"coords": {"x": "lon"}}, "coords x=lon given, but it has no array of that name"),
    "coordinate of no axis": (ARRAYS, {"coords": {"lon": "x"}}, "coords: 'lon' is no axis; name t, x, y or z"),
    "superfluous coordinate": (ARRAYS, {"coords": {"y": Y}, "dims": "t,x"}, "coords gives y, but the field has the axes t, x only"),
    "skipped coordinate": (ARRAYS, {"coords": {"z": Z}}, "coords gives z, but the field has the axes t, x only"),
    "dims of no axis": (ARRAYS, {"dims": "t,lon"}, r"dims='t,lon' given; name the field's axes"),
    "dims without x": (ARRAYS, {"dims": ("t", "y")}, "x first"),
    "dims twice": (ARRAYS, {"dims": ("t", "t", "x")}, "each once"),
    "dims of nothing": (ARRAYS, {"dims": ()}, "name the field's axes"),
    "range of a kind": (ARRAYS, {"dims": "t,x", "coords": {"x": "0:1:closed"}}, "FIRST:LAST:periodic or FIRST:LAST:cells"),
    "range in Python": (ARRAYS, {"dims": "t,x", "coords": {"x": (0, 1, 2, 3)}}, r"a range is \(first, last\)"),
    "range backwards": (ARRAYS, {"dims": "t,x", "coords": {"x": (1, 0)}}, "x=1:0 does not increase"),
    "range of words": (ARRAYS, {"dims": "t,x", "coords": {"x": "a:b"}}, "coords x=a:b given, but it has no array"),
}


@pytest.mark.parametrize("case", SENSELESS)
def test_what_makes_no_sense_is_refused(case: str) -> None:
    arrays, options, message = SENSELESS[case]
    with pytest.raises(InputError, match=message) as caught:
        read_reference(write("a.npz", **arrays), **options)
    assert "\n" not in str(caught.value)


def test_files_that_are_none() -> None:
    with pytest.raises(InputError, match="no such file"):
        read_reference("none.mat")
    os.mkdir("folder.h5")
    with pytest.raises(InputError, match="a folder; give the path of a file"):
        read_reference("folder.h5")
    Path("a.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"type \.csv are not known; give one of \.mat, \.npz, \.npy"):
        read_reference("a.csv")
    Path("plain").write_text("1,2")
    with pytest.raises(InputError, match=r"type \(none\) are not known"):
        read_reference("plain")


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.npz", t=T, x=X, u=U)

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match=r"a.npz: the file cannot be read \(Permission denied\)"):
        read_reference("a.npz")


@pytest.mark.parametrize("suffix", [".mat", ".v4.mat", ".v73.mat", ".npz", ".npy", ".h5", ".nc", ".three.nc"])
def test_damaged_files_are_refused_in_one_line(suffix: str) -> None:
    """Cut at any place, or holding something else, a file is refused; it never passes for a whole one."""
    name = f"whole{suffix}"
    if suffix.endswith(".nc"):
        xr.Dataset({"u": (("time", "x"), U)}, {"time": T, "x": X}).to_netcdf(name, engine="scipy" if "three" in suffix else "h5netcdf")
    else:
        write(name, **ARRAYS)
    options = {"dims": "t,x", "coords": {"t": (0, 1), "x": (-1, 1)}} if suffix == ".npy" else {}
    content = Path(name).read_bytes()
    assert np.array_equal(read_reference(name, **options).values[:, 0], U)
    places = random.Random(0)
    cuts = [content[: places.randrange(len(content))] for _ in range(20)] + [content[:n] for n in (1, 8, 127, 128, len(content) - 1)]
    for damaged in [b"", b"this is not data" * 20, *cuts]:
        Path(f"broken{suffix}").write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as|no time axis|no space axis|no array has|does not have") as caught:
            read_reference(f"broken{suffix}", **options)
        assert "\n" not in str(caught.value)


def test_matlab_files_that_would_crash_their_parser() -> None:
    """A wrong byte in the structure of a file is found before the parser follows it."""
    scipy.io.savemat("a.mat", {"t": T, "x": X, "u": U})
    content = Path("a.mat").read_bytes()
    for place, value, message in (
        (145, 0x08, "byte 136 ends before its values"),  # said to be complex, but without an imaginary part
        (176, 99, "the element at byte 176 has type 99 and 40 bytes"),
        (181, 1, "the element at byte 176 has type 9 and 296 bytes"),
        (144, 77, "has no valid class"),
        (140, 9, "has no valid class"),
        (152, 9, "has no valid shape"),
        (224, 6, "the element at byte 224 has type 6"),
    ):
        damaged = bytearray(content)
        damaged[place] = value
        Path("b.mat").write_bytes(damaged)
        with pytest.raises(InputError, match=f"damaged or incomplete .*{message}"):
            read_reference("b.mat")
    Path("b.mat").write_bytes(content + b"\x0e\x00\x00\x00")
    with pytest.raises(InputError, match="it ends within an element"):
        read_reference("b.mat")
    # every kind of content passes
    kinds = {"cell": np.array([X, "a", U], dtype=object), "none": np.zeros((0, 0), dtype=object), "empty": np.zeros((0, 3)), "flag": True}
    deep = {"s": {"a": "text", "b": {"c": U.astype(np.int16)}}, "w": scipy.sparse.csc_matrix(U), "psi": 1j * U}
    for compressed in (False, True):
        scipy.io.savemat("c.mat", {"t": T, "x": X, "u": U, **kinds, **deep}, do_compression=compressed)
        parts = read_reference("c.mat", {"a": "u", "b": "w", "c": "psi.imag"})
        assert all(np.array_equal(values, U) for values in parts.fields.values())


def test_matlab_files_of_the_other_byte_order() -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def array(name: bytes, values: np.ndarray) -> bytes:
        shape = struct.pack(">ii", *np.atleast_2d(values).shape)
        data = np.atleast_2d(values).astype(">f8").tobytes(order="F")
        return element(14, element(6, struct.pack(">II", 6, 0)) + element(5, shape) + element(1, name) + element(9, data))

    Path("a.mat").write_bytes(b"other".ljust(124) + b"\x01\x00MI" + array(b"t", T) + array(b"x", X) + array(b"u", U))
    reference = read_reference("a.mat")
    assert np.array_equal(reference.fields["u"], U) and np.array_equal(reference.times, T) and reference.times.dtype.isnative


def test_archives_without_arrays() -> None:
    Path("empty.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(InputError, match="no members"):
        read_reference("empty.npz")
    np.save("objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects.npy: the file cannot be read as \.npy"):
        read_reference("objects.npy")
    with zipfile.ZipFile("odd.npz", "w") as archive:
        archive.writestr("t.npy", b"\x93NUMPY\x01\x00\x10\x00this is no header")
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_reference("odd.npz")


# -- the command line --------------------------------------------------------------------------------------------------


def test_texts_of_the_command_line() -> None:
    assert parse_variable("usol") == ["usol"] and parse_variable("a, b") == ["a", "b"] and parse_variable(None) is None
    assert parse_variable("u=usol,v=group/v") == {"u": "usol", "v": "group/v"} and parse_variable("u=usol,v") == {"u": "usol", "v": "v"}
    assert parse_pairs("x=lon, t=0:1", "--coords", "") == {"x": "lon", "t": "0:1"} and parse_pairs(None, "--coords", "") is None
    for text in ("x", "x=", "=lon", "x=1,x=2"):
        with pytest.raises(InputError, match="--coords .* NAME=VALUE with each name once; write for example --coords x=lon"):
            parse_pairs(text, "--coords", "x=lon")
    with pytest.raises(InputError, match="names nothing"):
        parse_pairs(",", "--coords", "x=lon")


COMPARE = ["compare", "burgers:raissi2019", "--methods", "etdrk4", "--points", "256", "--end", "0.1"]


def lines(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", text) if line.startswith("sciml: ")]


def exact(times: np.ndarray, x: np.ndarray) -> np.ndarray:
    problem = sciml.load_problem("burgers:raissi2019")
    assert problem.exact is not None
    return np.stack([problem.exact(float(t), torch.as_tensor(x)).numpy() for t in times])


def test_compare_with_a_square_array_of_the_users_own(capsys: pytest.CaptureFixture[str]) -> None:
    times, x = np.linspace(0.0, 0.1, 8), np.arange(8) / 4 - 1
    np.save("mine.npy", exact(times, x).T)
    options = ["--reference", "mine.npy", "--var", "u", "--dims", "x,t", "--coords", "x=-1:1:periodic,t=0:0.1"]
    assert main([*COMPARE, *options]) == 0
    said = capsys.readouterr()
    assert lines(said.err) == [] and float(re.findall(r"^etdrk4 +(\S+)", said.out, re.MULTILINE)[0]) < 1e-6
    page = Path("report/report.html").read_text(encoding="utf-8")
    assert "--reference mine.npy --var u --dims x,t --coords x=-1:1:periodic,t=0:0.1" in page
    # the other order is another function
    assert main([*COMPARE, *options[:-3], "t,x", *options[-2:]]) == 0
    assert float(re.findall(r"^etdrk4 +(\S+)", capsys.readouterr().out, re.MULTILINE)[0]) > 0.1


def test_compare_with_a_steady_field(capsys: pytest.CaptureFixture[str]) -> None:
    problem = sciml.load_problem("poisson:dirichlet")
    grid = problem.grid(12)
    x, y = (axis.numpy() for axis in grid.axes())
    write("theirs.npz", x=x, y=y, phi=problem.exact_state(grid, 0.0)[0].numpy())
    command = ["compare", problem.name, "--points", "16", "--methods", "spectral_cg", "--reference", "theirs.npz"]
    assert main([*command, "--dims", "x,y"]) == 0
    assert float(re.findall(r"^spectral_cg +(\S+)", capsys.readouterr().out, re.MULTILINE)[0]) < 1e-2
    assert main(command) == 2 and "a steady field has dims without t" in capsys.readouterr().err


def test_warnings_are_one_line_each_and_stand_in_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    times, x = np.linspace(0.0, 0.1, 3), np.linspace(1.0, -1.0, 17)
    write("theirs.npz", tspan=times, position=x, usol=exact(times, x).astype(np.float32))
    assert main([*COMPARE, "--reference", "theirs.npz", "--var", "u=usol", "--coords", "x=position"]) == 0
    said = capsys.readouterr()
    found = lines(said.err)
    assert [re.sub("^sciml: warning: Reference theirs.npz: ", "", line).split(";")[0] for line in found] == [
        "x (position) decreases from 1 to -1",
        "usol is in single precision (about 7 digits)",
        "x repeats the end point of its period, 1, where the fields are those at -1",
    ]
    assert "DataWarning" not in said.err and ".py:" not in said.err
    page = Path("report/report.html").read_text(encoding="utf-8")
    for line in found:
        note = line.removeprefix("sciml: warning: ")
        assert note in page and note not in said.out
    with pytest.warns(DataWarning):
        assert np.array_equal(sciml.read_reference("theirs.npz", "usol", coords={"x": "position"}).coords[0], x[::-1])


def test_other_warnings_stay_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = warnings.showwarning
    monkeypatch.setattr("sciml.cli.listing.print_listing", lambda: warnings.warn("something else", UserWarning, stacklevel=1))
    with pytest.warns(UserWarning, match="something else"):
        assert main(["list"]) == 0
    assert capsys.readouterr().err == "" and warnings.showwarning is shown


REFUSED = {
    "square": (["--reference", "square.npz"], "could be read in more than one way; name their order, such as dims t,x"),
    "swapped": (["--reference", "good.npz", "--dims", "x,t"], "no array has the axes t (3) and x (16)"),
    "cut": (["--reference", "cut.npz"], "cannot be read as .npz"),
    "complex": (["--reference", "complex.mat"], "u.real or u.imag"),
    "variable": (["--reference", "good.npz", "--var", "w"], "no variable 'w'"),
    "dims": (["--reference", "good.npz", "--dims", "t,r"], "name the field's axes"),
    "coords": (["--reference", "good.npz", "--coords", "x"], "--coords 'x' is not a list of NAME=VALUE"),
    "dims without a file": (["--dims", "t,x"], "give the file too"),
    "coords without a file": (["--coords", "x=0:1"], "give the file too"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_command_line_refuses_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    times, x = np.linspace(0.0, 0.1, 3), np.arange(16) / 8 - 1
    u = exact(times, x)
    write("good.npz", t=times, x=x, u=u)
    write("square.npz", t=times, x=x[:3], u=u[:, :3])
    write("complex.mat", t=times, x=x, u=u + 1j)
    Path("cut.npz").write_bytes(Path("good.npz").read_bytes()[:300])
    options, message = REFUSED[name]
    assert main([*COMPARE, *options]) == 2
    said = capsys.readouterr()
    assert len(lines(said.err)) == 1 and message in lines(said.err)[0] and "Traceback" not in said.err and not Path("report").exists()


# -- published files ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="the published data are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "problem", "times", "points", "notes"),
    [
        ("raissi_burgers_shock.mat", "burgers:raissi2019", 100, 256, 1),
        ("raissi_KdV.mat", "korteweg_de_vries:raissi2019", 201, 512, 0),
        ("raissi_AC.mat", "allen_cahn:raissi2019", 201, 512, 0),
        ("kuramoto_sivashinsky_pdefind.mat", "kuramoto_sivashinsky:kassam2005", 251, 1024, 1),
    ],
)
def test_published_references(name: str, problem: str, times: int, points: int, notes: int) -> None:
    reference = read_reference(DATA / name)
    assert reference.times.shape == (times,) and reference.coords[0].shape == (points,) and reference.notes == ()
    case = sciml.load_problem(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        ds = reference.to_xarray(case)
        assert len(reference.on(case).notes) == notes
    grid = sciml.grid_of(ds)
    assert grid.shape == (points - (name == "raissi_burgers_shock.mat"),)
    assert np.abs(ds["u"].values[0] - case.initial_state(grid)[0].numpy()).max() < 1e-12
