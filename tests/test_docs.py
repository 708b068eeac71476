"""The documentation does what it says: its code runs, its links and figures exist, its catalogues are complete.

The code of a page runs in order, in one namespace and in an empty folder: ``python`` blocks are executed (and kept as a
file if they start with ``# file: NAME``), lines of ``bash`` blocks that start with ``sciml`` go through the command
line and must succeed. Blocks of other languages (``sh``, ``text``) are for reading.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import sciml
from sciml.cli.main import main
from sciml.methods.registry import methods

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
MADE = re.compile(r"reference/\w+\.md|gallery\.md|reproduction\.md")
"""Pages that exist in the site only; tests/test_site.py looks at them."""


def named(page: Path) -> str:
    """A page's name in the messages of the tests."""
    return page.relative_to(ROOT).with_suffix("").as_posix()


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """(language, code, line of its first line) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in BLOCK.finditer(text)]


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings give it."""
    headings = re.findall(r"^#+ +(.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, object] = {"__name__": "documentation"}
    torch.manual_seed(0)  # a page may use torch's own initialisation of networks
    for language, code, line in blocks(page):
        if language == "python":
            file = re.match(r"# file: (\S+)\n", code)
            if file is not None:
                Path(file[1]).write_text(code, encoding="utf-8")
            padded = "\n" * (line - 1) + code  # errors name the line of the page
            exec(compile(padded, str(page), "exec"), namespace)
        elif language == "bash":
            for command in code.splitlines():
                if command.startswith("sciml "):
                    status = main(shlex.split(command)[1:])
                    assert status == 0, f"{page.name}, line {line}: {command}\n{capsys.readouterr().err}"


def test_pages_have_code_that_runs() -> None:
    """The pattern above finds what the pages hold."""
    languages = {named(page): [language for language, *_ in blocks(page)] for page in PAGES}
    assert languages["README"].count("python") >= 4 and "bash" in languages["README"]
    assert languages["docs/extending"].count("python") >= 5
    assert languages["docs/index"].count("python") >= 3 and languages["docs/index"].count("bash") >= 3
    assert all("python" in found for name, found in languages.items() if name.startswith(("docs/concepts/", "docs/howto/")))
    for page in PAGES:
        assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page)), f"{page.name} has a block without a language"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if there.is_relative_to(DOCS) and MADE.fullmatch(there.relative_to(DOCS).as_posix()):
            continue
        assert there.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {there.name} has no heading for #{anchor}; it has {sorted(anchors(there))}"


def test_figures_are_used_and_small() -> None:
    figures = set((ROOT / "docs" / "figures").glob("*.png"))
    used = {(page.parent / target).resolve() for page in PAGES for target in LINK.findall(prose(page)) if target.endswith(".png")}
    assert figures == used
    for figure in figures:
        assert figure.stat().st_size < 200_000, f"{figure.name} is too large"


def test_every_problem_is_described() -> None:
    catalogue = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in sciml.problem_names():
        module, case = name.split(":")
        (section,) = re.findall(rf"^## `{module}`\n(.*?)(?=^## |\Z)", catalogue, re.DOTALL | re.MULTILINE)
        assert f"| `{name}` |" in section, f"docs/problems.md does not mention {name}"
        (row,) = re.findall(rf"^\| `{module}` \|.*$", readme, re.MULTILINE)
        assert f"`{case}`" in row, f"README.md does not mention {name}"


def test_catalogue_names_only_what_exists() -> None:
    catalogue = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    assert {f"{m}:{c}" for m, c in re.findall(r"^\| `(\w+):(\w+)` \|", catalogue, re.MULTILINE)} == set(sciml.problem_names())


def test_catalogue_says_which_cases_have_an_exact_solution() -> None:
    catalogue = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w:]+)` \|.*\| ([^|]+) \|$", catalogue, re.MULTILINE)
    claimed = {name for name, exact in rows if exact.strip() != "none"}
    assert claimed == {name for name in sciml.problem_names() if sciml.load_problem(name).exact is not None}


def test_every_method_is_described() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in methods():
        assert f"`{name}`" in readme, f"README.md does not mention the method {name}"
