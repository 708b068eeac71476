"""``sciml list | solve | generate | train | compare | work-precision | assimilate``: what each option means, and how errors reach the user.

PyTorch takes seconds to import, so each command imports what it needs when it runs and ``sciml --help`` is quick.
"""

from __future__ import annotations

import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TextIO

import typer

INTERRUPTED = 130
BAD_INPUT = 2

# The base of typer's errors for wrong usage; its own import path differs between typer's versions.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]

# PyTorch reports exhausted memory as a RuntimeError, worded by the device.
_NO_MEMORY = re.compile("allocate memory|out of memory", re.IGNORECASE)

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, help="Solve PDEs and compare methods."
)

ProblemName = Annotated[str, typer.Argument(metavar="PROBLEM", help="module:case as `sciml list` shows, or a Python file with a `problem`.")]
Points = Annotated[str | None, typer.Option(help="Samples per axis: one number, or one per axis such as 128,64. The published ones by default.")]
Step = Annotated[float | None, typer.Option("--dt", help="Time step. Chosen from the problem by default.")]
End = Annotated[float | None, typer.Option(help="Final time. The problem's horizon by default.")]
Times = Annotated[int | None, typer.Option(help="Number of equal output intervals. Enough for a smooth figure by default.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the problem; may be given several times.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of random initial states.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str | None, typer.Option("--dtype", help="float64 or float32.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings, if there is one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Give up an interrupted run and start anew.")]


@app.command("list")
def list_command() -> None:
    """Show every problem and every method, one line each."""
    from sciml.cli.listing import print_listing

    print_listing()


@app.command()
def solve(
    problem: ProblemName,
    points: Points = None,
    dt: Step = None,
    end: End = None,
    times: Times = None,
    method: Annotated[str | None, typer.Option(help="A method of `sciml list`. Chosen from the problem by default.")] = None,
    setting: Settings = None,
    samples: Annotated[int | None, typer.Option(help="Number of initial states to draw.")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write the trajectory to this NetCDF file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it to this picture (.png, .pdf, .svg).")] = None,
    animate: Annotated[Path | None, typer.Option(help="Draw it to this moving picture (.gif).")] = None,
    device: Device = "cpu",
    dtype: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    checkpoint_every: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How often an unfinished --out is kept on disk.")] = 30.0,
) -> None:
    """Solve one problem by a classical scheme."""
    from sciml.cli.commands import run_solve

    run_solve(
        problem, points, dt, end, times, method, setting or [], samples, seed, out, plot, animate, device, dtype, resume, overwrite, checkpoint_every
    )


@app.command()
def generate(
    problem: ProblemName,
    samples: Annotated[int, typer.Option(min=1, help="Number of trajectories, each from an initial state of its own.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the data set. A folder of the cache by default.")] = None,
    format: Annotated[str, typer.Option(help="netcdf, well or pdebench.")] = "netcdf",
    points: Points = None,
    dt: Step = None,
    end: End = None,
    times: Annotated[int | None, typer.Option(help="Number of equal output intervals; 50 by default.")] = None,
    method: Annotated[str | None, typer.Option(help="A method of `sciml list`. Chosen from the problem by default.")] = None,
    setting: Settings = None,
    seed: Seed = 0,
    chunk: Annotated[int | None, typer.Option(min=1, help="Samples that are solved and kept together. Chosen by size by default.")] = None,
    device: Device = "cpu",
    dtype: Precision = None,
    resume: Resume = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard an interrupted run, and replace a data set in --out.")] = False,
) -> None:
    """Make a data set: many trajectories from the problem's law of initial states."""
    from sciml.cli.generate import run_generate

    run_generate(problem, samples, out, format, points, dt, end, times, method, setting or [], seed, chunk, device, dtype, resume, overwrite)


@app.command()
def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="fno, ffno or transolver.")],
    source: Annotated[str, typer.Argument(metavar="PROBLEM|DATA", help="module:case or a Python file, whose data are made first; or files of data.")],
    out: Annotated[Path, typer.Option(help="Write the trained model to this file.")],
    samples: Annotated[int, typer.Option(min=3, help="Trajectories to make of a PROBLEM; 10 % each are for validation and test.")] = 200,
    points: Points = None,
    end: End = None,
    times: Times = None,
    setting: Settings = None,
    lag: Annotated[int, typer.Option(min=1, help="Stored instants per step of the model.")] = 1,
    modes: Annotated[int | None, typer.Option(min=1, help="Fourier modes per axis.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Hidden channels.")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Layers.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data; 100 unless there is a budget.")] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Seconds to train.")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate; 1e-3 by default.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs per step, over all processes together.")] = 32,
    noise: Annotated[float, typer.Option(min=0, help="Noise on the input in training, relative to its spread.")] = 0.0,
    seed: Seed = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="full or bf16-mixed.")] = "full",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training of the same settings, if there is one.")] = False,
    log: Annotated[Path | None, typer.Option(help="Write losses, learning rate and time per epoch to this file (.csv).")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write the same to this folder as TensorBoard events.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Predict states themselves; by default their change over a step.")] = False,
) -> None:
    """Train a neural operator on a problem's trajectories, or on data in files."""
    from sciml.cli.train import run_train

    run_train(
        model,
        source,
        out,
        samples,
        points,
        end,
        times,
        setting or [],
        lag,
        modes,
        width,
        depth,
        epochs,
        budget,
        lr,
        batch_size,
        noise,
        seed,
        device,
        precision,
        resume,
        log,
        tensorboard,
        direct,
    )


