"""Every default number of an edge network, with its source.

The paper is Qu et al., TrimCaching (arXiv 2404.14204, arXiv 2405.03990). "Assumption" marks our reading of its
setting, or our own choice: such a number is never to be quoted as the paper's.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from trimcache.errors import UsageError

__all__ = ["PRESETS", "preset", "preset_names"]

_PAPER: dict[str, Any] = {
    "area_m": 1000.0,  # side of the square; assumption
    "coverage_radius_m": 275.0,  # assumption
    "bandwidth_hz": 400e6,  # of each server, shared by its active users; assumption
    "power_dbm": 43.0,  # of each server, shared in the same way; assumption
    "noise_dbm_per_hz": -174.0,  # thermal noise near 290 K, physics
    "path_gain": 1.0,  # g0 of the path loss g0 d^-a0; assumption
    "path_loss_exponent": 4.0,  # a0; assumption
    "active_probability": 0.5,  # pA, the chance that a covered user is active; assumption
    "backhaul_bps": 10e9,  # between any two servers; assumption
    "deadline_low_s": 0.5,  # deadlines are uniform between the two, one draw for each (user, model); assumption
    "deadline_high_s": 1.0,  # assumption
    "deadline_bps": None,  # no size-dependent part; assumption
    "inference_s": 0.0,  # on-device time, counted against the deadline; assumption
}

# Deadlines of the preset `paper` leave any model above about 300 MB unreachable. A download of a language model is
# awaited longer, in proportion to its size: 2 s and the time at 200 Mbit/s, about a good home link; both assumption.
_DOWNLOAD = _PAPER | {"deadline_low_s": 2.0, "deadline_high_s": 2.0, "deadline_bps": 200e6}

PRESETS: dict[str, dict[str, Any]] = {"paper": _PAPER, "download": _DOWNLOAD}


def preset_names() -> tuple[str, ...]:
    """Names that ``EdgeNetwork.preset`` takes, sorted."""
    return tuple(sorted(PRESETS))


def preset(name: str) -> dict[str, Any]:
    """The numbers of one preset, a fresh dict; UsageError with the nearest name for an unknown one."""
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(preset_names())}"
        raise UsageError(f"network preset {name!r}", "is unknown", fix)
    return dict(PRESETS[name])
