"""What ``sciml assimilate`` does."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from sciml.assimilation.methods import analysis, options_of
from sciml.assimilation.modes import fourier
from sciml.assimilation.observation import Observation
from sciml.assimilation.operators import Operator, every
from sciml.assimilation.points import at_points, local_average
from sciml.assimilation.twin import twin
from sciml.cli.commands import stages
from sciml.cli.parsing import parse_dtype, parse_names, parse_points, parse_settings
from sciml.cli.stop import stoppable
from sciml.core.checks import check_device
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.loading import load_problem
from sciml.core.problem import Problem
from sciml.report.assimilate import COLUMNS, Experiment, assimilate
from sciml.report.document import seconds
from sciml.surrogates.load import load_model

CYCLES = 100


def run_assimilate(
    name: str,
    methods: str,
    observe: str,
    channels: str | None,
    noise: float | None,
    members: int,
    inflation: float | None,
    radius: float | None,
    rotate: bool,
    options: Sequence[str],
    cycles: int,
    steps: int | None,
    experiments: int,
    spin_up: float | None,
    spread: float | None,
    burn_in: int | None,
    model: Path | None,
    imperfect: Sequence[str],
    points: str | None,
    dt: float | None,
    settings: Sequence[str],
    seed: int,
    out: Path,
    device: str,
    dtype: str | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """``sciml assimilate``: the report, and its scores on the terminal."""
    problem = load_problem(name, parse_settings(settings))
    given: dict[str, Any] = parse_settings(options)
    given |= {key: value for key, value in (("inflation", inflation), ("radius", radius), ("rotate", rotate or None)) if value is not None}
    chosen = chosen_methods(parse_names(methods) or [], given)
    if model is not None and imperfect:
        raise InputError("--model and --imperfect given; the forecasts are made by one of them.")
    step: Any = None
    if model is not None:
        step = load_model(model, device=device)
    elif imperfect:
        step = load_problem(name, {**parse_settings(settings), **parse_settings(imperfect)})
    grid = problem.grid(parse_points(points), device=check_device(device))
    seen = Observation(observed(observe, grid, parse_channels(channels), seed), noise_of(noise, problem))
    if burn_in is not None and not burn_in < cycles:
        raise InputError(f"--burn-in {burn_in} given for {cycles} cycles; a smaller number is needed.")
    with ExitStack() as stack:
        stack.enter_context(stoppable("Nothing was kept."))
        tell = stack.enter_context(stages())
        tell("truth", 0.0)
        experiment = twin(
            problem,
            seen,
            cycles,
            every=steps,
            members=members,
            experiments=experiments,
            spin_up=spin_up,
            spread=spread,
            step=step,
            points=parse_points(points),
            dt=dt,
            dtype=parse_dtype(dtype) or torch.float64,
            device=device,
            seed=seed,
        )
        tell("truth", 1.0)
        words = shlex.join(["sciml", "assimilate", name, *_repeated(locals())])
        found = assimilate(experiment, chosen, out, burn_in=burn_in, seed=seed, progress=tell, resume=resume, overwrite=overwrite, command=words)
    say(found)


def say(found: Experiment) -> None:
    """Print the scores, with published ones below."""
    scores = {row["method"]: row for row in found.table}
    shown = [column for column in COLUMNS if any(not math.isnan(row[column]) for row in scores.values())]
    published = {f"  {name}": error for name, error in found.published.items()}
    width = max(16, *(len(name) + 2 for name in [*scores, *published]))
    print(f"{'method':<{width}}{''.join(f'{column:>12}' for column in shown)}{'wall time':>12}")
    for row in found.rows:
        if row.run is None:
            print(f"{row.name:<{width}}  {row.failure}")
        else:
            numbers = "".join(f"{scores[row.name][column]:>12.4g}" for column in shown)
            print(f"{row.name:<{width}}{numbers}{seconds(row.seconds):>12}")
            for note in row.run.notes:
                print(f"  {note}")
    if published:
        print("published")
        for name, error in published.items():
            print(f"{name:<{width}}{''.join(f'{error:>12.4g}' if column == 'rmse.a' else ' ' * 12 for column in shown)}")
    print(f"wrote {found.folder}/report.html and {len(list(found.folder.iterdir())) - 2} more files beside it")


def chosen_methods(names: Sequence[str], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The methods with those of the options that each has; an option that none of them has is refused."""
    known = {name: options_of(name) if analysis(name) else [] for name in names}
    for option in given:
        if not any(option in options for options in known.values()):
            have = "; ".join(f"{name} has {', '.join(options)}" for name, options in known.items())
            raise InputError(f"--{option} given, which none of the methods has: {have}.")
    result = {name: {option: value for option, value in given.items() if option in options} for name, options in known.items()}
    for name, options in result.items():
        analysis(name, options)
    return result


