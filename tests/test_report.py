"""Figures, errors against a truth, measured cost, and the report of a comparison."""

from __future__ import annotations

import csv
import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from sciml.core.checks import check_device
from sciml.core.domain import Dirichlet, Domain
from sciml.core.equation import Equation
from sciml.core.errors import BlowUpError, InputError, UnsupportedError
from sciml.core.grid import Grid
from sciml.core.loading import load_problem
from sciml.core.problem import Problem, Profile
from sciml.io.dataset import grid_of, to_dataset, to_tensor
from sciml.io.netcdf import load, save
from sciml.io.reference import read_reference
from sciml.methods import measure, registry
from sciml.methods.base import Method, Run, Settings
from sciml.methods.measure import Meter
from sciml.report.animation import animate
from sciml.report.compare import compare
from sciml.report.document import memory, seconds
from sciml.report.fields import edges, first_sample, spectrum, spread
from sciml.report.figures import plot
from sciml.report.lattice import on_lattice
from sciml.report.metrics import errors, mean_drift
from sciml.report.style import axis_label, check_picture, error_norm, field_norm, frames_norm
from sciml.report.truth import CertifiedRun, ExactSolution, Pair, ReferenceFile, relative_l2
from sciml.solvers.solve import solve


class Heat(Equation):
    """u_t = laplacian(u) / 10, in any number of dimensions."""

    def linear(self, u, d):
        return 0.1 * d.laplacian(u)


def wave(*x: torch.Tensor) -> torch.Tensor:
    return 0.5 + sum(torch.sin(s) for s in x)


def heat(ndim: int = 1, **changes) -> Problem:
    """Decay of one sine per axis: the exact solution is 1/2 + exp(-t/10) sum sin."""
    settings = {
        "name": f"test:heat{ndim}",
        "equation": Heat(),
        "domain": Domain.periodic((2 * math.pi,) * ndim),
        "initial": Profile(wave),
        "horizon": 1.0,
        "points": (16,) * ndim,
        "dt": 0.1,
        "exact": lambda t, *x: 0.5 + math.exp(-0.1 * t) * (wave(*x) - 0.5),
        "reference": "J. Fourier (1822)",
    }
    return Problem(**{**settings, **changes})


def exact_dataset(problem: Problem, times: list[float], offset: float = 0.0) -> xr.Dataset:
    grid = problem.grid()
    return to_dataset(torch.stack([problem.exact_state(grid, t) for t in times]) + offset, times, grid, problem, {"method": "exact"})


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_errors_of_known_differences() -> None:
    true = np.array([[[3.0, 4.0]], [[0.0, 0.0]], [[6.0, 8.0]]])
    predicted = true + np.array([[[0.0, 0.0]], [[0.0, 2.0]], [[3.0, -4.0]]])
    found = errors(Pair(np.arange(3.0), (np.arange(2.0),), predicted, true))
    # where the truth vanishes its largest norm, 10, is the measure
    assert found.over_time == pytest.approx([0.0, 0.2, 0.5])
    assert found.final == pytest.approx(0.5) and found.largest == 4.0
    assert found.total == pytest.approx(math.sqrt(4 + 25) / math.sqrt(25 + 100))


def test_mean_drift_is_relative_to_the_initial_size() -> None:
    first = np.array([[3.0, -3.0], [1.0, 1.0]])
    values = np.stack([first, first + np.array([[0.6], [0.1]]), first * np.array([[2.0], [1.0]])])
    assert mean_drift(values) == pytest.approx(0.2)
    assert mean_drift(np.zeros((2, 1, 4))) == 0.0


@pytest.mark.parametrize("periodic", [True, False])
def test_as_many_points_elsewhere_are_not_taken_for_the_own_ones(periodic: bool) -> None:
    grid = Grid((64,), (2.0,), (periodic,))
    x = grid.axes()[0].numpy()
    moved = on_lattice(np.sin(np.pi * x), grid, (x + 0.004,))
    assert moved == pytest.approx(np.sin(np.pi * (x + 0.004)), abs=1e-5)


def test_trigonometric_interpolation_is_exact_and_leaves_own_points_alone() -> None:
    grid = Grid((12, 9), (2.0, 3.0), origin=(0.5, -1.0))

    def f(x, y):
        return np.sin(math.pi * x + 0.3) * np.cos(2 * math.pi * y / 3) + 0.2

    values = f(*(p.numpy() for p in grid.points()))
    coords = (np.linspace(0.5, 2.5, 7), np.array([-0.99, 0.123, 1.7]))
    assert np.abs(on_lattice(values[None], grid, coords)[0] - f(*np.meshgrid(*coords, indexing="ij"))).max() < 1e-13
    assert np.array_equal(on_lattice(values, grid, tuple(a.numpy() for a in grid.axes())), values)


