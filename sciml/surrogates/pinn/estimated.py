"""What was estimated, for reading: values, standard errors, intervals, correlations, and the field's band."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy import stats
from torch import Tensor

from sciml.core.errors import InputError
from sciml.io.atomic import atomic_file
from sciml.surrogates.pinn.unknowns import Bound

FieldErrors = Callable[..., tuple[Tensor, Tensor]]
"""Coordinates to values and standard errors, each ``(*points, channel)``."""


class Band(NamedTuple):
    """A field with its uncertainty at points, each ``(*points, channel)``; the interval is pointwise, not for all points at once."""

    value: Tensor
    standard_error: Tensor
    lower: Tensor
    upper: Tensor


class Coefficients:
    r"""Trained coefficients as one vector, with the factor F of their covariance :math:`FF^T`.

    Of a bounded coefficient the unknown is :math:`\xi`. Its standard error is :math:`|dc/d\xi|` times that of :math:`\xi`, to first order; its
    interval is the image of that of :math:`\xi`, so that it stays within the bounds.

    Parameters
    ----------
    parts : name, unknown of any shape, and bounds of each coefficient.
    factor : F, ``(k, m)``.
    silent : which of the k are not determined.
    """

    def __init__(self, parts: Sequence[tuple[str, Tensor, Bound | None]], factor: Tensor, silent: Tensor) -> None:
        self.parts = list(parts)
        self.names = tuple(f"{name}[{i}]" if p.ndim else name for name, p, _ in parts for i in range(p.numel()))
        self.covariance = (factor @ factor.T).cpu()
        self.spread = torch.where(silent.cpu(), torch.inf, self.covariance.diagonal().sqrt())
        """Standard errors of the unknowns, ``(k,)``."""
        self.values, self.slopes = self._mapped(torch.zeros_like(self.spread)), self._slopes()

    def interval(self, reach: float) -> Tensor:
        """From and to so many standard errors, ``(k, 2)``."""
        ends = [self._mapped(torch.where(self.spread > 0, side * self.spread, 0.0)) for side in (-reach, reach)]
        return torch.stack(ends, 1).sort(1).values

    def _mapped(self, shift: Tensor) -> Tensor:
        """The coefficients where the unknowns are shifted by ``(k,)``."""
        shifts = shift.split([p.numel() for _, p, _ in self.parts])
        found = []
        for (_, p, bound), s in zip(self.parts, shifts, strict=True):
            moved = p.double().cpu().reshape(-1) + s
            found.append(moved if bound is None else bound(moved))
        return torch.cat(found) if found else shift

    def _slopes(self) -> Tensor:
        zero = torch.zeros_like(self.spread)
        return torch.func.jvp(self._mapped, (zero,), (torch.ones_like(zero),))[1] if len(zero) else zero


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """Coefficients and field with their standard errors; ``print`` shows a table.

    Attributes
    ----------
    coefficients : as they were found.
    noise : standard deviation of the noise by field, found or as given.
    freedom : degrees of freedom from which the noise was found; infinite where it was given.
    level : of the intervals.
    field_errors : of the field.
    """

    coefficients: Coefficients
    noise: Mapping[str, float]
    freedom: float
    level: float
    field_errors: FieldErrors

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients, ``name[i]`` for the entries of a tensor."""
        return self.coefficients.names

    @property
    def values(self) -> dict[str, float]:
        """The coefficients, in their own units."""
        return dict(zip(self.names, self.coefficients.values.tolist(), strict=True))

    @property
    def standard_errors(self) -> dict[str, float]:
        """To first order; infinite for a coefficient of which the observations say nothing."""
        return dict(zip(self.names, (self.coefficients.slopes.abs() * self.coefficients.spread).tolist(), strict=True))

    @property
    def correlation(self) -> Tensor:
        """Of the coefficients, ``(k, k)``; NaN for those that are not determined."""
        c = self.coefficients
        sign = c.slopes.sign() / c.spread
        found = sign[:, None] * c.covariance * sign
        lost = torch.isinf(c.spread)
        return torch.where(lost[:, None] | lost, torch.nan, found)

    def intervals(self, level: float | None = None) -> dict[str, tuple[float, float]]:
        """The interval that holds each coefficient's true value in a part ``level`` of all repetitions."""
        ends = self.coefficients.interval(self._reach(level)).tolist()
        return {name: (low, high) for name, (low, high) in zip(self.names, ends, strict=True)}

    def band(self, t: Tensor | float, *x: Tensor | float, level: float | None = None) -> Band:
        r"""The field at points with its standard errors, to first order in the noise; arguments as for calls of the model."""
        value, error = self.field_errors(t, *x)
        reach = self._reach(level) * error
        return Band(value, error, value - reach, value + reach)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain values."""
        rows = [
            {"coefficient": name, "value": self.values[name], "standard_error": self.standard_errors[name], "lower": low, "upper": high}
            for name, (low, high) in self.intervals().items()
        ]
        return {
            "level": self.level,
            "freedom": self.freedom,
            "noise": dict(self.noise),
            "coefficients": rows,
            "correlation": self.correlation.tolist(),
        }

    def to_csv(self, path: str | Path) -> None:
        """A row per coefficient: coefficient, value, standard_error, lower, upper."""
        text = io.StringIO()
        table = csv.DictWriter(text, ["coefficient", "value", "standard_error", "lower", "upper"])
        table.writeheader()
        table.writerows(self.to_dict()["coefficients"])
        with atomic_file(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def __str__(self) -> str:
        percent = f"{100 * self.level:g} % interval"
        lines = [["coefficient", "value", "standard error", percent]]
        for row in self.to_dict()["coefficients"]:
            numbers = [f"{row[key]:.6g}" for key in ("value", "standard_error")]
            lines.append([row["coefficient"], *numbers, f"{row['lower']:.6g} to {row['upper']:.6g}"])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        count = f", found with {self.freedom:.4g} degrees of freedom" if math.isfinite(self.freedom) else ", as given"
        noise = "noise: " + ", ".join(f"{name} {s:.4g}" for name, s in self.noise.items()) + count
        pairs = [(i, j) for i in range(len(self.names)) for j in range(i)]
        both = [f"{self.names[j]} and {self.names[i]} {self.correlation[i, j]:.3f}" for i, j in pairs]
        return "\n".join([*(table if self.names else []), noise, *(["correlation: " + ", ".join(both)] if both else [])])

    __repr__ = __str__

    def _reach(self, level: float | None) -> float:
        """Standard errors from the middle of an interval to its ends."""
        level = self.level if level is None else level
        if not 0 < level < 1:
            raise InputError(f"Estimate: level={level} given; a number between 0 and 1 is needed, such as 0.95.")
        part = (1 + level) / 2
        return float(stats.t.ppf(part, self.freedom) if math.isfinite(self.freedom) else stats.norm.ppf(part))


__all__ = ["Band", "Coefficients", "Estimate"]
