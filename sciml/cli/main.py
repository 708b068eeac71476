"""``sciml list | solve | compare``: what each option means, and how errors reach the user.

PyTorch takes seconds to import, so each command imports what it needs when it runs and ``sciml --help`` is quick.
"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

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
) -> None:
    """Solve one problem by a classical scheme."""
    from sciml.cli.commands import run_solve

    run_solve(problem, points, dt, end, times, method, setting or [], samples, seed, out, plot, animate, device, dtype)


@app.command()
def compare(
    problem: ProblemName,
    methods: Annotated[str | None, typer.Option(help="Names separated by commas. All usual ones that apply by default.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Compare with this file (.mat, .npz, .nc, .h5) made by others.")] = None,
    variable: Annotated[str | None, typer.Option(help="Name of the field in the reference file, or names separated by commas.")] = None,
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
) -> None:
    """Run several methods on one problem and write a report: error, time and memory side by side."""
    from sciml.cli.commands import run_compare

    run_compare(problem, methods, reference, variable, points, dt, end, times, setting or [], seed, out, device, dtype, budget)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code.

    0: done. 2: bad input or a place that cannot be written to, said in one line. 130: interrupted.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(args=arguments, standalone_mode=False)
    except _USAGE_ERROR as error:
        return _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        return _fail(str(error))
    except Exception as error:
        from sciml.core.errors import SciMLError

        if isinstance(error, SciMLError):
            return _fail(str(error))
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
            return _fail("The memory of this machine does not suffice; ask for fewer points, samples or output times, or --dtype float32.")
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C in some of its versions, ours in the others
        print("\nsciml: interrupted; what was finished is kept.", file=sys.stderr)
    return code if isinstance(code, int) else 0


def run() -> None:
    """The entry point of the installed command."""
    sys.exit(main())


def _fail(message: str) -> int:
    print(f"sciml: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A request to end is treated as Ctrl-C, so that unfinished files are cleaned up."""
    raise KeyboardInterrupt
