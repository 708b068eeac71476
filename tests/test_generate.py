"""Data sets: the values of ``sciml.solve``, samples that hang on nothing but their number, and recipes that tell data sets apart."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from generating import CASE, SMALL, counted, expected, recipe, stop_at

import sciml
from sciml.core.errors import InputError
from sciml.generation import place
from sciml.generation.draws import _scrambled, initial_states, sample_generator
from sciml.generation.layouts import LAYOUTS, file_name
from sciml.io.netcdf import load
from sciml.problems import burgers, navier_stokes
from sciml.spectral.random_fields import GaussianRandomField


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "problem, options",
    [
        (burgers.li2021(), {"points": 32, "end": 0.02, "times": 3}),
        (burgers.li2021(), {"points": 32, "times": [0.0, 0.01, 0.015], "dt": 1e-3, "dtype": torch.float32}),
        (navier_stokes.kolmogorov(), {"points": 16, "end": 0.1, "times": 2, "method": "rk4", "seed": 7}),
    ],
    ids=["1-D", "float32", "2-D"],
)
def test_a_data_set_holds_what_solve_gives_chunk_by_chunk(problem: sciml.Problem, options: dict[str, Any]) -> None:
    folder = sciml.generate(problem, 5, "data", chunk=2, **options)
    assert folder == Path("data").absolute() and sorted(p.name for p in Path().iterdir()) == ["data"]
    name = problem.name.replace(":", "_")
    assert sorted(p.name for p in folder.iterdir()) == [f"{name}.nc", "recipe.json"]
    made = load(folder / f"{name}.nc")
    parts = [expected(problem, samples, **options) for samples in (range(2), range(2, 4), range(4, 5))]
    wanted = xr.concat(parts, "sample", data_vars="minimal", coords="minimal", compat="equals", join="exact")
    for variable in wanted.variables:
        assert made[variable].identical(wanted[variable]), variable
    assert "wall_seconds" not in made.attrs and "date" not in made.attrs and not {"checksum", "chunk_of"} & set(made.attrs)
    for key in set(parts[0].attrs) - {"wall_seconds", "date", "dt", "steps"}:
        assert made.attrs[key] == parts[0].attrs[key], key
    assert made.attrs["dt"] == min(ds.attrs["dt"] for ds in parts) and made.attrs["steps"] == max(ds.attrs["steps"] for ds in parts)
    data = sciml.open_data(folder)
    assert len(data) == 5 and torch.equal(data[3].u[:, 0], torch.from_numpy(next(iter(wanted.data_vars.values())).values[3]))


def test_ordinary_systems_and_bounded_domains(tmp_path: Path) -> None:
    sciml.generate("lorenz:sakov2008", 3, "lorenz", end=0.5, times=5)
    ds = load("lorenz/lorenz_sakov2008.nc")
    assert np.array_equal(ds["X"].values[2], expected(sciml.load_problem("lorenz:sakov2008"), range(2, 3), end=0.5, times=5)["X"].values[0])
    law = sciml.RandomLaw(lambda grid, generator: torch.rand(1, generator=generator, dtype=grid.dtype) * torch.sin(math.pi * grid.points()[0]))
    bounded = replace(burgers.raissi2019_dirichlet(0.1), initial=law)
    sciml.generate(bounded, 2, "bounded", points=16, end=0.1, times=2, chunk=1)
    ds = load("bounded/burgers_raissi2019_dirichlet.nc")
    assert ds.attrs["method"] == "finite_volume"
    assert np.array_equal(ds["u"].values[1], expected(bounded, range(1, 2), points=16, end=0.1, times=2)["u"].values[0])


def test_numbers_that_differ_between_chunks_are_given_by_their_extremes() -> None:
    """An automatic step hangs on the chunk: a quiet one may take longer steps."""
    options: dict[str, Any] = {"points": 64, "end": 0.02, "times": 1, "method": "etdrk2", "seed": 1}
    problem = replace(burgers.li2021(), initial=sciml.RandomLaw(steep), dt=None)
    sciml.generate(problem, 4, "data", chunk=1, **options)
    parts = [expected(problem, range(i, i + 1), **options) for i in range(4)]
    attrs = load("data/burgers_li2021.nc").attrs
    steps = [ds.attrs["steps"] for ds in parts]
    assert steps[0] < max(steps) and attrs["steps"] == max(steps) and attrs["dt"] == min(ds.attrs["dt"] for ds in parts)


def steep(grid: sciml.Grid, generator: torch.Generator) -> torch.Tensor:
    (x,) = grid.points()
    return torch.randint(1, 40, (1,), generator=generator) * torch.sin(2 * math.pi * x)


def test_steady_problems_are_drawn_in_their_inputs() -> None:
    problem = sciml.load_problem("darcy:li2021")
    options: dict[str, Any] = {"points": 16}
    folder = sciml.generate(problem, 3, "data", chunk=2, **options)
    ds = load(folder / "darcy_li2021.nc")
    parts = [expected(problem, samples, **options) for samples in (range(2), range(2, 3))]
    for name in ("u", "a"):
        assert ds[name].dims == ("sample", "x", "y")
        assert np.array_equal(ds[name].values, np.concatenate([part[name].values for part in parts]))
    assert len({a.tobytes() for a in ds["a"].values}) == 3 and json.loads(ds.attrs["inputs"]) == ["a"]
    assert ds.attrs["iterations"] == max(part.attrs["iterations"] for part in parts)
    assert torch.equal(sciml.open_data(folder)[2].inputs[0], torch.from_numpy(ds["a"].values[2]))
    made = recipe(problem, dt=None, end=None, times=None, points=16)
    assert (made.end, made.times) == (None, None)
    assert made.first_steps != recipe(problem, end=None, times=None, points=16, seed=1).first_steps
    for name, value in (("end", 1.0), ("times", 3), ("dt", 0.1)):
        with pytest.raises(InputError, match=f"generate: {name} given, but darcy:li2021 is steady"):
            sciml.generate(problem, 3, "other", points=16, **{name: value})


@pytest.mark.parametrize("format", sorted(LAYOUTS))
@pytest.mark.parametrize("name, options", [(CASE, {**SMALL, "chunk": 4}), ("darcy:li2021", {"points": 16, "chunk": 5})])
def test_every_format_holds_the_same_data(format: str, name: str, options: dict[str, Any]) -> None:
    plain = sciml.open_data(sciml.generate(name, 10, "plain", **options)).to_xarray()
    made = sciml.generate(name, 10, "data", format=format, **options)
    assert sciml.open_data(made).to_xarray().identical(plain)
    assert json.loads((made / "recipe.json").read_text())["recipe"]["format"] == format
    recorded = json.loads((made / "recipe.json").read_text())["files"]
    assert recorded == {p.relative_to(made).as_posix(): p.stat().st_size for p in made.rglob("*.*") if p.is_file() and p.name != "recipe.json"}


def test_a_format_that_cannot_hold_the_problem_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = counted(monkeypatch)

    class Renamed(burgers.Burgers):
        fields = ("sciml", "u")

        def flux(self, u: Any) -> Any:
            return u**2 / 2

    law = sciml.RandomLaw(lambda grid, generator: torch.rand((2, *grid.shape), generator=generator, dtype=grid.dtype))
    problem = replace(burgers.li2021(), equation=Renamed(0.1), initial=law)
    with pytest.raises(InputError, match="layout A needs the name sciml"):
        sciml.generate(problem, 3, "data", format="pdebench", **SMALL)
    assert solved == [] and not os.listdir()


# ------------------------------------------------------------------------------------------------------------ samples


def test_samples_do_not_hang_on_how_many_there_are_or_how_they_are_cut() -> None:
    sciml.generate(CASE, 6, "six", **SMALL)
    sciml.generate(CASE, 3, "three", **{**SMALL, "chunk": 3})
    sciml.generate(CASE, 4, "four", **SMALL)
    six, three, four = (load(f"{name}/burgers_li2021.nc")["u"].values for name in ("six", "three", "four"))
    assert np.array_equal(six[:3, 0], three[:, 0]), "the initial states are the same bits"
    assert np.array_equal(six[:4], four), "so are trajectories that shared a chunk"
    assert np.abs(six[:3] - three).max() < 1e-13 * np.abs(three).max(), "with a fixed step others agree to rounding"
    assert len({state.tobytes() for state in six[:, 0]}) == 6


def test_every_sample_has_a_generator_of_its_own() -> None:
    seeds = [sample_generator(0, i).initial_seed() for i in range(1000)]
    assert len(set(seeds)) == 1000 and max(seeds) < 2**32
    assert not set(seeds) & {sample_generator(1, i).initial_seed() for i in range(1000)}
    assert sample_generator(2**63 - 1, 2**32 - 1).initial_seed() < 2**32
    block = [_scrambled(i) for i in [*range(100_000), *range(2**32 - 100_000, 2**32)]]
    assert len(set(block)) == 200_000, "the scrambling loses nothing"
    assert _scrambled(0) == 0 and _scrambled(1) == 0x514E28B7, "the finaliser of MurmurHash3"
    # numbers of a data set must not change between versions of this package
    assert seeds[:2] == FIRST_SEEDS


FIRST_SEEDS = [2448998910, 1963132413]


def test_draws_are_the_same_function_on_every_grid() -> None:
    problem = burgers.li2021()
    coarse, fine = (initial_states(problem, problem.grid(n), 3, range(5, 7)) for n in (64, 192))
    assert coarse.shape == (2, 1, 64) and (coarse - fine[..., ::3]).abs().max() < 1e-2 * fine.abs().max()


def test_a_fixed_initial_state_is_refused_for_several_samples() -> None:
    with pytest.raises(InputError, match=r"raissi2019: samples=2 given, but every sample would be the same.*RandomLaw"):
        sciml.generate("burgers:raissi2019", 2, "data", points=32)
    assert not os.listdir()
    sciml.generate("burgers:raissi2019", 1, "data", points=32, times=1, end=0.01)
    assert load("data/burgers_raissi2019.nc").sizes["sample"] == 1


# -------------------------------------------------------------------------------------------------------------- recipe


def test_the_key_follows_everything_that_fixes_the_bits() -> None:
    problem = burgers.li2021()
    base = recipe(problem)
    assert recipe(burgers.li2021()).key == base.key and recipe(problem, end=0.02, times=2).key == base.key
    others = [
        recipe(problem, samples=5),
        recipe(problem, chunk=3),
        recipe(problem, seed=1),
        recipe(problem, points=48),
        recipe(problem, dt=1e-3),
        recipe(problem, end=0.03),
        recipe(problem, times=3),
        recipe(problem, times=[0.0, 0.005, 0.02]),
        recipe(problem, method="etdrk2"),
        recipe(problem, dtype=torch.float32),
        recipe(burgers.li2021(viscosity=0.2)),
        recipe(replace(problem, name="burgers:other")),
        recipe(replace(problem, dealias=False)),
        recipe(replace(problem, domain=sciml.Domain.periodic(1.0, origin=0.5))),
        recipe(replace(problem, initial=sciml.RandomLaw(GaussianRandomField(sigma=24.0, tau=5.0, alpha=2.0).sample))),
        recipe(replace(problem, filter=lambda grid: torch.full((17,), 0.5, dtype=torch.float64))),
    ]
    keys = [base.key, *(other.key for other in others)]
    assert len(set(keys)) == len(keys)
    assert others[0].differences(base.entries()) == "samples 4 there, 5 here"
    assert base.differences({}).startswith('problem null there, "burgers:li2021" here; parameters null there')
    assert base.entries() == json.loads(json.dumps(base.entries())) and (base.chunks, list(others[0].samples_of(2))) == (2, [4])


def test_functions_that_share_name_and_parameters_are_told_apart() -> None:
    """A forcing is no coefficient with a value; it is told by a step that it enters, at the start or later."""

    def forced(strength: float) -> sciml.Problem:
        class Forced(burgers.Burgers):
            autonomous = False

            def nonlinear(self, u: Any, d: Any) -> Any:
                (x,) = d.coordinates()
                return super().nonlinear(u, d) + strength * d.time * torch.sin(2 * math.pi * x)

        return replace(burgers.li2021(), equation=Forced(0.1))

    first, second = recipe(forced(1.0)), recipe(forced(2.0))
    assert first.differences(second.entries()).startswith("first_steps ")
    for method in ("scipy", "dopri5", "finite_volume", "cnab2"):
        assert recipe(burgers.li2021(), method=method).first_steps != recipe(burgers.li2021(viscosity=0.3), method=method).first_steps


def test_the_source_of_a_problem_is_part_of_the_recipe() -> None:
    text = "import sciml\nfrom sciml.problems import burgers\nclass Mine(burgers.Burgers):\n    def flux(self, u):\n        return u**2 / 2\n"
    text += "from dataclasses import replace\nproblem = replace(burgers.li2021(), equation=Mine(0.1), name='mine')\n"
    Path("mine.py").write_text(text)
    first = recipe(sciml.load_problem("mine.py"))
    assert recipe(sciml.load_problem("mine.py")).key == first.key
    Path("mine.py").write_text(text.replace("u**2 / 2", "0.5 * u**2"))
    assert recipe(sciml.load_problem("mine.py")).differences(first.entries()).startswith("code ")
    assert file_name("mine") == "mine" and file_name("a b/../c:d") == "a_b_.._c_d" and file_name("::") == "data"


def test_chunks_are_small_by_default() -> None:
    problem = burgers.li2021()
    assert recipe(problem, samples=1000, chunk=None).chunk == 50, "twenty for progress"
    assert recipe(problem, samples=1001, chunk=None).chunk == 51
    assert recipe(problem, samples=3, chunk=None).chunk == 1 and recipe(problem, samples=3, chunk=10).chunk == 3
    each = 64 * 51 * 8
    assert recipe(problem, samples=10**7, chunk=None, points=64, times=50).chunk == 64 * 2**20 // each, "64 MiB at most"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"samples": 0}, "samples=0 given; a whole number from 1"),
        ({"samples": 2.5}, "samples=2.5 given"),
        ({"samples": 2, "chunk": 0}, "chunk=0 given; a whole number from 1"),
        ({"samples": 2, "seed": -1}, "seed=-1 given; a whole number from 0"),
        ({"samples": 2, "format": "zarr"}, "format='zarr' is not known; use netcdf"),
        ({"samples": 2, "times": 0}, "times=0 given"),
        ({"samples": 2, "end": -1.0}, "end=-1.0 given"),
        ({"samples": 2, "dt": 0.0}, "generate: dt=0.0"),
        ({"samples": 2, "method": "euler"}, "Unknown method 'euler'"),
        ({"samples": 2, "device": "abacus"}, "Device 'abacus'"),
        ({"samples": 2, "resume": True, "overwrite": True}, "resume and overwrite given"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(options: dict[str, Any], message: str) -> None:
    samples = options.pop("samples")
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        sciml.generate(CASE, samples, "data", **{"points": 32, **options})
    assert not os.listdir()


def test_parameters_are_for_names() -> None:
    folder = sciml.generate(CASE, 1, "data", parameters={"viscosity": 0.5}, **SMALL)
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["parameters"] == {"viscosity": 0.5}
    with pytest.raises(InputError, match="parameters are for a problem given by name"):
        sciml.generate(burgers.li2021(), 1, "other", parameters={"viscosity": 0.5}, **SMALL)


# ----------------------------------------------------------------------------------------- what is there already, cache


def test_a_finished_data_set_is_not_made_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sciml.generate(CASE, 4, "data", **SMALL)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    solved = counted(monkeypatch)
    assert sciml.generate(CASE, 4, "data", progress=True, **SMALL) == sciml.generate(CASE, 4, "data", resume=True, **SMALL) == folder
    assert solved == [] and {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    assert "already there" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"holds another data set \(seed 0 there, 1 here\); --overwrite"):
        sciml.generate(CASE, 4, "data", seed=1, **SMALL)
    with pytest.raises(InputError, match="another data set"):
        sciml.generate(CASE, 4, "data", seed=1, resume=True, **SMALL)
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    sciml.generate(CASE, 4, "data", seed=1, overwrite=True, **SMALL)
    assert solved == [2, 2] and sorted(os.listdir()) == ["data"]
    assert load("data/burgers_li2021.nc").attrs["seed"] == 1
    (folder / "burgers_li2021.nc").write_bytes(b"")
    with pytest.raises(InputError, match=r"burgers_li2021.nc is missing or has another size; --overwrite"):
        sciml.generate(CASE, 4, "data", seed=1, **SMALL)
    (folder / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe.json is damaged .*--overwrite"):
        sciml.generate(CASE, 4, "data", seed=1, **SMALL)
    sciml.generate(CASE, 4, "data", overwrite=True, **SMALL)
    assert (folder / "burgers_li2021.nc").read_bytes() == before["burgers_li2021.nc"][0]


def test_what_others_put_there_is_left_alone() -> None:
    Path("file").write_text("mine")
    with pytest.raises(InputError, match="file: it is a file; give a folder"):
        sciml.generate(CASE, 2, "file", overwrite=True, **SMALL)
    Path("mine").mkdir()
    Path("mine/letter").write_text("dear")
    with pytest.raises(InputError, match="mine: something else is there; give a new folder"):
        sciml.generate(CASE, 2, "mine", overwrite=True, **SMALL)
    Path("data.partial").mkdir()
    Path("data.partial/letter").write_text("dear")
    with pytest.raises(InputError, match=r"data.partial is in the way: it holds letter.*move it"):
        sciml.generate(CASE, 2, "data", overwrite=True, **SMALL)
    assert sorted(os.listdir()) == ["data.partial", "file", "mine"] and os.listdir("data.partial") == ["letter"]
    Path("empty").mkdir()
    assert (sciml.generate(CASE, 2, "empty", **SMALL) / "burgers_li2021.nc").is_file()


def test_the_cache_finds_data_sets_by_their_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIML_CACHE", str(tmp_path / "store"))
    with pytest.raises(KeyboardInterrupt):
        sciml.generate(CASE, 4, progress=stop_at(0.6), **SMALL)
    solved = counted(monkeypatch)
    folder = sciml.generate(CASE, 4, **SMALL)
    assert solved == [2], "an interrupted run in the cache is gone on with"
    key = json.loads((folder / "recipe.json").read_text())["key"]
    assert folder == tmp_path / "store" / f"burgers_li2021-{key[:12]}" and os.listdir(tmp_path / "store") == [folder.name]
    assert sciml.generate(CASE, 4, **SMALL) == folder and solved == [2]
    other = sciml.generate(CASE, 4, seed=1, **SMALL)
    assert other != folder and solved == [2, 2, 2] and {p.name for p in (tmp_path / "store").iterdir()} == {folder.name, other.name}


def test_the_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = recipe(burgers.li2021())
    name = f"burgers_li2021-{made.key[:12]}"
    monkeypatch.delenv("SCIML_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(place.sys, "platform", "linux")
    assert place.cache_folder(made) == Path("/elsewhere/sciml") / name
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert place.cache_folder(made) == tmp_path / ".cache" / "sciml" / name
    monkeypatch.setattr(place.sys, "platform", "darwin")
    assert place.cache_folder(made) == tmp_path / "Library" / "Caches" / "sciml" / name


def test_a_folder_with_missing_files_is_not_taken_for_a_smaller_one(tmp_path: Path) -> None:
    folder = sciml.generate("burgers:li2021", 10, tmp_path / "set", points=8, end=0.1, times=1, format="well")
    assert len(sciml.open_data(folder)) == 10
    (folder / "stats.yaml").unlink()
    assert len(sciml.open_data(folder)) == 10
    (folder / "data" / "test" / "burgers_li2021.hdf5").unlink()
    for split in (None, "train"):
        with pytest.raises(sciml.InputError, match=r"data/test/burgers_li2021.hdf5 is missing"):
            sciml.open_data(folder, split=split)
    assert len(sciml.open_data(folder / "data" / "train")) == 8
    (folder / "recipe.json").write_text('{"files": 3}')
    assert len(sciml.open_data(folder)) == 9
