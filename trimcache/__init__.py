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

from typing import TYPE_CHECKING

from trimcache._lazy import lazy
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
    "Catalog": "catalog.reader",
    "EdgeNetwork": "network",
    "ModelBlockGraph": "graph",
    "Placement": "placement",
    "PlacementProblem": "placement",
    "TrimcacheError": "errors",
    "compact": "catalog.compaction",
    "open_catalog": "catalog.reader",
    "place": "placement",
    "scan": "scanning.run",
}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604

__getattr__, __dir__ = lazy(__name__, _HOME)
