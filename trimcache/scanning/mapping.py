"""When files are hashed through maps: where there are bytes enough that starting helper processes pays."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimcache.blocks.mapped import MapWorkers

__all__ = ["map_workers"]

# Less than this is hashed before helpers have started; each must have enough to do.
_LEAST_NBYTES, _HELPER_NBYTES = 512 << 20, 128 << 20


def map_workers(nbytes: int, digest: str, n: int) -> AbstractContextManager[MapWorkers | None]:
    """At most ``n`` processes to map ``nbytes`` of local files in, or None where starting them does not pay."""
    if nbytes < _LEAST_NBYTES:
        return nullcontext()
    from trimcache.blocks.mapped import MapWorkers

    return MapWorkers(digest, min(n, nbytes // _HELPER_NBYTES + 1))
