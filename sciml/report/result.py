"""What a comparison found: plain data, for the table, the figures and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sciml.core.problem import Problem
from sciml.methods.base import Method, MethodResult, Settings
from sciml.report.metrics import Errors
from sciml.report.truth import Pair, Truth


@dataclass(frozen=True)
class Finished:
    """A method's result, and how far it is from the truth; ``drift`` is None where there is no space to take a mean over."""

    method: Method
    result: MethodResult
    pair: Pair
    errors: Errors
    drift: float | None

    @property
    def state_bytes(self) -> float:
        """Memory of all that stands for the fields at one time."""
        return self.result.cost["state_bytes"]


@dataclass(frozen=True)
class Entry:
    """One method's row: what it reached, or the reason why it did not."""

    method: Method
    finished: Finished | None = None
    failure: str = ""


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes
    ----------
    problem, truth, settings : what was compared, with what, how.
    entries : one per method, in the order in which they ran.
    folder : where the report is.
    parameters : what the named problem was made with.
    notes : what a reader must know, such as a reference that starts from another state.
    """

    problem: Problem
    truth: Truth
    settings: Settings
    entries: tuple[Entry, ...]
    folder: Path
    parameters: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> tuple[Finished, ...]:
        """The methods that have a result."""
        return tuple(entry.finished for entry in self.entries if entry.finished is not None)

    @property
    def table(self) -> list[dict[str, str | float]]:
        """One row per method with numbers under the names of ``table.csv``."""
        return [_row(entry) for entry in self.entries]


@dataclass(frozen=True)
class Rung:
    """One size of one method."""

    size: int
    entry: Entry


@dataclass(frozen=True)
class WorkPrecision:
    """What :func:`work_precision` found.

    Attributes
    ----------
    problem, truth, settings : what was run, beside what, how; the settings are those of all sizes alike.
    rungs : one per method and size, in the order in which they ran.
    folder : where the report is.
    parameters : what the named problem was made with.
    notes : what a reader must know.
    """

    problem: Problem
    truth: Truth
    settings: Settings
    rungs: tuple[Rung, ...]
    folder: Path
    parameters: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @property
    def curves(self) -> dict[str, list[tuple[int, Finished]]]:
        """The finished sizes of every method that was run."""
        found: dict[str, list[tuple[int, Finished]]] = {rung.entry.method.name: [] for rung in self.rungs}
        for rung in self.rungs:
            if rung.entry.finished is not None:
                found[rung.entry.method.name].append((rung.size, rung.entry.finished))
        return found

    @property
    def table(self) -> list[dict[str, str | float]]:
        """One row per method and size with numbers under the names of ``table.csv``."""
        return [{"method": rung.entry.method.name, "size": rung.size, **_row(rung.entry)} for rung in self.rungs]


def _row(entry: Entry) -> dict[str, str | float]:
    done = entry.finished
    numbers: dict[str, str | float] = dict.fromkeys(
        ("relative_l2_final", "relative_l2", "max_error", "wall_s", "peak_bytes", "state_bytes", "model_bytes", "mean_drift", "dt", "steps"), ""
    )
    if done is not None:
        numbers |= {"relative_l2_final": done.errors.final, "relative_l2": done.errors.total, "max_error": done.errors.largest}
        numbers |= {"wall_s": done.result.wall_s, "peak_bytes": done.result.peak_bytes}
        numbers |= {} if done.drift is None else {"mean_drift": done.drift}
        numbers |= {key: done.result.cost[key] for key in ("state_bytes", "model_bytes", "dt", "steps") if key in done.result.cost}
    return {"method": entry.method.name, **numbers, "failure": entry.failure}
