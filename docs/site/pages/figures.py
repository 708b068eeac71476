"""The pictures of the site, each drawn by the command in its caption while the site is built."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sciml.core.loading import load_problem, problem_names

SEVERAL: Mapping[str, Sequence[str]] = {
    "advection": ("advection:waves --times 30", "advection:krishnapriyan2021 --set speed=3 --times 100"),
    "allen_cahn": ("allen_cahn:raissi2019 --points 256 --times 100", "allen_cahn:front --points 150 --times 100"),
    "burgers": ("burgers:raissi2019 --times 100", "burgers:li2021 --points 512 --set viscosity=0.005 --times 100"),
    "heat": ("heat:periodic --times 100", "heat:dirichlet --set ndim=2 --points 32 --times 12"),
    "korteweg_de_vries": ("korteweg_de_vries:zabusky1965 --points 256 --dt 2e-4 --times 150", "korteweg_de_vries:two_solitons --dt 3e-6 --times 100"),
    "kuramoto_sivashinsky": ("kuramoto_sivashinsky:kassam2005 --times 300", "kuramoto_sivashinsky:cvitanovic2010 --end 200 --times 400"),
    "lorenz": ("lorenz:sakov2012 --end 30", "lorenz:sakov2008 --end 20 --times 400"),
    "navier_stokes": (
        "navier_stokes:kolmogorov --points 64 --end 30 --times 30",
        "navier_stokes:mcwilliams1984 --points 96 --end 10 --times 10",
        "navier_stokes:taylor_green --points 48 --times 10",
    ),
    "porous_medium": ("porous_medium:pme --points 60 --times 60", "porous_medium:barenblatt2d --points 32 --times 9"),
    "quasi_geostrophic": ("quasi_geostrophic:eddy --points 48 --end 5e7 --times 10",),
    "vortices": ("vortices:merging --points 64 --end 8 --times 8",),
}
"""What ``sciml solve`` draws for a module; a module that is not named here gets its first case at a small size."""

SMALL = {1: 256, 2: 64, 3: 16}
"""Most samples per axis of a picture whose command is not chosen by hand, by number of space axes."""

LIMIT_SECONDS = 300.0


def commands(module: str) -> list[str]:
    """The commands that draw the pictures of a module, in order; each writes ``picture(module, i)``."""
    chosen = SEVERAL.get(module) or (_first_case(module),)
    return [f"sciml solve {words} --plot {picture(module, i)}" for i, words in enumerate(chosen)]


def picture(module: str, index: int) -> str:
    """The file name of a module's picture."""
    return f"{module}.png" if index == 0 else f"{module}_{index + 1}.png"


def _first_case(module: str) -> str:
    name = next(name for name in problem_names() if name.startswith(f"{module}:"))
    published = load_problem(name).points
    points = tuple(min(n, SMALL.get(len(published), 16)) for n in published)
    return name if points == published else f"{name} --points {','.join(map(str, points if len(set(points)) > 1 else points[:1]))}"


def draw(modules: Sequence[str], jobs: int = 2) -> dict[str, bytes]:
    """Run every command of the modules; the pictures by name.

    A command that fails, or that takes longer than five minutes, raises ``RuntimeError`` with what it said.
    """
    names = [(command, picture(module, i)) for module in modules for i, command in enumerate(commands(module))]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda pair: _run(pair[0], Path(folder)), names))
        return {name: (Path(folder) / name).read_bytes() for _, name in names}


def _run(command: str, folder: Path) -> None:
    start = [sys.executable, "-c", "from sciml.cli.main import run; run()", *shlex.split(command)[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(start, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
