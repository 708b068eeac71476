"""Mathematics as MathML when the site is built, so that a reader needs neither scripts nor a network."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

import latex2mathml.converter

_MARKED = re.compile(r'<(?P<tag>span|div) class="arithmatex">(?P<body>.*?)</(?P=tag)>(?P<tail>[.,;:)]*)', re.DOTALL)
_ROWS = {"math", "mrow", "mstyle", "mtd", "msqrt"}
_ATOMS = {"mi", "mn", "msub", "msup", "msubsup", "mfrac", "msqrt", "mroot", "mover", "munder", "mtext"}
_TALL = {"mfrac", "mtable", "munder", "mover", "munderover", "msubsup"}
_SCRIPTED = {"msub", "msup", "msubsup"}


def typeset(page: str) -> tuple[str, list[str]]:
    """The page's HTML with its mathematics as MathML, and a complaint for every formula that could not be set."""
    complaints: list[str] = []

    def replace(match: re.Match[str]) -> str:
        body = html.unescape(match["body"]).strip()
        source, display = body[2:-2].strip(), body.startswith(r"\[")
        try:
            result = convert(source, display)
        except Exception as error:  # the converter raises many kinds
            complaints.append(f"{source}: {type(error).__name__} {error}")
            return match[0]
        if display:
            return f'<div class="formula">{result}</div>{match["tail"]}'
        return f'<span class="formula-end">{result}{match["tail"]}</span>' if match["tail"] else result

    return _MARKED.sub(replace, page), complaints


def convert(source: str, display: bool) -> str:
    """One formula as a ``math`` element that carries its source; ``ValueError`` for a command that is not known."""
    text = latex2mathml.converter.convert(source, display="block" if display else "inline")
    root = ET.fromstring(text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    unknown = [e.text for e in root.iter() if e.text and e.text.startswith("\\") and len(e.text) > 1]
    if unknown:
        raise ValueError(f"unknown commands {', '.join(map(str, unknown))}")
    for group in root.iter("mrow"):
        if _fenced(group) and not any(part.tag in _TALL for part in group.iter()):  # else a browser sets even low brackets apart
            for sign in group.findall("mo[@fence='true']"):
                sign.set("stretchy", "false")
    for sign in root.iter("mo"):
        if sign.get("fence") == "true" or sign.text in ("|", "∣", "‖", "∥", "/"):  # browsers would set these apart like operators
            sign.set("lspace", "0")
            sign.set("rspace", "0")
    _join_words(root)
    _space_words(root)
    root.set("aria-label", source)
    return ET.tostring(root, encoding="unicode")


def _join_words(element: ET.Element) -> None:
    """Upright letters in a row are one word, so that they stand together."""
    for child in element:
        _join_words(child)
        letters = [part for part in child if part.tag == "mi" and part.get("mathvariant") == "normal" and len(part.text or "") == 1]
        if child.tag == "mrow" and len(letters) == len(child) > 1:
            word = "".join(part.text or "" for part in letters)
            for part in letters:
                child.remove(part)
            child.tag, child.text = "mi", word


def _space_words(element: ET.Element) -> None:
    """A thin space between a word, such as cos, and what it multiplies or is applied to without a bracket."""
    for child in element:
        _space_words(child)
    if element.tag not in _ROWS:
        return
    children = list(element)
    for i in range(len(children) - 1, 0, -1):
        left, right = children[i - 1], children[i]
        closing = (left.tag == "mo" and left.text in (")", "]")) or _fenced(left)
        if (_word(left) and (_atom(right) or _word(right))) or (_word(right) and (_atom(left) or closing)):
            element.insert(i, ET.Element("mspace", width="0.167em"))


def _word(element: ET.Element) -> bool:
    if element.tag in _SCRIPTED:
        return _word(element[0])
    return element.tag == "mi" and len(element.text or "") > 1


def _atom(element: ET.Element) -> bool:
    return element.tag in _ATOMS or (element.tag in ("mrow", "mstyle") and len(element) > 0 and _atom(element[0]))


def _fenced(element: ET.Element) -> bool:
    return element.tag == "mrow" and len(element) > 0 and element[-1].get("fence") == "true"
