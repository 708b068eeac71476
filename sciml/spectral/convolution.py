r"""The spectral layer of neural operators: a learned multiplication of the lowest Fourier modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.errors import InputError
from sciml.spectral.cost import prefers_matrices
from sciml.spectral.mixing import CP, Dense, Separable, Tucker, Weights
from sciml.spectral.truncated import (
    Pair,
    analyse_by_matrices,
    analyse_by_transforms,
    synthesise_at_points,
    synthesise_by_matrices,
    synthesise_by_transforms,
)

WEIGHTS: dict[str, type[Weights]] = {"dense": Dense, "separable": Separable, "tucker": Tucker, "cp": CP}
PATHS = ("matrices", "transforms")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class SpectralConv(nn.Module):
    r""":math:`v\mapsto\mathcal F^{-1}\big[W_k\,\hat v_k\big]_{|k_i|<m_i}` on periodic grids in one to three dimensions.

    The layer acts on functions: coefficients do not depend on the grid (``norm="forward"``), so that the result can be
    evaluated on any other grid, or anywhere, exactly. Li et al., ICLR 2021 (arXiv 2010.08895), eq. (4) and section 4.

    Parameters
    ----------
    in_channels, out_channels : numbers of channels.
    modes : m per axis; modes :math:`|k_i|<m_i` are kept, and every grid it is used on must hold them
        (:math:`n_i\ge 2m_i-1`).
    weights : :class:`Dense` (default), :class:`Separable`, :class:`Tucker` or :class:`CP`.
    path : ``"matrices"`` (truncated transforms as real matrix products) or ``"transforms"`` (fast Fourier transforms) wherever
        the precision and the device have them; None takes the one that a measured model of their cost prefers for the size at
        hand. Both give the same values.
    """

    def __init__(
        self, in_channels: int, out_channels: int, modes: int | Sequence[int], *, weights: Weights | None = None, path: str | None = None
    ) -> None:
        super().__init__()
        if in_channels < 1 or out_channels < 1:
            raise InputError(f"SpectralConv: in_channels={in_channels}, out_channels={out_channels} given; at least 1 is needed.")
        if path is not None and path not in PATHS:
            raise InputError(f"SpectralConv: path={path!r} given; choose {' or '.join(PATHS)}, or None for the cheaper one.")
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.modes = _checked_modes(modes)
        self.weights = Dense() if weights is None else weights
        self.path = path
        self.mixing = self.weights.build(self.in_channels, self.out_channels, _extents(self.modes))

    def forward(self, u: Tensor, size: Sequence[int] | int | None = None) -> Tensor:
        """``(batch, in_channels, *space)`` -> ``(batch, out_channels, *size)``; ``size`` is that of ``u`` by default.

        On a smaller grid the modes that it cannot hold are left out, which is the low-pass of the result.
        """
        re, im = self.coefficients(u)
        if size is None:
            target = tuple(u.shape[2:])
        else:
            target = _checked_size(size, len(self.modes))
            re, im = _held(re, im, target)
        return (synthesise_by_matrices if self._by_matrices(re, target) else synthesise_by_transforms)(re, im, target)

    def at(self, u: Tensor, points: Sequence[Tensor]) -> Tensor:
        """The result at scattered points, ``(batch, out_channels, n)``.

        ``points``: one tensor ``(n,)`` per axis, positions as fractions of the period from sample 0; differentiable.
        """
        if len(points) != len(self.modes) or any(p.ndim != 1 or p.shape != points[0].shape for p in points):
            shapes = [tuple(p.shape) for p in points]
            raise InputError(f"SpectralConv.at: points of shapes {shapes} given; {len(self.modes)} tensors of one common shape (n,) are needed.")
        return synthesise_at_points(*self.coefficients(u), points)

    def coefficients(self, u: Tensor) -> Pair:
        """Real and imaginary parts of the result's coefficients, ``(batch, out_channels, *modes)`` with -m+1..m-1 along inner axes."""
        space = self._check(u)
        return self.mixing(*(analyse_by_matrices if self._by_matrices(u, space) else analyse_by_transforms)(u, self.modes))

    def grow(self, modes: int | Sequence[int]) -> SpectralConv:
        """Give the layer more modes, with zero weights: it computes what it did, and can now learn them; returns itself.

        Optimisers hold the old parameters; make a new one afterwards.
        """
        new = _checked_modes(modes, len(self.modes))
        if any(n < m for n, m in zip(new, self.modes, strict=True)):
            raise InputError(f"SpectralConv.grow: modes={new} given, but the layer has {self.modes}; modes can only be added.")
        self.mixing.grow(_extents(new))
        self.modes = new
        return self

    def config(self) -> dict[str, Any]:
        """The arguments that make this layer again, with :func:`weights_from`."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "modes": list(self.modes),
            "weights": self.weights.config(),
            "path": self.path,
        }

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, modes={self.modes}, path={self.path or 'by cost'}"

    def _by_matrices(self, t: Tensor, space: Sequence[int]) -> bool:
        # fast transforms refuse an empty batch, and complex numbers are missing in low precision and on Apple's devices
        low = t.dtype in (torch.bfloat16, torch.float16) or torch.is_autocast_enabled(t.device.type)
        if t.numel() == 0 or low or t.device.type == "mps":
            return True
        if self.path is not None:
            return self.path == "matrices"
        return prefers_matrices(space, self.modes, t.device.type)

    def _check(self, u: Tensor) -> tuple[int, ...]:
        ndim = len(self.modes)
        if u.ndim != ndim + 2 or u.shape[1] != self.in_channels:
            raise InputError(
                f"SpectralConv: a tensor of shape {tuple(u.shape)} given; (batch, {self.in_channels}, *space) with {ndim} space axes is needed."
            )
        space = tuple(u.shape[2:])
        if any(n < 2 * m - 1 for n, m in zip(space, self.modes, strict=True)):
            least = tuple(2 * m - 1 for m in self.modes)
            raise InputError(f"SpectralConv: a grid of {space} cannot hold modes={self.modes}; at least {least} points are needed, or fewer modes.")
        if u.dtype not in DTYPES:
            raise InputError(f"SpectralConv: a tensor of {u.dtype} given; a real floating type is needed.")
        mine = next(self.mixing.parameters()).dtype
        if u.dtype != mine and not torch.is_autocast_enabled(u.device.type):
            raise InputError(f"SpectralConv: the input is {u.dtype} and the weights are {mine}; convert one, for example layer.double().")
        return space


def weights_from(config: dict[str, Any]) -> Weights:
    """The kind of weights that :meth:`SpectralConv.config` describes."""
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in WEIGHTS:
        raise InputError(f"Unknown weights {name!r}; known: {', '.join(WEIGHTS)}.")
    return WEIGHTS[name](**arguments)


def _extents(modes: Sequence[int]) -> tuple[int, ...]:
    return (*(2 * m - 1 for m in modes[:-1]), modes[-1])


def _held(re: Tensor, im: Tensor, size: Sequence[int]) -> Pair:
    """The coefficients that a grid of ``size`` points can hold, its Nyquist mode not among them."""
    for axis, n in enumerate(size):
        dim, most = axis + 2, (n + 1) // 2
        if axis < len(size) - 1:
            m = (re.shape[dim] + 1) // 2
            if most < m:
                re, im = (t.narrow(dim, m - most, 2 * most - 1) for t in (re, im))
        elif most < re.shape[dim]:
            re, im = (t.narrow(dim, 0, most) for t in (re, im))
    return re, im


def _checked_modes(modes: int | Sequence[int], ndim: int | None = None) -> tuple[int, ...]:
    given = (modes,) * (ndim or 1) if isinstance(modes, int) else tuple(int(m) for m in modes)
    if not 1 <= len(given) <= 3 or min(given) < 1 or (ndim is not None and len(given) != ndim):
        raise InputError(f"SpectralConv: modes={modes} given; one positive number per axis, for {ndim or 'one to three'} axes, is needed.")
    return given


def _checked_size(size: Sequence[int] | int, ndim: int) -> tuple[int, ...]:
    target = (size,) * ndim if isinstance(size, int) else tuple(int(n) for n in size)
    if len(target) != ndim or min(target) < 1:
        raise InputError(f"SpectralConv: size={size} given; {ndim} positive numbers are needed.")
    return target
