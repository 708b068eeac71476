"""Training does what it says: pairs hold the right states, steps are the optimiser's, and interruptions leave no trace."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_run import GRID, Scale, mean_square, model, same, states, train, weights

import sciml
from sciml.io.described import described
from sciml.training.batches import parts_of
from sciml.training.checkpoint import checksum
from sciml.training.ema import Average
from sciml.training.schedules import Constant, Cosine, OneCycle, Steps, schedule_of
from sciml.training.seeds import order_of

# -- pairs ------------------------------------------------------------------------------------------------------------


def test_pairs_of_a_rollout() -> None:
    u = torch.arange(7 * 2 * 3 * 1 * 4, dtype=torch.float32).view(7, 2, 3, 1, 4)  # two batch axes
    whole = sciml.pairs(u, lag=2)
    assert len(whole) == 5
    assert torch.equal(whole[4].u, u[4]) and torch.equal(whole[-1].target, u[6]) and whole[0].inputs is None
    bound = sciml.pairs(u, lag=2, ndim=1)
    assert len(bound) == 5 * 6
    found = {(tuple(a.flatten().tolist()), tuple(b.flatten().tolist())) for a, b, _ in (bound[i] for i in range(30))}
    wanted = {
        (tuple(u[t, i, j].flatten().tolist()), tuple(u[t + 2, i, j].flatten().tolist())) for t in range(5) for i in range(2) for j in range(3)
    }
    assert found == wanted
    several = bound.__getitems__([3, 29, 0])
    assert torch.equal(several.u, torch.stack([bound[i].u for i in (3, 29, 0)]))
    assert torch.equal(several.target, torch.stack([bound[i].target for i in (3, 29, 0)]))
    with pytest.raises(IndexError):
        bound[30]
    part = bound[3:8:2]
    assert torch.equal(part.u, torch.stack([bound[i].u for i in (3, 5, 7)])) and torch.equal(part.target[2], bound[7].target)
    with pytest.raises(IndexError, match="30:40"):
        bound[30:40]


def test_pairs_with_several_targets_and_another_precision() -> None:
    u = torch.arange(9.0).view(9, 1, 1, 1).expand(9, 2, 1, 4)
    data = sciml.pairs(u, lag=2, steps=3, ndim=1, dtype=torch.float64)
    assert len(data) == 6 and data[0].u.dtype == torch.float64
    assert data[2].u[0, 0] == 2 and data[2].target[:, 0, 0].tolist() == [4, 6, 8]
    batch = data.__getitems__([0, 5])
    assert batch.target.shape == (2, 3, 1, 4) and batch.target[1, :, 0, 0].tolist() == [4, 6, 8]
    assert sciml.pairs(u, lag=2, steps=3)[1].target[:, 0, 0, 0].tolist() == [3, 5, 7]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "burgers"
    return sciml.generate("burgers:li2021", 4, place, points=16, end=0.1, times=5)


def test_pairs_of_files_are_read_piece_by_piece(folder: Path) -> None:
    data = sciml.open_data(folder)
    all_states = torch.stack([sample.u for sample in data])
    found = sciml.pairs(data, lag=2, samples=slice(1, 3), dtype=torch.float32)
    assert len(found) == 2 * 4
    for i in range(2):
        for t in range(4):
            assert torch.equal(found[i * 4 + t].u, all_states[1 + i, t].float())
            assert torch.equal(found[i * 4 + t].target, all_states[1 + i, t + 2].float())
    assert torch.equal(sciml.pairs(data, lag=1, steps=5)[3].target, all_states[3, 1:])


def test_pairs_of_steady_data_go_from_the_given_fields_to_the_solution(tmp_path: Path) -> None:
    data = sciml.open_data(sciml.generate("darcy:li2021", 2, tmp_path / "darcy", points=9))
    found = sciml.pairs(data)
    assert len(found) == 2
    assert torch.equal(found[1].u, data[1].inputs) and torch.equal(found[1].target, data[1].u)
    with pytest.raises(sciml.InputError, match="no time"):
        sciml.pairs(data, lag=2)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda u, d: sciml.pairs(u, lag=0), "lag=0"),
        (lambda u, d: sciml.pairs(u, lag=1.5), "lag=1.5 given; a whole number"),
        (lambda u, d: sciml.pairs(u, steps="2"), "steps='2'"),
        (lambda u, d: sciml.pairs(u, lag=6), "6 and steps=1 span 7"),
        (lambda u, d: sciml.pairs(u, lag=2, steps=3), "span 7"),
        (lambda u, d: sciml.pairs(u, samples=slice(2)), "index the tensor"),
        (lambda u, d: sciml.pairs(u, dtype=torch.int64), "floating"),
        (lambda u, d: sciml.pairs(u.long()), "real numbers"),
        (lambda u, d: sciml.pairs(u, ndim=3), "real numbers"),
        (lambda u, d: sciml.pairs([1, 2]), "list given"),
        (lambda u, d: sciml.pairs(d, lag=6), "a trajectory has 6"),
        (lambda u, d: sciml.pairs(d, samples=slice(9, 12)), "selects none"),
        (lambda u, d: sciml.pairs(d, ndim=2), "ndim=2"),
        (lambda u, d: sciml.pairs(d).bound(2), "2 space axes"),
        (lambda u, d: sciml.pairs(u, ndim=1).bound(2), "2 space axes"),
    ],
)
def test_pairs_refuse_what_does_not_fit(make: Callable[[Any, Any], Any], word: str, folder: Path) -> None:
    with pytest.raises(sciml.InputError, match=word):
        make(states(), sciml.open_data(folder))


# -- what a step does -------------------------------------------------------------------------------------------------


def test_steps_are_those_of_the_optimiser() -> None:
    u = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    network = Scale()
    history = sciml.fit(
        network, (u, 2 * u), loss=mean_square, optimizer=torch.optim.SGD, lr=0.1, schedule="constant", epochs=2, batch_size=2, seed=4
    )
    a, losses = 0.0, []
    for epoch in range(2):
        order = [[1.0, 2.0, 3.0][i] for i in order_of(4, epoch, 3)]
        total = 0.0
        for chunk in (order[:2], order[2:]):
            square = sum(v * v for v in chunk) / len(chunk)
            total += len(chunk) * (a - 2) ** 2 * square
            a -= 0.1 * 2 * (a - 2) * square
        losses.append(total / 3)
    assert network.a.item() == pytest.approx(a, rel=1e-6)
    assert history.losses == pytest.approx(losses, rel=1e-6)
    assert [row.steps for row in history.epochs] == [2, 4] and history.ended == "epochs" and history.lr == pytest.approx([0.1, 0.1])
    assert all(math.isnan(v) for v in history.validation) and history.seconds == sorted(history.seconds)
    assert not network.training and network.a.grad is None


def test_clip_ema_and_validation_values() -> None:
    u = torch.ones(1, 1, 1)
    network = Scale()
    common = {"loss": mean_square, "optimizer": torch.optim.SGD, "lr": 0.5, "schedule": "constant", "batch_size": 1}
    sciml.fit(network, (u, 100 * u), epochs=1, clip=1.0, **common)
    assert network.a.item() == pytest.approx(0.5)
    network = Scale()
    history = sciml.fit(network, (u, u), epochs=3, ema=0.15, validation=(2 * u, u), **common)  # a = 1 after one step and stays
    average = 0.0
    for n in range(3):
        decay = min(0.15, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * 1.0
    assert network.a.item() == pytest.approx(average, rel=1e-6)
    assert history.validation[-1] == pytest.approx((2 * average - 1) ** 2, rel=1e-5)


def test_validation_weighs_batches_by_their_samples_and_keeps_the_best() -> None:
    u = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    network = Scale(1.0)
    history = sciml.fit(
        network,
        (u[:1], 3 * u[:1]),
        loss=mean_square,
        optimizer=torch.optim.SGD,
        lr=0.05,
        schedule="constant",
        epochs=50,
        batch_size=2,
        validation=(u, 2 * u),
        patience=3,
    )
    a, values = 1.0, []
    for _ in range(len(history.epochs)):
        a -= 0.05 * 2 * (a - 3)
        values.append((a, (a - 2) ** 2 * 14 / 3))
    assert history.validation == pytest.approx([v for _, v in values], rel=1e-4, abs=1e-6)
    best = min(range(len(values)), key=lambda i: values[i][1])
    assert history.ended == "patience" and len(values) == best + 1 + 3
    assert network.a.item() == pytest.approx(values[best][0], rel=1e-5)


def test_schedules() -> None:
    assert [Constant()(f) for f in (0, 0.5, 1)] == [1, 1, 1]
    assert [Cosine()(f) for f in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [Cosine(warmup=0.2, end=0.1)(f) for f in (0.1, 0.2, 0.6, 1)] == pytest.approx([0.5, 1, 0.55, 0.1])
    assert Cosine(warmup=0.2)(0.0) > 0
    assert [OneCycle()(f) for f in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx([0.04, 0.52, 1, 0.50005, 1e-4])
    assert [Steps()(f) for f in (0, 0.19, 0.2, 0.59, 0.6, 0.99)] == pytest.approx([1, 1, 0.5, 0.25, 0.125, 1 / 16])
    assert schedule_of("cosine") == Cosine() and schedule_of(math.sqrt) is math.sqrt
    u = torch.ones(2, 1, 1)
    given = {"loss": mean_square, "optimizer": torch.optim.SGD, "lr": 0.1, "batch_size": 1}
    assert sciml.fit(Scale(), (u, u), schedule=lambda f: 1 - f, epochs=2, **given).lr == pytest.approx([0.075, 0.025])
    for make in (lambda: Cosine(warmup=1.0), lambda: OneCycle(end=-0.1), lambda: Steps(every=0.0), lambda: Steps(factor=2.0)):
        with pytest.raises(sciml.InputError):
            make()


def test_batches_split_among_processes_add_up() -> None:
    order = [7, 3, 5, 1, 0, 2, 4]
    for world in (1, 2, 3):
        parts = [parts_of(order, 3, rank, world) for rank in range(world)]
        for number, together in enumerate(zip(*parts, strict=True)):
            indices = order[3 * number : 3 * number + 3]
            share = {i: 0.0 for i in indices}
            for part in together:
                assert part.indices == indices and part.number == number and part.mine
                for i in part.mine:
                    share[i] += part.weight / len(part.mine) / world
            assert share == pytest.approx({i: 1 / len(indices) for i in indices})
    assert [part.number for part in parts_of(order, 3, 0, 1, start=1)] == [1, 2]
    assert sorted(order_of(1, 2, 50)) == list(range(50)) and order_of(1, 2, 50) != order_of(1, 3, 50) != order_of(2, 3, 50)


def test_lbfgs_and_second_order_optimisers_get_what_they_need() -> None:
    u = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    network = Scale()
    sciml.fit(network, (u, 2 * u), loss=mean_square, optimizer=torch.optim.LBFGS, schedule="constant", epochs=3, batch_size=3)
    assert network.a.item() == pytest.approx(2.0, abs=1e-5)

    class Fit(sciml.LeastSquares):
        def residual(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
            x, y = batch
            return model(x) - y

    class Newton(torch.optim.Optimizer):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {"lr": 1.0})

        def step(self, closure: Any = None) -> Any:
            (a,) = self.param_groups[0]["params"]
            r = closure.residual().reshape(-1)
            jacobian = torch.stack([torch.autograd.grad(entry, a, retain_graph=True)[0] for entry in r])
            with torch.no_grad():
                a -= (jacobian * r).sum() / (jacobian**2).sum()
            return closure()

    network = Scale()
    data = torch.utils.data.TensorDataset(u, 2 * u)
    history = sciml.fit(network, data, loss=Fit(), optimizer=Newton, epochs=1, batch_size=3)
    assert network.a.item() == pytest.approx(2.0, abs=1e-6) and history.losses == pytest.approx([0.0], abs=1e-10)
    with pytest.raises(sciml.InputError, match="needs the residuals"):
        sciml.fit(Scale(), data, loss=mean_square, optimizer=Newton, epochs=1)


def test_physics_objective_trains_without_data() -> None:
    class Decay(sciml.Equation):
        def linear(self, u: Any, d: Any) -> Any:
            return -1.0 * u

    grid = sciml.Grid((8,), (1.0,))
    u = states()[:1].expand(2, -1, -1, -1)
    network = Scale(1.0).double()
    loss = sciml.Physics(sciml.Residual(Decay(), grid, 0.1), steps=4)
    sciml.fit(network, sciml.pairs(u, ndim=1), loss=loss, optimizer=partial(torch.optim.Adam, lr=0.02), epochs=60)
    assert network.a.item() == pytest.approx(math.exp(-0.1), abs=5e-3)
    both = sciml.Physics(sciml.Residual(Decay(), grid, 0.1), weight=2.0, data=sciml.Supervised())
    alone = sciml.Physics(sciml.Residual(Decay(), grid, 0.1))
    batch, generator = (u[0], 0.5 * u[0]), torch.Generator()
    expected = 2 * alone.loss(network, batch, generator) + sciml.Supervised().loss(network, batch, generator)
    assert both.loss(network, batch, generator).item() == pytest.approx(expected.item(), rel=1e-12)
    for bad in ({"weight": -1.0}, {"steps": 1}):
        with pytest.raises(sciml.InputError, match=next(iter(bad))):
            sciml.Physics(sciml.Residual(Decay(), grid, 0.1), **bad)


def test_supervised_rolls_out_over_several_targets() -> None:
    u = torch.ones(2, 1, 4)
    target = torch.stack([2 * u, 5 * u], 1)
    value = sciml.Supervised(mean_square).loss(Scale(2.0), (u, target), torch.Generator())
    assert value.item() == pytest.approx((0 + 1) / 2)  # 2 and 4 against 2 and 5


def test_noise_is_relative_drawn_in_training_only_and_the_same_every_time() -> None:
    seen: list[Tensor] = []

    class Watch(Scale):
        def forward(self, u: Tensor) -> Tensor:
            seen.append(u.detach().clone())
            return super().forward(u)

    u = 3.0 * torch.randn(64, 1, 50, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        sciml.fit(Watch(), (u, u), noise=0.1, epochs=1, batch_size=64, validation=(u, u))
    first, again = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert same(first, again)
    order = order_of(0, 0, 64)
    added = first[2] - u[order]  # after one sample each of data and validation
    assert float((added.flatten(1).std(1) / u[order].flatten(1).std(1, correction=0)).mean()) == pytest.approx(0.1, rel=0.03)
    assert torch.equal(first[3], u)


def test_a_model_with_noise_of_its_own_gets_a_generator() -> None:
    plain, noisy, again = model(), model(noise=0.2), model(noise=0.2)
    for network in (plain, noisy, again):
        train(network, epochs=1)
    assert same(weights(noisy), weights(again)) and not same(weights(noisy), weights(plain))


def test_a_rollout_with_a_graph_is_taken_as_data() -> None:
    u = states().requires_grad_() * 1.0
    network = model()
    sciml.fit(network, sciml.pairs(u), epochs=1)
    assert not sciml.pairs(u)[0].u.requires_grad


# -- data, precision, devices -----------------------------------------------------------------------------------------


def test_an_operator_learns_burgers_from_files(folder: Path) -> None:
    data = sciml.open_data(folder)
    torch.manual_seed(0)
    fno = sciml.FNO(data.grid.to(dtype=torch.float32), modes=6, width=8, depth=2, dt=0.02, residual=True)
    before = sciml.pairs(data, dtype=torch.float32)
    everything = before.__getitems__(range(len(before)))
    start = float(sciml.relative_l2(fno(everything.u), everything.target).detach())
    history = sciml.fit(fno, before, epochs=40, batch_size=8, lr=5e-3, precision="bf16-mixed", workers=1)
    assert history.losses[-1] < 0.25 * start
    assert float(sciml.relative_l2(fno(everything.u), everything.target).detach()) < 0.25 * start


def test_given_fields_reach_the_model() -> None:
    fno = sciml.FNO(GRID, modes=3, width=4, depth=1, inputs=1)
    u = states()[0]
    history = sciml.fit(fno, (u, u, u), epochs=1)
    assert len(history.losses) == 1
    with pytest.raises(sciml.InputError, match="given fields are missing"):
        sciml.fit(fno, (u, u), epochs=1)


def test_dropout_is_the_same_every_time_and_new_in_every_step() -> None:
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.drop = nn.Parameter(torch.ones(1)), nn.Dropout(0.5)

        def forward(self, u: Tensor) -> Tensor:
            dropped = self.drop(torch.ones(50))
            seen.append(dropped)
            return self.a * u * dropped.mean()

    u = torch.ones(2, 1, 1)
    for seed in (1, 1, 2):
        torch.manual_seed(99 + len(seen))
        sciml.fit(Watch(), (u, u), epochs=1, batch_size=1, seed=seed)
    first, again, other = seen[1:3], seen[4:6], seen[7:9]  # the first call of each tries one sample in evaluation mode
    assert same(first, again) and not same(first, other) and not torch.equal(first[0], first[1])


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(nn.Sequential(nn.Dropout(0.5), Dummy()), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


class Dummy(nn.Module):
    """A model without a grid, whose pairs therefore keep all batch axes."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, u: Tensor) -> Tensor:
        return self.a * u


