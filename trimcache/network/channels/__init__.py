"""Channels: how much of a server's power arrives at a user, on average, and how that varies.

    power_law.py      the paper's g0 d^-a0
    tr38901.py        UMi-Street Canyon and UMa of 3GPP TR 38.901: line of sight, path loss, shadowing
    registry.py       what a channel is, and channels by name
    fading.py         Rayleigh fading, and its outage in closed form
    rate_table.py     measured or ray-traced rates read from a file, in place of a channel
    _hashed.py        draws that depend on the server, the user and the seed alone
    _parameters.py    checks of what users give

A channel gives the mean power gain of a link, line of sight and shadowing included; fading multiplies it. ``docs/channels.md`` has
the formulas and their sources.

Importing this package imports none of them: names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimcache._lazy import lazy

if TYPE_CHECKING:
    from trimcache.network.channels.fading import rayleigh_gains, rayleigh_outage
    from trimcache.network.channels.power_law import PowerLaw
    from trimcache.network.channels.rate_table import read_rate_table
    from trimcache.network.channels.registry import Channel, channel, channel_names
    from trimcache.network.channels.tr38901 import UrbanMacro, UrbanMicro

_HOMES = {
    "Channel": "registry",
    "PowerLaw": "power_law",
    "UrbanMacro": "tr38901",
    "UrbanMicro": "tr38901",
    "channel": "registry",
    "channel_names": "registry",
    "rayleigh_gains": "fading",
    "rayleigh_outage": "fading",
    "read_rate_table": "rate_table",
}

__all__ = [
    "Channel",
    "PowerLaw",
    "UrbanMacro",
    "UrbanMicro",
    "channel",
    "channel_names",
    "rayleigh_gains",
    "rayleigh_outage",
    "read_rate_table",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
