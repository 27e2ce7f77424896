"""The edge network: where servers and users are, how fast they are linked, what is asked and what arrives in time.

    edge_network.py   EdgeNetwork: servers, users, links and parameters, frozen
    presets.py        every default number with its source
    network_file.py   the network file (TOML) and plain values, both ways
    tables.py         an operator's tables of rates and latencies
    coverage.py       who stands within whose coverage
    links.py          direct links with their rates, from geometry and a channel, or from a table
    channels/         mean gain over distance: power law, 3GPP UMi and UMa; fading
    backhaul.py       what a relay costs: one hop, or the shortest path of a graph
    latency.py        latencies, deadlines, and reach in compressed form
    demand.py         Zipf demand, sparse
    demand_table.py   demand as a table of site or user x model
    diagnosis.py      which limit binds when little demand is attainable; who is not connected at all
    mobility.py       users that move

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