def test_spline_interpolation_on_bounded_axes_has_order_four() -> None:
    found = []
    x = np.linspace(0.0, 1.0, 33)
    for n in (20, 40):
        grid = Grid((n,), (1.0,), periodic=(False,))
        found.append(np.abs(on_lattice(np.exp(grid.axes()[0].numpy()), grid, (x,)) - np.exp(x)).max())
    assert found[1] < 1e-6 and math.log2(found[0] / found[1]) == pytest.approx(4, abs=0.3)


def test_spectrum_holds_the_energy_where_it_is() -> None:
    grid = Grid((32,), (4 * math.pi,))
    k, energy = spectrum(3 * np.sin(grid.axes()[0].numpy() * 2), grid)
    assert k[np.argmax(energy)] == pytest.approx(2.0) and energy.sum() == pytest.approx(4.5)
    bounded = Grid((32,), (math.pi,), periodic=(False,))
    k, energy = spectrum(np.cos(5 * bounded.axes()[0].numpy()), bounded)
    assert k[np.argmax(energy)] == pytest.approx(5.0) and energy.max() == pytest.approx(0.5)


def test_certified_run_bounds_its_own_error() -> None:
    problem = load_problem("burgers:kassam2005")
    rough = Problem(**{**vars(problem), "points": (48,), "dt": 1 / 16, "exact": None})
    times = [0.0, 0.5, 1.0]
    stages: list[float] = []
    truth = CertifiedRun.make(rough, (48,), times, 0, lambda label, done: stages.append(done))
    best = solve(problem, points=768, dt=1 / 512, times=times)
    fine = on_lattice(to_tensor(best).numpy(), grid_of(best), (truth.dataset["x"].values,))
    actual = relative_l2(to_tensor(truth.dataset).numpy(), fine)
    estimate = truth.uncertainty(np.array(times))
    assert grid_of(truth.dataset).shape == (96,) and truth.dataset.attrs["dt"] == pytest.approx(1 / 64)
    assert actual[-1] < estimate[-1] < 1e-2 and estimate[0] < 1e-9
    assert stages == sorted(stages) and stages[-1] == 1.0
    assert f"{estimate[-1]:.1e}" in truth.description


# -- figures -----------------------------------------------------------------------------------------------------------


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_plot_draws_every_dimension(ndim: int, tmp_path: Path) -> None:
    ds = exact_dataset(heat(ndim, units={"u": "m s-1", "x": "m"}), [0.0, 0.5, 1.0])
    before = dict(matplotlib.rcParams)
    fig = plot(ds, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
    shown = picture(tmp_path / "a.png")
    assert shown.shape[1] == 1440 and np.unique(shown.reshape(-1, 3), axis=0).shape[0] > 100
    labels = {ax.get_xlabel() for ax in fig.axes}
    assert {"$x$ (m)", "wavenumber $k$"} <= labels
    assert "power of $u$" in {ax.get_ylabel() for ax in fig.axes}
    assert any("$u$ (m s$^{-1}$)" in (ax.get_ylabel(), *(c.get_ylabel() for c in ax.child_axes)) for ax in fig.axes)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_plot_of_samples_ordinary_systems_and_fields(tmp_path: Path) -> None:
    problem = load_problem("lorenz:sakov2012")
    fig = plot(solve(problem, end=1.0, times=20, samples=2))
    assert [ax.get_ylabel() for ax in fig.axes] == ["$x$", "$y$", "$z$"]
    assert fig.axes[0].lines[0].get_ydata().shape == (21,)
    with pytest.raises(InputError, match="time axis"):
        first_sample(xr.Dataset({"u": ("x", np.zeros(3))}))
    with pytest.raises(InputError, match="no space axis"):
        animate(solve(problem, end=0.1, times=2), tmp_path / "a.gif")


def test_spectra_of_single_modes_are_seen() -> None:
    ax = plot(exact_dataset(heat(), [0.0, 0.5, 1.0])).axes[2]
    assert ax.get_xlabel() == "wavenumber $k$"
    for line in ax.lines:
        assert line.get_xdata().tolist() == [1.0] and line.get_marker() == "o"
    assert ax.lines[0].get_ydata() == pytest.approx(0.5)  # the mean of sin^2
    low, high = ax.get_ylim()
    assert high >= 10 * low


def test_map_shows_the_values() -> None:
    ds = exact_dataset(heat(), [0.0, 0.5, 1.0])
    mesh = plot(ds).axes[0].collections[0]
    assert np.array_equal(np.asarray(mesh.get_array()).reshape(16, 3), ds["u"].values.T)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-ds["u"].values.max(), ds["u"].values.max())


