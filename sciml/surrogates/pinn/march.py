"""Long horizons as a row of short ones: each network starts from the end of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
import xarray as xr
from torch import Tensor, nn

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.core.grid import Grid
from sciml.core.problem import Problem
from sciml.io.dataset import to_dataset
from sciml.surrogates.checkpoint import read_model, write_model
from sciml.surrogates.pinn.base import CHUNK
from sciml.surrogates.pinn.identity import found_again, identity_of
from sciml.surrogates.pinn.pinn import PINN
from sciml.surrogates.pinn.shocks import check_smooth
from sciml.surrogates.pinn.states import BandLimited, Held
from sciml.training.fit import fit
from sciml.training.history import Epoch, History

SAME, ROUNDING = 1e-11, 32
"""Largest difference, relative to the state's size, between a network and the waves that replace it as an initial state, or in units of rounding."""
SIZES = {1: (64, 128, 256, 512, 1024), 2: (32, 64, 96)}
"""Samples per axis that are tried for it, by the number of axes."""


class EndState(nn.Module):
    """The state of a trained network, or its potential, at the end of its interval; its weights stay as they are."""

    def __init__(self, pinn: PINN) -> None:
        super().__init__()
        self.pinn = pinn.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        t = torch.full_like(x[..., :1], self.pinn.end) if x.shape[-1] else x.new_full((*x.shape[:-1], 1), self.pinn.end)
        return torch.as_tensor(self.pinn.ansatz(torch.cat([t, x], -1), self.pinn.network))


class MarchedPINN(nn.Module):
    """Networks for successive intervals as one solution; continuous where they meet, in all but the time derivative.

    Attributes
    ----------
    windows : one :class:`PINN` each.
    histories : of their trainings.
    """

    def __init__(self, problem: Problem, windows: Sequence[PINN], histories: Sequence[History]) -> None:
        super().__init__()
        self.problem = problem
        self.windows = nn.ModuleList(windows)
        self.histories = list(histories)

    def forward(self, t: Tensor | float, *x: Tensor | float) -> Tensor:
        """u at points, ``(*points, channel)``; arguments as for :class:`PINN`. Each point is given to the network of its time."""
        first = self.pinns[0]
        z = first.coordinates(t, *x)
        flat = z.reshape(-1, z.shape[-1])
        ends = torch.tensor([w.end for w in self.pinns[:-1]], dtype=z.dtype, device=z.device)
        which = torch.bucketize(flat[:, 0].detach().contiguous(), ends)
        u = flat.new_zeros((len(flat), first.channels))
        for i, window in enumerate(self.pinns):
            chosen = (which == i).nonzero().flatten()
            if len(chosen):
                u = u.index_put((chosen,), window.values(flat[chosen]))
        return u.reshape(*z.shape[:-1], first.channels)

    @torch.no_grad()
    def field(self, grid: Grid | None = None, times: Sequence[float] | Tensor | None = None) -> Tensor:
        """u on a grid, ``(time, channel, *space)``; the problem's grid and the end of the last interval by default."""
        chosen = torch.as_tensor([self.pinns[-1].end] if times is None else times, dtype=torch.float64).flatten()
        return torch.cat([self._window(float(t)).field(grid, [float(t)]) for t in chosen])

    def solution(self, grid: Grid | None = None, times: Sequence[float] | Tensor | None = None) -> xr.Dataset:
        """:meth:`field` as a labelled dataset, like that of :func:`sciml.solve`."""
        grid = self.problem.grid() if grid is None else grid
        chosen = [self.pinns[-1].end] if times is None else times
        return to_dataset(self.field(grid, chosen), chosen, grid, self.problem, {"method": "MarchedPINN"})

    def save(self, path: str | Path) -> None:
        """Write the problem's name and parameters, and options, weights and histories of all windows to ``path``, for :meth:`load`."""
        config = {
            "problem": identity_of(self.problem),
            "windows": [window.config() for window in self.pinns],
            "histories": [{"epochs": history.state(), "ended": history.ended, "optimizer": history.optimizer} for history in self.histories],
        }
        write_model(path, "MarchedPINN", config, self.state_dict())

    @classmethod
    def load(cls, path: str | Path, *, problem: Problem | None = None, state: Any = None, device: torch.device | str = "cpu") -> Self:
        """What :meth:`save` wrote, in evaluation mode; arguments and errors as for :meth:`PINN.load`, ``state`` being that of the first window."""
        content = read_model(path, device)
        if content["class"] != "MarchedPINN":
            raise InputError(f"{path} holds a {content['class']}, not a MarchedPINN; use sciml.load_model.")
        config, weights = content["config"], content["state"]
        try:
            solved = problem if problem is not None else found_again(config["problem"], str(path), "MarchedPINN")
            windows: list[PINN] = []
            for i, options in enumerate(config["windows"]):
                prefix = f"windows.{i}."
                own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
                before = windows and any(name.startswith("ansatz.state.pinn.") for name in own)
                windows.append(PINN.rebuilt(options, own, solved, Held(EndState(windows[-1])) if before else None if windows else state, str(path)))
            histories = [History([Epoch(**row) for row in kept["epochs"]], kept["ended"], kept["optimizer"]) for kept in config["histories"]]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged: its windows cannot be made ({error!r}).") from error
        return cls(solved, windows, histories).to(device).eval()

    @property
    def pinns(self) -> list[PINN]:
        """The networks, in order."""
        return [w for w in self.windows if isinstance(w, PINN)]

    def _window(self, t: float) -> PINN:
        return next((w for w in self.pinns[:-1] if t <= w.end), self.pinns[-1])


