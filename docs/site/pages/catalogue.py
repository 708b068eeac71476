"""One page per problem module, an overview and the gallery, made from the catalogue itself.

What only a person can say about an equation stands in ``docs/problems.md``, a section per module; everything that the
code knows (the equation, the cases with their numbers, sources, scores) is read from the code.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pages.docstrings import first_line, markdown
from pages.figures import commands, picture
from sciml.core.incompressible import IncompressibleFlow
from sciml.core.loading import CATALOGUE, cases, load_problem, problem_names
from sciml.core.problem import Problem

OVERVIEW = Path(__file__).parents[2] / "problems.md"
FIGURES = "figures/made"
"""Where the pictures stand in the site."""

TITLES = {
    "allen_cahn": "Allen-Cahn",
    "korteweg_de_vries": "Korteweg-de Vries",
    "kuramoto_sivashinsky": "Kuramoto-Sivashinsky",
    "navier_stokes": "Navier-Stokes",
    "quasi_geostrophic": "Quasi-geostrophic flow",
}
"""Names that are not the module's own words."""

_ROW = re.compile(r"^\| `(?P<name>\w+:\w+)` \|.*\| (?P<exact>[^|]+) \|$", re.MULTILINE)
_TABLE = re.compile(r"^\| case \|.*\n(?:\|.*\n?)+", re.MULTILINE)


def modules() -> list[str]:
    """The modules of the catalogue, in order."""
    return list(dict.fromkeys(name.partition(":")[0] for name in problem_names()))


def pages() -> dict[str, str]:
    """The Markdown of every page of the catalogue, by its path in the site."""
    made = {f"problems/{module}.md": module_page(module) for module in modules()}
    return {"problems.md": overview_page(), "gallery.md": gallery_page(), **made}


def overview_page() -> str:
    """What the catalogue holds, one line per module."""
    lines = [f"- [{title(module)}](problems/{module}.md): {', '.join(f'`{case}`' for case in case_functions(module))}" for module in modules()]
    return f"{_introduction()}\n\n## The modules\n\n" + "\n".join(lines) + "\n"


def gallery_page() -> str:
    """Every picture with the command that makes it."""
    parts = ["# Gallery\n\nEvery picture was drawn by the command below it while this site was built."]
    for module in modules():
        parts.append(f"## [{title(module)}](problems/{module}.md)")
        parts += _figures(module, FIGURES)
    return "\n\n".join(parts) + "\n"


def module_page(module: str) -> str:
    """The page of one problem module."""
    source = _module(module)
    parts = [f"# {title(module)}", first_line(source.__doc__), "## The equation", *_equations(module), *_figures(module, f"../{FIGURES}")]
    prose = re.sub(r"\]\((?!\w+:|#)", "](../", _TABLE.sub("", section(module))).strip()
    if prose:
        parts += ["## About it", prose]
    parts += ["## Cases", _table(module)]
    for name, function in case_functions(module).items():
        parts += [*_case(module, name, function)]
    parts += ["## In Python", f"Everything public in `sciml.problems.{module}`.", *_python(source)]
    return "\n\n".join(parts) + "\n"


def title(module: str) -> str:
    """The name of a module's equation."""
    return TITLES.get(module, module.replace("_", " ").capitalize())