@app.command()
def compare(
    problem: ProblemName,
    methods: Annotated[str | None, typer.Option(help="Names separated by commas. All usual ones that apply by default.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Compare with this file (.mat, .npz, .npy, .nc, .h5) made by others.")] = None,
    variable: Annotated[
        str | None, typer.Option("--var", metavar="NAMES", help="Its field: a name, names separated by commas, or u=usol,v=vsol.")
    ] = None,
    dims: Annotated[
        str | None, typer.Option(metavar="AXES", help="The order of the field's axes, such as t,x,y; a number takes that entry of an axis.")
    ] = None,
    coords: Annotated[
        str | None,
        typer.Option(metavar="X=...", help="Its coordinates: x=lon (an array), t=0:1 (first:last), x=0:1:periodic (without the end), x=0:1:cells."),
    ] = None,
    points: Points = None,
    dt: Step = None,
    end: End = None,
    times: Times = None,
    setting: Settings = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("report"),
    device: Device = "cpu",
    dtype: Precision = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Seconds that a method may spend on training.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Run several methods on one problem and write a report: error, time and memory side by side."""
    from sciml.cli.commands import run_compare

    run_compare(
        problem,
        methods,
        reference,
        variable,
        dims,
        coords,
        points,
        dt,
        end,
        times,
        setting or [],
        seed,
        out,
        device,
        dtype,
        budget,
        resume,
        overwrite,
    )


@app.command("work-precision")
def work_precision(
    problem: ProblemName,
    methods: Annotated[str | None, typer.Option(help="Names separated by commas. All usual ones that apply by default.")] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]N,N,...",
            help="Sizes: 32,64 are points per axis (widths, if all methods are networks); width=8,12 are for networks, inr=8,12 for one method. "
            "May be given several times; each method has some by default.",
        ),
    ] = None,
    points: Annotated[str | None, typer.Option(help="Samples per axis where networks are evaluated. The published ones by default.")] = None,
    dt: Annotated[float | None, typer.Option("--dt", help="Time step of all runs. Chosen by each method by default.")] = None,
    end: End = None,
    setting: Settings = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("work_precision"),
    device: Device = "cpu",
    dtype: Precision = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Seconds that a method may spend on training, in each size.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Run methods in several sizes on one problem: error against memory and time as curves."""
    from sciml.cli.work_precision import run_work_precision

    run_work_precision(problem, methods, sizes or [], points, dt, end, setting or [], seed, out, device, dtype, budget, resume, overwrite)


@app.command()
def assimilate(
    problem: ProblemName,
    method: Annotated[str, typer.Option(help="An analysis of `sciml list`, or several separated by commas.")] = "etkf",
    observe: Annotated[
        str,
        typer.Option(metavar="KIND:N", help="every:4 (points of the grid), random:20 (places), points:0.1,0.5, fourier:8 or average:0.5 (width)."),
    ] = "every:1",
    channels: Annotated[str | None, typer.Option(metavar="N,N", help="Numbers of the fields that are observed, from 0. All by default.")] = None,
    noise: Annotated[float | None, typer.Option(help="Standard deviation of the data. The published one by default.")] = None,
    members: Annotated[int, typer.Option(min=1, help="Members of the ensemble.")] = 20,
    inflation: Annotated[float | None, typer.Option(help="Factor of the ensemble's deviations after each analysis.")] = None,
    radius: Annotated[float | None, typer.Option(help="Radius of localisation, in the problem's unit of length.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Mix the members by random rotations.")] = False,
    option: Annotated[list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Another option of the method; several times.")] = None,
    cycles: Annotated[int, typer.Option(min=1, help="Times of data.")] = 100,
    every: Annotated[int | None, typer.Option(min=1, help="Steps of the model between two times of data. The published ones by default.")] = None,
    experiments: Annotated[int, typer.Option(min=1, help="Independent ones, run side by side.")] = 1,
    spin_up: Annotated[float | None, typer.Option(min=0, help="Time that the truth runs before the first ensemble.")] = None,
    spread: Annotated[float | None, typer.Option(help="Standard deviation of the first ensemble. From the problem's random law by default.")] = None,
    burn_in: Annotated[int | None, typer.Option(min=0, help="Cycles that scores leave out; a third by default.")] = None,
    model: Annotated[Path | None, typer.Option(help="Forecast by this model, which `sciml train` wrote; --every counts its steps.")] = None,
    imperfect: Annotated[
        list[str] | None, typer.Option("--imperfect", metavar="NAME=VALUE", help="A parameter that the forecasts have instead; several times.")
    ] = None,
    points: Points = None,
    dt: Step = None,
    setting: Settings = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("assimilation"),
    device: Device = "cpu",
    dtype: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Assimilate data in a twin experiment: a truth by the classical solver, data with errors, and methods that estimate it."""
    from sciml.cli.assimilate import run_assimilate

    run_assimilate(
        problem,
        method,
        observe,
        channels,
        noise,
        members,
        inflation,
        radius,
        rotate,
        option or [],
        cycles,
        every,
        experiments,
        spin_up,
        spread,
        burn_in,
        model,
        imperfect or [],
        points,
        dt,
        setting or [],
        seed,
        out,
        device,
        dtype,
        resume,
        overwrite,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code.

    0: done. 2: bad input or a place that cannot be written to, said in one line. 130: interrupted.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _plain_warnings():
            code = app(args=arguments, standalone_mode=False)
    except _USAGE_ERROR as error:
        return _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        return _fail(str(error))
    except Exception as error:
        from sciml.cli.stop import Stopped
        from sciml.core.errors import SciMLError

        if isinstance(error, Stopped):
            return _fail(f"interrupted. {error}", INTERRUPTED)
        if isinstance(error, SciMLError):
            return _fail(" ".join([str(error), *getattr(error, "__notes__", [])]))
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
            return _fail("The memory of this machine does not suffice; ask for fewer points, samples or output times, or --dtype float32.")
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C in some of its versions, ours in the others
        return _fail("interrupted.", INTERRUPTED)
    return code if isinstance(code, int) else 0


def run() -> None:
    """The entry point of the installed command."""
    sys.exit(main())


def _fail(message: str, code: int = BAD_INPUT) -> int:
    newline = "\n" if code == INTERRUPTED else ""  # leaves the line of a progress bar, and the terminal's ^C
    print(f"{newline}sciml: {' '.join(message.split())}", file=sys.stderr)
    return code


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings about data as one line each, without the place in the source that raised them; all others as Python shows them."""
    from sciml.core.errors import DataWarning

    with warnings.catch_warnings():
        other = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
        ) -> None:
            if issubclass(category, DataWarning):
                print(f"sciml: warning: {' '.join(str(message).split())}", file=sys.stderr)
            else:
                other(message, category, filename, lineno, file, line)

        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A request to end is treated as Ctrl-C, so that unfinished files are cleaned up."""
    raise KeyboardInterrupt
