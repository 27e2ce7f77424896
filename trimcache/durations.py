"""Spans of time as people write them: ``90``, ``5s``, ``10min``, ``2h``."""

from __future__ import annotations

import re

from trimcache.errors import UsageError

__all__ = ["parse_duration"]

_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Seconds in ``text``: ``"2h"`` is 7200, ``"10min"`` 600; a plain number is seconds.

    Raises:
        UsageError: not a number with an optional unit s, min, h or d.
    """
    match = _DURATION.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f"duration {text!r}", "is not a span of time", "write it like 5s, 10min or 2h")
    return float(match[1]) * unit
