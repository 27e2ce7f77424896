"""Every default number of an edge network, with its source.

The paper is Qu et al., TrimCaching (arXiv 2404.14204, arXiv 2405.03990). "Assumption" marks our reading of its
setting, or our own choice: such a number is never to be quoted as the paper's.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from trimcache.errors import UsageError

__all__ = ["COUNTS", "PRESETS", "preset", "preset_counts", "preset_names"]

_PAPER: dict[str, Any] = {
    "area_m": 1000.0,  # side of the square; assumption
    "coverage_radius_m": 275.0,  # assumption
    "bandwidth_hz": 400e6,  # of each server, shared by its active users; assumption
    "power_dbm": 43.0,  # of each server, shared in the same way; assumption
    "noise_dbm_per_hz": -174.0,  # thermal noise near 290 K, physics
    "channel": None,  # the power law g0 d^-a0 of the next two
    "path_gain": 1.0,  # g0; assumption
    "path_loss_exponent": 4.0,  # a0; assumption
    "active_probability": 0.5,  # pA, the chance that a covered user is active; assumption
    "backhaul_bps": 10e9,  # between any two servers; assumption
    "backhaul_latency_s": 0.0,  # of each relay beside its bytes; the paper has none
    "relays": "one-hop",  # the paper's: a server relays to one that covers the user
    "deadline_low_s": 0.5,  # deadlines are uniform between the two, one draw for each (user, model); assumption
    "deadline_high_s": 1.0,  # assumption
    "deadline_bps": None,  # no size-dependent part; assumption
    "inference_s": 0.0,  # on-device time, counted against the deadline; assumption
    "capacity_bytes": None,  # of each server, if it is a part of the network
}

# Deadlines of the preset `paper` leave any model above about 300 MB unreachable. A download of a language model is
# awaited longer, in proportion to its size: 2 s and the time at 200 Mbit/s, about a good home link; both assumption.
_DOWNLOAD = _PAPER | {"deadline_low_s": 2.0, "deadline_high_s": 2.0, "deadline_bps": 200e6}

# The small case on which the paper finds the optimum by exhaustive search, with 9 models; assumption.
_PAPER_SMALL = _PAPER | {"area_m": 400.0}

# Small cells on lamp posts of a city centre: 3GPP TR 38.901 UMi-Street Canyon (servers 10 m, users 1.5 m high) instead of a power law.
_URBAN = {key: value for key, value in _DOWNLOAD.items() if key not in ("path_gain", "path_loss_exponent")} | {
    "area_m": 600.0,  # 10 servers are then about 200 m apart; assumption
    "coverage_radius_m": 150.0,  # nearly every place is covered, many twice; assumption
    "bandwidth_hz": 100e6,  # the widest carrier below 6 GHz of 5G; assumption
    "power_dbm": 44.0,  # assumption
    "noise_dbm_per_hz": -165.0,  # thermal noise and a noise figure of 9 dB; assumption
    "channel": {"name": "umi", "carrier_hz": 3.5e9},  # band n78; assumption
    "backhaul_bps": 1e9,  # assumption
}

PRESETS: dict[str, dict[str, Any]] = {"paper": _PAPER, "paper-small": _PAPER_SMALL, "download": _DOWNLOAD, "urban": _URBAN}

COUNTS: dict[str, tuple[int, int]] = {"paper-small": (2, 6)}
"""Servers and users where they are not 10 and 30 (assumption)."""


def preset_names() -> tuple[str, ...]:
    """Names that ``EdgeNetwork.preset`` takes, sorted."""
    return tuple(sorted(PRESETS))


def preset_counts(name: str) -> tuple[int, int]:
    """How many servers and users a preset has if nobody says otherwise."""
    return COUNTS.get(name, (10, 30))


def preset(name: str) -> dict[str, Any]:
    """The numbers of one preset, a fresh dict; UsageError with the nearest name for an unknown one."""
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(preset_names())}"
        raise UsageError(f"network preset {name!r}", "is unknown", fix)
    return dict(PRESETS[name])
