"""trimcache: what your models share, stored once, and where to cache it.

    import trimcache as tc
    catalog = tc.scan(["finetunes/"], "zoo.catalog")
    graph   = catalog.graph()
    network = tc.EdgeNetwork.preset("paper", n_servers=10, n_users=30, seed=0)
    problem = network.problem(graph, capacity_bytes=10**9)
    result  = tc.place(problem)

Names are imported when they are first used: ``import trimcache`` alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trimcache._version import __version__

if TYPE_CHECKING:
    from trimcache.catalog.compaction import compact as compact
    from trimcache.catalog.reader import Catalog as Catalog
    from trimcache.catalog.reader import open_catalog as open_catalog
    from trimcache.errors import TrimcacheError as TrimcacheError
    from trimcache.graph import ModelBlockGraph as ModelBlockGraph
    from trimcache.network import EdgeNetwork as EdgeNetwork
    from trimcache.placement import Placement as Placement
    from trimcache.placement import PlacementProblem as PlacementProblem
    from trimcache.placement import place as place
    from trimcache.scanning.run import scan as scan

_HOME = {
    "Catalog": "trimcache.catalog.reader",
    "EdgeNetwork": "trimcache.network",
    "ModelBlockGraph": "trimcache.graph",
    "Placement": "trimcache.placement",
    "PlacementProblem": "trimcache.placement",
    "TrimcacheError": "trimcache.errors",
    "compact": "trimcache.catalog.compaction",
    "open_catalog": "trimcache.catalog.reader",
    "place": "trimcache.placement",
    "scan": "trimcache.scanning.run",
}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trimcache' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
