"""The compiled loops that make a set of models fit one server by exact recount, and fill what is left."""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import helper

__all__ = ["fill", "repair"]

_NEAR = 1.02  # times the least valuable: taken out in the same pass


@helper
def fill(take, value, left, held, private_bytes, shared_ptr, shared_atoms, shared_bytes):  # type: ignore[no-untyped-def]
    """Add models that fit by exact recount to ``take``, the most valuable first; their value. ``held`` uint8[S]: atoms that are there."""
    n_models = take.size
    new = 0.0
    while True:
        best = -1
        for i in range(n_models):
            if take[i] == 0 and value[i] > 0 and private_bytes[i] <= left and (best < 0 or value[i] > value[best]):
                missing = private_bytes[i]
                for a in range(shared_ptr[i], shared_ptr[i + 1]):
                    if held[shared_atoms[a]] == 0:
                        missing += shared_bytes[shared_atoms[a]]
                if missing <= left:
                    best = i
        if best < 0:
            return new
        take[best] = 1
        new += value[best]
        left -= private_bytes[best]
        for a in range(shared_ptr[best], shared_ptr[best + 1]):
            if held[shared_atoms[a]] == 0:
                held[shared_atoms[a]] = 1
                left -= shared_bytes[shared_atoms[a]]


@helper
def repair(take, value, free, resident, server, n_servers, private_bytes, shared_ptr, shared_atoms, shared_bytes):  # type: ignore[no-untyped-def]
    """Take models out of ``take`` until it fits ``free``, the least valuable for its part of the bytes first; then fill. Its value."""
    n_models = take.size
    used = np.empty(shared_bytes.size, np.int64)
    held = np.empty(shared_bytes.size, np.uint8)
    for a in range(used.size):
        used[a] = 0
        held[a] = resident[a * n_servers + server]
    nbytes = np.int64(0)
    worth = 0.0
    for i in range(n_models):
        if take[i] == 0:
            continue
        worth += value[i]
        nbytes += private_bytes[i]
        for s in range(shared_ptr[i], shared_ptr[i + 1]):
            a = shared_atoms[s]
            if used[a] == 0 and held[a] == 0:
                nbytes += shared_bytes[a]
            used[a] += 1
    while nbytes > free:
        least = np.inf
        for again in range(2):  # the least first, then those near to it
            for i in range(n_models):
                if take[i] == 0 or nbytes <= free:
                    continue
                part = 1.0 + private_bytes[i]
                for s in range(shared_ptr[i], shared_ptr[i + 1]):
                    a = shared_atoms[s]
                    if held[a] == 0:
                        part += shared_bytes[a] / used[a]
                if again == 0:
                    least = min(least, value[i] / part)
                elif value[i] <= _NEAR * least * part:
                    take[i] = 0
                    worth -= value[i]
                    nbytes -= private_bytes[i]
                    for s in range(shared_ptr[i], shared_ptr[i + 1]):
                        a = shared_atoms[s]
                        used[a] -= 1
                        if used[a] == 0 and held[a] == 0:
                            nbytes -= shared_bytes[a]
    for a in range(used.size):
        if used[a] > 0:
            held[a] = 1
    return worth + fill(take, value, free - nbytes, held, private_bytes, shared_ptr, shared_atoms, shared_bytes)
