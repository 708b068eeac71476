"""The structure of MATLAB 5 files, checked before they are parsed: SciPy's parser trusts it, and a wrong entry can crash the process."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

MATRIX, COMPRESSED, UINT32, INT32 = 14, 15, 6, 5
TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, MATRIX, COMPRESSED, 16, 17, 18})
"""Types of data elements [MAT-File Format, MathWorks, table 1-1]."""

CLASSES = range(1, 19)
SPARSE, NUMERIC, COMPLEX = 5, range(5, 16), 0x800
OPAQUE = 17
"""The class of objects, whose elements follow no published rule."""


def check_elements(path: Path) -> None:
    """Raise ``ValueError`` if an element has a type that does not exist, or reaches beyond the one that holds it."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(126)
        order = "<" if file.read(2) == b"IM" else ">"
        _check(file, order, 128, end, inside=False)


def _check(file: BinaryIO, order: str, start: int, end: int, inside: bool) -> None:
    """The elements between two places: of the file, or of an array, which begins with its class, its shape and its name."""
    place, count, needed = start, 0, 3
    while place < end:
        kind, size, data = _tag(file, order, place)
        whole = data + size
        if kind not in TYPES or whole > end or (not inside and kind not in (MATRIX, COMPRESSED)):
            raise ValueError(f"the element at byte {place} has type {kind} and {size} bytes, which cannot be")
        if inside and count == 0:
            file.seek(data)
            flags = struct.unpack(order + "I", file.read(4))[0]
            array = flags & 0xFF
            if kind != UINT32 or size != 8 or array not in CLASSES:
                raise ValueError(f"the array at byte {place} has no valid class")
            if array == OPAQUE:
                return
            # class, shape, name, and values: real and imaginary parts, behind two lists of indices if sparse
            needed = (6 if array == SPARSE else 4) + bool(flags & COMPLEX) if array in NUMERIC else 3
        if inside and count == 1 and kind not in (INT32, UINT32):
            raise ValueError(f"the array at byte {place} has no valid shape")
        if kind == MATRIX and size:
            _check(file, order, data, whole, inside=True)
        # elements are padded to eight bytes, compressed ones are not
        place = whole if kind == COMPRESSED else max(whole + -whole % 8, place + 8)
        count += 1
    if inside and count < needed:
        raise ValueError(f"the array at byte {start} ends before its values")


def _tag(file: BinaryIO, order: str, place: int) -> tuple[int, int, int]:
    """Type, size and first byte of the element at a place; a small one has its data in the second half of its tag."""
    file.seek(place)
    tag = file.read(8)
    if len(tag) < 8:
        raise ValueError("it ends within an element")
    first, size = struct.unpack(order + "II", tag)
    return (first & 0xFFFF, first >> 16, place + 4) if first >> 16 else (first, size, place + 8)
