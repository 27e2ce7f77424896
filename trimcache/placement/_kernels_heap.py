"""What the compiled greedy loops share: what a model takes on a server, and a heap of pairs by key."""

from __future__ import annotations

from trimcache.placement._jit import helper

__all__ = ["before", "missing_bytes", "sift_down"]


@helper
def missing_bytes(m, i, private_bytes, shared_ptr, shared_atoms, shared_bytes, resident, free):  # type: ignore[no-untyped-def]
    """What placing model ``i`` on server ``m`` takes now; only its private bytes if these alone do not fit."""
    missing = private_bytes[i]
    if missing <= free[m]:
        for a in range(shared_ptr[i], shared_ptr[i + 1]):
            if resident[shared_atoms[a], m] == 0:
                missing += shared_bytes[shared_atoms[a]]
    return missing


@helper
def before(key_a, a, key_b, b, pair_server, pair_model):  # type: ignore[no-untyped-def]
    """Whether pair ``a`` is placed before ``b``: the larger key, then the lowest server, then the lowest model."""
    if key_a != key_b:
        return key_a > key_b
    if pair_server[a] != pair_server[b]:
        return pair_server[a] < pair_server[b]
    return pair_model[a] < pair_model[b]


@helper
def sift_down(heap, key, size, position, pair_server, pair_model):  # type: ignore[no-untyped-def]
    p = heap[position]
    k = key[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and before(key[child + 1], heap[child + 1], key[child], heap[child], pair_server, pair_model):
            child += 1
        if not before(key[child], heap[child], k, p, pair_server, pair_model):
            break
        heap[position] = heap[child]
        key[position] = key[child]
        position = child
    heap[position] = p
    key[position] = k
