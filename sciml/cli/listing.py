"""What ``sciml list`` prints."""

from __future__ import annotations

import re
import shutil

from sciml.assimilation.methods import ANALYSES
from sciml.core.loading import load_problem, problem_names
from sciml.methods.registry import methods

_LETTERS = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "π": "pi", "ρ": "rho"}
_LETTERS |= {"σ": "sigma", "φ": "phi", "ψ": "psi", "ω": "omega", "Δ": "Delta"}
_GREEK = {name: letter for letter, name in _LETTERS.items()}
_CASES = re.compile(r"\\begin\{cases\}(.*?)&\s*\\text\{for\}\\:(.*?)\\\\(.*?)&\s*\\text\{otherwise\}\s*\\end\{cases\}")
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def print_listing() -> None:
    """Problems with their equation and source, then methods and analyses, one line each and no wider than the terminal."""
    width = shutil.get_terminal_size((140, 24)).columns
    names = problem_names()
    column = max(map(len, names)) + 2
    print("PROBLEMS")
    for name in names:
        problem = load_problem(name)
        source = f"   [{problem.reference}]" if problem.reference else ""
        print(_fit(f"  {name:<{column}}{plain_equation(problem.equation.latex())}{source}", width))
    print("\nMETHODS")
    for method in methods().values():
        print(_fit(f"  {method.name:<{column}}{method.description}", width))
    print("\nANALYSES (of sciml assimilate)")
    for name, (_, description) in ANALYSES.items():
        print(_fit(f"  {name:<{column}}{description}", width))


def plain_equation(latex: str) -> str:
    """A typeset equation as one readable line of text."""
    text = _CASES.sub(r"\1 if \2 else \3", latex)
    for written, plain in ((r"\leq", "≤"), (r"\geq", "≥"), (r"\left", ""), (r"\right", ""), (r" \\ ", "; ")):
        text = text.replace(written, plain)
    text = re.sub(r"\\mathrm\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\{(-?\d+)\}", lambda power: power[1].translate(_RAISED), text)
    text = re.sub(r"_\{([^{}]*)\}", r"_\1", text)
    previous = ""
    while previous != text:
        previous = text
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda part: f"{_grouped(part[1])}/{_grouped(part[2])}", text)
        text = re.sub(r"(?<!\\frac)(?<!\})\{([^{}]*)\}(?!\{)", r"\1", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda command: _GREEK.get(command[1], command[1]), text)
    return re.sub(r"(?<=\() | (?=\))", "", re.sub(r"\s+", " ", text.replace("\\", ""))).strip()


def _grouped(text: str) -> str:
    """The numerator or denominator of a fraction, in brackets where it has several parts."""
    return f"({text})" if " " in text.strip() else text


def _fit(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"
