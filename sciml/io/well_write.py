"""Data sets in the format of the Well, written chunk by chunk."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import xarray as xr

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file
from sciml.io.contents import Contents
from sciml.io.hdf5 import new_hdf5
from sciml.io.well_layout import WellFile
from sciml.io.well_stats import STATS, FieldStatistics

SPLITS = ("train", "valid", "test")
WORK = ".data.partial"


def write_well(
    folder: str | Path,
    chunks: xr.Dataset | Iterable[xr.Dataset],
    samples: int | None = None,
    *,
    name: str | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
) -> Path:
    """A folder in the format of the Well, which its own tools take, and which :func:`sciml.open_data` gives back as it was, bit for bit.

    ``data/train/NAME.hdf5``, ``data/valid/NAME.hdf5`` and ``data/test/NAME.hdf5`` hold the first, the next and the last samples (a part
    without samples has no file); ``stats.yaml`` has mean, standard deviation and root mean square of the fields and of their changes from one
    instant to the next, over the training part, gathered in float64.

    Every field is a scalar one (``t0_fields``), components of a vector too; fields without time are constant there, numbers per sample
    are scalars that vary by sample, and plain numbers in the attribute ``parameters`` are simulation parameters. Steady solutions have one
    instant at time 0. Faces are PERIODIC, WALL (Dirichlet) or OPEN (all others), by the attribute ``boundaries``. Fields keep their type,
    though files of the Well are in float32 by custom; coordinates and scalars have the type of the fields there, and in the group ``sciml``
    beside them, with all attributes, their own. The files are also readable by name: ``xarray.open_dataset(file, group="t0_fields",
    engine="h5netcdf")``.

    Parameters
    ----------
    folder : of the data set; ``data`` and ``stats.yaml`` appear in it when they are complete.
    chunks : one dataset, or datasets that follow each other along ``sample``, of which memory holds one at a time; attributes are the first one's.
    samples : how many there are together; needed unless one dataset is given.
    name : of the data set and its files; the folder's name if not given.
    split : parts for training, validation and test that sum to 1, or numbers of samples that sum to ``samples``.

    Raises :class:`InputError` if the folder holds data already, the format cannot hold the dataset, the chunks do not fit together or the
    disk is full.
    """
    target = Path(folder)
    if isinstance(chunks, xr.Dataset):
        samples = chunks.sizes.get("sample", 1) if samples is None else samples
        chunks = [chunks]
    if samples is None or samples < 1:
        raise InputError(f"write_well: samples={samples} given; say how many samples the chunks hold together, at least 1.")
    title = target.resolve().name if name is None else name
    if not title or title != Path(title).name or title.startswith("."):
        raise InputError(f"write_well: name={title!r} cannot be the name of a file; give name= with letters and digits.")
    counts = split_counts(split, samples)
    if target.exists() and (not target.is_dir() or ((target / "data").exists() and any((target / "data").iterdir()))):
        raise InputError(f"write_well: {target} holds data already; give a new folder, or remove them.")
    work, made = target / WORK, not target.exists()
    try:
        shutil.rmtree(work, ignore_errors=True)
        for part, count in zip(SPLITS, counts, strict=True):
            if count:
                (work / part).mkdir(parents=True)
    except OSError as error:
        raise InputError(f"Cannot write {target}: {error.strerror or error}. Choose a place that is writable and has space.") from error
    try:
        statistics = _fill([work / part / f"{title}.hdf5" for part in SPLITS], chunks, counts, title)
        with atomic_file(target / STATS) as temporary:
            temporary.write_text(statistics.text(), encoding="utf-8")
            if (target / "data").is_dir():
                (target / "data").rmdir()
            os.replace(work, target / "data")
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if made and not any(target.iterdir()):
            target.rmdir()
        raise
    return target


def split_counts(split: Sequence[float], samples: int) -> list[int]:
    """Numbers of samples for training, validation and test, from parts or numbers; raises :class:`InputError` if they do not add up."""
    given = list(split)
    if len(given) == 3 and all(math.isfinite(part) and part >= 0 for part in given):
        if math.isclose(sum(given), 1.0, abs_tol=1e-9):
            first, second = (math.floor(samples * sum(given[:n]) + 0.5 + 1e-9) for n in (1, 2))
            given = [first, second - first, samples - second]
        if sum(given) == samples and all(part == int(part) for part in given) and given[0] > 0:
            return [int(part) for part in given]
    raise InputError(
        f"write_well: split={tuple(split)} given for {samples} samples; three parts that sum to 1, or three whole numbers that sum to {samples}, "
        "are expected, with at least one sample for training, whose statistics are written."
    )


def _fill(places: Sequence[Path], chunks: Iterable[xr.Dataset], counts: Sequence[int], title: str) -> FieldStatistics:
    """Write the files, cutting chunks where one part ends and the next begins."""
    statistics = FieldStatistics()
    starts = [sum(counts[:i]) for i in range(len(counts))]
    samples, done = sum(counts), 0
    first: Contents | None = None
    files: dict[int, WellFile] = {}
    with ExitStack() as stack:
        for ds in chunks:
            contents = Contents(ds, "write_well")
            if first is None:  # without the other samples, which need not stay in memory
                first = Contents(ds.isel(sample=slice(0, 1)).copy(deep=True), "write_well") if contents.labelled else contents
            difference = first.difference(contents)
            if difference or done + contents.samples > samples:
                what = difference or f"{samples} samples were announced"
                raise InputError(f"write_well: samples {done} to {done + contents.samples - 1} do not fit the others: {what}.")
            for i, (start, count) in enumerate(zip(starts, counts, strict=True)):
                begin, end = max(done, start), min(done + contents.samples, start + count)
                if begin >= end:
                    continue
                if i not in files:
                    files[i] = WellFile(stack.enter_context(new_hdf5(places[i])), first, count, title)
                files[i].add(contents, slice(begin - done, end - done), begin - start, statistics if i == 0 else None)
            done += contents.samples
        if done != samples:
            raise InputError(f"write_well: {samples} samples were announced and {done} came.")
    return statistics
