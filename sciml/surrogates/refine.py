"""``sciml.refine``: physics fine-tuning of a model's prediction, one sample at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sciml.core.checks import check_step, check_whole
from sciml.core.equation import Equation
from sciml.core.errors import InputError
from sciml.core.propagator import Propagator
from sciml.core.rollout import rollout
from sciml.surrogates.base import Surrogate
from sciml.surrogates.operators.sfno import SFNO
from sciml.training.refine import Refinement, interpolation_matrix, refined


def refine(
    model: SFNO | Propagator,
    equation: Equation,
    u: Tensor,
    *,
    steps: int,
    dt: float,
    substeps: int = 1,
    accuracy: int = 4,
    order: float = -1.0,
    alpha: float = 1.0,
    iterations: int = 10,
    time: float = 0.0,
    inputs: Tensor | None = None,
    truth: Tensor | None = None,
) -> Refinement:
    r"""A model's prediction with its last spectral layer refitted to the equation, for each sample by itself and without truncation of modes.

    All layers but the last are frozen. The last layer of :class:`sciml.SFNO` adds :math:`\mathcal F^{-1}[A_k\hat v_k+b_k]` to the last frame.
    With all modes of the grid and of time, and one sample, its bias b alone reaches every trajectory, so what is fitted is the trajectory
    itself, up to the band limit of the equation; the model's weights stay as they are. :func:`sciml.refine_trajectory` says how it is
    fitted, what is returned, and when a prediction is kept. Nothing but the last frame of ``u`` and the equation enter the fit.

    Parameters
    ----------
    model : an :class:`sciml.SFNO`; or a propagator, whose roll-out from the last frame is refined in the same way.
    equation : on the model's grid, periodic.
    u : frames ``(*batch, time, channel, *space)``.
    steps, dt : number of frames to predict, and the time between two of them. For a propagator dt is its own.
    substeps : frames of the fit per frame that is returned. An SFNO predicts those between; those of a propagator are interpolated.
    accuracy, order, alpha, iterations : as for :func:`sciml.refine_trajectory`; steps * substeps + 1 frames must be accuracy + 3 at least.
    time : of the last frame of ``u``, for equations that depend on time.
    inputs : given fields of the model.
    truth : ``(*batch, steps, channel, *space)``, for the errors in the record alone.

    Returns trajectories as the model does, ``(*batch, steps, channel, *space)``. Raises :class:`InputError` for what does not fit together.
    """
    check_whole(1, who="refine", steps=steps, substeps=substeps, accuracy=accuracy, iterations=iterations)
    dt = check_step(dt, who="refine")
    grid = model.grid
    if not isinstance(u, Tensor) or u.ndim < grid.ndim + 2 or u.shape[-2 - grid.ndim] < 1:
        got = f"shape {tuple(u.shape)}" if isinstance(u, Tensor) else type(u).__name__
        raise InputError(f"refine: u of {got} given; frames (*batch, time, channel, *space) on a grid of shape {grid.shape} are needed.")
    axis = -2 - grid.ndim
    start = u.detach().movedim(axis, 0)[-1:]
    fine = _predicted(model, u.detach(), inputs, steps, dt, substeps, accuracy)
    kept = torch.cat([start, fine[substeps - 1 :: substeps].to(u.dtype)])
    true = None if truth is None else torch.cat([start.to(truth.dtype), truth.movedim(axis, 0)])
    whole = torch.cat([start.double(), fine.double()])
    found = refined(whole, kept, equation, grid, dt / substeps, accuracy, order, alpha, iterations, time, true)
    result, predicted = (v[1:].movedim(0, axis) for v in (found.u, found.predicted))
    return found._replace(u=result, predicted=predicted)


@torch.no_grad()
def _predicted(model: SFNO | Propagator, u: Tensor, inputs: Tensor | None, steps: int, dt: float, substeps: int, accuracy: int) -> Tensor:
    """The prediction at all instants of the fit but the first, ``(steps * substeps, *batch, channel, *space)``."""
    axis = -2 - model.grid.ndim
    training = isinstance(model, nn.Module) and model.training
    try:
        if isinstance(model, nn.Module):
            model.eval()
        if isinstance(model, SFNO):
            return model(u, inputs, steps=steps * substeps).movedim(axis, 0)
        if model.dt is None or not math.isclose(model.dt, dt, rel_tol=1e-9):
            raise InputError(f"refine: dt={dt} given for a {type(model).__name__} with dt={model.dt}; a propagator predicts at its own step.")
        if inputs is not None and not isinstance(model, Surrogate):
            raise InputError(f"refine: given fields passed to a {type(model).__name__}, which takes none; leave inputs out.")
        step = model.given(inputs) if isinstance(model, Surrogate) and inputs is not None else model
        states = rollout(step, u.movedim(axis, 0)[-1], steps)
        matrix = interpolation_matrix(steps + 1, substeps, min(accuracy, steps)).to(u.device)
        return torch.tensordot(matrix, states.double(), dims=([1], [0]))[1:]
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
