"""The traps in files made by others: found, told, and dealt with; and how such data meet a problem's domain."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from reference_files import U2, T, U, X, Y, write

import sciml
from sciml.core.domain import Dirichlet, Domain
from sciml.core.equation import Equation
from sciml.core.errors import DataWarning, InputError
from sciml.core.problem import Problem, Profile
from sciml.core.steady import SteadyEquation
from sciml.io.reference import Reference, read_reference
from sciml.report.truth import ReferenceFile

SQUARE = np.random.default_rng(1).random((5, 5))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder; a warning that a test does not expect is an error."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


def told(pattern: str, *arguments: object, **options: object) -> Reference:
    """Read with one warning that matches ``pattern``, which is a note too."""
    with pytest.warns(DataWarning, match=pattern) as caught:
        reference = read_reference(*arguments, **options)
    assert [str(w.message) for w in caught] == list(reference.notes) and len(caught) == 1 and "\n" not in reference.notes[0]
    return reference


# -- traps -------------------------------------------------------------------------------------------------------------


def test_decreasing_axes_are_turned_round() -> None:
    write("a.npz", t=T, x=X[::-1], u=U[:, ::-1])
    assert np.array_equal(told(r"a.npz: x decreases from 1 to -1; it was turned round, and the fields with it", "a.npz").fields["u"], U)
    write("b.npz", t=T[::-1], x=X, y=Y, u=U2[::-1])
    reference = told("t decreases from 1 to 0", "b.npz")
    assert np.array_equal(reference.fields["u"], U2) and np.array_equal(reference.times, T)


def test_uneven_axes() -> None:
    x = np.sin(X)
    reference = told(r"x is not uniform \(spacing from 0\.2\d+ to 0\.3\d+\)", write("a.npz", t=T, x=x, u=U))
    assert np.array_equal(reference.coords[0], x)
    told("x is not uniform", write("d.npz", t=T, x=X + 1e-4 * np.cos(40 * X), u=U))
    far = (1e5 + np.array([0, 0.1, 0.17, 0.3, 0.4, 0.5, 0.6])).astype(np.float32)  # seven digits do not make this uniform
    with pytest.warns(DataWarning) as caught:
        assert np.array_equal(read_reference(write("e.npz", t=T, x=far, u=U)).coords[0], far)
    assert "its positions are used as they are" in str(caught[0].message) and "x is not uniform" in str(caught[1].message)
    told("t is not uniform", write("b.npz", t=T**2, x=X, u=U))
    read_reference(write("c.npz", t=T, x=X + 1e-9 * np.cos(40 * X), u=U))  # rounding is no matter


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_axes_in_single_precision(kind: type[np.floating]) -> None:
    x, t = np.linspace(0.1, 0.7, 7), np.linspace(0.0, 1.0, 5)
    write("a.npz", t=t.astype(np.float32), x=x.astype(np.float32).astype(kind), u=U)  # the times are exact as they are
    reference = told(r"x is in single precision; it is uniform to that precision and was made again in double, from 0\.1 to 0\.7", "a.npz")
    assert np.array_equal(reference.coords[0], x) and reference.single == {"x"}
    uneven = np.sqrt(x).astype(np.float32)
    with pytest.warns(DataWarning) as caught:
        reference = read_reference(write("b.npz", t=t, x=uneven.astype(kind), u=U))
    assert [re.sub("^.*?: x ", "", str(w.message))[:24] for w in caught] == ["is in single precision (", "is not uniform (spacing "]
    assert np.array_equal(reference.coords[0], uneven.astype(np.float64))


@pytest.mark.parametrize("name", ["a.npz", "a.v73.mat", "a.mat"])
def test_fields_in_single_precision(name: str) -> None:
    reference = told("u is in single precision .* errors below 1e-7", write(name, t=T, x=X, u=U.astype(np.float32)))
    assert reference.fields["u"].dtype == np.float64 and np.array_equal(reference.fields["u"], U.astype(np.float32))
    told("u is in single precision", write("b.npz", t=T, x=X, u=U.astype(np.float32).astype(np.float64)))
    told("u is in single precision", write("c.npz", t=T, x=X, u=U.astype(np.float16)))
    told("psi.real is in single precision", write("d.npz", t=T, x=X, psi=(U + 1j).astype(np.complex64)), "psi.real")
    read_reference(write("e.npz", t=T, x=X, u=np.round(4 * U) / 4))  # 0.25 is not rounded
    whole = read_reference(write("f.npz", t=np.arange(5), x=np.arange(7, dtype=np.uint8), u=np.arange(35).reshape(5, 7)))
    assert whole.fields["u"].dtype == np.float64 and np.array_equal(whole.fields["u"].ravel(), np.arange(35.0))


def test_complex_fields() -> None:
    write("a.mat", t=T, x=X, u=U + 1e-14j, psi=U + 1e-11j)
    assert np.array_equal(told(r"u is complex with an imaginary part of at most 1\.0e-14; its real part was taken", "a.mat", "u").fields["u"], U)
    with pytest.raises(InputError, match=r"psi is complex, with an imaginary part up to 1e-11 .* psi\.real or psi\.imag, as the variable"):
        read_reference("a.mat", "psi")
    assert np.array_equal(read_reference("a.mat", "psi.real").fields["psi.real"], U)
    assert np.array_equal(read_reference("a.mat", {"v": "psi.imag"}).fields["v"], np.full((5, 7), 1e-11))
    with pytest.raises(InputError, match=r"no variable 'psi\.abs'"):
        read_reference("a.mat", "psi.abs")
    told("x is complex", write("b.npz", t=T, x=X + 0j, u=U))


def test_entries_that_are_not_finite() -> None:
    bad = U.T.copy()
    bad[3, 2], bad[5, 4] = np.nan, np.inf
    with pytest.raises(InputError, match=r"u: 2 of its 35 entries are not finite, the first at t = 0\.5 \(entry 2\), x = 0 \(entry 3\)"):
        read_reference(write("a.npz", t=T, x=X, u=bad))
    bad[3, 2], bad[2, 1] = 0.0, np.nan
    with pytest.raises(InputError, match=r"the first at t = 0\.75 \(entry 1\), x = -0\.333333 \(entry 2\)"):
        read_reference(write("a.npz", t=T[::-1], x=X, u=bad))
    with pytest.raises(InputError, match=r"x: 1 of its 7 entries are not finite, the first at entry 6"):
        read_reference(write("b.npz", t=T, x=np.where(X == 1, np.inf, X), u=U))


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_missing_and_packed_entries(engine: str) -> None:
    ds = xr.Dataset({"u": (("time", "x"), U)}, {"time": T, "x": X})
    packing = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 0.5, "_FillValue": -9999}
    ds.to_netcdf("packed.nc", engine=engine, encoding={"u": packing})
    reference = told(r"u is packed into integers in steps of 0\.001; errors below half a step", "packed.nc")
    assert np.array_equal(reference.fields["u"], np.round((U - 0.5) / 0.001) * 0.001 + 0.5)
    quarters = xr.Dataset({"u": (("time", "x"), np.arange(35.0).reshape(5, 7) * 1024.25)}, ds.coords)
    quarters.to_netcdf("quarters.nc", engine=engine, encoding={"u": {"dtype": "int32", "scale_factor": 0.25, "_FillValue": -9}})
    assert np.array_equal(told(r"packed into integers in steps of 0\.25", "quarters.nc").fields["u"], quarters["u"].values)
    hole = ds.where(ds["x"] < 0.9)
    hole.to_netcdf("hole.nc", engine=engine, encoding={"u": packing})
    with pytest.raises(InputError, match=r"u: 5 of its 35 entries are missing \(the file marks them by -9999\) .* the first at t = 0 .* x = 1 "):
        read_reference("hole.nc")
    plain = xr.Dataset({"u": (("time", "x"), U.astype(np.float32), {"missing_value": -999.9})}, {"time": T, "x": X})
    plain["u"][1, 2] = -999.9  # which single precision rounds
    plain.to_netcdf("plain.nc", engine=engine)
    with pytest.raises(InputError, match=r"1 of its 35 entries are missing \(the file marks them by -999\.9\)"):
        read_reference("plain.nc")
    whole = xr.Dataset({"u": (("time", "x"), np.arange(35, dtype=np.int32).reshape(5, 7), {"_FillValue": np.int32(34)})}, {"time": T, "x": X})
    whole.to_netcdf("whole.nc", engine=engine)
    with pytest.raises(InputError, match="1 of its 35 entries are missing"):
        read_reference("whole.nc")
    byte = xr.Dataset({"u": (("time", "x"), np.arange(200, 235).astype(np.uint8).view(np.int8).reshape(5, 7), {"_Unsigned": "true"})}, ds.coords)
    byte.to_netcdf("byte.nc", engine=engine)
    assert np.array_equal(read_reference("byte.nc").fields["u"].ravel(), np.arange(200.0, 235.0))


def test_entries_that_were_never_written() -> None:
    with h5py.File("a.h5", "w") as file:
        file["t"], file["x"] = T, X
        file.create_dataset("u", shape=(5, 7), dtype="f8", fillvalue=9.969209968386869e36)[:4] = U[:4]
    with pytest.raises(InputError, match=r"7 of its 35 entries are missing \(the file marks them by 9\.96921e\+36\)"):
        read_reference("a.h5")


def test_content_counts_and_not_the_name() -> None:
    write("a.npz", t=T, x=X, u=U)
    os.rename("a.npz", "a.mat")
    assert np.array_equal(told("it is named .mat but its content is a NumPy archive; it was read as such", "a.mat").fields["u"], U)
    write("b.h5", t=T, x=X, u=SQUARE[:, :1] + X)
    os.rename("b.h5", "b.dat")
    told("it is named .dat but its content is HDF5", "b.dat")
    write("c.h5", t=T, x=X, u=U)
    os.rename("c.h5", "c.nc")
    assert np.array_equal(read_reference("c.nc").fields["u"], U)  # NetCDF-4 is HDF5, with or without labels
    write("d.v73.mat", t=T, x=X[:5], u=SQUARE)
    os.rename("d.v73.mat", "d.h5")
    assert np.array_equal(told("named .h5 but its content is MATLAB 7.3", "d.h5", dims="t,x").fields["u"], SQUARE)


# -- a problem's domain ------------------------------------------------------------------------------------------------


class Decay(Equation):
    """Fields that decay."""

    def __init__(self, *fields: str) -> None:
        super().__init__()
        self.fields = fields

    def linear(self, u, d):
        return -1.0 * u


def case(domain: Domain, *fields: str) -> Problem:
    names = fields or ("u",)
    return Problem("test:decay", Decay(*names), domain, Profile(lambda *x: torch.stack([0 * x[0]] * len(names))), 1.0, (8,) * domain.ndim)


RING = Domain.periodic(2.0, origin=-1.0)


def given(x: np.ndarray, values: np.ndarray | None = None, **options: object) -> Reference:
    u = np.sin(np.pi * x) * np.exp(-T)[:, None] if values is None else values
    return Reference(T, (x,), {"u": u}, "file.npz", **options)


def test_a_repeated_end_point_is_dropped() -> None:
    x = np.linspace(-1.0, 1.0, 9)
    with pytest.warns(DataWarning, match=r"file.npz: x repeats the end point of its period, 1, where .* those at -1; it was dropped") as one:
        fitted = given(x).on(case(RING))
    assert np.array_equal(fitted.coords[0], x[:-1]) and np.array_equal(fitted.fields["u"], given(x).fields["u"][:, :-1])
    assert fitted.notes == (str(one[0].message),) and len(one) == 1
    # kept where it is no repetition: on a bounded axis, and where the fields say otherwise
    assert given(x).on(case(Domain.box(-1.0, 1.0, Dirichlet(0.0)))).coords[0] is x
    with pytest.warns(DataWarning, match=r"x holds both ends of its period, -1 and 1, but the fields differ there by 2\.0e\+00 of their size"):
        assert len(given(x, x * np.exp(-T)[:, None]).on(case(RING)).coords[0]) == 9
    assert given(x[:-1]).on(case(RING)).notes == ()
    # along the second axis, and only there
    both = Domain.periodic((2.0, 3.0), origin=(-1.0, 0.0))
    u = np.sin(np.pi * X[:-1])[:, None] * np.cos(2 * np.pi * Y / 3) * np.exp(-T)[:, None, None]
    with pytest.warns(DataWarning, match="y repeats") as caught:
        fitted = Reference(T, (X[:-1], Y), {"u": u}, "f").on(case(both))
    assert len(caught) == 1 and np.array_equal(fitted.values, u[:, None, :, :-1])
    # a second field that differs keeps the end of both
    with pytest.warns(DataWarning, match="differ there"):
        Reference(T, (x,), {"a": given(x).fields["u"], "b": x + 0 * T[:, None]}, "f").on(case(RING, "a", "b"))


def test_points_of_another_period_are_moved() -> None:
    x = np.arange(8) / 4  # of [0, 2), but the problem lives on [-1, 1)
    with pytest.warns(DataWarning, match=r"x runs from 0 to 1\.75 but test:decay lives on \[-1, 1\]; its points were moved there by whole periods"):
        fitted = given(x).on(case(RING))
    assert np.array_equal(fitted.coords[0], x - 1)
    assert np.array_equal(fitted.fields["u"], np.roll(given(x).fields["u"], 4, axis=1)) and sciml.grid_of(fitted.to_xarray(case(RING))).shape == (8,)
    with pytest.warns(DataWarning, match="whole periods"):  # numbered from 1
        fitted = given(x - 0.75).on(case(RING))
    assert np.array_equal(fitted.coords[0], x - 1) and np.array_equal(fitted.fields["u"], np.roll(given(x - 0.75).fields["u"], 1, axis=1))
    with pytest.raises(InputError, match=r"x runs from 0 to 1\.75 but"):
        given(x).on(case(Domain.box(-1.0, 1.0, Dirichlet(0.0))))


@pytest.mark.parametrize("kind", ["periodic", "cells", "ends"])
def test_positions_in_single_precision_are_the_problems_own(kind: str) -> None:
    length = 2 * math.pi
    own = {"periodic": np.arange(9) * length / 9, "cells": (np.arange(9) + 0.5) * length / 9, "ends": np.linspace(0, length, 9)}[kind]
    domain = Domain.periodic(length) if kind == "periodic" else Domain.box(0.0, length, Dirichlet(0.0))
    with pytest.warns(DataWarning, match="made again in double"):
        reference = read_reference(write("a.npz", t=T, x=own.astype(np.float32), u=np.sin(own) * np.exp(-T)[:, None]))
    assert 0 < np.abs(reference.coords[0] - own).max() < 1e-6
    with pytest.warns(DataWarning, match="x agrees with the points of test:decay to single precision; these were taken"):
        fitted = reference.on(case(domain))
    assert np.abs(fitted.coords[0] - own).max() < 2e-15
    shifted = Reference(T, (own + 0.1 * length / 9,), reference.fields, "f", single=frozenset({"x"}))
    if kind == "periodic":
        assert shifted.on(case(domain)).coords[0] is shifted.coords[0]


def test_what_looks_like_another_problem() -> None:
    ring = case(Domain.periodic(2 * math.pi))
    x = np.linspace(0, 1, 9)
    with pytest.warns(DataWarning, match=r"x runs from 0 to 1 but test:decay lives on \[0, 6\.28319\]; only that part is compared"):
        given(x).on(ring)
    with pytest.warns(DataWarning, match="x runs from 0 to 4 but"):
        given(4 * x).on(ring)
    with pytest.raises(InputError, match=r"x runs from 0 to 9 but test:decay lives on \[0, 6\.28319\]"):
        given(9 * x).on(ring)
    with pytest.raises(InputError, match="1 space axes but test:decay has 2"):
        given(x).on(case(Domain.periodic((1.0, 1.0))))
    with pytest.raises(InputError, match="it has no time axis but test:decay evolves; name the axes of the field with dims"):
        given(x, steady=True).on(ring)
    late = Reference(T + 2, (np.arange(8) * math.pi / 4,), {"u": np.ones((5, 8))}, "late.npz")
    with pytest.warns(DataWarning, match=r"its first time is 2; solutions start at t = 0 from the initial state of test:decay"):
        late.on(ring)
    with pytest.raises(InputError, match="fewer than two"):
        ReferenceFile(ring, Reference(T - 2, late.coords, late.fields, "f"))


def test_fields_are_the_problems() -> None:
    ring = case(RING, "a", "b")
    x = np.arange(8) / 4 - 1
    values = {name: i + np.zeros((5, 8)) for i, name in enumerate(("c", "b", "a"))}
    fitted = Reference(T, (x,), values, "f").on(ring)
    assert list(fitted.fields) == ["a", "b"] and fitted.fields["a"][0, 0] == 2 and fitted.fields["b"][0, 0] == 1
    with pytest.warns(DataWarning, match="its fields c, b were taken for a, b, in this order"):
        fitted = Reference(T, (x,), {"c": values["c"], "b": values["b"]}, "f").on(ring)
    assert fitted.fields["a"][0, 0] == 0 and fitted.fields["b"][0, 0] == 1
    with pytest.raises(InputError, match="it holds c but test:decay has the fields a, b; name one for each"):
        Reference(T, (x,), {"c": values["c"]}, "f").on(ring)


def test_as_a_dataset() -> None:
    x = np.arange(8) / 4 - 1
    reference = given(x)
    plain = reference.to_xarray()
    assert plain["u"].dims == ("time", "x") and np.array_equal(plain["u"].values, reference.fields["u"])
    assert np.array_equal(plain["time"].values, T) and plain.attrs["reference_file"] == "file.npz" and "comment" not in plain.attrs
    problem = case(RING)
    ds = reference.to_xarray(problem)
    assert sciml.grid_of(ds) == problem.grid(8) and np.array_equal(ds["u"].values, reference.fields["u"])
    assert ds.attrs["problem"] == "test:decay" and ds.attrs["method"] == "made by others" and "comment" not in ds.attrs
    with pytest.warns(DataWarning, match="repeats"):
        ds = given(np.linspace(-1, 1, 9)).to_xarray(problem)
    assert sciml.grid_of(ds).shape == (8,) and "repeats the end point" in ds.attrs["comment"]
    sciml.save(ds, "run.nc")
    assert sciml.load("run.nc").identical(ds)
    with pytest.raises(InputError, match=r"x is uniform, but not the 8 points of a grid of test:decay \(they are up to 0\.1 away"):
        given(x + 0.1).to_xarray(problem)
    with pytest.raises(InputError, match="x is not uniform, so not the 8 points of a grid"):
        given(np.sort(np.append(x[:-1], 0.3))).to_xarray(problem)
    two = np.stack([U, 2 * U], axis=-1)[:, :, :, None] + np.zeros(4)
    wide = Reference(T, (X, np.arange(2.0), Y), {"u": two}, "f").to_xarray()
    assert wide["u"].dims == ("time", "x", "y", "z") and np.array_equal(wide["u"].values, two)


class Balance(SteadyEquation):
    """Diffusion with a given coefficient."""

    inputs = ("a",)

    def operator(self, u, d):
        return -d.diffuse(self.given("a", d), u)

    def source(self, d):
        return 1.0


def test_steady_references() -> None:
    law = Profile(lambda x, y: 1 + 0 * x)
    problem = Problem("test:balance", Balance(), Domain.box((0.0, 0.0), (1.0, 3.0), Dirichlet(0.0)), law, 0.0, (8, 6))
    x, y = (axis.numpy() for axis in problem.grid().axes())
    arrays = {"x": x, "y": y, "p": np.sin(x)[:, None] * y, "a": 2 + x[:, None] * y**2}
    reference = read_reference(write("a.npz", **arrays), {"u": "p", "a": "a"}, dims="x,y")
    ds = reference.to_xarray(problem)
    assert ds["u"].dims == ("x", "y") and np.array_equal(ds["u"].values, arrays["p"]) and np.array_equal(ds["a"].values, arrays["a"])
    assert ds.attrs["inputs"] == '["a"]' and sciml.grid_of(ds) == problem.grid()
    truth = ReferenceFile(problem, reference)
    assert truth.values.shape == (1, 1, 8, 6) and np.array_equal(truth.values[0, 0], arrays["p"]) and truth.output_times == [0.0]
    with pytest.raises(InputError, match="needs the given fields a too; name them as variables"):
        read_reference("a.npz", "p", dims="x,y").to_xarray(problem)
    with pytest.raises(InputError, match="it has a time axis but test:balance is steady"):
        Reference(T, (x, y), {"u": np.zeros((5, 8, 6))}, "f").on(problem)


@pytest.mark.parametrize(
    "options",
    [
        {"dims": 5},
        {"dims": ("t", None)},
        {"variable": 5},
        {"variable": {"u": 5}},
        {"coords": "x=0:1"},
        {"coords": {"x": ("a", "b")}, "dims": "t,x"},
        {"coords": {"x": [[1, 2], [3]]}, "dims": "t,x"},
        {"coords": {"x": np.array(["a"] * 8)}, "dims": "t,x"},
        {"coords": {"x": "0:inf"}, "dims": "t,x"},
        {"coords": {"t": "0:1e400"}, "dims": "t,x"},
    ],
)
def test_arguments_of_another_kind_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", u=np.random.default_rng(0).random((6, 8)), t=np.arange(6.0), x=np.arange(8.0))
    with pytest.raises(sciml.InputError, match="(dims|variable|coords).*given|does not increase between finite"):
        sciml.read_reference(tmp_path / "a.npz", **options)
