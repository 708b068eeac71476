"""Data sets that we write in the format of the Well, before its own checker and its own data set class; and a foreign file read by both.

    python benchmarks/well_check.py --checker check_thewell_formatting.py --out benchmarks/results/well_check.json

The checker is ``scripts/check_thewell_formatting.py`` of the repository PolymathicAI/the_well; it is not part of the installed package, so give
the path of a copy (without one that line says so). Every window of every part is compared, number by number.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import xarray as xr
from the_well.data import WellDataset
from the_well.data.normalization import RMSNormalization, ZScoreNormalization

import sciml

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from well_file import write_foreign

CODES = {"WALL": 0, "OPEN": 1, "PERIODIC": 2}


def three_dimensional() -> xr.Dataset:
    """Several fields, an input, numbers per sample and three kinds of faces, in float64."""
    rng = np.random.default_rng(0)
    shape, lead = (4, 5, 6), ("sample", "time", "x", "y", "z")
    fields: dict[str, Any] = {name: (lead, rng.standard_normal((10, 4, *shape))) for name in ("u", "v", "w")}
    fields["density"] = (("sample", *lead[2:]), rng.random((10, *shape)))
    fields["wall"] = (lead[2:], rng.random(shape))
    fields["drag"] = ("sample", rng.random(10))
    coords = {"sample": np.arange(10), "time": np.arange(4) * 0.3} | {axis: np.arange(n) + 0.5 for axis, n in zip("xyz", shape, strict=True)}
    boundaries = [["periodic", "periodic"], [{"dirichlet": 0.0}, {"neumann": 0.0}], [{"dirichlet": 1.0}] * 2]
    told = {"boundaries": boundaries, "inputs": ["density", "wall"], "parameters": {"viscosity": 0.1, "levels": [1, 2]}}
    return xr.Dataset(fields, coords, {name: json.dumps(value) for name, value in told.items()})


def cases() -> Iterator[tuple[str, xr.Dataset]]:
    for name, options in (
        ("burgers:li2021", {"points": 32, "times": 5, "end": 0.1, "samples": 10}),
        ("burgers:raissi2019_dirichlet", {"points": 32, "times": 5}),
        ("navier_stokes:li2021", {"points": 16, "times": 4, "end": 0.1, "samples": 10}),
        ("darcy:li2021", {"points": 16, "samples": 10}),
    ):
        for kind in (torch.float32, torch.float64):
            yield f"{name}, {str(kind)[6:]}", sciml.solve(sciml.load_problem(name), dtype=kind, **options)
    yield "three dimensions, float64", three_dimensional()


def official(checker: Any, path: Path) -> str:
    if checker is None:
        return "not given"
    with contextlib.redirect_stdout(io.StringIO()):
        checker.check_hdf5_format(str(path))
    return "passed"


def codes(path: Path) -> list[list[int]]:
    """The boundary codes that the conditions in the file stand for, read without either package."""
    with h5py.File(path) as file:
        dims = list(file["dimensions"].attrs["spatial_dims"])
        found = [[CODES["OPEN"]] * 2 for _ in dims]
        for condition in file["boundary_conditions"].values():
            row = found[dims.index(condition.attrs["associated_dims"][0])]
            for end in (0, -1):
                if condition["mask"][end]:
                    row[end] = CODES[condition.attrs["bc_type"]]
    return found


def compare(folder: Path, part: str, steady: bool) -> dict[str, Any]:
    """Every window of one part as both give it; raises AssertionError where they differ."""
    data = sciml.open_data(folder, split=part)
    peer = WellDataset(path=str(folder), well_split_name=part, n_steps_output=0 if steady else 1)
    ours = [(s.u[None], s.inputs) for s in data] if steady else [(torch.cat([w.before, w.after]), w.inputs) for w in data.windows(1, 1)]
    assert len(ours) == len(peer), (len(ours), len(peer))
    for i, (u, inputs) in enumerate(ours):
        sample = peer[i]
        theirs = [sample[name].movedim(-1, 1) for name in ("input_fields", "output_fields") if name in sample]
        assert torch.equal(torch.cat(theirs), u) and u.dtype == theirs[0].dtype
        if data.inputs:
            assert torch.equal(sample["constant_fields"].movedim(-1, 0), inputs)
        row = sample["boundary_conditions"].tolist()
        assert row == codes(data.stores[0].path), row
    return {"windows": len(ours), "boundary_conditions": row, "channels": list(data.fields), "constant": list(data.inputs)}


def normalised(folder: Path, steady: bool) -> str:
    """Their normalisation with our statistics: the training part has mean 0 and deviation 1."""
    options: dict[str, Any] = {"path": str(folder), "well_split_name": "train", "use_normalization": True, "n_steps_output": 0, "n_steps_input": 1}
    data = WellDataset(normalization_type=ZScoreNormalization, **options)
    values = torch.stack([data[i]["input_fields"] for i in range(len(data))]).double()
    flat = values.reshape(-1, values.shape[-1])
    mean, std = flat.mean(0).abs().max().item(), (flat.std(0, correction=0) - 1).abs().max().item()
    assert mean < 1e-4 and std < 1e-4, (mean, std)
    WellDataset(normalization_type=RMSNormalization, **options)[0]
    return "mean 0, deviation 1"


def check(name: str, ds: xr.Dataset, folder: Path, checker: Any) -> dict[str, Any]:
    samples = ds.sizes.get("sample", 1)
    sciml.write_well(folder, ds, split=(0.6, 0.2, 0.2) if samples > 1 else (1, 0, 0))
    files = sorted(folder.rglob("*.hdf5"))
    row: dict[str, Any] = {"case": name, "files": len(files), "official checker": sorted({official(checker, path) for path in files})}
    steady = "time" not in ds.dims
    row["parts"] = {path.parent.name: compare(folder, path.parent.name, steady) for path in files}
    row["normalisation"] = normalised(folder, steady)
    back = sciml.open_data(folder).to_xarray()
    expected, kept = ds, [name for name in json.loads(ds.attrs.get("inputs", "[]")) if "sample" in ds.dims and "sample" not in ds[name].dims]
    for name in kept:  # what all samples share comes back once per sample
        expected = expected.assign({name: ds[name].expand_dims(sample=ds["sample"])})
    assert back.identical(expected)
    row["read back"] = "identical" + f", {', '.join(kept)} repeated per sample" * bool(kept)
    first = samples if len(files) == 1 else round(0.6 * samples)
    with xr.open_dataset(folder / "data" / "train" / f"{folder.name}.hdf5", group="t0_fields", engine="h5netcdf") as named:
        for field in named.data_vars:
            wanted = ds[field].values[:first] if "sample" in ds[field].dims else ds[field].values
            assert np.array_equal(named[field].values.reshape(wanted.shape), wanted)
            assert set(named[field].dims) <= {"sample", "time", "x", "y", "z"}
    row["xarray by name"] = "equal"
    return row


def foreign(folder: Path, checker: Any) -> dict[str, Any]:
    """A file with vectors, tensors and constant axes: all channels and numbers as the Well's own class gives them."""
    place = folder / "data" / "train"
    place.mkdir(parents=True)
    write_foreign(place / "foreign.hdf5")
    row: dict[str, Any] = {"case": "foreign file, vectors and tensors", "official checker": [official(checker, place / "foreign.hdf5")]}
    row["parts"] = {"train": compare(folder, "train", False)}
    data, names = sciml.open_data(folder), WellDataset(path=str(folder), well_split_name="train").metadata
    assert list(data.fields) == [*chain(*names.field_names.values())] and list(data.inputs) == [*chain(*names.constant_field_names.values())]
    assert list(data.parameters) == names.constant_scalar_names
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checker", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    checker, identity = None, "not given"
    if arguments.checker:
        spec = importlib.util.spec_from_file_location("checker", arguments.checker)
        checker = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(checker)
        identity = f"{arguments.checker.name}, sha256 {hashlib.sha256(arguments.checker.read_bytes()).hexdigest()[:16]}"
    versions = {name: version(name) for name in ("the_well", "torch", "h5py", "h5netcdf", "xarray", "numpy", "sciml-pde")}
    print(", ".join(f"{k} {v}" for k, v in versions.items()), "| checker:", identity)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for i, (name, ds) in enumerate(cases()):
            rows.append(check(name, ds, Path(temporary) / f"case{i}", checker))
            print(json.dumps(rows[-1]), flush=True)
        rows.append(foreign(Path(temporary) / "foreign", checker))
        print(json.dumps(rows[-1]))
    if arguments.out:
        arguments.out.write_text(json.dumps({"versions": versions, "checker": identity, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
