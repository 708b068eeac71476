"""What the engines on points of space-time share: time is their first coordinate."""

from __future__ import annotations

from abc import abstractmethod

from sciml.core.derivatives import Derivatives
from sciml.core.field import Field


class SpaceTime(Derivatives):
    """Derivatives with respect to ``(t, x, y, ...)``, all of one kind."""

    @abstractmethod
    def _repeated(self, u: Field, coordinate: int, order: int) -> Field:
        """The derivative of ``order`` with respect to one coordinate; 0 is time."""

    def partial(self, u: Field, axis: int, order: int) -> Field:
        return self._repeated(u, axis + 1, order)

    def t(self, u: Field, order: int = 1) -> Field:
        return self._repeated(u, 0, order)
