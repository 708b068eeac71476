"""Grid, domain, field, equation, problem, loading, checks, propagator and rollout: values, and errors that say what to do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sciml.core.checks import check_finite, check_state, check_step
from sciml.core.coefficients import coefficients_of, substituted
from sciml.core.conservation import ConservationLaw
from sciml.core.derivatives import as_vector
from sciml.core.domain import Dirichlet, Domain, Neumann, Periodic
from sciml.core.equation import Equation, check_fields
from sciml.core.errors import BlowUpError, ContractError, InputError, SciMLError, UnsupportedError
from sciml.core.field import align, first_field
from sciml.core.grid import Grid
from sciml.core.loading import load_problem, problem_names
from sciml.core.problem import Problem, Profile, RandomLaw
from sciml.core.propagator import Propagator, Stepper
from sciml.core.rollout import rollout, trajectory
from sciml.derivatives.fourier import Fourier
from sciml.derivatives.points import Points
from sciml.problems.kuramoto_sivashinsky import KuramotoSivashinsky, kassam2005

F64 = torch.float64


class TestGrid:
    def test_periodic_axes_start_at_the_origin_and_bounded_ones_at_the_first_centre(self):
        grid = Grid((4, 5), (2.0, 10.0), periodic=(True, False), origin=(-1.0, 3.0))
        x, y = grid.axes()
        assert x.tolist() == [-1.0, -0.5, 0.0, 0.5] and y.tolist() == [4.0, 6.0, 8.0, 10.0, 12.0]
        assert grid.spacing == (0.5, 2.0) and grid.cell_volume == 1.0 and grid.ndim == 2
        px, py = grid.points()
        assert px.shape == (4, 5) and px[2, 3] == 0.0 and py[2, 3] == 10.0

    def test_wavenumbers(self):
        kx, ky = Grid((4, 6), (2 * math.pi, math.pi)).wavenumbers()
        assert kx.flatten().tolist() == [0, 1, -2, -1] and kx.shape == (4, 1)
        assert ky.flatten().tolist() == [0, 2, 4, 6] and ky.shape == (1, 4)
        assert Grid((5, 5), (2 * math.pi,) * 2).wavenumbers()[0].flatten().tolist() == [0, 1, 2, -2, -1]

    def test_conversions(self):
        grid = Grid((4,), (2.0,)).to(dtype=torch.float32).resized(8)
        assert grid.shape == (8,) and grid.axes()[0].dtype == torch.float32 and grid.lengths == (2.0,)
        assert Grid(8, 2.0, periodic=False).periodic == (False,)
        assert Grid((), ()).points() == () and Grid((4, 6), (1.0, 1.0)).resized((8, 2)).shape == (8, 2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((4,), (1.0, 2.0)), "lengths=.* has 2 entries but shape=.* has 1"),
            (((4, 4), (1.0, 1.0), (True,)), "periodic="),
            (((4, 4), (1.0, 1.0), True, (0.0,)), "origin="),
            (((2,) * 4, (1.0,) * 4), "at most 3"),
            (((1,), (1.0,)), "at least 2"),
            (((4,), (-1.0,)), "positive and finite"),
            (((4,), (math.inf,)), "positive and finite"),
            (((4,), (1.0,), True, (), torch.int64), "float32 or torch.float64"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(InputError, match=message):
            Grid(*arguments)

    def test_fourier_needs_a_periodic_grid(self):
        with pytest.raises(InputError, match=r"periodic=\(True, False\) was given.*finite-volume"):
            Grid((4, 4), (1.0, 1.0), (True, False)).wavenumbers()


class TestDomain:
    def test_boxes_and_grids(self):
        domain = Domain.box((0.0, -1.0), (1.0, 1.0), Dirichlet(2.0), Neumann(lambda t: 3 * t), Periodic(), Periodic())
        assert domain.is_periodic == (False, True) and domain.lengths == (1.0, 2.0) and domain.ndim == 2
        left, right = domain.boundaries[0]
        assert left.at(5.0) == 2.0 and right.at(5.0) == 15.0
        assert Dirichlet(math.sin).at(0.5) == math.sin(0.5) and Neumann(4.0).at(1.0) == 4.0
        grid = domain.grid((4, 8), dtype=torch.float32)
        assert grid.shape == (4, 8) and grid.origin == (0.0, -1.0) and grid.periodic == (False, True) and grid.dtype == torch.float32
        assert Domain.periodic(2.0, origin=1.0).grid(4).axes()[0].tolist() == [1.0, 1.5, 2.0, 2.5]
        assert Domain.box(0.0, 1.0, Dirichlet()).boundaries == ((Dirichlet(), Dirichlet()),)

    def test_bad_input(self):
        with pytest.raises(InputError, match="one entry per axis"):
            Domain((0.0,), (1.0, 2.0), ((Periodic(), Periodic()),))
        with pytest.raises(InputError, match="must lie below"):
            Domain.box(1.0, 0.0, Dirichlet())
        with pytest.raises(InputError, match="both or neither"):
            Domain.box(0.0, 1.0, Dirichlet(), Periodic())
        with pytest.raises(InputError, match="give 1 or 2"):
            Domain.box(0.0, 1.0, Dirichlet(), Dirichlet(), Dirichlet())


class TestFields:
    grid = Grid((8,), (2 * math.pi,))

    def test_alignment_of_coefficients(self):
        assert align(torch.ones(3), 2).shape == (3, 1, 1)
        assert align(torch.ones(3), 1, 3).shape == (3, 1, 1) and align(torch.ones(3, 2), 1, 3).shape == (3, 2, 1)
        assert align(torch.ones(1), 2).shape == () and align(torch.ones(()), 2).shape == ()
        assert align(torch.ones(1, 8), 2).shape == (1, 8)

    def test_first_field_looks_into_sequences(self):
        u = Fourier(self.grid).field(torch.ones(1, 8, dtype=F64))
        assert first_field((1.0, [torch.ones(1), (u,)])) is u
        with pytest.raises(LookupError):
            first_field((1.0, [2.0]))

    def test_networks_keep_their_weights_unaligned(self):
        network = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.Conv1d(4, 1, 1)).double()
        u = torch.randn(2, 1, 8, dtype=F64)
        d = Fourier(self.grid)
        assert torch.equal(d.values(network(d.field(u))), network(u))
        values = torch.randn(5, 3, dtype=F64)
        d, field = Points.of(lambda t: values, torch.zeros(5, dtype=F64))
        linear = nn.Linear(3, 3).double()
        assert torch.equal(d.values(linear(field)), linear(values))


class TestVocabulary:
    def test_curl_jacobian_div_advect_mixed(self):
        grid = Grid((12, 14), (2 * math.pi, 2 * math.pi))
        d = Fourier(grid)
        x, y = grid.points()
        a, b = d.field((torch.sin(x) * torch.cos(2 * y))[None]), d.field(torch.cos(x + y)[None])
        ax, ay = torch.cos(x) * torch.cos(2 * y), -2 * torch.sin(x) * torch.sin(2 * y)
        bx = by = -torch.sin(x + y)
        assert torch.allclose(d.values(d.curl((a, b)))[0], bx - ay)
        assert torch.allclose(d.values(d.jacobian(a, b))[0], ax * by - ay * bx)
        assert torch.allclose(d.values(d.div((a, b)))[0], ax + by)
        assert torch.allclose(d.values(d.advect((2.0, b), a))[0], 2 * ax + torch.cos(x + y) * ay)
        assert torch.allclose(d.values(d.mixed(a, (2, 1)))[0], 2 * torch.sin(x) * torch.sin(2 * y))
        assert torch.allclose(d.values(d.laplacian(a, 2))[0], 25 * torch.sin(x) * torch.cos(2 * y))
        assert torch.allclose(d.values(d.diffuse(b, a)), d.values(d.div((b * d.x(a), b * d.y(a)))))
        assert d.mixed(a, (0, 0)) is a and d.define("name", a) is a

    def test_bad_input(self):
        d = Fourier(Grid((8,), (1.0,)))
        u = d.field(torch.ones(1, 8, dtype=F64))
        with pytest.raises(InputError, match=r"d\.z: the domain has 1 space axis; there is no z"):
            d.z(u)
        for order in (-1, 1.5):
            with pytest.raises(InputError, match="non-negative integer"):
                d.x(u, order)
        with pytest.raises(InputError, match=r"d\.div: got 2 components on 1"):
            d.div((u, u))
        with pytest.raises(InputError, match=r"d\.curl"):
            d.curl((u, u))
        with pytest.raises(InputError, match=r"d\.advect"):
            d.advect((1.0, 2.0), u)
        with pytest.raises(UnsupportedError, match=r"d\.t is undefined; use the points or functional engine"):
            d.t(u)
        assert as_vector([1, 2]) == (1, 2) and as_vector(1) == (1,)


class Coupled(Equation):
    fields = ("a", "b")

    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = rate

    def linear(self, u, d):
        a, b = d.split(u)
        return d.stack(self.rate * d.x(b, 2) - a, 3.0 * d.x(a))


class TestEquation:
    grid = Grid((8,), (2 * math.pi,))

    def test_symbol_of_one_field_and_of_a_system(self):
        k = torch.arange(5, dtype=F64)
        assert torch.allclose(KuramotoSivashinsky(1.0, 0.5, 0.25).symbol(self.grid), (0.5 * k**2 - 0.25 * k**4) + 0j)
        matrix = Coupled().symbol(self.grid)
        assert matrix.shape == (2, 2, 5)
        assert torch.allclose(matrix[0, 0], -torch.ones(5) + 0j * k) and torch.allclose(matrix[0, 1], -0.5 * k**2 + 0j)
        ik = 1j * k
        ik[-1] = 0  # the Nyquist mode of an odd derivative
        assert torch.allclose(matrix[1, 0], 3 * ik) and not matrix[1, 1].any()
        assert Coupled(torch.tensor([1.0, 2.0], dtype=F64)).symbol(self.grid).shape == (2, 2, 2, 5)
        assert not (KuramotoSivashinsky() + (lambda u, d: u)).second.symbol(self.grid).any()

    def test_sum_of_equations_and_terms(self):
        u = torch.sin(self.grid.points()[0])[None]
        d = Fourier(self.grid)
        total = KuramotoSivashinsky() + KuramotoSivashinsky(0.0, -2.0, 0.0) + (lambda u, d: 5.0 * u)
        assert torch.allclose(total.rhs(u, d), KuramotoSivashinsky().rhs(u, d) - 2 * u + 5 * u, atol=1e-13)
        assert torch.allclose(total.symbol(self.grid)[1], torch.tensor(-2.0 + 0j, dtype=torch.complex128))
        cubic = lambda u, d: u**3  # noqa: E731
        cubic.degree = 3
        assert (KuramotoSivashinsky() + cubic).degree == 3 and total.degree == 2
        cubic.degree = None
        assert (KuramotoSivashinsky() + cubic).degree is None
        with pytest.raises(InputError, match=r"Cannot add equations for \('u',\) and \('a', 'b'\)"):
            KuramotoSivashinsky() + Coupled()

    def test_residual_is_time_derivative_minus_right_hand_side(self):
        x = torch.linspace(0, 1, 5, dtype=F64)
        d, u = Points.of(lambda t, x: torch.exp(2 * t) * torch.sin(x), 0.3 * torch.ones_like(x), x)
        value = KuramotoSivashinsky(0.0, 1.0, 3.0).residual(d.values(u), d)
        assert torch.allclose(value[:, 0], (2 + 2) * math.exp(0.6) * torch.sin(x))

    def test_trainable_sees_nested_tensors_and_parameters(self):
        assert not KuramotoSivashinsky(torch.tensor(1.0)).trainable
        assert KuramotoSivashinsky(nn.Parameter(torch.tensor(1.0))).trainable
        assert (KuramotoSivashinsky() + KuramotoSivashinsky(torch.tensor(1.0, requires_grad=True))).trainable

    def test_errors(self):
        class Empty(Equation):
            pass

        class Wrong(Equation):
            def linear(self, u, d):
                return 1.0

        u = torch.ones(1, 8, dtype=F64)
        with pytest.raises(InputError, match="Empty has neither a linear nor a nonlinear part"):
            Empty().rhs(u, Fourier(self.grid))
        with pytest.raises(InputError, match=r"Wrong\.linear returned float"):
            Wrong().symbol(self.grid)
        with pytest.raises(InputError, match=r"unknowns \('a', 'b'\), so arrays need 2 channel\(s\); 3 given"):
            check_fields(Coupled(), 3)
        check_fields(Coupled(), 2)

    @pytest.mark.parametrize(
        ("linear", "message"),
        [
            (lambda e, u, d: u * d.x(u), "applies mul"),
            (lambda e, u, d: 1.0 / u, "divides by the unknown"),
            (lambda e, u, d: u + 1.0, "adds a constant"),
            (lambda e, u, d: d.coordinates()[0] * u, "uses the coordinates"),
            (lambda e, u, d: torch.linspace(0, 1, 8)[None] * u, "varies in space"),
        ],
    )
    def test_what_has_no_symbol_is_sent_to_nonlinear(self, linear, message):
        equation = type("Bad", (Equation,), {"linear": linear})()
        with pytest.raises(UnsupportedError, match=f"{message}.*Move that term to nonlinear"):
            equation.symbol(self.grid)


class Law(ConservationLaw):
    def __init__(self, rate=1.0):
        super().__init__()
        self.rate = rate

    def flux(self, u):
        return self.rate * u**3, 2.0 * u

    def diffusivity(self, u):
        return 1.0 + u**2

    def source(self, u, d):
        return -u


class TestConservationLaw:
    grid = Grid((16, 14), (2 * math.pi, 2 * math.pi))

    def test_velocity_is_the_derivative_of_the_flux(self):
        u = torch.rand(2, 1, 16, 14, dtype=F64)
        d = Fourier(self.grid)
        rate = torch.tensor([1.0, 2.0], dtype=F64)
        vx, vy = Law(rate).velocity(d.field(u))
        assert torch.allclose(d.values(vx), 3 * rate[:, None, None, None] * u**2)
        assert torch.allclose(d.values(vy), torch.full_like(u, 2.0))
        assert torch.allclose(Law().velocity(u)[0], 3 * u**2)

        class Constant(Law):
            def flux(self, u):
                return 0.5 * u, u**2

            def diffusivity(self, u):
                return None

        assert torch.allclose(d.values(Constant().velocity(d.field(u))[1]), 2 * u)
        assert Constant().linear(d.field(u), d) is None

    def test_right_hand_side(self):
        x, y = self.grid.points()
        u = (0.5 + 0.2 * torch.sin(x + y))[None]
        value = Law().rhs(u, Fourier(self.grid))
        s, c = u, 0.2 * torch.cos(x + y)[None]
        ss = -0.2 * torch.sin(x + y)[None]
        assert torch.allclose(value, -3 * s**2 * c - 2 * c + 2 * (2 * s * c**2 + (1 + s**2) * ss) - s)

    def test_state_dependent_diffusion_is_nonlinear_and_a_constant_one_linear(self):
        assert not Law().symbol(self.grid).any()  # although k(u) uses functions that the symbol engine refuses

        class Constant(ConservationLaw):
            def diffusivity(self, u):
                return 0.5

        assert Constant().symbol(self.grid)[1, 2] == -2.5
        assert Constant().nonlinear(Fourier(self.grid).field(torch.ones(1, 16, 14, dtype=F64)), Fourier(self.grid)) is None


class TestCoefficients:
    def test_every_kind_is_found_and_exchanged_in_a_copy(self):
        class Many(Equation):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = 0.5, torch.tensor(2.0), nn.Parameter(torch.tensor(3.0))
                self.d, self.e = (4.0, 5.0), nn.ParameterList([torch.tensor(6.0)])
                self.f, self.order, self._hidden = nn.ParameterDict({"g": torch.tensor(7.0)}), 2, 8.0
                self.register_buffer("h", torch.tensor(9.0))
                self.network = nn.Linear(1, 1)

        equation = KuramotoSivashinsky() + Many()
        found = {k: float(torch.as_tensor(v).detach()) for k, v in coefficients_of(equation).items()}
        assert found == {
            "first.advection": 1, "first.antidiffusion": 1, "first.hyperdiffusion": 1,
            "second.a": 0.5, "second.b": 2, "second.c": 3, "second.d.0": 4, "second.d.1": 5, "second.e.0": 6, "second.f.g": 7, "second.h": 9,
        }  # fmt: skip
        copy = substituted(equation, lambda name, value: name, lambda name, module: f"net {name}")
        many = copy.second
        assert (many.a, many.c, many.d, many.e, many.f, many.h) == (
            "second.a", "second.c", ("second.d.0", "second.d.1"), ["second.e.0"], {"g": "second.f.g"}, "second.h",
        )  # fmt: skip
        assert many.network == "net second.network" and many.order == 2 and many._hidden == 8.0
        assert equation.second.a == 0.5 and isinstance(equation.second.c, nn.Parameter) and isinstance(equation.second.network, nn.Linear)


def case(**changes):
    settings = {
        "name": "test:case", "equation": KuramotoSivashinsky(), "domain": Domain.periodic(2 * math.pi),
        "initial": Profile(torch.sin), "horizon": 1.0, "points": (8,),
    }  # fmt: skip
    return Problem(**{**settings, **changes})


class TestProblem:
    def test_initial_and_exact_states(self):
        problem = case(exact=lambda t, x: torch.sin(x - t))
        grid = problem.grid()
        x = grid.points()[0]
        assert torch.equal(problem.initial_state(grid), torch.sin(x)[None])
        assert torch.equal(problem.initial_state(grid, samples=3), torch.sin(x).expand(3, 1, 8))
        assert torch.equal(problem.exact_state(grid, 0.5), torch.sin(x - 0.5)[None])
        assert problem.grid(16, dtype=torch.float32).shape == (16,)
        assert torch.equal(problem.initial(torch.ones(2)), torch.sin(torch.ones(2)))

    def test_random_laws_draw_from_the_generator(self):
        problem = case(initial=RandomLaw(lambda grid, g: torch.randn(grid.shape, dtype=grid.dtype, generator=g)))
        grid = problem.grid()
        first, second = (problem.initial_state(grid, torch.Generator().manual_seed(5), samples=2) for _ in range(2))
        assert torch.equal(first, second) and not torch.equal(first[0], first[1])
        assert torch.equal(problem.initial_state(grid), problem.initial_state(grid))

    def test_errors(self):
        with pytest.raises(InputError, match=r"horizon=0\.0; it must be positive"):
            case(horizon=0.0)
        with pytest.raises(InputError, match="1 axes; give one entry per axis"):
            case(points=(8, 8))
        with pytest.raises(InputError, match=r"no exact solution.*sciml\.solve"):
            case().exact_state(case().grid(), 0.0)
        with pytest.raises(InputError, match=r"shape \(2, 8\) was made; \(1, 8\)"):
            wrong = case(initial=Profile(lambda x: torch.stack([x, x])))
            wrong.initial_state(wrong.grid())


class TestLoading:
    def test_catalogue_and_parameters(self):
        assert "kuramoto_sivashinsky:kassam2005" in problem_names()
        assert load_problem("kuramoto_sivashinsky:kassam2005").points == kassam2005().points

    def test_a_users_file(self, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text(
            "from sciml.problems.kuramoto_sivashinsky import kassam2005\nproblem = kassam2005()\n"
            "def scaled(factor: float = 1.0):\n    import dataclasses\n    return dataclasses.replace(problem, horizon=factor)\n"
            "def broken():\n    return 3\n"
        )
        assert load_problem(str(file)).horizon == 150.0
        assert load_problem(f"{file}:scaled", {"factor": 7.0}).horizon == 7.0
        with pytest.raises(InputError, match=r"unknown parameter faktor; known: factor\. Did you mean factor\?"):
            load_problem(f"{file}:scaled", {"faktor": 1.0})
        with pytest.raises(InputError, match="is a fixed problem"):
            load_problem(str(file), {"factor": 1.0})
        with pytest.raises(InputError, match="returned a int"):
            load_problem(f"{file}:broken")
        with pytest.raises(InputError, match="defines no 'absent'"):
            load_problem(f"{file}:absent")
        file.write_text("1 / 0")
        with pytest.raises(InputError, match="could not be run: ZeroDivisionError"):
            load_problem(str(file))

    def test_errors(self, tmp_path):
        with pytest.raises(InputError, match=r"Unknown problem 'kuramoto_sivashinski:x'.*Did you mean kuramoto_sivashinsky\?"):
            load_problem("kuramoto_sivashinski:x")
        with pytest.raises(InputError, match=r"names no case; choose one of: kuramoto_sivashinsky:"):
            load_problem("kuramoto_sivashinsky")
        with pytest.raises(InputError, match=r"Unknown case 'kassam2004'.*Did you mean kassam2005\?"):
            load_problem("kuramoto_sivashinsky:kassam2004")
        with pytest.raises(InputError, match="does not exist"):
            load_problem(str(tmp_path / "absent.py"))


class TestChecks:
    grid = Grid((8,), (1.0,))

    def test_states(self):
        check_state(torch.ones(3, 2, 8, dtype=F64), self.grid, 2, who="who")
        for state, message in (
            ([1.0], r"is a list; give a torch\.Tensor"),
            (torch.ones(8, dtype=F64), r"shape \(8,\); \(\*batch, 1, 8\) is expected"),
            (torch.ones(2, 8, dtype=F64), r"\(\*batch, 1, 8\)"),
            (torch.ones(1, 8), r"is torch\.float32 but the grid is torch\.float64; use u\.to"),
            (torch.ones(1, 8, dtype=F64, device="meta"), r"is on meta but the grid is on cpu"),
        ):
            with pytest.raises(InputError, match=f"who: .*{message}"):
                check_state(state, self.grid, 1, who="who")

    def test_steps(self):
        assert check_step(0.5, who="who") == 0.5
        wrong = {0.0: "positive", -1: "positive", math.inf: "finite", math.nan: "finite", "x": "not a number", None: "not a number"}
        for dt, message in wrong.items():
            with pytest.raises(InputError, match=message):
                check_step(dt, who="who")

    def test_blow_up_names_field_time_step_and_remedy(self):
        u = torch.ones(3, 2, 8, dtype=F64)
        settings = {"time": 1.5, "dt": 0.1, "fields": ("a", "b"), "scheme": "Scheme", "limit": 10.0}
        check_finite(u, self.grid, **settings)
        u[2, 1, 3] = 11.0
        with pytest.raises(BlowUpError, match=r"Scheme: field b grew to 11 \(limit 10\) at t=1\.5 with dt=0\.1\. Try a smaller step \(dt=0\.025\)"):
            check_finite(u, self.grid, **settings)
        u[0, 0, 0] = math.nan
        with pytest.raises(BlowUpError, match="field a is not finite"):
            check_finite(u, self.grid, **settings)

    def test_errors_are_also_the_usual_python_ones(self):
        pairs = {InputError: ValueError, UnsupportedError: TypeError, BlowUpError: ArithmeticError, ContractError: AssertionError}
        for error, usual in pairs.items():
            assert issubclass(error, SciMLError) and issubclass(error, usual)


class Doubling(Stepper):
    """The working state is the logarithm: encoded once, decoded where kept. Adds the time, to see which is passed."""

    def __init__(self):
        self.dt, self.grid, self.channels = 0.5, Grid((4,), (1.0,)), 1
        self.calls = {"encode": 0, "decode": 0}

    def encode(self, u, time=0.0):
        self.calls["encode"] += 1
        return u.log()

    def advance(self, state, time=0.0):
        return state + math.log(2.0) + time

    def decode(self, state):
        self.calls["decode"] += 1
        return state.exp()


class Halving:
    dt, grid = 1.0, Grid((4,), (1.0,))

    def __call__(self, u):
        return u / 2


class TestRollout:
    u = torch.ones(3, 1, 4, dtype=F64)

    def test_a_plain_propagator(self):
        states = rollout(Halving(), self.u, 6, every=2)
        assert states.shape == (4, 3, 1, 4) and states[:, 0, 0, 0].tolist() == [1, 0.25, 0.0625, 0.015625]
        assert isinstance(Halving(), Propagator)

    def test_a_stepper_encodes_once_and_decodes_what_is_kept(self):
        step = Doubling()
        states = rollout(step, self.u, 6, every=3, time=1.0)
        times = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
        assert torch.allclose(states[1], self.u * 8 * math.exp(sum(times[:3]))) and torch.allclose(states[2], self.u * 64 * math.exp(sum(times)))
        assert step.calls == {"encode": 1, "decode": 2}
        assert torch.allclose(step(self.u, 1.0), 2 * math.e * self.u) and repr(step) == "Doubling(dt=0.5, shape=(4,), channels=1)"

    def test_without_gradients_and_without_the_initial_state(self):
        seen = []
        with torch.no_grad():
            states = rollout(Halving(), self.u, 4, every=2, include_initial=False, callback=lambda n, s: seen.append((n, float(s[0, 0, 0]))))
        assert states[:, 0, 0, 0].tolist() == [0.25, 0.0625] and seen == [(0, 1.0), (2, 0.25), (4, 0.0625)]
        assert rollout(Halving(), self.u, 0).shape == (1, 3, 1, 4)
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                assert rollout(Halving(), self.u, 0, include_initial=False).shape == (0, 3, 1, 4)

    def test_checkpointed_gradients_are_the_same(self):
        gradients = []
        for checkpoint in (False, True):
            u = self.u.clone().requires_grad_()
            rollout(Doubling(), u, 4, every=2, checkpoint=checkpoint).pow(2).sum().backward()
            gradients.append(u.grad)
        assert torch.equal(*gradients) and bool((gradients[0] > 2).all())

    def test_errors(self):
        with pytest.raises(InputError, match=r"steps=5 is not a multiple of every=2; use steps=4 or 6"):
            rollout(Halving(), self.u, 5, every=2)
        for steps, every in ((-1, 1), (1, 0)):
            with pytest.raises(InputError, match="steps must be at least 0 and every at least 1"):
                list(trajectory(Halving(), self.u, steps, every=every))
        with pytest.raises(InputError, match=r"Doubling: the state has shape \(4,\)"):
            rollout(Doubling(), torch.ones(4, dtype=F64), 1)
        with pytest.raises(InputError, match="float32"):
            Doubling()(self.u.float())
