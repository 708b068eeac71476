"""Truncated Taylor series in several variables: all derivatives of a network in one pass of plain tensor operations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

Index = tuple[int, ...]
"""Orders of a derivative, one per variable."""


class Table:
    r"""The combinatorics of series with coefficients :math:`c_\alpha=\partial^\alpha u/\alpha!` for :math:`\alpha` in a set closed downwards.

    Attributes
    ----------
    indices : the set in order of total degree, 0 first.
    place : of each index in it.
    products : for every index :math:`\alpha` the pairs of places of :math:`\beta,\alpha-\beta`.
    monomials : for every index the terms of :math:`f(a)_\alpha=\sum f^{(k)}(a_0)/k!\cdot m\prod a_\beta`, as (k, m, places).
    """

    def __init__(self, indices: Iterable[Index]) -> None:
        closed = {below for index in indices for below in _below(index)}
        self.indices = sorted(closed, key=lambda index: (sum(index), tuple(-n for n in index)))
        self.place = {index: i for i, index in enumerate(self.indices)}
        self.products = [[(self.place[b], self.place[minus(a, b)]) for b in _below(a)] for a in self.indices]
        self.monomials = [[(k, m, tuple(self.place[b] for b in parts)) for k, m, parts in monomials(a)] for a in self.indices]
        self.degree = max(map(sum, self.indices))

    def __len__(self) -> int:
        return len(self.indices)


class Series:
    """Series of the values of a layer, with coefficients ``(len(table), ..., width)``."""

    def __init__(self, c: Tensor, table: Table) -> None:
        self.c, self.table = c, table

    def __add__(self, other: Series) -> Series:
        return Series(self.c + other.c, self.table)

    def __sub__(self, other: Series) -> Series:
        return Series(self.c - other.c, self.table)

    def __mul__(self, other: Series) -> Series:
        if len(self.table) == 1:
            return Series(self.c * other.c, self.table)
        a, b = self.c.unbind(0), other.c.unbind(0)
        rows = []
        for pairs in self.table.products:
            total = a[pairs[0][0]] * b[pairs[0][1]]
            for i, j in pairs[1:]:
                total = total + a[i] * b[j]
            rows.append(total)
        return Series(torch.stack(rows), self.table)

    def scaled(self, factor: Tensor | float) -> Series:
        """Times a constant."""
        return Series(self.c * factor, self.table)

    def linear(self, weight: Tensor, bias: Tensor) -> Series:
        """A linear map of the last axis."""
        out = self.c @ weight.mT
        return Series(out + bias if len(self.table) == 1 else torch.cat([out[:1] + bias, out[1:]]), self.table)

    def apply(self, derivatives: Callable[[Tensor, int], list[Tensor]]) -> Series:
        """A function of each value; ``derivatives(a, n)`` gives :math:`f^{(k)}(a)/k!` for k = 0..n."""
        if len(self.table) == 1:
            return Series(derivatives(self.c, 0)[0], self.table)
        a = self.c.unbind(0)
        f = derivatives(a[0], self.table.degree)
        return Series(torch.stack([composed(f, a, self.table.monomials[i]) for i in range(len(a))]), self.table)


def composed(f: list[Tensor], a: tuple[Tensor, ...], terms: list[tuple[int, int, tuple[int, ...]]]) -> Tensor:
    """One coefficient of f(a)."""
    total: Tensor | None = None
    for k, multiple, places in terms:
        term = f[k]
        for i in places:
            term = term * a[i]
        if multiple != 1:
            term = term * multiple
        total = term if total is None else total + term
    assert total is not None
    return total


@lru_cache(maxsize=512)
def monomials(index: Index) -> tuple[tuple[int, int, tuple[Index, ...]], ...]:
    """The ways to write an index as a sum of k others that are not 0, regardless of order, and the number of orders of each."""
    found = []
    for parts in _partitions(index, None):
        orders = math.factorial(len(parts)) // math.prod(math.factorial(n) for n in Counter(parts).values())
        found.append((len(parts), orders, parts))
    return tuple(sorted(found))


def _partitions(index: Index, most: Index | None) -> Iterator[tuple[Index, ...]]:
    if not any(index):
        yield ()
        return
    for first in _below(index):
        if any(first) and (most is None or first <= most):
            for rest in _partitions(minus(index, first), first):
                yield (first, *rest)


@lru_cache(maxsize=512)
def _below(index: Index) -> tuple[Index, ...]:
    """All indices that are nowhere larger."""
    if not index:
        return ((),)
    return tuple((n, *rest) for n in range(index[0] + 1) for rest in _below(index[1:]))


def minus(a: Index, b: Index) -> Index:
    """The difference of two indices."""
    return tuple(p - q for p, q in zip(a, b, strict=True))


def plus(a: Index, b: Index) -> Index:
    """The sum of two indices."""
    return tuple(p + q for p, q in zip(a, b, strict=True))


def factorial(index: Index) -> int:
    r""":math:`\alpha!`."""
    return math.prod(map(math.factorial, index))


# -- f^(k)(a)/k! of the functions that networks and equations use ------------------------------------------------------


def tanh_series(a: Tensor, n: int) -> list[Tensor]:
    """Of tanh, as polynomials in its value: y' = 1 - y^2."""
    return _polynomials(torch.tanh(a), n, (1.0, 0.0, -1.0))


