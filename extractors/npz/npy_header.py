"""The header of a ``.npy`` array: a magic, a version and a Python literal, read without Python's parser.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The literal is a dictionary of ``descr``, ``fortran_order``
and ``shape``; of Python's syntax only what can occur there is understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from trimcache.errors import FormatError

MAGIC = b"\x93NUMPY"
MAX_HEADER_NBYTES = 64 << 10
_PREAMBLE_NBYTES = 12  # the longest: magic, version, length in four bytes
_MAX_DIMENSIONS = 64
_MAX_NESTING = 16  # of structured types
_AGAIN = "download or save the file again"

_TOKEN = re.compile(
    r"[ \t\n\r\f]*(?:(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<number>-?(?:0|[1-9][0-9]{0,19}))L?(?![0-9A-Za-z_])"
    r"|(?P<word>True|False)(?![0-9A-Za-z_])|(?P<mark>[][(){},:]))"
)
# Letter and bytes of an element -> canonical dtype.
_TYPES = {
    "b1": "bool", "?": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64", "f16": "float128", "c8": "complex64", "c16": "complex128",
}  # fmt: skip
_DESCR = re.compile(r"[<>|=]?([?a-zA-Z][0-9]{0,9})(\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What stands before the elements.

    Attributes:
        nbytes: length of the header, preamble included; the elements follow.
        shape: dimensions.
        dtype: canonical name, or "" if the elements are no numbers; then ``problem`` says what they are.
        itemsize: bytes of an element; 0 without a dtype.
        swapped: numbers have their most significant byte first.
        column_major: the first dimension varies fastest.
    """

    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    swapped: bool
    column_major: bool
    problem: str = ""


def header_nbytes(head: bytes, uri: str, name: str) -> int:
    """How long the whole header is, from its first bytes (at most 12 are needed).

    Raises:
        FormatError: this is no array, or its header is longer than any array needs.
    """
    if not head.startswith(MAGIC) or len(head) < _PREAMBLE_NBYTES:
        raise FormatError(uri, f"{name[:80]!r} is no NumPy array", _AGAIN)
    major, minor = head[6], head[7]
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise FormatError(uri, f"array {name[:80]!r} has the unknown format version {major}.{minor}", "update trimcache")
    fixed = 10 if major == 1 else _PREAMBLE_NBYTES
    length = int.from_bytes(head[8:fixed], "little")
    if length > MAX_HEADER_NBYTES:
        raise FormatError(uri, f"array {name[:80]!r} claims a header of {length} bytes (at most {MAX_HEADER_NBYTES})", _AGAIN)
    return fixed + length


def parse_header(raw: bytes, uri: str, name: str) -> NpyHeader:
    """The header in ``raw``, which :func:`header_nbytes` measured.

    Raises:
        FormatError: it is not the literal that it should be, or describes no array.
    """
    literal = raw[10 if raw[6] == 1 else _PREAMBLE_NBYTES :].decode("latin-1")
    fields = _Literal(literal, uri, name).dictionary()
    shape, column_major, descr = fields.get("shape"), fields.get("fortran_order"), fields.get("descr")
    if fields.keys() != {"shape", "fortran_order", "descr"} or not isinstance(column_major, bool):
        raise FormatError(uri, f"array {name[:80]!r} has a header without the three entries of one", _AGAIN)
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise FormatError(uri, f"array {name[:80]!r} has no valid shape", _AGAIN)
    if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise FormatError(uri, f"array {name[:80]!r} has no valid shape", _AGAIN)
    dtype, itemsize, problem = _element_type(descr)
    swapped = isinstance(descr, str) and descr.startswith(">") and itemsize > 1 and not dtype.startswith("void")
    return NpyHeader(len(raw), shape, dtype, itemsize, swapped, column_major, problem)


def _element_type(descr: Any) -> tuple[str, int, str]:
    """``(dtype, bytes of an element, why there is no dtype)``."""
    match = _DESCR.fullmatch(descr) if isinstance(descr, str) else None
    if match is None:
        return "", 0, "records" if isinstance(descr, list | tuple) else "an unknown type"
    code = match[1]
    if code in _TYPES and not match[2]:
        return _TYPES[code], 1 if code == "?" else _size_of(code), ""
    if code[0] == "V" and 0 < _size_of(code) <= 16:
        # What numpy has no name for, such as the bfloat16 of other libraries, it saves as bytes without a meaning.
        return f"void{8 * _size_of(code)}", _size_of(code), ""
    words = {"O": "Python objects (pickles are never loaded)", "U": "text", "S": "text", "a": "text", "M": "dates", "m": "durations"}
    return "", 0, words.get(code[0], "an unknown type")


def _size_of(code: str) -> int:
    return int(code[1:] or 0)


class _Literal:
    """A recursive-descent parser for dictionaries of text, numbers, booleans, tuples and lists."""

    def __init__(self, text: str, uri: str, name: str) -> None:
        self._text, self._uri, self._name = text, uri, name
        self._at = 0

    def dictionary(self) -> dict[str, Any]:
        """The whole text as one dictionary with text as keys."""
        fields: dict[str, Any] = {}
        self._expect("{")
        while self._peek() != "}":
            key = self._value(0)
            if not isinstance(key, str) or key in fields:
                self._fail()
            self._expect(":")
            fields[key] = self._value(0)
            if self._peek() != "}":
                self._expect(",")
        self._expect("}")
        if self._text[self._at :].strip(" \t\n\r\f"):
            self._fail()
        return fields

    def _value(self, depth: int) -> Any:
        token = self._next()
        if token["text"] is not None:
            return token["text"][1:-1]
        if token["number"] is not None:
            return int(token["number"])
        if token["word"] is not None:
            return token["word"] == "True"
        closing = {"(": ")", "[": "]"}.get(token["mark"])
        if closing is None or depth >= _MAX_NESTING:
            self._fail()
        items, commas = [], 0
        while self._peek() != closing:
            items.append(self._value(depth + 1))
            if self._peek() != closing:
                self._expect(",")
                commas += 1
        self._expect(closing)
        if closing == "]":
            return items
        # (3) is a number in brackets, (3,) is a tuple.
        return items[0] if len(items) == 1 and not commas else tuple(items)

    def _next(self) -> re.Match[str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            self._fail()
        self._at = match.end()
        return match

    def _peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        return (match["mark"] or "") if match is not None else ""

    def _expect(self, mark: str) -> None:
        if self._next()["mark"] != mark:
            self._fail()

    def _fail(self) -> NoReturn:
        raise FormatError(self._uri, f"array {self._name[:80]!r} has a header that is no dictionary of its type and shape", _AGAIN)
