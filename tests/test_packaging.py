"""What is installed is what is in the tree, under the right names; the pins and the metadata are consistent."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without a network from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignore = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("sciml", "problems"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(folder / done.stdout.split()[-1])


def test_wheel_holds_the_tree(wheel: zipfile.ZipFile) -> None:
    built = {name for name in wheel.namelist() if ".dist-info/" not in name}
    tree = {p.relative_to(ROOT).as_posix() for p in (ROOT / "sciml").rglob("*.py")} | {"sciml/py.typed"}
    tree |= {f"sciml/problems/{p.relative_to(ROOT / 'problems').as_posix()}" for p in (ROOT / "problems").rglob("*.py")}
    assert built == tree


def test_every_folder_of_modules_is_a_listed_package() -> None:
    folders = {p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in (ROOT / "sciml").rglob("*.py")} | {"sciml.problems"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders
    assert all((ROOT / name.replace(".", "/") / "__init__.py").is_file() for name in folders - {"sciml.problems"})


def test_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert b"Apache License" in wheel.read(f"{info}/licenses/LICENSE")
    assert "sciml = sciml.cli.main:run" in wheel.read(f"{info}/entry_points.txt").decode()
    assert b"License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA")


def test_problems_have_one_name_only(tmp_path: Path) -> None:
    module = importlib.import_module("sciml.problems.burgers")
    assert module.Burgers.__module__ == "sciml.problems.burgers"
    done = subprocess.run([sys.executable, "-c", "import problems"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "write `from sciml.problems import ...`" in done.stderr


def test_constraints_pin_every_dependency_within_its_bounds() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[re.sub(r"[-_.]+", "-", name).lower()] = version
    assert pins["torch"] == "2.13.0" and not {"pip", "sciml-pde"} & set(pins)
    wanted = [Requirement(text) for text in [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]]
    for requirement in wanted:
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name != "setuptools":
            assert requirement.specifier.contains(pins[name]), requirement


def test_metadata_agree() -> None:
    version = PROJECT["project"]["version"]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    installed = {Requirement(text).name for text in requires("sciml-pde") or []}
    assert {Requirement(text).name for text in PROJECT["project"]["dependencies"]} <= installed