# -- errors -----------------------------------------------------------------------------------------------------------


def test_numbers_that_are_not_finite_are_located() -> None:
    u = states()
    u[3, 2, 0, 5] = math.nan
    with pytest.raises(sciml.InputError, match=r"epoch 1, batch \d+ of 9, because sample 1[23] of the data"):
        sciml.fit(spared := model(), sciml.pairs(u), epochs=1, batch_size=3)
    assert all(torch.isfinite(p).all() for p in spared.parameters())
    with pytest.raises(sciml.InputError, match="sample 12, 13 of the validation data"):
        sciml.fit(model(), sciml.pairs(states()), validation=sciml.pairs(u), epochs=1)
    with pytest.raises(sciml.BlowUpError, match=r"epoch \d+, batch 1 of 1, though the data are; try a lower learning rate"):
        sciml.fit(Scale(), (torch.ones(2, 1, 1), torch.ones(2, 1, 1)), loss=mean_square, optimizer=torch.optim.SGD, lr=1e9, epochs=9)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"epochs": None}, "give epochs"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": math.nan}, "epochs=nan"),
        ({"epochs": "3"}, "epochs='3'"),
        ({"batch_size": 2.0}, "batch_size=2.0"),
        ({"budget": "10"}, "budget='10'"),
        ({"checkpoint_every": "5"}, "checkpoint_every='5'"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"epochs": None, "budget": 0.0}, "budget=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"patience": 2, "validation": None}, "patience"),
        ({"clip": -1.0}, "clip=-1"),
        ({"ema": 1.0}, "ema=1"),
        ({"noise": -0.1}, "noise=-0.1"),
        ({"noise": 0.1, "loss": sciml.Supervised()}, "objective of its own"),
        ({"seed": -1}, "seed=-1"),
        ({"lr": 0.0, "optimizer": None}, "lr=0"),
        ({"optimizer": "adam"}, "optimizer is a str"),
        ({"optimizer": lambda p: 3}, "made a int"),
        ({"optimizer": partial(torch.optim.SGD, rate=3)}, "cannot be made"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)], lr=1.0)}, "optimizer is a SGD"),
        ({"schedule": "linear"}, "schedule='linear'"),
        ({"schedule": 3}, "schedule=3"),
        ({"loss": 3}, "loss is a int"),
        ({"loss": lambda p, y: (p - y).flatten(1).norm(dim=1)}, "scalar"),
        ({"precision": "half"}, "precision='half'"),
        ({"strategy": "deepspeed"}, "strategy='deepspeed'"),
        ({"devices": 2}, "torchrun --nproc-per-node 2"),
        ({"device": "cuda:99"}, "cannot be used here"),
        ({"resume": True}, "checkpoint="),
        ({"checkpoint": "/nowhere/run.ckpt"}, "does not exist"),
        ({"checkpoint_every": -1.0}, "checkpoint_every=-1"),
        ({"log": "log.txt"}, "ends in .csv"),
        ({"log": "/nowhere/log.csv"}, "does not exist"),
        ({"tensorboard": "/proc/nowhere"}, "tensorboard=/proc/nowhere"),
    ],
)
def test_bad_options(options: dict[str, Any], word: str) -> None:
    with pytest.raises(sciml.InputError, match=word):
        train(model(), **options)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (sciml.pairs(states().float()), "float32"),
        (sciml.pairs(states()[..., :4]), "shape"),
        (sciml.pairs(states().expand(-1, -1, 2, -1)), r"\(1, 2, 8\)"),
        (sciml.pairs(states(), ndim=0), "ndim=0"),
        (sciml.pairs(states()[:, :0]), "no sample"),
        ((states()[0], states()[1][:3]), "target of shape"),
        ((states()[0],), "is a tuple"),
        ("somewhere", "is a str"),
        (torch.utils.data.TensorDataset(states()[0]), "batches of type"),
    ],
)
def test_bad_data(data: Any, word: str) -> None:
    with pytest.raises(sciml.InputError, match=word):
        sciml.fit(model(), data, epochs=1)


