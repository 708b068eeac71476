"""What the site generator calls while it builds: adds the made pages and pictures, sets mathematics, completes the navigation."""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import catalogue, commands, figures, reference, reproduction
from pages.mathfont import math_font
from pages.mathml import typeset

HERE = Path(__file__).parent
HOWTO = ["my_equation", "my_method", "my_data", "generate", "train", "gradients", "interruption"]
"""The order of the recipes; others come after them."""

log = logging.getLogger("mkdocs.hooks.docs")
pictures = cache(lambda: figures.draw(catalogue.modules()))  # made once, also when a server builds again and again
font = cache(math_font)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the places ``@problems``, ``@howto`` and ``@reference`` of the navigation."""
    recipes = [page.stem for page in (HERE.parent / "howto").glob("*.md")]
    lists = {
        "@problems": ["problems.md", *(f"problems/{module}.md" for module in catalogue.modules())],
        "@howto": [f"howto/{name}.md" for name in sorted(recipes, key=lambda name: (HOWTO.index(name) if name in HOWTO else len(HOWTO), name))],
        "@reference": [*reference.pages(), *commands.pages()],
    }
    config.nav = [{name: lists.get(value, value) if isinstance(value, str) else value for name, value in entry.items()} for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that are made; ``problems.md`` as written is the source of several of them."""
    made = {**catalogue.pages(), **reference.pages(), **commands.pages(), **reproduction.pages()}
    for path, text in made.items():
        written = files.get_file_from_path(path)
        if written is not None:
            files.remove(written)
        files.append(File.generated(config, path, content=text))
    for name, data in {"assets/math.woff": font(), **{f"{catalogue.FIGURES}/{name}": data for name, data in pictures().items()}}.items():
        files.append(File.generated(config, name, content=data))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mathematics as MathML; what cannot be set, or was not recognised, is a warning and fails a strict build."""
    result, complaints = typeset(html)
    prose = re.sub(r"<(pre|code|math)\b.*?</\1>", "", result, flags=re.DOTALL)
    complaints += [f"left as it is: {found}" for found in re.findall(r"[^\n]{0,40}(?<!\\)\$[^\n]{0,40}|:math:[^\n]{0,60}", prose)]
    for complaint in complaints:
        log.warning("%s: %s", page.file.src_uri, complaint)
    return result
