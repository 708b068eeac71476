"""How good a trained model is on data that it has not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from sciml.core.errors import InputError
from sciml.core.propagator import Propagator
from sciml.core.rollout import rollout
from sciml.io.trajectories import Trajectories
from sciml.training.batches import count_of, loaded, parts_of
from sciml.training.forecasts import blown_up, time_to_correlation
from sciml.training.objective import Objective, Supervised, as_batch
from sciml.training.pairs import Batch
from sciml.training.seeds import generator_of


class Forecasts(NamedTuple):
    """Free runs of a model from the first state of trajectories.

    Attributes
    ----------
    error : relative L2 error at the last instant, mean over trajectories; infinite or NaN if one is not finite there.
    until : time until the correlation with the truth falls below 0.8, median over trajectories; infinite if it does not.
    blown_up : fraction that left the finite numbers or grew beyond ten times the truth.
    horizon : time of the last instant.
    runs : number of trajectories.
    """

    error: float
    until: float
    blown_up: float
    horizon: float
    runs: int


@torch.no_grad()
def mean_loss(model: nn.Module, data: Dataset, objective: Objective | None = None, *, batch_size: int = 32) -> float:
    """The objective's mean over data, relative L2 by default; the model is left in evaluation mode."""
    model.eval()
    asked = Supervised() if objective is None else objective
    device = next(model.parameters()).device
    total = 0.0
    for part, batch in loaded(data, parts_of(range(count_of(data)), batch_size, 0, 1), 0):
        u, target, inputs = as_batch(batch)
        moved = Batch(u.to(device), target.to(device), None if inputs is None else inputs.to(device))
        total += float(asked.loss(model, moved, generator_of(0))) * len(part.indices)
    return total / count_of(data)


@torch.no_grad()
def forecasts(model: Propagator, data: Trajectories, lag: int, *, samples: slice | None = None) -> Forecasts:
    """Free runs over whole trajectories of ``data``, ``lag`` stored instants per step.

    Raises :class:`InputError` for steady data, for data with given fields, and for no trajectories.
    """
    chosen = range(len(data))[samples or slice(None)]
    if data.steps is None or data.inputs or not chosen or lag < 1 or lag >= data.steps:
        raise InputError(f"forecasts: lag={lag} on {len(chosen)} of {data}; trajectories in time without given fields are needed.")
    true = torch.stack([data[i].u[::lag] for i in chosen], 1).to(model.grid.dtype)
    predicted = rollout(model, true[0].to(model.grid.device), len(true) - 1).cpu()
    ndim = len(data.shape)
    difference, size = (torch.linalg.vector_norm(v[-1].flatten(1), dim=1) for v in (predicted - true, true))
    until = np.median(time_to_correlation(predicted, true, model.dt, ndim=ndim).numpy())
    return Forecasts(float((difference / size).mean()), float(until), blown_up(predicted, true, ndim=ndim), (len(true) - 1) * model.dt, len(chosen))


def step_of(data: Trajectories, lag: int) -> float:
    """The time that ``lag`` stored instants span; raise :class:`InputError` unless they are equally spaced."""
    times = data.times
    gaps = np.diff(times)
    if not len(gaps) or np.abs(gaps - gaps.mean()).max() > 1e-5 * gaps.mean():
        raise InputError("A propagator has one time step, but the stored instants are not equally spaced; interpolate them to equal intervals.")
    return float(lag * gaps.mean())
