"""Parameters of a simulation by name, read from text: what ``--set`` and ``--sweep`` take."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from typing import Any

from trimcache.errors import UsageError
from trimcache.simulation.setting import Setting
from trimcache.sizes import parse_size

__all__ = ["canonical", "grid", "parse_value", "sweep_settings", "with_assignments", "with_parameters"]

_SHORT = {"coverage": "coverage_radius_m"}
_AFFIXES = (("n_", ""), ("", "_bytes"), ("", "_s"), ("", "_bps"), ("", "_hz"), ("", "_m"), ("", "_dbm"), ("", "_dbm_per_hz"))
_NO_SHORT = ("deadline_bps",)  # `deadline` would be taken for the whole of it
_NOT_SWEPT = ("algorithms", "overrides")
_UNITS = {"bps": ("bit/s", "bps", "b/s"), "hz": ("Hz", "hz"), "m": ("m",), "s": ("s",), "dbm": ("dBm", "dbm")}
_PREFIX = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_QUANTITY = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z/]*)")


def canonical(name: str, setting: Setting) -> str:
    """The full name of a parameter (``capacity`` is ``capacity_bytes``).

    Raises:
        UsageError: no parameter of ``setting`` has that name; the nearest is named.
    """
    wanted = name.strip().replace("-", "_")
    known = _known(setting)
    short = {_shortened(full): full for full in known if full not in _NO_SHORT} | {k: v for k, v in _SHORT.items() if v in known}
    if wanted in known or wanted in short:
        return short.get(wanted, wanted)
    near = get_close_matches(wanted, [*short, *known], n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(short)}"
    raise UsageError(f"parameter {name.strip()!r}", "is unknown", fix)


def _shortened(name: str) -> str:
    """Without the unit, or the ``n_`` of a count."""
    for prefix, suffix in reversed(_AFFIXES):
        if name.startswith(prefix) and name.endswith(suffix):
            return name[len(prefix) : len(name) - len(suffix)]
    return name


def with_assignments(setting: Setting, texts: Sequence[str], option: str = "--set") -> Setting:
    """``setting`` with ``NAME=VALUE`` for each text; UsageError names the option, the parameter or the value."""
    values: dict[str, Any] = {}
    for text in texts:
        name, value = _assignment(text, setting, option)
        if name in values:
            raise UsageError(f"{option} {text}", "sets a parameter again", "set it once")
        values[name] = parse_value(name, value, setting)
    return with_parameters(setting, values)


def sweep_settings(
    setting: Setting, texts: Sequence[str], *, together: bool = False, option: str = "--sweep"
) -> tuple[list[str], list[Setting]]:
    """What ``NAME=V,V,...`` for each text varies, and the settings of all points (see ``grid``)."""
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, values = _assignment(text, setting, option)
        if name in axes:
            raise UsageError(f"{option} {text}", "varies a parameter again", "give all its values at once")
        axes[name] = [parse_value(name, value, setting) for value in values.split(",") if value.strip()]
    return list(axes), grid(setting, axes, together=together)


def _assignment(text: str, setting: Setting, option: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not sign or not name.strip() or not rest.strip():
        raise UsageError(f"{option} {text!r}", "is not NAME=VALUE", f"write for example {option} capacity=500MB")
    return canonical(name, setting), rest


def parse_value(name: str, text: str, setting: Setting) -> Any:
    """The value that ``text`` stands for, by the kind of the parameter: sizes, whole numbers, quantities with unit, words.

    Raises:
        UsageError: it stands for none.
    """
    text = text.strip()
    fields = {f.name: str(f.type) for f in dataclasses.fields(Setting)}
    kind = fields.get(name, "")
    if text.lower() == "none":
        if name in fields and "None" not in kind:
            raise UsageError(f"{name}={text}", "cannot be none", "give a value")
        return None
    if name.endswith("_bytes"):
        return parse_size(text)
    if kind.startswith("int"):
        if not re.fullmatch(r"[0-9]+", text):
            raise UsageError(f"{name}={text}", "is not a whole number >= 0", f"write for example {name}=10")
        return int(text)
    if kind.startswith("str"):
        return text
    quantity = _quantity(text, name.rpartition("_")[2])
    if quantity is not None:
        return quantity
    if name in fields or isinstance(setting.columns().get(name), int | float):
        raise UsageError(f"{name}={text}", "is not a number", f"write for example {name}=0.5, or with its unit")
    return text  # a word, such as the name of a channel; the network checks it


def with_parameters(setting: Setting, values: Mapping[str, Any]) -> Setting:
    """``setting`` with these values, by full name."""
    own = {name: value for name, value in values.items() if name not in _network_names(setting)}
    numbers = {name: value for name, value in values.items() if name not in own}
    return dataclasses.replace(setting, **own, overrides=dict(setting.overrides) | numbers)


def grid(setting: Setting, axes: Mapping[str, Sequence[Any]], *, together: bool = False) -> list[Setting]:
    """One setting for each combination of the axes' values, the last axis fastest; ``together``: first with first, and so on.

    Raises:
        UsageError: an axis is empty or repeats a value, or lengths differ with ``together``.
    """
    for name, values in axes.items():
        if not values or any(value in values[:n] for n, value in enumerate(values)):
            raise UsageError(f"sweep of {name}", "is empty or repeats a value", "give each value once")
    if together and len({len(values) for values in axes.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in axes.items())
        raise UsageError("--zip", f"takes sweeps of one length, not {lengths}", "give as many values to each, or leave out --zip")
    points = zip(*axes.values(), strict=True) if together and axes else product(*axes.values())
    return [with_parameters(setting, dict(zip(axes, point, strict=True))) for point in points]


def _known(setting: Setting) -> list[str]:
    hidden = {*_NOT_SWEPT, "preset" if setting.network is not None else "network"}
    if setting.network is not None:
        hidden |= {"n_servers", "n_users"}
    return [f.name for f in dataclasses.fields(Setting) if f.name not in hidden] + list(_network_names(setting))


def _network_names(setting: Setting) -> list[str]:
    return list(setting.network_numbers())


def _quantity(text: str, unit: str) -> float | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    rest = match[2]
    for spelled in (*_UNITS.get(unit, ()), ""):
        if rest.endswith(spelled) and rest[: len(rest) - len(spelled)] in _PREFIX and (spelled or rest != "m" or unit not in _UNITS):
            return float(match[1]) * _PREFIX[rest[: len(rest) - len(spelled)]]
    return None
