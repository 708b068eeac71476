"""The shipped reference trajectories are what their manifest says, and are reproduced within their error estimates."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import sciml

DATA = Path(__file__).resolve().parents[1] / "data"
ROWS = [line.split("|")[1:-1] for line in (DATA / "MANIFEST.md").read_text().splitlines() if line.startswith("| `")]


def test_manifest_lists_every_file() -> None:
    assert {row[0].strip(" `") for row in ROWS} == {p.name for p in DATA.glob("*.nc")}
    assert len(ROWS) >= 3


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip(" `") for row in ROWS])
def test_trajectory_is_reproduced_within_its_error_estimate(row: list[str]) -> None:
    name, case, _, _, _, estimate, digest = (cell.strip(" `") for cell in row)
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    stored = sciml.load(DATA / name)
    problem = sciml.load_problem(case)
    grid = sciml.grid_of(stored)
    times = stored["time"].values.tolist()
    # another scheme order, another step: agreement is not sameness of code
    again = sciml.solve(problem, points=grid.shape, dt=stored.attrs["dt"] / 3, times=times, method="etdrk3")
    a, b = sciml.to_tensor(stored), sciml.to_tensor(again)
    distance = float(((a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)).max())
    assert distance < max(20 * float(estimate), 1e-7)
    assert float(a[0].std()) > 0
