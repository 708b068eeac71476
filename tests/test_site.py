"""The site's made pages are complete and true: they are built here as text, without the tools that turn them into a site."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pages import catalogue, commands, docstrings, figures, reference, reproduction

import sciml
from sciml import testing
from sciml.cli.main import app

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_in_the_reference_once() -> None:
    pages = reference.pages()
    directives = re.findall(r"^::: ([\w.]+)$\n    options:\n      heading: ([\w.]+)$", "\n".join(pages.values()), re.MULTILINE)
    headings = [heading for _, heading in directives]
    assert sorted(h for h in headings if h.count(".") == 1) == sorted(f"sciml.{name}" for name in sciml.__all__)
    assert {f"sciml.testing.{name}" for name in testing.__all__} | {"sciml.methods.base.Method"} <= set(headings)
    assert len(headings) == len(set(headings))
    for name in sciml.__all__:
        assert f"[`sciml.{name}`][" in pages["reference/index.md"]


def test_reference_names_lead_to_what_they_name() -> None:
    for name, identifier in reference.identifiers().items():
        module, _, last = identifier.rpartition(".")
        __import__(module)
        home = importlib.import_module(module)
        assert hasattr(home, last), identifier
        if name in sciml.__all__:
            assert getattr(home, last) is getattr(sciml, name)


def test_a_room_that_nobody_named_gets_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "ROOMS", {"core": "The core"})
    assert next(iter(reference.rooms())) == "core" and "solvers" in reference.rooms()
    assert reference.title("core") == "The core" and reference.title("solvers") == "Solvers"
    assert reference.pages()["reference/solvers.md"].startswith("# Solvers\n")


def test_command_line_page_has_every_command_and_option() -> None:
    (page,) = commands.pages().values()
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__
        (section,) = re.findall(rf"^## `sciml {name}`\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
        for parameter in inspect.signature(info.callback).parameters.values():
            decided = eval(parameter.annotation, vars(sys.modules[info.callback.__module__])).__metadata__[0]
            declared = [name for name in (decided.default, *(decided.param_decls or ())) if str(name).startswith("--")]
            given = [*declared, f"--{parameter.name.replace('_', '-')}"]
            shown = f"`{decided.metavar}`" if type(decided).__name__ == "ArgumentInfo" else f"`{given[0]}`"
            (row,) = [line for line in section.splitlines() if line.startswith("|") and shown in line.split(" | ")[0]]
            assert decided.help.replace("|", "\\|") in row
    assert "| `--points` `TEXT` |  |" in page and "| `--resume` |" in page and "| `--seed` `INTEGER` | `0` |" in page
    assert "sciml solve PROBLEM [options]" in page and "```text\nsciml list\n```" in page


def test_every_case_is_on_its_page() -> None:
    pages = catalogue.pages()
    for name in sciml.problem_names():
        module, case = name.split(":")
        problem = sciml.load_problem(name)
        page = pages[f"problems/{module}.md"]
        (row,) = re.findall(rf"^\| \[`{case}`\]\(#case-{case}\) \|(.*)$", page, re.MULTILINE)
        assert (row.rpartition("|")[0].rpartition("|")[2].strip() == "none") == (problem.exact is None)
        assert " × ".join(map(str, problem.points)) in row
        assert f"### `{name}` {{ #case-{case} }}" in page and problem.reference in page
        function = catalogue.case_functions(module)[case]
        for parameter in inspect.signature(function).parameters:
            assert f"`{parameter}=" in page or f"`{parameter}`" in page
        for method in problem.scores:
            assert f"| {method} |" in page
        for line in catalogue.rows(problem.equation.latex()):
            assert f"$$ {line} $$" in page
        assert f"problems/{module}.md" in pages["problems.md"] and f"`{case}`" in pages["problems.md"]


def test_every_module_has_a_picture_with_its_command() -> None:
    assert set(figures.SEVERAL) <= set(catalogue.modules())
    pages = catalogue.pages()
    for module in catalogue.modules():
        drawn = figures.commands(module)
        assert drawn
        for i, command in enumerate(drawn):
            assert re.match(rf"sciml solve {module}:\w+ .*--plot {figures.picture(module, i)}$", command)
            for page, folder in (("gallery.md", "figures/made"), (f"problems/{module}.md", "../figures/made")):
                assert f"({folder}/{figures.picture(module, i)})\n\n```text\n{command}\n```" in pages[page]


def test_a_module_without_a_chosen_picture_gets_its_first_case_at_a_small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SEVERAL", {})
    assert figures.commands("burgers") == ["sciml solve burgers:raissi2019 --points 256 --plot burgers.png"]
    assert figures.commands("advection") == ["sciml solve advection:krishnapriyan2021 --plot advection.png"]
    assert figures.commands("lorenz") == ["sciml solve lorenz:sakov2012 --plot lorenz.png"]


def test_pictures_are_drawn_and_failures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SEVERAL", {"heat": ("heat:periodic --points 16 --times 4",)})
    (name, data), *others = figures.draw(["heat"]).items()
    assert name == "heat.png" and data.startswith(b"\x89PNG") and not others
    monkeypatch.setattr(figures, "SEVERAL", {"heat": ("heat:nosuch",)})
    with pytest.raises(RuntimeError, match=r"sciml solve heat:nosuch --plot heat\.png: .*Unknown case 'nosuch'"):
        figures.draw(["heat"])


def test_systems_are_set_line_by_line() -> None:
    cases = r"k = \begin{cases} 1 & \text{for}\: u \\ 0 & \text{otherwise} \end{cases}"
    assert catalogue.rows(rf"a = b \\ {cases} \\ c = d") == ["a = b", cases, "c = d"]
    assert catalogue.rows("u_t = 0") == ["u_t = 0"]


def test_scores_that_some_methods_lack_are_blank() -> None:
    table = catalogue.scores_table({"one": {"rmse.a": 0.5}, "two": {"mass_error": (1, 0.25)}, "three": {"rmse.a": {85: 0.1}}})
    assert table.splitlines() == [
        "| method | rmse.a | mass error |",
        "|---|---|---|",
        "| one | 0.5 |  |",
        "| two |  | 1, 0.25 |",
        "| three | 85: 0.1 |  |",
    ]


def test_docstrings_become_markdown() -> None:
    text = r"""First :math:`u_t`, see :class:`Grid` and :func:`sciml.rollout`, not ``a_b`` or :meth:`other`.

    .. math:: a = b,\quad
              c = d

    As follows::

        with x: y

    Parameters
    ----------
    u, v : shape ``(*batch, x)``,
        or less.
    dt : the step :math:`h`.

    >>> f(1)
    2
    """
    lines = docstrings.markdown(text, {"Grid": "sciml.core.grid.Grid", "rollout": "sciml.core.rollout.rollout"}).splitlines()
    assert lines[0] == "First $u_t$, see [`Grid`][sciml.core.grid.Grid] and [`rollout`][sciml.core.rollout.rollout], not `a_b` or `other`."
    assert r"$$ a = b,\quad c = d $$" in lines and "As follows:" in lines and "    with x: y" in lines
    start = lines.index("**Parameters**")
    assert lines[start : start + 4] == ["**Parameters**", "", "- `u`, `v`: shape `(*batch, x)`, or less.", "- `dt`: the step $h$."]
    assert lines[-4:] == ["```pycon", ">>> f(1)", "2", "```"]
    assert docstrings.first_line("One\n    sentence.\n\nMore.") == "One sentence." and docstrings.markdown(None) == ""


def test_no_docstring_of_the_reference_keeps_a_role() -> None:
    for identifier in reference.identifiers().values():
        module, _, name = identifier.rpartition(".")
        value = getattr(importlib.import_module(module), name)
        members = vars(value).values() if inspect.isclass(value) else ()
        for text in (value.__doc__, *(m.__doc__ for m in members if inspect.isfunction(m))):
            made = docstrings.markdown(text)
            assert ":math:" not in made and ".. math" not in made and "\n---" not in made, identifier


def test_reproduction_table_reads_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (page,) = reproduction.pages().values()
    assert page.count("\n|") == 2 + len(reproduction.rows()) >= 12
    measured = json.loads((reproduction.RESULTS / "quasi_geostrophic.json").read_text())["figures"]["mean EKE, both layers"]["ours"]
    assert f"| 0.00834 | {measured:.4g} |" in page
    for row in reproduction.rows():
        assert (ROOT / row["script"].split()[0]).is_file() and row["source"]
    (tmp_path / "x.json").write_text('{"rows": [{"case": "a", "n": 1.23456}, {"case": "b", "n": 2}]}')
    monkeypatch.setattr(reproduction, "RESULTS", tmp_path)
    assert reproduction.numbers({"file": "x.json", "ours": ["rows", "case=a", "n"], "published": "one"}) == ("one", "1.235")
    with pytest.raises(KeyError, match="case=c: 0 entries match"):
        reproduction.numbers({"file": "x.json", "ours": ["rows", "case=c", "n"], "published": "one"})


def test_readme_quotes_the_measured_numbers() -> None:
    rows = {row["case"]: row["measured"] for row in json.loads((reproduction.RESULTS / "reproduction.json").read_text())["rows"]}
    quoted = dict(re.findall(r"^\| (.+?) \| (\d\.\de-\d+) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    beginnings = {
        "Kuramoto-Sivashinsky trajectory of Rudy": "KS trajectory of Rudy et al. to t = 70, relative L2",
        "Burgers trajectory of Raissi": "Burgers trajectory of Raissi et al., relative L2",
        "Korteweg-de Vries trajectory of Raissi": "KdV trajectory of Raissi et al., relative L2",
        "Burgers, Cole-Hopf solution": "Burgers against Cole-Hopf, largest error",
        "Taylor-Green vortices with a mean flow": "Taylor-Green with mean flow, largest error",
    }
    for beginning, case in beginnings.items():
        (number,) = [value for what, value in quoted.items() if what.startswith(beginning)]
        assert number == f"{rows[case]:.1e}"


def test_tools_of_the_site_are_pinned() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and not line.startswith("#"))
    names = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(names[requirement.name.lower()]), text


def test_bars_do_not_end_a_cell_of_a_table() -> None:
    assert docstrings.cell(r"$\|u\|$ of |k|") == r"$\Vert u\Vert $ of \|k\|"
    assert docstrings.cell("$|k|^2$") == r"$\vert k\vert ^2$"
    rows = [line for line in reference.index_page().splitlines() if line.startswith("| [")]
    assert rows and all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)