@pytest.mark.parametrize("ndim", [1, 2])
def test_animation_has_one_frame_per_time(ndim: int, tmp_path: Path) -> None:
    path = animate(exact_dataset(heat(ndim), [0.0, 0.2, 0.4, 0.6, 0.8]), tmp_path / "a.gif", seconds=1.0)
    with Image.open(path) as moving:
        frames = []
        for i in range(moving.n_frames):
            moving.seek(i)
            frames.append(np.asarray(moving.convert("RGB")))
        assert moving.n_frames == 5 and moving.info["duration"] == 200 and moving.info["loop"] == 0
    assert (frames[0] != frames[-1]).any()
    assert len(spread(np.arange(1000.0), 100)) == 100


def test_pictures_with_unknown_names_are_refused(tmp_path: Path) -> None:
    ds = exact_dataset(heat(), [0.0, 1.0])
    with pytest.raises(InputError, match=r"\.png or \.pdf"):
        plot(ds, tmp_path / "a.xyz")
    with pytest.raises(InputError, match=r"must end in \.gif"):
        animate(ds, tmp_path / "a.png")
    with pytest.raises(InputError, match="does not exist"):
        plot(ds, tmp_path / "none" / "a.png")
    assert check_picture("a.PDF") == Path("a.PDF")
    assert list(tmp_path.iterdir()) == []


def test_one_large_instant_does_not_set_the_scale_of_the_others() -> None:
    def limits(*sizes: float, low: float = -1.0) -> tuple[float, float, str]:
        norm, cmap = frames_norm([size * np.array([[low, 1.0]]) for size in sizes])
        return norm.vmin, norm.vmax, "" if isinstance(cmap, str) else f"{cmap.name} {cmap.colorbar_extend}"

    assert limits(100.0, 8.0, 5.0, 4.0) == (-8.0, 8.0, "RdBu_r both")
    assert limits(100.0, 8.0, 5.0, 4.0, low=0.0) == (0.0, 8.0, "viridis max")
    assert limits(100.0, 8.0, 1.0, 0.1) == (-100.0, 100.0, "")  # a steady decay, for which no scale is better
    assert limits(20.0, 8.0, 5.0, 4.0) == (-20.0, 20.0, "")  # less than OUTLIER times the rest
    assert limits(1.0, 2.0, 5.0, 100.0) == (-100.0, 100.0, "")  # the last instant always fits
    assert limits(100.0, 1.0) == (-100.0, 100.0, "") and limits(1.0, 0.0, 0.0) == (-1.0, 1.0, "")


def test_scales_and_labels() -> None:
    norm, cmap = field_norm(np.array([-1.0, 3.0]))
    assert (norm.vmin, norm.vmax, cmap) == (-3.0, 3.0, "RdBu_r")
    norm, cmap = field_norm(np.array([0.5, 2.0]))
    assert (norm.vmin, norm.vmax, cmap) == (0.5, 2.0, "viridis")
    assert field_norm(np.zeros(3))[0].vmax == 1.0
    scale = error_norm([np.array([3e-7] * 9 + [2e-3]), np.array([0.0, np.nan])])
    assert (scale.vmin, scale.vmax) == (pytest.approx(1e-7), pytest.approx(1e-2))
    assert error_norm([np.zeros(2)]).vmin == 1e-16
    assert edges(np.array([1.0, 2.0, 4.0])).tolist() == [0.5, 1.5, 3.0, 5.0] and edges(np.array([2.0])).tolist() == [1.5, 2.5]
    assert axis_label(exact_dataset(heat(), [0.0, 1.0]), "time") == "$t$"
    assert (seconds(0.0123), seconds(2.0), seconds(90.0)) == ("12 ms", "2.00 s", "1.5 min")
    assert (memory(2.0**20), memory(3 * 2.0**29)) == ("1.0 MiB", "1.50 GiB")


