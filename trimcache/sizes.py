"""Byte sizes as people write them: ``500MB``, ``1GiB``; decimal and binary units kept apart."""

from __future__ import annotations

import re
from decimal import Decimal

from trimcache.errors import UsageError

_UNITS = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "EB": 10**18,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "PIB": 2**50, "EIB": 2**60,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")


def parse_size(text: str) -> int:
    """Bytes in ``text``: ``"1.5GB"`` is 1,500,000,000 and ``"1GiB"`` is 1,073,741,824.

    Raises:
        UsageError: not a number with an optional unit B, kB, MB, ... EB or KiB, MiB, GiB, ... EiB.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"size {text!r}", "is not a size", "write it like 500MB, 1.5GB or 1GiB")
    return int(Decimal(match[1]) * unit)


def format_size(nbytes: int) -> str:
    """``nbytes`` for people, in decimal units and four significant digits: ``1.234 GB``, ``17 B``."""
    sign, value = ("-", -nbytes) if nbytes < 0 else ("", nbytes)
    if value < 1000:
        return f"{sign}{value} B"
    units = ("kB", "MB", "GB", "TB", "PB", "EB")
    # 999.95 would be printed as 1000.0, so the next unit begins there.
    index = next((i for i in range(len(units)) if value / 1000 ** (i + 1) < 999.95), len(units) - 1)
    scaled = value / 1000 ** (index + 1)
    decimals = 3 if scaled < 9.9995 else 2 if scaled < 99.995 else 1
    return f"{sign}{scaled:.{decimals}f} {units[index]}"