def section(module: str) -> str:
    """The hand-written section of a module; empty if there is none yet."""
    found = re.search(rf"^## `{module}`\n(.*?)(?=^## |\Z)", OVERVIEW.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def case_functions(module: str) -> dict[str, Callable[..., Problem]]:
    """The case functions of a module by name."""
    return cases(_module(module))


def _introduction() -> str:
    """The overview's text before its first module, which says what a case is and how to use it."""
    return OVERVIEW.read_text(encoding="utf-8").partition("\n## ")[0].strip()


def _module(module: str) -> ModuleType:
    return importlib.import_module(f"{CATALOGUE}.{module}")


@cache
def _problem(name: str) -> Problem:
    return load_problem(name)


def _equations(module: str) -> Iterator[str]:
    """Each distinct equation of the cases, typeset by the SymPy engine from the code that the solvers run."""
    shared: dict[str, list[str]] = {}
    for case in case_functions(module):
        shared.setdefault(_problem(f"{module}:{case}").equation.latex(), []).append(case)
    yield "As the code states it, written out by the package:"
    for latex, names in shared.items():
        if len(shared) > 1:
            yield f"For {', '.join(f'`{name}`' for name in names)}:"
        yield from (f"$$ {row} $$" for row in rows(latex))


def rows(latex: str) -> list[str]:
    r"""The lines of a typeset system; a ``\\`` inside an environment does not end a line."""
    lines, depth = [""], 0
    for part in re.split(r"(\\begin\{\w+\}|\\end\{\w+\}| \\\\ )", latex):
        depth += part.startswith(r"\begin") - part.startswith(r"\end")
        if part == r" \\ " and depth == 0:
            lines.append("")
        else:
            lines[-1] += part
    return [line.strip() for line in lines]


def _figures(module: str, folder: str) -> Iterator[str]:
    for i, command in enumerate(commands(module)):
        yield f"![{title(module)}: drawn by {command}]({folder}/{picture(module, i)})"
        yield f"```text\n{command}\n```"


def _table(module: str) -> str:
    lines = ["| case | points | until t | step | exact solution |", "|---|---|---|---|---|"]
    exact = dict(_ROW.findall(section(module)))
    for case in case_functions(module):
        problem = _problem(f"{module}:{case}")
        known = exact.get(problem.name, "yes") if problem.exact is not None else "none"
        lines.append(f"| [`{case}`](#{anchor(case)}) | {_points(problem)} | {_until(problem)} | {_step(problem)} | {known} |")
    return "\n".join(lines)


def _points(problem: Problem) -> str:
    return " × ".join(map(str, problem.points)) or "none: an ordinary system"


def _until(problem: Problem) -> str:
    return "steady" if getattr(problem, "steady", False) else _number(problem.horizon)


def _step(problem: Problem) -> str:
    if getattr(problem, "steady", False):
        return "none"
    return _number(problem.dt) if problem.dt is not None else "chosen by the solver"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def anchor(case: str) -> str:
    """The anchor that a case's heading gets."""
    return f"case-{case}"


def _case(module: str, case: str, function: Callable[..., Problem]) -> Iterator[str]:
    problem = _problem(f"{module}:{case}")
    yield f"### `{module}:{case}` {{ #{anchor(case)} }}"
    yield markdown(function.__doc__)
    if problem.reference:
        yield f"Source: {problem.reference}."
    parameters = inspect.signature(function).parameters
    if parameters:
        given = ", ".join(f"`{name}={_number(p.default)}`" if p.default is not p.empty else f"`{name}`" for name, p in parameters.items())
        yield f"Parameters and their defaults, set by `--set name=value`: {given}."
    if problem.scores:
        yield "Published figures:"
        yield scores_table(problem.scores)
    if isinstance(problem.equation, IncompressibleFlow):  # no classical solver has it in this form
        yield f"```text\nsciml compare {module}:{case} --methods inr --end {problem.horizon / 50:g} --times 2 --out {case}\n```"
    else:
        yield f"```text\nsciml solve {module}:{case} --out {case}.nc --plot {case}.png\n```"


def scores_table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Methods down, metrics across."""
    metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
    lines = [f"| method | {' | '.join(m.replace('_', ' ') for m in metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(_score(row.get(metric)) for metric in metrics)} |" for name, row in scores.items()]
    return "\n".join(lines)


def _score(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_number(v)}" for key, v in value.items())
    return ", ".join(_number(v) for v in value) if isinstance(value, tuple | list) else _number(value)


def _python(source: ModuleType) -> Iterator[str]:
    """Classes and functions that the module defines, cases apart, with their docstrings."""
    shown = cases(source)
    for name, value in vars(source).items():
        own = (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == source.__name__
        if not own or name.startswith("_") or name in shown:
            continue
        yield f"### `{name}`"
        yield f"```python\n{signature(name, value)}\n```"
        yield markdown(value.__doc__)
        if inspect.isclass(value):
            for method, member in vars(value).items():
                if inspect.isfunction(member) and not method.startswith("_") and member.__doc__:
                    yield f"**`{method}{_arguments(member)}`**: {markdown(member.__doc__)}"


def signature(name: str, value: Any) -> str:
    """A call as one would write it: names and defaults; an argument per line where one line would be long."""
    line = f"{name}{_arguments(value)}"
    if len(line) <= 90:
        return line
    parameters = [f"    {text}," for text in _argument_list(value)]
    return "\n".join([f"{name}(", *parameters, ")"])


def _arguments(value: Any) -> str:
    return f"({', '.join(_argument_list(value))})"


def _argument_list(value: Any) -> list[str]:
    return [str(p.replace(annotation=p.empty)) for p in inspect.signature(value).parameters.values() if p.name != "self"]
