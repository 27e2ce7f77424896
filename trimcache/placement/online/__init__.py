"""Online caching: policies that see one request after another and know nothing of the future.

    policy.py        the face of every policy: ``policy.run(trace) -> OnlineResult``; the cache of one site
    lru.py, lfu.py, gdsf.py, replacement.py      one policy a module
    blocks.py        what a model is charged, with and without sharing
    result.py        hits, bytes written and evicted, request by request
    simulate.py      several policies on one trace
    _kernels.py      the compiled loops

Sharing-aware means: admission looks at *missing* bytes (blocks that the cache lacks), eviction at *freeable* bytes (blocks that no
other resident model needs). Importing this package imports none of it: names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimcache._lazy import lazy

if TYPE_CHECKING:
    from trimcache.placement.online.gdsf import Gdsf
    from trimcache.placement.online.lfu import Lfu
    from trimcache.placement.online.lru import Lru
    from trimcache.placement.online.policy import OnlineCache, Policy
    from trimcache.placement.online.replacement import Replace
    from trimcache.placement.online.result import OnlineResult
    from trimcache.placement.online.simulate import policy_names, simulate_online

_HOMES = {
    "Gdsf": "gdsf",
    "Lfu": "lfu",
    "Lru": "lru",
    "OnlineCache": "policy",
    "OnlineResult": "result",
    "Policy": "policy",
    "Replace": "replacement",
    "policy_names": "simulate",
    "simulate_online": "simulate",
}

__all__ = ["Gdsf", "Lfu", "Lru", "OnlineCache", "OnlineResult", "Policy", "Replace", "policy_names", "simulate_online"]

__getattr__, __dir__ = lazy(__name__, _HOMES)