def observed(text: str, grid: Grid, channels: tuple[int, ...] | None, seed: int) -> Operator:
    """``every:4``, ``random:20`` (places), ``points:0.1,0.5`` (on a line), ``fourier:8`` (modes up to 8), ``average:0.5`` (around every point)."""
    kind, _, value = text.partition(":")
    if kind not in KINDS or not value:
        raise InputError(f"--observe {text!r} is not known; write {', '.join(f'{k}:{example}' for k, example in KINDS.items())}.")
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        raise InputError(f"--observe {text!r}: {value!r} is no number; write {kind}:{KINDS[kind]}.") from None
    whole = kind in ("every", "random", "fourier")
    several = kind != "points" and len(numbers) != 1
    if several or not all(map(math.isfinite, numbers)) or (whole and (numbers[0] != int(numbers[0]) or numbers[0] < 1)):
        raise InputError(f"--observe {text!r}: one {'whole ' if whole else ''}number is needed; write {kind}:{KINDS[kind]}.")
    if kind == "every":
        return every(int(numbers[0]), channels=channels)
    if kind == "points":
        return at_points(numbers, channels=channels)
    if kind == "average":
        return local_average(numbers[0], channels=channels)
    if kind == "fourier":
        return fourier(_modes(int(numbers[0]), grid), channels=channels)
    where = torch.rand((int(numbers[0]), grid.ndim), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return at_points(torch.tensor(grid.origin, dtype=torch.float64) + where * torch.tensor(grid.lengths, dtype=torch.float64), channels=channels)


KINDS = {"every": "4", "random": "20", "points": "0.1,0.5", "fourier": "8", "average": "0.5"}


def _modes(most: int, grid: Grid) -> list[tuple[int, ...]]:
    """One of each pair of conjugate modes up to a number along each axis."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(grid.ndim):
        found = [(*mode, k) for mode in found for k in range(-most, most + 1)]
    return [mode for mode in found if mode >= (0,) * grid.ndim]


def parse_channels(text: str | None) -> tuple[int, ...] | None:
    """``"0,2"`` as numbers of fields."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--channels {text!r} are no numbers of fields; write --channels 0, or 0,2.") from None


def noise_of(given: float | None, problem: Problem) -> float:
    """The standard deviation that was asked for, or that the problem publishes."""
    if given is not None:
        return given
    if "noise_variance" not in problem.parameters:
        raise InputError(
            f"--noise is needed: {problem.name} publishes no errors of observations. Give their standard deviation, such as --noise 0.1."
        )
    return float(problem.parameters["noise_variance"]) ** 0.5


OPTIONS = (
    ("methods", "--method"),
    ("observe", "--observe"),
    ("channels", "--channels"),
    ("noise", "--noise"),
    ("members", "--members"),
    ("inflation", "--inflation"),
    ("radius", "--radius"),
    ("cycles", "--cycles"),
    ("steps", "--every"),
    ("experiments", "--experiments"),
    ("spin_up", "--spin-up"),
    ("spread", "--spread"),
    ("burn_in", "--burn-in"),
    ("model", "--model"),
    ("points", "--points"),
    ("dt", "--dt"),
    ("seed", "--seed"),
    ("dtype", "--dtype"),
)


def _repeated(given: dict[str, Any]) -> list[str]:
    """The words that ask for the same."""
    words = [word for name, option in OPTIONS if given[name] is not None for word in (option, str(given[name]))]
    words += ["--rotate"] * given["rotate"]
    lists = (("options", "--option"), ("imperfect", "--imperfect"), ("settings", "--set"))
    return [*words, *(word for name, option in lists for text in given[name] for word in (option, text))]
