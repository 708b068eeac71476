"""A swinging beam whose state is the weights of two networks, beside polynomials moved by the same energy.

    OMP_NUM_THREADS=1 python benchmarks/inr_elastic.py euler small wide ritz     # runs, each a row of results/inr_elastic.json
    python benchmarks/inr_elastic.py --draw docs/figures/inr_beam.png            # of the states that the run "small" has left

The beam of ``elasticity:swinging_beam`` is let go, falls for half its period, and comes back. Errors are against Ritz's method in many more
polynomials and steps, whose own error is the difference to fewer of both: relative root mean squares over the body and over all output times, of
displacements and of velocities. Energy is that lost or won until the end, as a part of what the load has given at the lowest point.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sciml
from sciml.report.style import INK, PALETTE, house_style, new_figure, save_figure
from sciml.solvers.ritz import Ritz
from sciml.surrogates.inr.elastic import ElasticField

HERE = Path(__file__).parent / "results"
RESULTS, STATES = HERE / "inr_elastic.json", HERE / "inr_elastic.npz"
END, EVERY, SHAPE = 1.5, 0.125, (48, 12)
REFERENCE, COARSER = ((81, 21), 0.00625), ((49, 13), 0.0125)
"""Samples, which fix the number of polynomials, and step."""

RUNS: dict[str, dict[str, Any]] = {
    "euler": {"dt": 0.025, "width": 10, "depth": 2, "integrator": "implicit_euler"},
    "small": {"dt": 0.025, "width": 10, "depth": 2},
    "shallow": {"dt": 0.025, "width": 16, "depth": 1},
    "wide": {"dt": 0.025, "width": 16, "depth": 2},
    "ritz": {"points": (16, 6), "dt": 0.025},
}


def polynomials(problem: sciml.Problem, samples: tuple[int, int], dt: float) -> tuple[Tensor, Ritz, Tensor]:
    """States at output times on the common grid, the stepper, and its last state."""
    step = Ritz(problem, problem.grid(samples), dt)
    x = torch.stack([c.flatten() for c in problem.grid(SHAPE).points()], 1)
    values, _ = step.basis.at(x)
    state = step.encode(problem.initial_state(step.grid))
    found = [state @ values.T]
    for n in range(round(END / dt)):
        state = step.advance(state, n * dt)
        if abs((n + 1) * dt / EVERY - round((n + 1) * dt / EVERY)) < 1e-6:
            found.append(state @ values.T)
    return torch.stack(found), step, state


def errors(found: Tensor, true: Tensor) -> dict[str, float]:
    """Of displacements and velocities, relative, over the body and all times; and of the displacements at the end, relative to the largest."""
    parts = {"displacement": slice(0, 2), "velocity": slice(2, 4)}
    return {name: float((found - true)[:, part].norm() / true[:, part].norm()) for name, part in parts.items()}


def references(problem: sciml.Problem) -> tuple[Tensor, dict[str, float]]:
    """The reference, kept in a file, and how far coarser polynomials are from it."""
    if STATES.exists():
        with np.load(STATES) as kept:
            return torch.from_numpy(kept["reference"].astype(np.float64)), json.loads(str(kept["errors"]))
    true, _, _ = polynomials(problem, *REFERENCE)
    coarse, _, _ = polynomials(problem, *COARSER)
    return true, errors(coarse, true)


def run(name: str, problem: sciml.Problem, true: Tensor, seed: int) -> tuple[dict[str, Any], Tensor]:
    """A row of the table, and the states at output times."""
    options = dict(RUNS[name])
    before = time.process_time()
    if name == "ritz":
        found, step, state = polynomials(problem, options["points"], options["dt"])
        size, last = state.numel(), step.energy(state)
        extra: dict[str, Any] = {"functions": step.basis.size}
    else:
        made = sciml.INRStepper(problem, options.pop("dt"), seed=seed, **options)
        times = [EVERY * i for i in range(round(END / EVERY) + 1)]
        ran = sciml.evolve(made, times, progress=lambda done: print(f"{name}: {100 * done:.0f} %", flush=True))
        found, size = ran.field(problem.grid(SHAPE)).flatten(-2), made.size
        assert isinstance(made.field, ElasticField)
        last = made.field.energy(ran.weights[-1])
        misfits = [row.misfit for row in ran.rows]
        extra = {"weights": size, "misfit": max(misfits), "median_misfit": float(np.median(misfits)), "seed": seed}
    seconds = time.process_time() - before
    body: Any = problem.equation
    lowest = float((body.density * 9.81 * -true[:, 1].mean(-1)).max())
    row = {
        "case": problem.name,
        "run": name,
        **{k: str(v) if isinstance(v, tuple) else v for k, v in RUNS[name].items()},
        **extra,
        "state_bytes": size * 8,
        "seconds_of_one_core": round(seconds, 1),
        **{f"error_{k}": v for k, v in errors(found, true).items()},
        "energy": last.total / lowest,
        "machine": platform.processor() or platform.machine(),
        "torch": str(torch.__version__),
    }
    return row, found


def draw(out: Path, problem: sciml.Problem) -> None:
    """The beam at several times: the network's grid of lines, the reference's outline."""
    with np.load(STATES) as kept:
        states, true = kept["small"], kept["reference"]
    x, y = (c.numpy() for c in problem.grid(SHAPE).points())
    instants = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    with house_style():
        figure = new_figure(3.6)
        for axes, t in zip(figure.subplots(2, 3, sharex=True, sharey=True).flat, instants, strict=True):
            index = round(t / EVERY)
            px, py = (c + states[index, i].reshape(SHAPE) for i, c in enumerate((x, y)))
            rx, ry = (c + true[index, i].reshape(SHAPE) for i, c in enumerate((x, y)))
            for lines in ((px[::6], py[::6]), (px[:, ::3].T, py[:, ::3].T)):
                axes.plot(lines[0].T, lines[1].T, color=PALETTE[0], linewidth=0.6)
            edge = [np.concatenate([c[:, 0], c[-1], c[::-1, -1], c[0, ::-1]]) for c in (rx, ry)]
            axes.plot(*edge, color=PALETTE[1], linewidth=1.0, linestyle=(0, (3, 2)))
            axes.plot([0, 0], [-0.25, 1.25], color=INK, linewidth=2.0)
            axes.set_title(f"t = {t:g} s")
            axes.set_aspect("equal")
        for axes in figure.axes[3:]:
            axes.set_xlabel("x in m")
        for axes in figure.axes[::3]:
            axes.set_ylabel("y in m")
        handles = [figure.axes[0].plot([], [], color=PALETTE[0], linewidth=0.8)[0], figure.axes[0].plot([], [], color=PALETTE[1], linestyle="--")[0]]
        figure.legend(handles, ["networks (324 weights)", "polynomials, refined"], loc="outside lower center", ncols=2)
        print(save_figure(figure, out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw", type=Path)
    arguments = parser.parse_args()
    problem = sciml.load_problem("elasticity:swinging_beam")
    if arguments.draw:
        return draw(arguments.draw, problem)
    true, own = references(problem)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s); the reference is known to {own}")
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    states: dict[str, Any] = {}
    if STATES.exists():
        with np.load(STATES) as kept:
            states = dict(kept)
    states.update(reference=true.numpy().astype(np.float32), errors=json.dumps(own))
    for name in arguments.runs:
        row, found = run(name, problem, true, arguments.seed)
        key = name if arguments.seed == 0 else f"{name}_seed{arguments.seed}"
        rows[key] = {**row, "reference_known_to": own}
        if key == "small":  # for the picture
            states[key] = found.numpy().astype(np.float32)
        print(json.dumps(rows[key], indent=1), flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        np.savez_compressed(STATES, **states)


if __name__ == "__main__":
    main()
