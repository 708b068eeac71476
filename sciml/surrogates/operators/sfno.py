r"""The spatio-temporal Fourier neural operator: a trajectory to a later trajectory, with time as an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sciml.core.checks import check_state, check_whole
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.spectral.convolution import SpectralConv
from sciml.spectral.resample import resample
from sciml.spectral.truncated import synthesise_by_matrices
from sciml.surrogates.base import Surrogate
from sciml.surrogates.operators import coordinates as places
from sciml.surrogates.operators.pointwise import ChannelMLP, Pointwise, activation_of, skip_of

DECAY = 0.1
"""The waves of the encoding in time fall by exp(-DECAY) over the window."""
SOURCE = 0.1
"""Factor of the spectral bias of the last layer: its unit, and so how fast it is learned."""


class SFNO(Surrogate):
    r"""``(*batch, time_in, channels, *space)`` -> ``(*batch, steps, channels, *space)``: the last frame plus a learned increment.

    The frames of the argument sample one window of time evenly, up to the present; those of the result sample the window that follows:
    of ``steps`` frames, frame n is at n/steps of it. More frames are a finer sampling of the same windows, not longer ones, and the result at
    an instant does not depend on how many others are asked for. To go on beyond the window, call the model on its own result.

    Frames are brought to ``latent_steps`` instants by trigonometric interpolation, lifted with an encoding of position and time, and pass
    layers :math:`v\leftarrow a\big(M(\mathcal F^{-1}[R_k\hat v_k])+Wv\big)` over space and time, M a perceptron. The last spectral layer
    acts on the present followed by the latent result, in a window of twice the length that is zero before the present, with a spectral bias (a
    learned source). No statistics of data are needed; :meth:`normalise` may set them: a window, and what follows it.
    Cao, Brarda, Li & Xi, arXiv 2405.17211 (not the spherical operator of the same initials).

    Parameters
    ----------
    grid : of space, periodic, with one or two axes.
    channels : fields of each frame.
    modes : m per space axis (or one for all); modes :math:`|k_i|<m_i` are kept.
    time_modes : the same for time, over one window.
    width, depth : hidden channels and number of layers.
    latent_steps : instants within the model, at least ``2 * time_modes - 1``.
    steps : frames that a call returns unless it says otherwise; by default as many as it is given.
    expansion : hidden width of the perceptrons, as a multiple of ``width``.
    activation : "gelu", "relu", "silu", "tanh" or "identity".
    coordinates : how the encoding tells places apart: "angles", "positions", "index" or "none", as for :class:`sciml.FNO`; with "none" all
        but the source commutes with translations.
    inputs, noise : as for :class:`Surrogate`; given fields have no time axis.

    Good values: modes up to a third of the coarsest grid's points, time_modes 5, width 10 to 20, depth 3.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        modes: int | Sequence[int] = 12,
        time_modes: int = 5,
        width: int = 20,
        depth: int = 3,
        latent_steps: int = 10,
        steps: int | None = None,
        expansion: int = 4,
        activation: str = "gelu",
        coordinates: str = "angles",
        inputs: int = 0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(grid, channels, inputs=inputs, residual=True, noise=noise)
        check_whole(1, who="SFNO", time_modes=time_modes, width=width, depth=depth, latent_steps=latent_steps, expansion=expansion)
        if steps is not None:
            check_whole(1, who="SFNO", steps=steps)
        if grid.ndim > 2:
            raise InputError(f"SFNO: a grid of shape {grid.shape} given; one or two axes of space are needed, and time is one more.")
        self.modes = (modes,) * grid.ndim if isinstance(modes, int) else tuple(int(m) for m in modes)
        if len(self.modes) != grid.ndim or min(self.modes) < 1:
            raise InputError(f"SFNO: modes={modes} given for a grid of {grid.ndim} axes; one positive number, or one per axis, is needed.")
        if latent_steps < 2 * time_modes - 1:
            raise InputError(
                f"SFNO: latent_steps={latent_steps} cannot hold time_modes={time_modes}; use at least {2 * time_modes - 1} steps, or fewer modes."
            )
        self.time_modes, self.width, self.depth, self.latent_steps = int(time_modes), int(width), int(depth), int(latent_steps)
        self.steps, self.expansion, self.activation = None if steps is None else int(steps), int(expansion), activation
        self.coordinates = places.chosen(coordinates, grid, "SFNO")
        taken = places.channels_of(self.coordinates, grid) + 1
        if width < taken:
            raise InputError(f"SFNO: width={width} given; place and time alone take {taken} channels.")
        self.check_grid(grid)
        self.lift = Pointwise(self.channels + self.inputs, width)
        self.norm = nn.GroupNorm(1, width)
        self.mix = Pointwise(width, width)
        self.first = SpectralConv(width, width, (*self.modes, self.time_modes))
        self.first_mlp = ChannelMLP(width, expansion * width, width, activation, "SFNO")
        self.activate = activation_of(activation, "SFNO")
        self.blocks = nn.ModuleList([SpaceTimeLayer(self) for _ in range(depth)])
        self.project = Pointwise(width, self.channels)
        self.last = Increment(self.channels, self.modes, self.time_modes, self.latent_steps)
        self.to(grid.device, grid.dtype)

    def forward(self, u: Tensor, inputs: Tensor | None = None, *, steps: int | None = None, generator: torch.Generator | None = None) -> Tensor:
        """``(*batch, time_in, channels, *space)`` -> ``(*batch, steps, channels, *space)``, any number of batch axes and frames.

        ``inputs``: given fields ``(*batch, inputs, *space)``, whose batch axes may be missing or 1. ``generator``: of the noise.
        """
        ndim = self.grid.ndim
        check_state(u, self.grid, self.channels, who="SFNO")
        if u.ndim < ndim + 2 or u.shape[-2 - ndim] == 0:
            axes = ", ".join(map(str, (self.channels, *self.grid.shape)))
            raise InputError(f"SFNO: an array of shape {tuple(u.shape)} given; frames (*batch, time, {axes}), at least one of them, are needed.")
        *batch, frames = u.shape[: u.ndim - 1 - ndim]
        if steps is None:
            steps = self.steps or frames
        check_whole(1, who="SFNO", steps=steps)
        u = self._noisy(u, generator)
        inputs = self._checked(inputs)
        if u.numel() == 0:
            return u.new_empty((*batch, steps, self.channels, *self.grid.shape))
        v = self._prepared(u, inputs, ndim).unflatten(0, (-1, frames)).movedim(1, -1)
        increments = self.operate(v, steps).movedim(-1, 1).flatten(0, 1)
        return self._finished(increments, (*batch, steps), self._start(u))

    def operate(self, v: Tensor, steps: int | None = None) -> Tensor:
        """Increments from frames, in normalised units: ``(batch, channels + inputs, *space, time)`` -> ``(batch, channels, *space, steps)``."""
        present = v[:, : self.channels, ..., -1:]
        v = self.lift(_resampled(v, self.latent_steps)) + self.encoding().to(v.dtype)
        v = self.mix(self.norm(v))
        v = self.activate(self.first_mlp(self.first(v)) + v[..., -1:])
        for block in self.blocks:
            v = block(v)
        return torch.as_tensor(self.last(present, self.project(v), self.latent_steps if steps is None else steps))

    def encoding(self) -> Tensor:
        r"""Position, t and :math:`e^{-\beta t}\{\cos,\sin\}\pi kt` at the latent instants, ``(width, *space, latent_steps)``.

        t is 1 at the present.
        """
        grid, count = self.grid, self.latent_steps
        t = torch.arange(1, count + 1, dtype=grid.dtype, device=grid.device) / count
        rows = [t]
        while len(rows) < self.width:
            angle = math.pi * ((len(rows) + 1) // 2) * t
            rows.append(torch.exp(-DECAY * t) * (angle.cos() if len(rows) % 2 else angle.sin()))
        where = [] if self.coordinates == "none" else [places.fields(self.coordinates, grid).unsqueeze(-1)]
        left = self.width - sum(len(w) for w in where)
        times = torch.stack(rows[:left]).view(left, *(1,) * grid.ndim, count)
        return torch.cat([part.expand(-1, *grid.shape, count) for part in (*where, times)])

    def check_grid(self, grid: Grid) -> None:
        grid.require_periodic("SFNO")
        if any(n < 2 * m - 1 for n, m in zip(grid.shape, self.modes, strict=True)):
            most = tuple((n + 1) // 2 for n in grid.shape)
            raise InputError(f"SFNO: a grid of {grid.shape} points cannot hold modes={self.modes}; use modes of at most {most}, or a finer grid.")

    def options(self) -> dict[str, Any]:
        return {
            "modes": list(self.modes),
            "time_modes": self.time_modes,
            "width": self.width,
            "depth": self.depth,
            "latent_steps": self.latent_steps,
            "steps": self.steps,
            "expansion": self.expansion,
            "activation": self.activation,
            "coordinates": self.coordinates,
        }

    def config(self) -> dict[str, Any]:
        implied = ("out_channels", "dt", "residual")
        return {key: value for key, value in super().config().items() if key not in implied}

    def _start(self, u: Tensor) -> Tensor:
        """The present: the last frame, with its time axis."""
        return u.narrow(-2 - self.grid.ndim, u.shape[-2 - self.grid.ndim] - 1, 1)

    def _joined(self, u: Tensor, inputs: Tensor | None, ndim: int) -> Tensor:
        return super()._joined(u, None if inputs is None else inputs.unsqueeze(-2 - ndim), ndim)


class SpaceTimeLayer(nn.Module):
    """One layer of :class:`SFNO`, ``(batch, width, *space, time)`` to the same shape."""

    def __init__(self, model: SFNO) -> None:
        super().__init__()
        width = model.width
        self.conv = SpectralConv(width, width, (*model.modes, model.time_modes))
        self.mlp = ChannelMLP(width, model.expansion * width, width, model.activation, "SFNO")
        self.skip = skip_of("linear", width, "SFNO")
        self.activate = activation_of(model.activation, "SFNO")

    def forward(self, v: Tensor) -> Tensor:
        return torch.as_tensor(self.activate(self.skip(v, self.mlp(self.conv(v)))))


class Increment(nn.Module):
    r"""The last spectral layer: :math:`\mathcal F^{-1}[A_k\hat v_k+\delta b_k]` of a trajectory that is zero before the present.

    The present stands at time 0 of a period of two windows and is followed by ``latent_steps`` instants, the last of them at the end of the
    first window; what remains is zero. Whatever number of instants is asked for, they are values of the same function of time.
    """

    def __init__(self, channels: int, modes: Sequence[int], time_modes: int, latent_steps: int) -> None:
        super().__init__()
        # the period is twice the window, so that the same frequencies are twice as many modes
        kept = (*modes, 2 * time_modes - 1)
        self.latent_steps = latent_steps
        self.conv = SpectralConv(channels, channels, kept)
        self.bias = nn.Parameter(torch.zeros(2, channels, *(2 * m - 1 for m in kept[:-1]), kept[-1]))

    def forward(self, present: Tensor, v: Tensor, steps: int) -> Tensor:
        """``(batch, channels, *space, 1)`` and ``(batch, channels, *space, latent_steps)`` -> ``(batch, channels, *space, steps)``."""
        v = nn.functional.pad(torch.cat([present, v], -1), (0, self.latent_steps - 1))
        # enough instants for every mode, a multiple of those asked for
        finer = -(-self.conv.modes[-1] // steps)
        size = (*v.shape[2:-1], 2 * finer * steps)
        re, im = SOURCE * self.bias.unsqueeze(1)
        y = self.conv(v, size) + synthesise_by_matrices(re, im, size)
        return y[..., finer : finer * steps + 1 : finer]


def _resampled(v: Tensor, count: int) -> Tensor:
    """Frames ``(..., time)`` that end at the present as ``count`` frames of the same window, by trigonometric interpolation."""
    frames = v.shape[-1]
    if frames == count:
        return v
    if frames == 1:
        return v.expand(*v.shape[:-1], count)
    # the last frame is at the end of the window, which is its beginning in a periodic continuation
    line = Grid((frames,), (1.0,), dtype=v.dtype, device=v.device)
    return resample(v.roll(1, -1), line, count).roll(-1, -1)