# -- cost --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [False, True])
def test_meter_sees_memory_and_time(sampling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if sampling:
        monkeypatch.setattr(measure, "_reset_high_water", lambda: False)
    with Meter() as meter:
        block = torch.ones(8 * 2**20, dtype=torch.float64)  # 64 MiB
        time.sleep(0.05)
        del block
    with Meter() as idle:
        pass
    assert 60 * 2**20 < meter.peak_bytes < 80 * 2**20 and meter.wall_s >= 0.05
    assert idle.peak_bytes < 8 * 2**20


def test_devices() -> None:
    assert check_device("cpu") == torch.device("cpu")
    for name in ("abacus", "meta", "cuda:99"):
        with pytest.raises(InputError, match=name.split(":")[0]):
            check_device(name)


# -- methods and comparison --------------------------------------------------------------------------------------------


class Shifted(Method):
    """The exact solution plus a constant: a method whose errors are known."""

    description = "exact plus a constant"

    def __init__(self, name: str, offset: float, raises: BaseException | None = None) -> None:
        self.name, self.offset, self.raises = name, offset, raises

    def applies(self, problem: Problem) -> str | None:
        return None if problem.exact is not None else "it needs an exact solution"

    def solve(self, problem, settings, progress=None) -> Run:
        if self.raises is not None:
            raise self.raises
        return Run(exact_dataset(problem, list(settings.times), self.offset), "shifted on purpose", {"steps": 3})


class EntryPoint:
    """What importlib.metadata would find for an installed plug-in."""

    value = "plugin:METHODS"

    def __init__(self, offered: object) -> None:
        self.offered = offered

    def load(self) -> object:
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch):
    def install(*offered: object) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint(o) for o in offered])

    return install


def test_registry_finds_built_in_methods_and_plug_ins(plug_in) -> None:
    assert next(iter(registry.methods())) == "etdrk4" and "scipy" in registry.methods()
    plug_in((Shifted("one", 0.0), Shifted("two", 0.0)), Shifted("three", 0.0))
    assert {"one", "two", "three"} < set(registry.methods())
    plug_in(Shifted("etdrk4", 0.0))
    with pytest.raises(InputError, match="called 'etdrk4'"):
        registry.methods()
    plug_in((3,))
    with pytest.raises(InputError, match="offers a int"):
        registry.methods()
    plug_in(ImportError("no torchvision"))
    with pytest.raises(InputError, match=r"cannot be loaded.*no torchvision"):
        registry.methods()


def test_methods_say_where_they_apply() -> None:
    known = registry.methods()
    bounded = heat(domain=Domain.box(0.0, 1.0, Dirichlet(0.0)))
    assert known["etdrk4"].applies(heat()) is None and "periodic" in str(known["etdrk4"].applies(bounded))
    assert "conservation law" in str(known["finite_volume"].applies(heat()))
    assert "space axis" in str(known["cnab2"].applies(load_problem("lorenz:sakov2012")))
    assert [m.name for m in registry.find_methods(None, bounded)] == ["rk4", "dopri5"]
    with pytest.raises(UnsupportedError, match=r"etdrk4 does not apply to test:heat1: it needs a domain that is periodic"):
        known["etdrk4"].run(bounded, Settings([0.0, 1.0]))
    with pytest.raises(InputError, match="Did you mean etdrk4"):
        registry.find_methods(["etdrk5"], heat())
    with pytest.raises(InputError, match="more than once"):
        registry.find_methods(["rk4", "rk4"], heat())


@pytest.mark.parametrize("name", ["etdrk4", "cnab2", "ark3", "rk4", "dopri5", "scipy"])
def test_classical_methods_reach_the_exact_solution(name: str) -> None:
    result = registry.methods()[name].run(heat(), Settings([0.0, 0.5, 1.0], dt=0.01 if name in ("cnab2", "ark3", "rk4") else None))
    found = errors(ExactSolution(heat()).pair(result.dataset))
    assert found.times.tolist() == [0.0, 0.5, 1.0] and found.final < (1e-6 if name == "cnab2" else 1e-8)
    assert result.wall_s > 0 and result.peak_bytes >= 0


