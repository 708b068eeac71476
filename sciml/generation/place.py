"""Where a data set comes to stand: what may be there already, and how the finished files get there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sciml.core.errors import InputError
from sciml.generation.chunks import RECIPE, WorkFolder, read_json, write_json
from sciml.generation.layouts import LAYOUTS, file_name
from sciml.generation.recipe import Recipe
from sciml.io.lock import exclusive


def cache_folder(recipe: Recipe) -> Path:
    """The folder of a data set in the cache."""
    given = os.environ.get("SCIML_CACHE")
    if given:
        return Path(given).absolute() / f"{file_name(recipe.problem)}-{recipe.key[:12]}"
    usual = Path.home() / "Library" / "Caches" if sys.platform == "darwin" else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return usual / "sciml" / f"{file_name(recipe.problem)}-{recipe.key[:12]}"


def is_finished(folder: Path, recipe: Recipe, overwrite: bool) -> bool:
    """Whether the data set is at ``folder`` already; raises :class:`InputError` if something else is."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise InputError(f"Cannot write the data set to {folder}: it is a file; give a folder.")
    if not (folder / RECIPE).is_file():
        if any(folder.iterdir()):
            raise InputError(f"Cannot write the data set to {folder}: something else is there; give a new folder.")
        return False
    if overwrite:
        return False
    there = read_json(folder / RECIPE)
    remedy = "--overwrite (overwrite=True) replaces it, or choose another folder"
    if there.get("key") != recipe.key:
        raise InputError(f"{folder} holds another data set ({recipe.differences(there.get('recipe', {}))}); {remedy}.")
    changed = [name for name, size in there.get("files", {}).items() if not (folder / name).is_file() or (folder / name).stat().st_size != size]
    if changed:
        raise InputError(f"{folder} holds this data set, but {', '.join(changed)} is missing or has another size; {remedy}.")
    return True


def sweep(work: WorkFolder) -> None:
    """Remove what a process left that was killed after it had put the data set in its place."""
    if read_json(work.path / RECIPE).get("key") == work.recipe.key:
        with suppress(InputError), exclusive(work.path, "generating into it"):  # held: the other process is about to remove it
            work.remove()


def put_together(work: WorkFolder, folder: Path, made: dict[str, Any]) -> None:
    """Make the final files from the chunks, ``recipe.json`` with what is in ``made`` beside them, and move them to their place."""
    work.final.mkdir()
    LAYOUTS[work.recipe.format](work.final, file_name(work.recipe.problem), work.read_all(), work.recipe.samples)
    made = {
        **made,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sciml": version("sciml-pde"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    files = {path.relative_to(work.final).as_posix(): path.stat().st_size for path in sorted(work.final.rglob("*")) if path.is_file()}
    write_json(work.final / RECIPE, {"key": work.recipe.key, "recipe": work.recipe.entries(), "files": files, "made": made})
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        os.replace(folder, old)
    os.replace(work.final, folder)
    shutil.rmtree(old, ignore_errors=True)
    work.remove()
