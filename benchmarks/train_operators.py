"""Train operators on a published task and say how good they are: error by resolution, free runs, time, parameters.

    OMP_NUM_THREADS=1 python benchmarks/train_operators.py burgers --budget 600 --seeds 0 1 2
    python benchmarks/train_operators.py navier_stokes --size full --device cuda

Every run leaves its training curve as ``benchmarks/results/operators/TASK-MODEL-SEED-BUDGET.csv`` and a row in ``operators.json`` beside it;
an interrupted one goes on. ``benchmarks/draw_operators.py`` draws them. Data are made by ``sciml.generate`` and kept in its cache.
The model neuraloperator needs that package (2.0). Errors are relative L2 per sample, then averaged; Navier-Stokes over ten frames together.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from operator_cases import EPOCHS, POINTS, TASKS, VISCOSITY, Task
from torch import Tensor, nn

import sciml

RESULTS = Path(__file__).parent / "results" / "operators"


@torch.no_grad()
def predicted(model: nn.Module, u: Tensor, frames: int) -> Tensor:
    """What the model says of arguments ``(sample, channel, *space)``, in portions: a roll-out from the last frame for propagators."""
    parts = []
    for portion in u.split(max(1, 2**21 // u[0].numel())):
        if getattr(model, "dt", None) is None:
            parts.append(model(portion))
        else:
            parts.append(sciml.rollout(model, portion[:, -1:], frames)[1:, :, 0].movedim(0, 1))
    return torch.cat(parts)


def trained(task: Task, name: str, seed: int, device: str, epochs: int | None, budget: float | None, stem: Path) -> tuple[nn.Module, sciml.History]:
    torch.manual_seed(seed)
    model = task.models[name](task.grid)
    settings = task.settings | task.own.get(name, {})
    data = settings.pop("data", task.train)
    if isinstance(data, tuple):
        sample = data
    else:
        some = data.bound(task.grid.ndim).__getitems__(range(0, 4000, 8))
        sample = (some.u, some.target)
    model.normalise(*sample)
    history = sciml.fit(
        model,
        data,
        epochs=epochs,
        budget=budget,
        seed=seed,
        device=device,
        log=stem.with_suffix(".csv"),
        checkpoint=stem.with_suffix(".ckpt"),
        checkpoint_every=120.0,
        resume=True,
        progress=True,
        **settings,
    )
    stem.with_suffix(".ckpt").unlink()
    return model.cpu(), history


def tested(task: Task, model: nn.Module) -> dict[str, Any]:
    """Errors by resolution, and how free runs go."""
    found: dict[str, Any] = {"errors": {}}
    for points, (u, target) in task.tests.items():
        grid = task.grid.resized((points,) * task.grid.ndim)
        error = [
            float(sciml.relative_l2(p[None], y[None]))
            for p, y in zip(predicted(model.on(grid), u, target.shape[1]), target, strict=True)
        ]
        values = torch.tensor(error)
        found["errors"][points] = {"mean": values.mean().item(), "median": values.median().item(), "largest": values.max().item()}
    if task.rolls is not None and getattr(model, "dt", None) is not None:
        true = task.rolls[10:]
        with torch.no_grad():
            run = sciml.rollout(model, true[0], len(true) - 1)
        until = sciml.time_to_correlation(run, true, model.dt, ndim=2)
        found["until_correlation_0.8_median"] = until.median().item()
        found["fraction_to_the_end"] = until.isinf().double().mean().item()
        found["blown_up"] = sciml.blown_up(run, true, ndim=2)
        found["horizon"] = (len(true) - 1) * model.dt
        size = torch.linalg.vector_norm(true.flatten(2), dim=2)
        found["error_by_step"] = (torch.linalg.vector_norm((run - true).flatten(2), dim=2) / size).mean(1).tolist()
    return found


@contextlib.contextmanager
def table() -> Iterator[dict[str, Any]]:
    """The rows so far by name; written again at the end, by one process at a time."""
    place = RESULTS / "operators.json"
    with open(RESULTS / "operators.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(place.read_text()) if place.exists() else {}
        yield rows
        place.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--size", choices=("reduced", "full"), default="reduced")
    parser.add_argument("--points", type=int)
    parser.add_argument("--viscosity", type=float)
    parser.add_argument("--budget", type=float, help="seconds per model and seed")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    viscosity = VISCOSITY[a.task] if a.viscosity is None else a.viscosity
    task = TASKS[a.task](a.size, a.device, a.points or POINTS[a.task], viscosity)
    epochs = EPOCHS[a.task] if a.epochs is None and a.budget is None else a.epochs
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in a.models or task.models:
        for seed in a.seeds:
            length = f"{a.budget:g}s" if a.budget else f"{epochs}epochs"
            case = a.task if viscosity == VISCOSITY[a.task] else f"{a.task}{viscosity:g}"
            key = re.sub("[^a-z0-9]+", "-", f"{case} {a.size} {name} {task.grid.shape[0]} seed{seed} {length}")
            model, history = trained(task, name, seed, a.device, epochs, a.budget, RESULTS / key)
            last = history.epochs[-1]
            row = {
                "task": task.label,
                "model": name,
                "seed": seed,
                "budget_s": a.budget,
                "epochs": last.epoch,
                "steps": last.steps,
                "training_s": last.seconds,
                "training_loss": last.loss,
                "parameters": sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters()),
                "threads": torch.get_num_threads(),
                "device": a.device,
                "machine": platform.machine(),
                "torch": torch.__version__,
                **tested(task, model),
            }
            with table() as rows:
                rows[key] = row
            shown = ", ".join(f"{points}: {value['mean']:.3e}" for points, value in row["errors"].items() if math.isfinite(value["mean"]))
            print(f"{key}: {last.epoch} epochs in {last.seconds:.0f} s, loss {last.loss:.2e}; errors {shown}", flush=True)


if __name__ == "__main__":
    main()
