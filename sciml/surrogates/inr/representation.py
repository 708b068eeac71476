"""What a stepper needs to know of a field that is made from weights."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sciml.core.problem import Problem
from sciml.surrogates.pinn.sampling import Sampler, Sobol


class Representation(nn.Module, ABC):
    """A function of space with as many channels as a problem has fields; its parameters are the weights that a step finds.

    Points are turned once into *rows* by :meth:`prepared`, which hold all that does not depend on the weights.

    Attributes
    ----------
    problem : that it represents a state of.
    channels : number of the problem's fields.
    shift : of the Laplacian if the network is a potential; None if it is the field itself.
    usual : name of the integrator that steps it unless another is asked for.
    """

    problem: Problem
    channels: int
    shift: float | None = None
    usual: str

    @abstractmethod
    def prepared(self, x: Tensor, *, rates: bool = True) -> Tensor:
        """Rows of points ``(n, ndim)``; with ``rates=False`` shorter ones, for :meth:`values` alone."""

    @abstractmethod
    def values(self, row: Tensor) -> Tensor:
        """The fields at rows of ``prepared(x, rates=False)``, ``(..., channels)``; ``torch.func`` can transform it."""

    @abstractmethod
    def state_and_rate(self, row: Tensor, time: float, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The fields and by what they change per unit of time, at rows of ``prepared(x)``, each ``(..., channels)``."""

    def given(self) -> tuple[dict[str, nn.Parameter], int]:
        """The weights that values at the start determine, by name, and how many of the first channels these are; all by default.

        The integrator finds the other weights from them.
        """
        return dict(self.named_parameters()), self.channels

    def points(self, size: int) -> Sampler:
        """Where steps are fitted unless another rule is asked for, with ``size`` weights."""
        return Sobol(max(64, 4 * size))

    @abstractmethod
    def check(self, who: str) -> None:
        """Raise InputError for a problem that cannot be solved forward in time."""
