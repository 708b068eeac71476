"""The font of the formulas: the part of STIX Two Math that mathematics here needs, small enough to send with a page.

STIX Two Math is under the SIL Open Font License 1.1; the package ``ziamath`` carries it.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

PLAIN = ((0x20, 0x7E), (0xA0, 0xFF), (0x391, 0x3F6), (0x2010, 0x2027), (0x2030, 0x2037), (0x2061, 0x2064), (0x2100, 0x214F))
ITALIC = ((0x1D434, 0x1D467), (0x1D6E2, 0x1D71B))  # browsers show a single letter of a formula by these
SCRIPT = ((0x1D49C, 0x1D4B5),)
SIGNS = ((0x2190, 0x21FF), (0x2200, 0x22FF), (0x2308, 0x230B), (0x23DC, 0x23E1), (0x27E6, 0x27EF), (0x2A00, 0x2A0C), (0x2A7D, 0x2A7E))
"""Ranges of characters, first and last."""


def math_font() -> bytes:
    """A WOFF file with the characters above and the taller and wider forms that fences and roots need."""
    options = subset.Options(flavor="woff", layout_features=["ssty", "dtls"], notdef_outline=True, recalc_timestamp=False)
    package = find_spec("ziamath")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package ziamath, which carries the font of the formulas, is not installed; install the extra docs")
    font = TTFont(Path(package.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf")
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=[code for low, high in (*PLAIN, *ITALIC, *SCRIPT, *SIGNS) for code in range(low, high + 1)])
    chosen.subset(font)
    font.flavor = "woff"
    data = io.BytesIO()
    font.save(data)
    return data.getvalue()