def test_models_without_anything_to_train() -> None:
    u = states()[0]
    with pytest.raises(sciml.InputError, match="no parameters"):
        sciml.fit(nn.Identity(), (u, u), epochs=1)
    with pytest.raises(sciml.InputError, match="requires a gradient"):
        sciml.fit(model().requires_grad_(False), (u, u), epochs=1)


def test_average_is_bounded() -> None:
    with pytest.raises(sciml.InputError, match="ema=-0.1"):
        Average(Scale(), -0.1)


def test_data_without_a_length_are_refused() -> None:
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            yield from ()

    with pytest.raises(sciml.InputError, match="without a length"):
        sciml.fit(model(), Endless(), epochs=1)


# -- metrics for TensorBoard ------------------------------------------------------------------------------------------


def test_tensorboard_gets_every_epoch_once_over_an_interruption(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = train(model(), epochs=2, schedule="constant", validation=sciml.pairs(states()), tensorboard=tmp_path / "board", checkpoint=tmp_path / "c")
    history = train(
        model(),
        epochs=4,
        schedule="constant",
        validation=sciml.pairs(states()),
        tensorboard=tmp_path / "board",
        checkpoint=tmp_path / "c",
        resume=True,
    )
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    shown = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert shown.keys() == {"loss/training", "loss/validation", "learning rate"}
    for name, values in (("loss/training", history.losses), ("loss/validation", history.validation), ("learning rate", history.lr)):
        assert shown[name] == [(n + 1, pytest.approx(value, rel=1e-6)) for n, value in enumerate(values)]
    assert len(history.epochs) == 4 and history.losses[:2] == first.losses


def test_tensorboard_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(sciml.InputError, match=r"sciml-pde\[tensorboard\]"):
        train(model(), tensorboard=tmp_path / "board")


# -- what a checkpoint knows of functions -----------------------------------------------------------------------------


def test_functions_without_a_name_of_their_own_are_told_apart_by_what_they_do() -> None:
    def scaled(factor: float) -> Callable[[float], float]:
        return lambda fraction: factor * fraction

    assert described(scaled(2.0)) == described(scaled(2.0)) != described(scaled(3.0))
    assert described(lambda x: x + 1) != described(lambda x: x + 2)
    assert described(lambda x, y=1: x + y) != described(lambda x, y=2: x + y)
    assert described(lambda x: [x + i for i in range(3)]) != described(lambda x: [x - i for i in range(3)])
    assert described(lambda x: math.sin(x)) != described(lambda x: math.cos(x))
    assert described(test_schedules) == f"{__name__}.test_schedules"


def test_a_checksum_is_of_the_numbers_whatever_their_strides() -> None:
    table = torch.arange(12.0).view(4, 3)
    column = table[:, 1:2]
    odd = torch.as_strided(torch.arange(4.0), (4, 1), (1, 7))
    assert checksum(column) == checksum(column.clone()) != checksum(table[:, 2:])
    assert checksum(odd) == checksum(torch.arange(4.0).view(4, 1)) != checksum(torch.arange(4.0))
