"""From one plan to the next: the bytes that each server fetches and drops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.plan.document import Plan, ServerPlan

__all__ = ["PlanDiff", "ServerDiff", "diff"]


@dataclass(frozen=True)
class ServerDiff:
    """What changes on one server: model names, block digests in hex, and the bytes of those blocks."""

    name: str
    added_models: tuple[str, ...]
    dropped_models: tuple[str, ...]
    added_blocks: tuple[str, ...]
    dropped_blocks: tuple[str, ...]
    added_bytes: int
    dropped_bytes: int


@dataclass(frozen=True)
class PlanDiff:
    """What changes on every server: those of the new plan in its order, then those that only the old plan has."""

    servers: tuple[ServerDiff, ...]

    @property
    def added_bytes(self) -> int:
        """Bytes that servers fetch, over all servers."""
        return sum(server.added_bytes for server in self.servers)

    @property
    def dropped_bytes(self) -> int:
        """Bytes that servers free, over all servers."""
        return sum(server.dropped_bytes for server in self.servers)

    def to_dict(self, blocks: bool = False) -> dict[str, Any]:
        """Plain values; block digests only on request, their number always."""
        rows = []
        for server in self.servers:
            row: dict[str, Any] = {
                "name": server.name,
                "added_bytes": server.added_bytes,
                "dropped_bytes": server.dropped_bytes,
                "added_models": list(server.added_models),
                "dropped_models": list(server.dropped_models),
                "n_added_blocks": len(server.added_blocks),
                "n_dropped_blocks": len(server.dropped_blocks),
            }
            if blocks:
                row |= {"added_blocks": list(server.added_blocks), "dropped_blocks": list(server.dropped_blocks)}
            rows.append(row)
        return {"added_bytes": self.added_bytes, "dropped_bytes": self.dropped_bytes, "servers": rows}


def diff(old: Plan, new: Plan) -> PlanDiff:
    """Compare two plans server by server (matched by name), block by block (matched by digest)."""
    nowhere = np.zeros(0, dtype=np.int64)
    old_rows = {server.name: (m, server) for m, server in enumerate(old.servers)}
    new_rows = {server.name: (m, server) for m, server in enumerate(new.servers)}
    old_ids, new_ids = _common_ids(old, new)
    rows = []
    for name in [*new_rows, *(name for name in old_rows if name not in new_rows)]:
        before = old.blocks_of(old_rows[name][0]) if name in old_rows else nowhere
        after = new.blocks_of(new_rows[name][0]) if name in new_rows else nowhere
        added = after[~np.isin(new_ids[after], old_ids[before])]
        dropped = before[~np.isin(old_ids[before], new_ids[after])]
        models_before, models_after = _models(old_rows.get(name)), _models(new_rows.get(name))
        rows.append(
            ServerDiff(
                name,
                tuple(model for model in models_after if model not in models_before),
                tuple(model for model in models_before if model not in models_after),
                tuple(new.digests(added)),
                tuple(old.digests(dropped)),
                int(new.block_bytes[added].sum()),
                int(old.block_bytes[dropped].sum()),
            )
        )
    return PlanDiff(tuple(rows))


def _models(row: tuple[int, ServerPlan] | None) -> dict[str, None]:
    return dict.fromkeys(row[1].models) if row else {}


def _common_ids(old: Plan, new: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number for each digest, the same in both plans; digests of different rules never coincide."""
    n_old, n_new = old.block_bytes.size, new.block_bytes.size
    if not n_old or not n_new or old.block_digests.shape[1] != new.block_digests.shape[1]:
        return np.arange(n_old, dtype=np.int64), np.arange(n_old, n_old + n_new, dtype=np.int64)
    both = np.ascontiguousarray(np.concatenate([old.block_digests, new.block_digests]))
    keys = both.view(f"V{both.shape[1]}").reshape(-1)
    order = np.argsort(keys, kind="stable")
    new_value = np.ones(order.size, dtype=np.int64)
    new_value[1:] = keys[order][1:] != keys[order][:-1]
    ids = np.empty(order.size, dtype=np.int64)
    ids[order] = np.cumsum(new_value)
    return ids[:n_old], ids[n_old:]
