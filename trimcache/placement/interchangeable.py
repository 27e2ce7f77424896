"""Servers that are alike: same room, same pinned blocks, same requests in reach. One solution stands for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._instance import Instance

__all__ = ["Group", "alike"]


@dataclass(frozen=True, eq=False)
class Group:
    """Servers that no algorithm can tell apart.

    Attributes:
        servers: ascending.
        classes: int32[n], the classes of requests that each can serve.
        room: free bytes and pinned blocks; groups that agree in it can hold the same sets of models.
    """

    servers: list[int]
    classes: NDArray[np.int32]
    room: tuple[int, bytes]


def alike(instance: Instance) -> list[Group]:
    """The servers in groups, in the order of their first; O(E)."""
    classes = instance.classes
    groups: dict[tuple[object, ...], Group] = {}
    for m in range(instance.problem.n_servers):
        mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
        room = (int(instance.free_bytes[m]), instance.resident[m].tobytes() if m in instance.resident else b"")
        groups.setdefault((room, mine.tobytes()), Group([], mine, room)).servers.append(m)
    return list(groups.values())
