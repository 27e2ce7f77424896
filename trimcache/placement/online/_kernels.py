"""The compiled inner loops of online caching: exact block accounting, and one ``serve`` loop a policy.

All of it is in one file because numba notices a change of the file it compiles from, not of the files that one calls into.

A policy without sharing runs the same loops on an incidence where every model is one block of its own (see ``blocks.py``).
``add`` writes down a model *before* the victims are chosen, so that the blocks it needs are never counted as freeable; on a real
disk the victims leave first, and only then are the missing blocks written. After every request ``used <= capacity``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trimcache.placement._jit import entry, helper

__all__ = ["Blocks", "Log", "Resident", "plan", "serve_gdsf", "serve_lfu", "serve_lru", "serve_replace"]


class Blocks(NamedTuple):
    """I models x A atoms, both ways round: ``ptr``/``atoms`` by model, ``back_ptr``/``back`` by atom; ``alone[I]`` in bytes."""

    ptr: Any
    atoms: Any
    atom_bytes: Any
    back_ptr: Any
    back: Any
    alone: Any


class Resident(NamedTuple):
    """What a cache holds now.

    ``count[A]`` resident models that need an atom, ``owners[A]`` the sum of their indices (so an atom of count 1 names its only
    owner), ``freeable[I]`` bytes of atoms that only this resident model needs, ``used[1]`` bytes: the union of resident atoms.
    """

    held: Any
    count: Any
    owners: Any
    freeable: Any
    used: Any


class Log(NamedTuple):
    """One entry a request: was it a hit, bytes written, bytes evicted."""

    hit: Any
    written: Any
    evicted: Any


@helper
def missing(b, r, i):  # type: ignore[no-untyped-def]
    """Bytes of model ``i`` that the cache does not hold."""
    total = np.int64(0)
    for e in range(b.ptr[i], b.ptr[i + 1]):
        if r.count[b.atoms[e]] == 0:
            total += b.atom_bytes[b.atoms[e]]
    return total


@helper
def add(b, r, i):  # type: ignore[no-untyped-def]
    """Make ``i`` resident; returns the bytes that were missing."""
    before = r.used[0]
    for e in range(b.ptr[i], b.ptr[i + 1]):
        a = b.atoms[e]
        if r.count[a] == 0:
            r.used[0] += b.atom_bytes[a]
            r.freeable[i] += b.atom_bytes[a]
        elif r.count[a] == 1:
            r.freeable[r.owners[a]] -= b.atom_bytes[a]
        r.count[a] += 1
        r.owners[a] += i
    r.held[i] = True
    return r.used[0] - before


@helper
def drop(b, r, i):  # type: ignore[no-untyped-def]
    """Evict ``i``; returns the bytes freed, its freeable bytes."""
    before = r.used[0]
    for e in range(b.ptr[i], b.ptr[i + 1]):
        a = b.atoms[e]
        r.count[a] -= 1
        r.owners[a] -= i
        if r.count[a] == 0:
            r.used[0] -= b.atom_bytes[a]
        elif r.count[a] == 1:
            r.freeable[r.owners[a]] += b.atom_bytes[a]
    r.freeable[i] = 0
    r.held[i] = False
    return before - r.used[0]


@entry
def serve_lru(b, r, capacity, models, last, clock, log):  # type: ignore[no-untyped-def]
    """LRU: ``last int64[I]`` is the time of each model's last request, ``clock int64[1]`` the present time."""
    for n in range(models.size):
        i = models[n]
        clock[0] += 1
        last[i] = clock[0]
        if r.held[i]:
            log.hit[n] = True
            continue
        if b.alone[i] > capacity:
            continue
        log.written[n] = add(b, r, i)
        while r.used[0] > capacity:
            victim = -1
            for v in range(last.size):
                if r.held[v] and v != i and (victim < 0 or last[v] < last[victim]):
                    victim = v
            log.evicted[n] += drop(b, r, victim)


@helper
def count_request(frequency, i, step, growth):  # type: ignore[no-untyped-def]
    """Exponential decay without touching the others: each request counts ``growth`` times the one before."""
    frequency[i] += step[0]
    step[0] *= growth
    if step[0] > 1e100:
        frequency /= step[0]
        step[0] = 1.0


@helper
def cheapest(b, r, frequency, i):  # type: ignore[no-untyped-def]
    """The resident model other than ``i`` with the fewest requests per freeable byte; lowest index on a tie."""
    victim = -1
    least = np.inf
    for v in range(frequency.size):
        if r.held[v] and v != i:
            key = frequency[v] / max(r.freeable[v], 1)
            if victim < 0 or key < least:
                victim, least = v, key
    return victim