class Page(HTMLParser):
    """Collects what a page points to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.links += [value for key, value in attrs if key in ("src", "href") and value]

    def handle_data(self, data):
        self.words.append(data)


def test_comparison_reports_known_errors(plug_in, tmp_path: Path) -> None:
    plug_in((Shifted("near", 1e-3), Shifted("far", 0.1), Shifted("broken", 0.0, BlowUpError("field u is not finite at t=0.3"))))
    stages: list[tuple[str, float]] = []
    out = tmp_path / "report"
    result = compare(heat(), ["near", "far", "broken"], out, times=4, progress=lambda label, fraction: stages.append((label, fraction)))

    size = [math.sqrt(0.25 + math.exp(-0.2 * t) / 2) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]  # root mean square of 1/2 + exp(-t/10) sin x
    near, far, broken = result.table
    assert near["relative_l2_final"] == pytest.approx(1e-3 / size[-1]) and far["relative_l2_final"] == pytest.approx(0.1 / size[-1])
    assert near["relative_l2"] == pytest.approx(1e-3 * math.sqrt(5) / math.sqrt(sum(s * s for s in size)))
    assert near["max_error"] == pytest.approx(1e-3) and far["mean_drift"] == pytest.approx(0, abs=1e-15) and near["steps"] == 3
    assert broken["failure"] == "field u is not finite at t=0.3" and broken["wall_s"] == ""
    assert any("differs from the problem's initial state" in note for note in result.notes)
    assert ("far", 1.0) in stages and stages[-1] == ("report", 1.0)

    names = {p.name for p in out.iterdir()}
    assert {"report.html", "table.csv", "errors.csv", "near.nc", "far.nc", "truth.nc"} < names
    assert {"solution.png", "error.png", "spectrum.png", "cost.png"} < names
    assert [p.name for p in tmp_path.iterdir()] == ["report"]
    with open(out / "table.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["method"] for r in rows] == ["near", "far", "broken"] and float(rows[1]["relative_l2_final"]) == far["relative_l2_final"]
    with open(out / "errors.csv", newline="") as handle:
        lines = list(csv.reader(handle))
    assert lines[0] == ["time", "near", "far"] and float(lines[3][0]) == 0.5 and float(lines[3][2]) == pytest.approx(0.1 / size[2])
    difference = load(out / "far.nc")["u"] - load(out / "truth.nc")["u"]
    assert np.abs(difference.values - 0.1).max() < 1e-15

    text = (out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)
    said = " ".join(page.words)
    for expected in ("test:heat1", "field u is not finite at t=0.3", "exact solution", "J. Fourier (1822)", "shifted on purpose", "1.0 × 10⁻³"):
        assert expected in said
    assert "torch" in said and torch.__version__.split("+")[0] in said


def test_interruption_keeps_finished_methods(plug_in, tmp_path: Path) -> None:
    plug_in((Shifted("first", 0.25), Shifted("second", 0.0, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        compare(heat(), ["first", "second"], tmp_path / "report", times=2)
    assert not (tmp_path / "report").exists()
    kept = load(tmp_path / "report.partial" / "first.nc")
    assert kept["u"].values[0].mean() == pytest.approx(0.75)
    with pytest.raises(InputError, match=r"An interrupted report with first.nc is in .*report.partial; give --resume .* or --overwrite"):
        compare(heat(), ["first"], tmp_path / "report", times=2)
    compare(heat(), ["first"], tmp_path / "report", times=2, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_nothing_is_left_when_every_method_fails(plug_in, tmp_path: Path) -> None:
    plug_in((Shifted("one", math.nan), Shifted("two", 0.0, ValueError("no idea\nsecond line"))))
    with pytest.raises(BlowUpError, match=r"one: its solution is not finite two: ValueError: no idea$"):
        compare(heat(), ["one", "two"], tmp_path / "report", times=2)
    assert list(tmp_path.iterdir()) == []


def test_reference_file_is_met_at_its_own_points(tmp_path: Path) -> None:
    """The file's points are not the grid's, its end point is repeated, and it ends before the horizon."""
    x, t = np.linspace(0.0, 2 * math.pi, 23), np.array([0.0, 0.3, 0.8])
    np.savez(tmp_path / "a.npz", x=x, t=t, u=(0.5 + np.exp(-0.1 * t) * np.sin(x)[:, None]))
    result = compare(heat(), ["etdrk4"], tmp_path / "report", reference=tmp_path / "a.npz")
    done = result.finished[0]
    assert done.errors.times.tolist() == [0.0, 0.3, 0.8] and done.pair.true.shape == (3, 1, 22) and done.errors.largest < 1e-13
    assert any("exact solution too" in note for note in result.notes) and not (tmp_path / "report" / "truth.nc").exists()
    assert compare(heat(), ["etdrk4"], tmp_path / "report", reference=tmp_path / "a.npz", end=0.5).finished[0].errors.times.tolist() == [0.0, 0.3]


def test_report_says_how_to_repeat_it(tmp_path: Path) -> None:
    result = compare("burgers:raissi2019", ["etdrk4"], tmp_path / "report", parameters={"viscosity": 0.05}, points=64, times=3, end=0.1, dt=0.01)
    command = "sciml compare burgers:raissi2019 --methods etdrk4 --points 64 --dt 0.01 --times 3 --end 0.1 --seed 0 --device cpu --set viscosity=0.05"
    assert command in (tmp_path / "report" / "report.html").read_text(encoding="utf-8") and result.problem.equation.viscosity == 0.05
    with pytest.raises(InputError, match="problem given by name"):
        compare(heat(), ["etdrk4"], tmp_path / "other", parameters={"rate": 1})


def test_reference_files_of_other_problems_are_refused(tmp_path: Path) -> None:
    x, t = np.linspace(0.0, 9.0, 11), np.array([0.0, 0.5])
    np.savez(tmp_path / "far.npz", x=x, t=t, u=np.zeros((2, 11)))
    np.savez(tmp_path / "flat.npz", x=x[:5], y=x[:6], t=t, u=np.zeros((2, 5, 6)))
    np.savez(tmp_path / "two.npz", x=x[:5], t=t, a=np.zeros((2, 5)), b=np.zeros((2, 5)))
    np.savez(tmp_path / "late.npz", x=x[:5], t=t + 5, u=np.zeros((2, 5)))
    for name, options, message in (
        ("far", {}, r"x runs from 0 to 9 .* \[0, 6\.28319\]"),
        ("flat", {}, "2 space axes"),
        ("two", {"variable": ["a", "b"]}, "holds a, b"),
        ("late", {"end": 1.0}, "fewer than two"),
        ("two", {"variable": "a", "times": 3}, "not both"),
    ):
        with pytest.raises(InputError, match=message):
            compare(heat(), ["etdrk4"], tmp_path / "report", reference=tmp_path / f"{name}.npz", **options)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("case", ["two", "bounded", "ordinary"])
def test_comparison_in_other_settings(case: str, tmp_path: Path) -> None:
    problem, methods = {
        "two": (heat(2, exact=None), ["etdrk4", "rk4", "dopri5", "etdrk2"]),
        "bounded": (load_problem("heat:dirichlet"), ["dopri5"]),
        "ordinary": (load_problem("lorenz:sakov2012"), ["rk4", "dopri5"]),
    }[case]
    result = compare(problem, methods, tmp_path / "report", points=None if case == "ordinary" else 16, times=4, end=0.2)
    assert len(result.finished) == len(methods)
    kind = "exact solution" if case == "bounded" else "certified run"
    assert result.truth.kind == kind and all(done.errors.final < 2e-2 for done in result.finished)
    assert (result.finished[0].drift is None) == (case == "ordinary")
    assert (tmp_path / "report" / "spectrum.png").exists() == (case != "ordinary")
    again = load(tmp_path / "report" / f"{methods[0]}.nc")
    assert torch.equal(to_tensor(again), to_tensor(result.finished[0].result.dataset))


def test_datasets_can_be_saved_and_drawn_by_one_call_each(tmp_path: Path) -> None:
    ds = solve(heat(), times=5)
    again = load(save(ds, tmp_path / "run.nc"))
    plot(again, tmp_path / "again.png")
    plot(ds, tmp_path / "first.png")
    assert np.array_equal(picture(tmp_path / "again.png"), picture(tmp_path / "first.png"))


def test_a_reference_may_start_late_and_may_be_met_exactly(tmp_path: Path) -> None:
    case = heat()
    mine = solve(case, times=[0.0, 0.25, 0.5])
    x, u = mine["x"].values, mine["u"].values
    np.savez(tmp_path / "late.npz", x=x, t=np.array([0.25, 0.5]), u=u[1:])
    late = ReferenceFile(case, read_reference(tmp_path / "late.npz"))
    assert late.output_times == [0.0, 0.25, 0.5]
    assert errors(late.pair(mine)).over_time.tolist() == [0.0, 0.0]
    # an error of zero has no place on a logarithmic axis; the report is written all the same
    compare(case, [mine.attrs["method"]], tmp_path / "report", reference=tmp_path / "late.npz")
    assert (tmp_path / "report" / "report.html").exists()
