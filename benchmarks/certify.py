"""Make the reference trajectories in ``data/`` by certified runs, and the manifest that says how far to trust them.

Every case is run twice: as stored, and with half the step on half as many points again from the same band-limited
state. The error estimate of a stored trajectory is its largest relative L2 distance from the finer run.

    python benchmarks/certify.py --out data
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import xarray as xr

import sciml
from sciml.spectral.resample import resample

# case, points, step, output times: resolved to the estimate in the manifest, small enough to ship
CASES: dict[str, tuple[str, int, float, list[float]]] = {
    "kuramoto_sivashinsky_l22": ("kuramoto_sivashinsky:cvitanovic2010", 64, 1 / 64, [2.0 * i for i in range(26)]),
    "korteweg_de_vries_raissi2019": ("korteweg_de_vries:raissi2019", 384, 1 / 12800, [0.05 * i for i in range(21)]),
    "navier_stokes_li2021": ("navier_stokes:li2021", 64, 1 / 50, [2.0 * i for i in range(6)]),
}
HEADER = """# Reference trajectories

Made by `python benchmarks/certify.py --out data`; licence as the package. NetCDF-4, one variable per field, read with
`sciml.load`. The error estimate is the largest relative L2 distance, over the stored times, from a run with half the
step on half as many points again.

| file | problem | points | step | times | error estimate | SHA-256 |
|---|---|---|---|---|---|---|
"""


def certify(problem: sciml.Problem, points: int, dt: float, times: list[float]) -> tuple[xr.Dataset, float]:
    """The stored dataset and its error estimate."""
    stored = sciml.solve(problem, points=points, dt=dt, times=times, method="etdrk4")
    grid = problem.grid(points)
    fine_points = points * 3 // 2
    start = resample(problem.initial_state(grid), grid, (fine_points,) * grid.ndim)
    fine = sciml.solve(problem, points=fine_points, dt=dt / 2, times=times, method="etdrk4", initial=start)
    truth = resample(sciml.to_tensor(fine), problem.grid(fine_points), grid.shape)
    ours = sciml.to_tensor(stored)
    distance = (ours - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1).clamp_min(1e-300)
    return stored, float(distance.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (case, points, dt, times) in CASES.items():
        ds, error = certify(sciml.load_problem(case), points, dt, times)
        ds.attrs.update(error_estimate=error, made_by="benchmarks/certify.py")
        path = sciml.save(ds, out / f"{name}.nc")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"| `{name}.nc` | `{case}` | {points} | {dt:g} | 0 to {times[-1]:g}, {len(times)} | {error:.1e} | `{digest}` |")
        print(f"{name}: error estimate {error:.1e}, {path.stat().st_size} bytes")
    (out / "MANIFEST.md").write_text(HEADER + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
