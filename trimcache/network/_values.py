"""Values that people write, checked one by one: every error names the key, whose it is, and the fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError, TrimcacheError, UsageError
from trimcache.sizes import parse_size

__all__ = ["array", "at", "capacity", "names_of", "nearest", "number", "one_or_each", "refuse", "refuse_unknown", "whole"]

_MOST_BYTES = 2**62


def names_of(value: Any, owner: str) -> tuple[str, ...]:
    """Names as a tuple, each there once and none empty."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise NetworkError(f"{owner}_names", f"{value!r} is not a list", "give one name each")
    names = tuple(map(str, value))
    if "" in names:
        raise NetworkError(f"{owner}_names", "holds an empty name", f"name every {owner} once")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise NetworkError(f"{owner}_names", f"holds the repeated name {twice!r}", f"name every {owner} once")
    return names


def number(value: Any, what: str) -> float:
    """A finite float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise NetworkError(what, f"{value!r} is not a number", "give a number")
    try:
        made = float(value)
    except OverflowError:  # a whole number beyond every float
        made = np.inf
    if not np.isfinite(made):
        raise NetworkError(what, f"{made} is not finite", "give a finite number")
    return made


def array(value: Any, what: str) -> NDArray[np.float64]:
    """A read-only array of finite numbers."""
    try:
        made = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise NetworkError(what, "is not an array of numbers", "give numbers in rows of one length") from error
    if not np.isfinite(made).all():
        raise NetworkError(what, "holds NaN or infinity", "give finite numbers")
    made.flags.writeable = False
    return made


def one_or_each(value: Any, what: str, names: Sequence[str], owner: str) -> NDArray[np.float64]:
    """float64, shape () for one number or [len(names)] for one each."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        made = np.array(number(value, what))
    elif len(value) != len(names):
        raise NetworkError(what, f"holds {len(value)} numbers for {len(names)} {owner}s", f"give one number, or one a {owner}")
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 1 and np.isfinite(value).all():
        made = value.astype(np.float64)
    else:
        made = np.array([number(one, f"{what} of {owner} {name!r}") for one, name in zip(value, names, strict=True)], dtype=np.float64)
    made.flags.writeable = False
    return made


def refuse(
    bad: NDArray[np.bool_], values: NDArray[np.float64], what: str, names: Sequence[str], owner: str, problem: str, fix: str
) -> None:
    """NetworkError for the first of ``values`` that is ``bad``; does nothing when none is."""
    if not bad.any():
        return
    if values.ndim == 0:
        raise NetworkError(what, f"{values.item()} {problem}", fix)
    first = int(np.flatnonzero(bad)[0])
    raise NetworkError(f"{what} of {owner} {names[first]!r}", f"{values[first]} {problem}", fix)


def at(values: NDArray[np.float64], index: NDArray[Any]) -> NDArray[np.float64]:
    """``values`` (one, or one each) of each index."""
    return values[index] if values.ndim else values


def capacity(value: Any, what: str) -> int:
    """Whole bytes from a number or a size like ``"2GB"``."""
    if isinstance(value, str):
        try:
            value = parse_size(value)
        except UsageError as error:
            raise NetworkError(what, f"{value!r} {error.problem}", error.fix) from error
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == int(value):
        value = int(value)
    return whole(value, what, _MOST_BYTES)


def whole(value: Any, what: str, most: int | None = None) -> int:
    """A whole number >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise NetworkError(what, f"{value!r} is not a whole number >= 0", "give for example 0")
    if most is not None and value > most:
        raise NetworkError(what, f"{value} is too large", f"give at most {most}")
    return int(value)


def refuse_unknown(
    document: Mapping[str, Any], known: Iterable[str], what: str = "key", error: type[TrimcacheError] = NetworkError
) -> None:
    """An error for the first key that is not ``known``, with the nearest that is."""
    known = list(known)
    for key in document:
        if key not in known:
            raise error(f"{what} {key!r}", "is unknown", nearest(str(key), known))


def nearest(key: str, known: Iterable[str]) -> str:
    """What may have been meant, as a fix."""
    known = list(known)
    near = get_close_matches(key, known, n=1, cutoff=0.4)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
