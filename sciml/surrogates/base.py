"""What every learned map from fields to fields shares: its grid, its step, its boundary checks and its file."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypedDict, final

import torch
from torch import Tensor, nn

from sciml.core.checks import check_state, check_step
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.surrogates.checkpoint import grid_config, grid_from, read_model, write_model
from sciml.surrogates.normalisation import Normalisation


class Common(TypedDict, total=False):
    """Arguments that every surrogate takes; :class:`Surrogate` says what they mean."""

    out_channels: int | None
    inputs: int
    dt: float | None
    residual: bool
    noise: float


class Surrogate(nn.Module, ABC):
    r"""A network :math:`u\mapsto\sigma_o N\big((u-\mu)/\sigma\big)+\mu_o` (plus u if ``residual``) on a grid.

    With ``dt`` it is a propagator, u(t) -> u(t + dt); without, any map of fields, such as a coefficient to a solution.
    It works in the grid's precision and follows ``model.to(...)``; initial weights come from torch's default generator.

    Parameters
    ----------
    grid : where fields are given and returned; :meth:`on` moves to another resolution.
    channels : of the argument ``u``, ``(*batch, channels, *space)``.
    out_channels : of the result; those of ``u`` by default.
    inputs : number of given fields, such as a coefficient, that the call takes as its second argument.
    dt : time step, for propagators.
    residual : predict the change of ``u`` instead of the result itself.
    noise : in training mode, Gaussian noise on ``u`` of this size relative to each field's spread over space.
    """

    dt: Any  # float; None for a map that is no step
    grid: Grid

    def __init__(
        self,
        grid: Grid,
        channels: int = 1,
        *,
        out_channels: int | None = None,
        inputs: int = 0,
        dt: float | None = None,
        residual: bool = False,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        out = channels if out_channels is None else out_channels
        if not isinstance(grid, Grid) or grid.ndim == 0:
            raise InputError(f"{who}: grid={grid!r} given; a sciml.Grid with one to three axes is needed.")
        if channels < 1 or out < 1 or inputs < 0:
            raise InputError(f"{who}: channels={channels}, out_channels={out}, inputs={inputs} given; channels start at 1 and inputs at 0.")
        if (dt is not None or residual) and out != channels:
            what = f"dt={dt}" if dt is not None else "residual=True"
            raise InputError(f"{who}: {what} with channels={channels} and out_channels={out}; a step returns the channels it was given.")
        if not (noise >= 0 and math.isfinite(noise)):
            raise InputError(f"{who}: noise={noise} given; a finite number of at least 0 is needed.")
        self.grid = grid
        self.channels, self.out_channels, self.inputs = int(channels), int(out), int(inputs)
        self.dt = None if dt is None else check_step(dt, who=who)
        self.residual, self.noise = bool(residual), float(noise)
        self.before = Normalisation(self.channels + self.inputs)
        self.after = Normalisation(self.out_channels)
        self._held: Tensor | None = None

    @abstractmethod
    def operate(self, v: Tensor) -> Tensor:
        """The network itself, in normalised units: ``(batch, channels + inputs, *grid.shape)`` -> ``(batch, out_channels, *grid.shape)``."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The constructor's arguments beyond those of :class:`Surrogate`, as plain values that JSON can hold."""

    def check_grid(self, grid: Grid) -> None:
        """Raise :class:`InputError` if the network cannot work on ``grid``; any grid will do unless a class says otherwise."""

    def forward(self, u: Tensor, inputs: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        """``(*batch, channels, *space)`` -> ``(*batch, out_channels, *space)``, any number of batch axes.

        ``inputs``: given fields ``(*batch, inputs, *space)``, whose batch axes may be missing or 1. ``generator``: of the noise.
        """
        check_state(u, self.grid, self.channels, who=type(self).__name__)
        inputs = self._checked(inputs)
        u = self._noisy(u, generator)
        ndim = self.grid.ndim
        if u.numel() == 0:
            return u.new_empty((*u.shape[: u.ndim - 1 - ndim], self.out_channels, *self.grid.shape))
        return self._finished(self.operate(self._prepared(u, inputs, ndim)), u.shape[: u.ndim - 1 - ndim], u if self.residual else None)

    @final
    def on(self, grid: Grid) -> Self:
        """This model on another resolution of the same domain: a view that shares its weights."""
        mine = self.grid
        if (grid.lengths, grid.periodic, grid.origin) != (mine.lengths, mine.periodic, mine.origin):
            raise InputError(
                f"{type(self).__name__}.on: a grid with lengths={grid.lengths}, periodic={grid.periodic}, origin={grid.origin} given; "
                f"the model's domain has lengths={mine.lengths}, periodic={mine.periodic}, origin={mine.origin}. "
                "model.grid.resized(shape) keeps the domain."
            )
        if (grid.dtype, grid.device.type) != (mine.dtype, mine.device.type):
            raise InputError(
                f"{type(self).__name__}.on: the grid is {grid.dtype} on {grid.device} and the model {mine.dtype} on {mine.device}; "
                "convert one with .to(...)."
            )
        self.check_grid(grid)
        view = copy.copy(self)
        view.grid = grid
        return view

    @final
    def given(self, inputs: Tensor) -> Self:
        """This model with its given fields held fixed, ``(*batch, inputs, *space)``: a view that shares its weights, for rollouts."""
        self._checked(inputs)
        view = copy.copy(self)
        view._held = inputs
        return view

    @final
    def normalise(self, u: Tensor, target: Tensor, inputs: Tensor | None = None) -> Self:
        """Measure means and spreads on data (of ``target - u`` if ``residual``) and keep them with the weights; returns itself.

        Shapes as in :meth:`forward`. Call it before training.
        """
        who = f"{type(self).__name__}.normalise"
        check_state(u, self.grid, self.channels, who=who)
        check_state(target, self.grid, self.out_channels, who=who)
        self.after.measure(target - self._start(u) if self.residual else target, self.grid.ndim)
        self.before.measure(self._joined(u, self._checked(inputs), self.grid.ndim), self.grid.ndim)
        return self

    def config(self) -> dict[str, Any]:
        """The arguments that make this model again, as plain values that JSON can hold."""
        common = {
            "channels": self.channels,
            "out_channels": self.out_channels,
            "inputs": self.inputs,
            "dt": self.dt,
            "residual": self.residual,
            "noise": self.noise,
        }
        return {"grid": grid_config(self.grid), **common, **self.options()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A model with the arguments that :meth:`config` gave, and fresh weights."""
        try:
            return cls(grid_from(config["grid"]), **cls.revived({key: value for key, value in config.items() if key != "grid"}))
        except (KeyError, TypeError) as error:
            raise InputError(f"{cls.__name__}: the configuration does not fit this class ({error}).") from error

    @classmethod
    def revived(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Constructor arguments from the plain values of :meth:`options`; classes with arguments that are no plain values say how."""
        return options

    @final
    def save(self, path: str | Path) -> None:
        """Write class, configuration and weights to ``path``, for :meth:`load` and :func:`sciml.load_model`."""
        write_model(path, type(self).__name__, self.config(), self.state_dict())

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Self:
        """The model that :meth:`save` wrote, in evaluation mode.

        Raises :class:`InputError` if the file is missing, damaged, made by others, or holds another class.
        """
        content = read_model(path, device)
        if content["class"] != cls.__name__:
            raise InputError(
                f"{path} holds a {content['class']}, not a {cls.__name__}; use {content['class']}.load, or sciml.load_model for any class."
            )
        try:
            model = cls.from_config(content["config"])
            model.load_state_dict(content["state"])
        except (InputError, RuntimeError) as error:
            raise InputError(f"{path}: configuration and weights do not fit together, or this class ({str(error).splitlines()[0]}).") from error
        return model.to(device).eval()

    def extra_repr(self) -> str:
        return f"shape={self.grid.shape}, channels={self.channels}, out_channels={self.out_channels}, inputs={self.inputs}, dt={self.dt}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert the weights, and the grid with them."""
        probe = fn(torch.zeros(1, dtype=self.grid.dtype, device=self.grid.device))
        if probe.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"{type(self).__name__}: weights cannot be {probe.dtype}; keep float32 and use torch.autocast, or mixed precision, for low precision."
            )
        super()._apply(fn, recurse)
        self.grid = replace(self.grid, dtype=probe.dtype, device=probe.device)
        return self

    def _noisy(self, u: Tensor, generator: torch.Generator | None) -> Tensor:
        if not (self.training and self.noise):
            return u
        if generator is None:
            raise InputError(
                f"{type(self).__name__}: noise={self.noise} in training mode needs model(u, generator=torch.Generator()); or call model.eval()."
            )
        space = tuple(range(-self.grid.ndim, 0))
        draw = torch.randn(u.shape, generator=generator, dtype=u.dtype, device=generator.device).to(u.device)
        return u + self.noise * u.std(space, correction=0, keepdim=True) * draw

    def _taken(self, inputs: Tensor | None) -> Tensor | None:
        """The given fields of a call, or those held fixed; raise if they are missing, or not wanted."""
        inputs = self._held if inputs is None else inputs
        who = type(self).__name__
        if inputs is None and self.inputs:
            raise InputError(
                f"{who}: given fields are missing; call model(u, inputs) with (*batch, {self.inputs}, *space), or model.given(inputs)(u)."
            )
        if inputs is not None and not self.inputs:
            raise InputError(f"{who}: given fields passed to a model that takes none; make it with inputs=1 or more.")
        return inputs

    def _checked(self, inputs: Tensor | None) -> Tensor | None:
        inputs = self._taken(inputs)
        if inputs is not None:
            check_state(inputs, self.grid, self.inputs, who=f"{type(self).__name__}: given fields")
        return inputs

    def _start(self, u: Tensor) -> Tensor:
        """What the network's result is added to if ``residual``."""
        return u

    def _joined(self, u: Tensor, inputs: Tensor | None, ndim: int) -> Tensor:
        """``u`` and the given fields along the channel axis, ``ndim`` axes behind it."""
        if inputs is None:
            return u
        batch = u.shape[: u.ndim - 1 - ndim]
        try:
            fields = inputs.expand(*batch, *inputs.shape[inputs.ndim - 1 - ndim :])
        except RuntimeError:
            raise InputError(
                f"{type(self).__name__}: given fields of shape {tuple(inputs.shape)} do not go with u of shape {tuple(u.shape)}; "
                "their batch axes must be those of u, 1 or missing."
            ) from None
        return torch.cat([u, fields], -1 - ndim)

    def _prepared(self, u: Tensor, inputs: Tensor | None, ndim: int) -> Tensor:
        """What the network reads: one batch axis, normalised."""
        v = self._joined(u, inputs, ndim)
        shape = v.shape[v.ndim - 1 - ndim :]
        return self.before.do(v.reshape(math.prod(v.shape[: v.ndim - 1 - ndim]), *shape))

    def _finished(self, y: Tensor, batch: Sequence[int], base: Tensor | None) -> Tensor:
        """The result from what the network wrote, with the batch axes of the call; ``base`` is what a residual is added to."""
        y = self.after.undo(y)  # in the weights' precision, whatever autocast computed in
        y = y.reshape(*batch, *y.shape[1:])
        return y if base is None else base + y
