"""The edge network: where servers and users are, how fast they are linked, what is asked and what arrives in time.

    edge_network.py   EdgeNetwork: topology and parameters, frozen; presets, dict and TOML forms
    presets.py        every default number with its source
    channel.py        expected downlink rates
    latency.py        seconds per byte, deadlines, and reach in compressed form
    demand.py         Zipf demand, sparse
    diagnosis.py      which limit binds when little demand is attainable

Importing this package imports none of them: names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimcache._lazy import lazy

if TYPE_CHECKING:
    from trimcache.network.diagnosis import BindingLimit, binding_limit
    from trimcache.network.edge_network import EdgeNetwork
    from trimcache.network.presets import preset_names

_HOMES = {
    "BindingLimit": "diagnosis",
    "EdgeNetwork": "edge_network",
    "binding_limit": "diagnosis",
    "preset_names": "presets",
}

__all__ = ["BindingLimit", "EdgeNetwork", "binding_limit", "preset_names"]

__getattr__, __dir__ = lazy(__name__, _HOMES)