def march_pinn(
    problem: Problem, windows: int, *, options: Mapping[str, Any] | None = None, warm: bool = True, end: float | None = None, **training: Any
) -> MarchedPINN:
    """Solve a problem window by window, each with a :class:`PINN` that starts exactly from the state that the one before ends in.

    On periodic domains in one and two dimensions that state is replaced by its Fourier series where that is exact to 1e-11, so that later
    windows cost no more than the first; elsewhere each window evaluates all earlier networks.

    Parameters
    ----------
    problem : an evolution problem.
    windows : number of intervals, of equal length.
    options : of :class:`PINN`, such as ``{"width": 40}``.
    warm : start each training from the weights of the window before.
    end : of the last window; the problem's horizon by default.
    training : options of :func:`sciml.fit`, such as ``epochs``.

    Raises InputError for a steady problem, and options that windows set themselves.
    """
    check_whole(1, who="march_pinn", windows=windows)
    given = dict(options or {})
    taken = sorted({"start", "end", "initial"} & set(given) | {"data", "checkpoint", "resume"} & set(training))
    if problem.steady or taken:
        why = f"{problem.name} is steady" if problem.steady else f"{', '.join(taken)} cannot be set for windows"
        raise InputError(f"march_pinn: {why}; solve it with a single sciml.PINN.")
    last = problem.horizon if end is None else end
    solved: list[PINN] = []
    histories: list[History] = []
    for n in range(windows):
        start, stop = last * n / windows, last * (n + 1) / windows
        if solved:
            given["state"] = Held(end_state(solved[-1]))
        pinn = PINN(problem, start=start, end=stop, **given)
        if not solved:  # before time is spent on windows that come before a shock
            check_smooth(problem, pinn.ansatz.state, 0.0, last, who="march_pinn")
        if solved and warm:
            pinn.network.load_state_dict(solved[-1].network.state_dict())
        histories.append(fit(pinn, **training))
        solved.append(pinn)
    return MarchedPINN(problem, solved, histories)


@torch.no_grad()
def end_state(pinn: PINN) -> nn.Module:
    """The state, or its potential, at the end of a network's interval: its Fourier series if that says the same, else the network itself."""
    state = EndState(pinn)
    if not pinn.ndim or not all(pinn.problem.domain.is_periodic):
        return state
    generator = torch.Generator().manual_seed(0)
    low, length = (torch.tensor(c, dtype=pinn.dtype, device=pinn.device) for c in (pinn.problem.domain.lower, pinn.problem.domain.lengths))
    x = low + length * torch.rand((64, pinn.ndim), generator=generator, dtype=pinn.dtype).to(pinn.device)
    truth, enough = state(x), max(SAME, ROUNDING * torch.finfo(pinn.dtype).eps)
    for count in SIZES.get(pinn.ndim, ()):
        grid = pinn.problem.grid(count, dtype=pinn.dtype, device=pinn.device)
        places = torch.stack([c.flatten() for c in grid.points()], -1)
        values = torch.cat([state(part) for part in places.split(CHUNK)]).T.reshape(-1, *grid.shape)
        series = BandLimited(values, grid)
        if float((series(x) - truth).abs().max()) <= enough * float(truth.abs().max()):
            return series
    return state