@entry
def serve_lfu(b, r, capacity, models, frequency, step, growth, margin, log):  # type: ignore[no-untyped-def]
    """LFU with admission: the newcomer must outweigh, in requests, all victims that its missing bytes push out."""
    victims = np.empty(frequency.size, np.int64)
    for n in range(models.size):
        i = models[n]
        count_request(frequency, i, step, growth)
        if r.held[i]:
            log.hit[n] = True
            continue
        if b.alone[i] > capacity:
            continue
        before = r.used[0]
        written = add(b, r, i)
        n_victims = 0
        lost = 0.0
        while r.used[0] > capacity and lost * margin < frequency[i]:
            v = cheapest(b, r, frequency, i)
            drop(b, r, v)
            victims[n_victims] = v
            n_victims += 1
            lost += frequency[v]
        # A late, large victim may have made an earlier one's going needless: the most requested are spared first.
        for _ in range(n_victims):
            spare = -1
            for k in range(n_victims):
                v = victims[k]
                if not r.held[v] and (spare < 0 or frequency[v] > frequency[spare]) and r.used[0] + missing(b, r, v) <= capacity:
                    spare = v
            if spare < 0:
                break
            add(b, r, spare)
            lost -= frequency[spare]
        if r.used[0] > capacity or (lost * margin >= frequency[i] and n_victims > 0):
            drop(b, r, i)
            for k in range(n_victims):
                if not r.held[victims[k]]:
                    add(b, r, victims[k])
            continue
        log.written[n] = written
        log.evicted[n] = before + written - r.used[0]


@entry
def serve_gdsf(b, r, capacity, models, uses, inflation, floor, log):  # type: ignore[no-untyped-def]
    """GDSF: priority = inflation at the last use + uses / bytes, the bytes being freeable (resident) or missing (newcomer)."""
    for n in range(models.size):
        i = models[n]
        if r.held[i]:
            log.hit[n] = True
            uses[i] += 1.0
            inflation[i] = floor[0]
            continue
        if b.alone[i] > capacity:
            continue
        uses[i] = 1.0
        inflation[i] = floor[0]
        need = missing(b, r, i)
        own = floor[0] + 1.0 / max(need, 1)
        before = r.used[0]
        add(b, r, i)
        victims = np.empty(uses.size, np.int64)
        n_victims = 0
        refused = False
        top = floor[0]
        while r.used[0] > capacity:
            victim = -1
            least = np.inf
            for v in range(uses.size):
                if r.held[v] and v != i:
                    key = inflation[v] + uses[v] / max(r.freeable[v], 1)
                    if victim < 0 or key < least:
                        victim, least = v, key
            if least > own:
                refused = True
                break
            top = max(top, least)
            drop(b, r, victim)
            victims[n_victims] = victim
            n_victims += 1
        if refused:
            # The newcomer itself has the lowest priority: it is the victim, so the inflation rises to its priority.
            drop(b, r, i)
            for k in range(n_victims):
                add(b, r, victims[k])
            floor[0] = own
            continue
        floor[0] = top
        log.written[n] = need
        log.evicted[n] = before + need - r.used[0]


@helper
def take(b, r, i, taken, need, move):  # type: ignore[no-untyped-def]
    """Put model ``i`` in the plan: its atoms are ``taken``; ``need`` and ``move`` of every model that shares one fall."""
    for e in range(b.ptr[i], b.ptr[i + 1]):
        a = b.atoms[e]
        if not taken[a]:
            taken[a] = True
            for q in range(b.back_ptr[a], b.back_ptr[a + 1]):
                need[b.back[q]] -= b.atom_bytes[a]
                if r.count[a] == 0:
                    move[b.back[q]] -= b.atom_bytes[a]


