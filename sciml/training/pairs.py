"""Training data for propagators: states and what follows them, from a rollout or from files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sciml.core.checks import check_whole
from sciml.core.errors import InputError
from sciml.io.trajectories import Trajectories


class Batch(NamedTuple):
    """Arguments and targets of a map of fields.

    Attributes
    ----------
    u : ``(sample, channel, *space)``.
    target : ``(sample, channel, *space)``, or ``(sample, steps, channel, *space)`` of several states that follow.
    inputs : given fields ``(sample, input, *space)``, or None.
    """

    u: Tensor
    target: Tensor
    inputs: Tensor | None = None


class Pairs(Dataset, ABC):
    """A data set of :class:`Batch`; ``pairs[i]`` is one sample without the sample axis, ``pairs[i:j]`` several. Made by :func:`sciml.pairs`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def one(self, index: int) -> Batch:
        """One sample, for an index within range."""

    @final
    def __getitem__(self, index: int | slice) -> Batch:
        count = len(self)
        if isinstance(index, slice):
            chosen = range(count)[index]
            if not chosen:
                raise IndexError(f"pairs {index.start}:{index.stop} asked for; there are {count}.")
            return self.__getitems__(chosen)
        if not -count <= index < count:
            raise IndexError(f"pair {index} asked for; there are {count}.")
        return self.one(index % count)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Several samples as one batch; what a DataLoader asks for."""
        u, target, inputs = zip(*(self[i] for i in indices), strict=True)
        return Batch(torch.stack(u), torch.stack(target), None if inputs[0] is None else torch.stack(inputs))

    def bound(self, ndim: int) -> Pairs:
        """These pairs for states with ``ndim`` space axes."""
        return self


def pairs(
    u: Tensor | Trajectories,
    lag: int = 1,
    *,
    steps: int = 1,
    ndim: int | None = None,
    samples: slice | None = None,
    dtype: torch.dtype | None = None,
) -> Pairs:
    """The pairs (u(t), u(t + lag)) of trajectories as a data set.

    Parameters
    ----------
    u : ``(time, *batch, channel, *space)`` as :func:`sciml.rollout` makes it, or trajectories in files (:func:`sciml.open_data`), which are
        read when a pair is asked for. Of steady data the pairs are (given fields, solution).
    lag : stored instants between u and its target.
    steps : number of targets, ``lag`` apart; more than one trains the model on its own rollout.
    ndim : number of space axes of a tensor, which tells batch axes from space; without it :func:`sciml.fit` takes the model's, and until then
        a pair keeps all batch axes.
    samples : of trajectories in files, those to take; all by default.
    dtype : of what is handed out; that of the data by default.

    Raises :class:`InputError` if there are not enough instants, and for options that do not fit.

    >>> u = torch.arange(5.0).view(5, 1, 1)
    >>> pairs(u, lag=3)[1]
    Batch(u=tensor([[1.]]), target=tensor([[4.]]), inputs=None)
    """
    check_whole(1, who="pairs", lag=lag, steps=steps)
    if dtype is not None and not dtype.is_floating_point:
        raise InputError(f"pairs: dtype={dtype} given; a floating type is needed.")
    if isinstance(u, Tensor):
        if samples is not None:
            raise InputError("pairs: samples= selects trajectories of files; index the tensor instead.")
        return TensorPairs(u if dtype is None else u.to(dtype), lag, steps, ndim)
    if not isinstance(u, Trajectories):
        raise InputError(f"pairs: {type(u).__name__} given; a tensor (time, *batch, channel, *space) or trajectories of sciml.open_data are needed.")
    if ndim not in (None, len(u.shape)):
        raise InputError(f"pairs: ndim={ndim} given for data on {u.shape}; leave it out.")
    return FilePairs(u, lag, steps, samples, dtype)


class TensorPairs(Pairs):
    """Pairs of a rollout in memory; neighbours share it."""

    def __init__(self, u: Tensor, lag: int, steps: int, ndim: int | None = None) -> None:
        if not u.is_floating_point() or u.ndim < 2 or (ndim is not None and u.ndim < 2 + ndim):
            raise InputError(f"pairs: {u.dtype} of shape {tuple(u.shape)} given; real numbers (time, *batch, channel, *space) are needed.")
        check_instants(len(u), lag, steps)
        self.lag, self.steps, self.ndim = lag, steps, ndim
        self.each = len(u) - lag * steps
        u = u.detach()
        self.u = u if ndim is None else u.reshape(len(u), -1, *u.shape[u.ndim - 1 - ndim :])

    def __len__(self) -> int:
        return self.each if self.ndim is None else self.each * self.u.shape[1]

    def one(self, index: int) -> Batch:
        if self.ndim is None:
            after = self.u[index + self.lag : index + self.lag * self.steps + 1 : self.lag]
            return Batch(self.u[index], after[0] if self.steps == 1 else after)
        u, target, _ = self.__getitems__([index])
        return Batch(u[0], target[0])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        if self.ndim is None:
            return super().__getitems__(indices)
        chosen = torch.as_tensor(indices, device=self.u.device)
        sample, start = chosen // self.each, chosen % self.each
        after = [self.u[start + n * self.lag, sample] for n in range(1, self.steps + 1)]
        return Batch(self.u[start, sample], after[0] if self.steps == 1 else torch.stack(after, 1))

    def bound(self, ndim: int) -> Pairs:
        if self.ndim is not None and self.ndim != ndim:
            raise InputError(f"pairs: ndim={self.ndim} was given, but the model works on {ndim} space axes.")
        return self if self.ndim is not None else TensorPairs(self.u, self.lag, self.steps, ndim)


class FilePairs(Pairs):
    """Pairs of trajectories in files, read from disk one by one."""

    def __init__(self, data: Trajectories, lag: int, steps: int, samples: slice | None, dtype: torch.dtype | None) -> None:
        self.data, self.lag, self.steps, self.dtype = data, lag, steps, dtype
        self.chosen = range(len(data))[samples or slice(None)]
        if not self.chosen:
            raise InputError(f"pairs: samples={samples} selects none of {len(data)} trajectories.")
        if data.steps is None and not data.inputs:
            raise InputError("pairs: the data are steady solutions without given fields, so there is nothing to predict them from.")
        if data.steps is None and (lag, steps) != (1, 1):
            raise InputError(f"pairs: lag={lag}, steps={steps} given for steady data, which have no time.")
        if data.steps is not None:
            check_instants(data.steps, lag, steps)
        self.each = 1 if data.steps is None else data.steps - lag * steps

    def __len__(self) -> int:
        return len(self.chosen) * self.each

    def one(self, index: int) -> Batch:
        which, start = divmod(index, self.each)
        if self.data.steps is None:
            sample = self.data[self.chosen[which]]
            return Batch(self._as(sample.inputs), self._as(sample.u))
        store, sample_there = self.data.locate(self.chosen[which])
        u = self._as(torch.from_numpy(store.read(sample_there, slice(start, start + self.lag * self.steps + 1, self.lag))))
        inputs = self._as(torch.from_numpy(store.read_inputs(sample_there))) if self.data.inputs else None
        return Batch(u[0], u[1] if self.steps == 1 else u[1:], inputs)

    def bound(self, ndim: int) -> Pairs:
        if ndim != len(self.data.shape):
            raise InputError(f"pairs: the data are on {self.data.shape}, but the model works on {ndim} space axes.")
        return self

    def _as(self, values: Tensor) -> Tensor:
        return values if self.dtype is None else values.to(self.dtype)


class FieldPairs(Pairs):
    """Tensors of arguments and targets, ``(sample, channel, *space)``, with given fields or without."""

    def __init__(self, u: Tensor, target: Tensor, inputs: Tensor | None = None) -> None:
        parts = {"u": u, "target": target} | ({} if inputs is None else {"inputs": inputs})
        for name, part in parts.items():
            if not isinstance(part, Tensor) or part.ndim < 2 or len(part) != len(u):
                got = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                raise InputError(f"fit: {name} of {got} given; tensors (sample, channel, *space) with as many samples each are needed.")
        self.parts = Batch(u, target, inputs)

    def __len__(self) -> int:
        return len(self.parts.u)

    def one(self, index: int) -> Batch:
        u, target, inputs = self.parts
        return Batch(u[index], target[index], None if inputs is None else inputs[index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        u, target, inputs = self.parts
        chosen = torch.as_tensor(indices, device=u.device)
        return Batch(u[chosen], target[chosen], None if inputs is None else inputs[chosen])


def check_instants(count: int, lag: int, steps: int) -> None:
    """Raise unless ``count`` instants hold one pair at least."""
    if count < lag * steps + 1:
        raise InputError(f"pairs: lag={lag} and steps={steps} span {lag * steps + 1} instants, but a trajectory has {count}.")
