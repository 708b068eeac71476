"""Imports point downward only: the table of docs/design.md, enforced for every import, inside functions too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALL = {"assimilation", "core", "derivatives", "generation", "io", "methods", "optim", "solvers", "spectral", "surrogates", "training"}
LAYERS: dict[str, set[str]] = {
    "core": set(),
    "spectral": {"core"},
    "derivatives": {"core", "spectral"},
    "io": {"core"},
    "solvers": {"core", "derivatives", "io", "spectral"},
    "testing": {"assimilation", "core", "derivatives", "solvers", "spectral"},
    "generation": {"core", "derivatives", "io", "solvers", "spectral"},
    "optim": {"core"},
    "training": {"core", "derivatives", "io", "optim", "solvers", "spectral"},
    "surrogates": {"core", "derivatives", "io", "optim", "solvers", "spectral", "training"},
    "assimilation": {"core", "derivatives", "io", "solvers", "spectral"},
    "methods": ALL - {"methods"},
    "report": ALL,
    "cli": ALL | {"report"},
}
CORE_PACKAGES = {"torch", "sympy"}  # SymPy is PyTorch's own dependency
FILES = sorted((ROOT / "sciml").rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports from elsewhere, at any depth; one dot stays inside the file's own folder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "a relative import leaves the folder; write it out"
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.level == 0)


def transforms(tree: ast.AST) -> list[str]:
    """Uses of a library's Fourier transforms."""
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | set(imports(tree))
    return [name for name in used if re.match(r"(torch|np|numpy|scipy)\.fft\b", name)]


def problem_of(path: Path) -> list[str]:
    """What a file of ``sciml`` imports or calls against the rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = path.relative_to(ROOT / "sciml").parts[0]
    wrong = []
    for name in imports(tree):
        top, *rest = name.split(".")
        if top == "sciml" and here != "__init__.py":
            wrong += [name] if rest[:1] not in [[layer] for layer in LAYERS[here] | {here}] else []
        if top == "sciml" and rest[:1] == ["problems"]:
            wrong.append(name)
        if here == "core" and top not in {"sciml"} | CORE_PACKAGES | sys.stdlib_module_names:
            wrong.append(name)
    wrong += transforms(tree) if here != "spectral" else []
    if "sciml.problems" in {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)} and path.name != "loading.py":
        wrong.append("the name sciml.problems")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_point_downward(path: Path) -> None:
    assert problem_of(path) == []


def test_problems_use_the_layers_below_the_methods() -> None:
    allowed = {"core", "derivatives", "spectral", "solvers", "problems"}
    for path in (ROOT / "problems").glob("*.py"):
        used = {name.split(".")[1] for name in imports(ast.parse(path.read_text(encoding="utf-8"))) if name.startswith("sciml.")}
        assert used <= allowed, path
        assert transforms(ast.parse(path.read_text(encoding="utf-8"))) == [], path


def test_the_rules_notice_violations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for folder, text in {
        "core": "import numpy",
        "spectral": "def f():\n    from sciml.solvers.solve import solve",
        "io": "from sciml.derivatives import fourier",
        "solvers": "import torch\nx = torch.fft.rfft",
        "derivatives": "from torch.fft import rfft",
        "methods": "from sciml.problems import burgers",
        "report": "NAME = 'sciml.problems'",
    }.items():
        path = tmp_path / "sciml" / folder / "bad.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        assert problem_of(path), folder