def sine_series(a: Tensor, n: int) -> list[Tensor]:
    """Of sin."""
    return _cycle([torch.sin(a), torch.cos(a)] if n else [torch.sin(a)], n, (0, 1, 0, 1), (1, 1, -1, -1))


def cosine_series(a: Tensor, n: int) -> list[Tensor]:
    """Of cos."""
    return _cycle([torch.cos(a), torch.sin(a)] if n else [torch.cos(a)], n, (0, 1, 0, 1), (1, -1, -1, 1))


def swish_series(a: Tensor, n: int) -> list[Tensor]:
    """Of a times the logistic function, whose derivatives are polynomials in its value: y' = y - y^2."""
    logistic = _polynomials(torch.sigmoid(a), n, (0.0, 1.0, -1.0))
    return [a * logistic[0]] + [a * logistic[k] + logistic[k - 1] for k in range(1, n + 1)]


def exponential_series(a: Tensor, n: int) -> list[Tensor]:
    """Of exp."""
    e = torch.exp(a)
    return [e / math.factorial(k) if k > 1 else e for k in range(n + 1)]


def _cycle(parts: list[Tensor], n: int, which: tuple[int, ...], sign: tuple[int, ...]) -> list[Tensor]:
    return [parts[which[k % 4]] * (sign[k % 4] / math.factorial(k)) if k else parts[0] for k in range(n + 1)]


def _polynomials(y: Tensor, n: int, slope: tuple[float, ...]) -> list[Tensor]:
    """Of a function whose derivative is the polynomial ``slope`` in its value y."""
    return [_horner(p, y) if k else y for k, p in enumerate(_chain(n, slope))]


@lru_cache(maxsize=64)
def _chain(n: int, slope: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    rows: list[tuple[float, ...]] = [(0.0, 1.0)]
    for k in range(1, n + 1):
        derived = [i * c for i, c in enumerate(rows[-1])][1:]
        product = [0.0] * (len(derived) + len(slope) - 1)
        for i, c in enumerate(derived):
            for j, s in enumerate(slope):
                product[i + j] += c * s / k
        rows.append(tuple(product))
    return tuple(rows)


def _horner(p: tuple[float, ...], y: Tensor) -> Tensor:
    total = y * p[-1] + p[-2]
    for c in p[-3::-1]:
        total = total * y + c if c else total * y
    return total


VALUE = Table([(0,)])
"""Series of the values alone, in any number of variables."""
