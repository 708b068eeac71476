"""The batches of an epoch: which samples, in which process, and how much each part counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from sciml.core.errors import InputError
from sciml.io.trajectories import Trajectories
from sciml.training.checkpoint import tensors_in
from sciml.training.pairs import Batch, FieldPairs, Pairs, pairs
from sciml.training.seeds import order_of


class Part(NamedTuple):
    """One process's part of a global batch.

    Attributes
    ----------
    number : of the batch in its epoch.
    indices : the samples of the global batch.
    mine : those of this process; one that counts for nothing where there are fewer samples than processes.
    weight : of the mean over ``mine`` such that the mean over processes is the mean over the global batch.
    """

    number: int
    indices: list[int]
    mine: list[int]
    weight: float


def parts_of(order: Sequence[int], size: int, rank: int, world: int, start: int = 0) -> list[Part]:
    """The parts of process ``rank`` of batches of ``size`` samples, from batch number ``start`` on."""
    found = []
    for number in range(start, -(-len(order) // size)):
        indices = list(order[number * size : (number + 1) * size])
        mine = indices[rank * len(indices) // world : (rank + 1) * len(indices) // world]
        found.append(Part(number, indices, mine or indices[:1], len(mine) * world / len(indices)))
    return found


def loaded(data: Dataset, parts: Sequence[Part], workers: int) -> Iterator[tuple[Part, Any]]:
    """Each part with its samples, collated."""
    loader = DataLoader(data, batch_sampler=[part.mine for part in parts], collate_fn=collate, num_workers=workers, generator=torch.Generator())
    return zip(parts, loader, strict=True)


def collate(samples: Any) -> Any:
    """A batch; data sets that hand out whole batches have made it already."""
    return samples if isinstance(samples, Batch) else default_collate(samples)


def as_dataset(data: Any, ndim: int | None, name: str) -> Dataset:
    """What :func:`sciml.fit` takes as data, as a data set of at least one sample."""
    if isinstance(data, Trajectories):
        data = pairs(data)
    if isinstance(data, tuple | list) and all(isinstance(part, Tensor) for part in data) and len(data) in (2, 3):
        data = FieldPairs(*data)
    if isinstance(data, Pairs) and ndim is not None:
        data = data.bound(ndim)
    if not isinstance(data, Dataset):
        raise InputError(
            f"fit: {name} is a {type(data).__name__}; give sciml.pairs(...), trajectories of sciml.open_data, a tuple of tensors (u, target), "
            "or a PyTorch data set."
        )
    if count_of(data) < 1:
        raise InputError(f"fit: {name} holds no sample.")
    return data


def count_of(data: Dataset) -> int:
    """The number of samples; raise for a data set that does not say."""
    length = getattr(data, "__len__", None)
    if length is None:
        raise InputError(f"fit: a {type(data).__name__} without a length was given; a data set that can be indexed is needed.")
    return int(length())


def some(data: Dataset, count: int, seed: int = 0) -> Any:
    """A batch of at most ``count`` samples, spread at random over the data."""
    total = count_of(data)
    chosen = sorted(order_of(seed, -1, total)[: min(count, total)])
    _, batch = next(loaded(data, [Part(0, chosen, chosen, 1.0)], 0))
    return batch


def culprits(data: Dataset, indices: Sequence[int]) -> list[int]:
    """Those of the samples that hold a number which is not finite."""
    bad = []
    for index in indices:
        if not all(bool(torch.isfinite(t).all()) for t in tensors_in(data[index]) if t.is_floating_point()):
            bad.append(index)
    return bad


def check_finite_data(data: Dataset, name: str) -> None:
    """Raise :class:`InputError` if a sample of the data called ``name`` holds a number that is not finite; reads all of it."""
    bad = culprits(data, range(count_of(data)))
    if bad:
        raise InputError(f"Sample {', '.join(map(str, bad[:5]))} of the {name} data holds numbers that are not finite; correct or leave it out.")