@helper
def choose(b, r, capacity, value, price, start, trunk):  # type: ignore[no-untyped-def]
    """Greedy by net gain per new byte: bool[I], from the models ``start`` on.

    The net gain of a model is its ``value`` less ``price`` for each byte that the cache ``r`` does not hold yet. Keys change as
    blocks come in, so each is kept exact by walking an atom's models when it is first taken. The atoms ``trunk`` (bool[A]) are
    bought in advance: the greedy then sees what a family costs once its trunk is there.
    """
    n_models = value.size
    chosen = np.zeros(n_models, np.bool_)
    taken = trunk.copy()
    need = b.alone.copy()  # bytes not chosen yet
    move = np.zeros(n_models, np.int64)  # of these, bytes to be written
    free = capacity
    for i in range(n_models):
        move[i] = missing(b, r, i)
    for a in range(trunk.size):
        if trunk[a]:
            free -= b.atom_bytes[a]
            for q in range(b.back_ptr[a], b.back_ptr[a + 1]):
                need[b.back[q]] -= b.atom_bytes[a]
                if r.count[a] == 0:
                    move[b.back[q]] -= b.atom_bytes[a]
    for i in range(n_models):
        if start[i]:
            chosen[i] = True
            free -= need[i]
            take(b, r, i, taken, need, move)
    while True:
        best = -1
        highest = 0.0
        for i in range(n_models):
            if not chosen[i] and need[i] <= free:
                key = (value[i] - price * move[i]) / max(need[i], 1)
                if key > highest:
                    best, highest = i, key
        if best < 0:
            return chosen
        chosen[best] = True
        free -= need[best]
        take(b, r, best, taken, need, move)


@entry
def worth(b, r, chosen, value, price):  # type: ignore[no-untyped-def]
    """Value of the models ``chosen``, less the price of the bytes that the cache has to write for them."""
    total = 0.0
    taken = np.zeros(b.atom_bytes.size, np.bool_)
    for i in range(value.size):
        if chosen[i]:
            total += value[i]
            for e in range(b.ptr[i], b.ptr[i + 1]):
                a = b.atoms[e]
                if not taken[a]:
                    taken[a] = True
                    if r.count[a] == 0:
                        total -= price * b.atom_bytes[a]
    return total


@entry
def plan(b, r, capacity, value, price, trunk_ptr, trunks):  # type: ignore[no-untyped-def]
    """The best of several greedy fillings by net worth: from what is resident, from nothing, and with trunks bought in advance.

    Trunk ``t`` is the atoms ``trunks[trunk_ptr[t]:trunk_ptr[t + 1]]``. Trunks are added one at a time while that helps.
    """
    nothing = np.zeros(value.size, np.bool_)
    bought = np.zeros(b.atom_bytes.size, np.bool_)
    best = choose(b, r, capacity, value, price, r.held, bought)
    most = worth(b, r, best, value, price)
    found = choose(b, r, capacity, value, price, nothing, bought)
    total = worth(b, r, found, value, price)
    if total > most:
        best, most = found, total
    improved = True
    while improved:
        improved = False
        better = bought
        for t in range(trunk_ptr.size - 1):
            trial = bought.copy()
            trial[trunks[trunk_ptr[t] : trunk_ptr[t + 1]]] = True
            nbytes = 0
            for a in range(trial.size):
                if trial[a]:
                    nbytes += b.atom_bytes[a]
            if nbytes > capacity:
                continue
            found = choose(b, r, capacity, value, price, nothing, trial)
            total = worth(b, r, found, value, price)
            if total > most:
                best, most, better, improved = found, total, trial, True
        bought = better
    return best


@helper
def move_to(b, r, chosen):  # type: ignore[no-untyped-def]
    """Evict and admit until exactly ``chosen`` is resident; returns bytes (written, evicted), blocks that stay counted in neither."""
    before = r.used[0]
    written = np.int64(0)
    for i in range(chosen.size):
        if chosen[i] and not r.held[i]:
            written += add(b, r, i)
    for i in range(chosen.size):
        if r.held[i] and not chosen[i]:
            drop(b, r, i)
    return written, before + written - r.used[0]


@entry
def serve_replace(b, r, capacity, models, frequency, step, growth, clock, period, horizon, price, trunk_ptr, trunks, log):  # type: ignore[no-untyped-def]
    """Re-placement every ``period`` requests; in between a missed model is kept only if it fits beside the others."""
    for n in range(models.size):
        i = models[n]
        count_request(frequency, i, step, growth)
        if r.held[i]:
            log.hit[n] = True
        elif b.alone[i] <= capacity and r.used[0] + missing(b, r, i) <= capacity:
            log.written[n] += add(b, r, i)
        clock[0] += 1
        if clock[0] % period == 0:
            value = frequency * (horizon / frequency.sum())
            written, evicted = move_to(b, r, plan(b, r, capacity, value, price, trunk_ptr, trunks))
            log.written[n] += written
            log.evicted[n] += evicted
