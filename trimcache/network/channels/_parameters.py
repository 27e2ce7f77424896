"""Checks of the numbers of a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimcache.errors import NetworkError
from trimcache.network import _values

__all__ = ["number"]


def number(value: Any, what: str, low: float, high: float = np.inf, *, above: bool = False) -> float:
    """``value`` as a finite float in [low, high], or in (low, high] if ``above``; NetworkError otherwise."""
    found = _values.number(value, what)
    if not low <= found <= high or (above and found == low):
        least = f"more than {low:g}" if above else f"at least {low:g}"
        raise NetworkError(what, f"{found:g} is out of range", f"give {least}" + (f", at most {high:g}" if high < np.inf else ""))
    return found
