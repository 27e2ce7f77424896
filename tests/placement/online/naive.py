"""The policies written the slow, obvious way, on sets of blocks; and random small libraries."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from trimcache.graph import ModelBlockGraph


@st.composite
def cases(draw) -> tuple[ModelBlockGraph, int, list[int]]:
    """A graph (laminar or not, empty blocks and twins included), a capacity and model indices asked for."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_models, n_blocks = int(rng.integers(1, 8)), int(rng.integers(1, 10))
    models = {f"m{i}": [f"b{b}" for b in np.flatnonzero(rng.random(n_blocks) < rng.choice([0.2, 0.5]))] for i in range(n_models)}
    used = sorted({b for blocks in models.values() for b in blocks})
    graph = ModelBlockGraph.from_blocks(models, {b: int(rng.integers(0, 20)) for b in used})
    if rng.random() < 0.3:  # equal bytes at two places: a model moves more than its blocks
        more = graph.model_bytes + rng.integers(0, 8, n_models)
        graph = ModelBlockGraph(graph.model_names, graph.block_bytes, graph.indptr, graph.indices, more)
    requests = rng.zipf(1.5, int(rng.integers(0, 60))) % n_models
    return graph, int(rng.integers(0, max(graph.unique_bytes, 1) + 5)), [int(i) for i in requests]


def block_sets(graph: ModelBlockGraph, sharing: bool) -> tuple[list[set], dict]:
    """Blocks of each model and their sizes; without sharing each model is one block of all its bytes."""
    if sharing:
        return [{int(b) for b in graph.blocks_of(i)} for i in range(graph.n_models)], dict(enumerate(graph.block_bytes.tolist()))
    closed = graph.closed_bytes()
    return [{i} for i in range(graph.n_models)], {i: max(int(graph.model_bytes[i]), int(closed[i])) for i in range(graph.n_models)}


class NaiveCache:
    """Resident models as a set; every size is counted anew each time it is asked for."""

    def __init__(self, graph: ModelBlockGraph, capacity: int, sharing: bool) -> None:
        self.blocks, self.sizes = block_sets(graph, sharing)
        self.capacity = capacity
        self.held: set[int] = set()
        self.now = 0
        self.last: dict[int, int] = {}
        self.uses: dict[int, float] = {}
        self.inflation: dict[int, float] = {}
        self.floor = 0.0
        self.frequency = [0.0] * graph.n_models
        self.step = 1.0

    def nbytes(self, blocks: set) -> int:
        return sum(self.sizes[b] for b in blocks)

    def union(self, models: set[int]) -> set:
        return set().union(*(self.blocks[i] for i in models)) if models else set()

    def missing(self, i: int) -> int:
        return self.nbytes(self.blocks[i] - self.union(self.held))

    def freeable(self, i: int, models: set[int]) -> int:
        return self.nbytes(self.blocks[i] - self.union(models - {i}))

    def fits(self, models: set[int]) -> bool:
        return self.nbytes(self.union(models)) <= self.capacity

    def request(self, i: int, policy: str) -> tuple[bool, int, int]:
        """(hit, bytes written, bytes evicted)."""
        before = self.union(self.held)
        hit = getattr(self, policy)(i)
        after = self.union(self.held)
        return hit, self.nbytes(after - before), self.nbytes(before - after)

    def lru(self, i: int) -> bool:
        self.now += 1
        self.last[i] = self.now
        if i in self.held:
            return True
        if self.fits({i}):
            self.held.add(i)
            while not self.fits(self.held):
                self.held.remove(min(self.held - {i}, key=lambda v: self.last[v]))
        return False

    def gdsf(self, i: int) -> bool:
        if i in self.held:
            self.uses[i] += 1.0
            self.inflation[i] = self.floor
            return True
        if not self.fits({i}):
            return False
        self.uses[i], self.inflation[i] = 1.0, self.floor
        own = self.floor + 1.0 / max(self.missing(i), 1)
        trial, top = self.held | {i}, self.floor
        while not self.fits(trial):
            priority = {v: self.inflation[v] + self.uses[v] / max(self.freeable(v, trial), 1) for v in trial - {i}}
            victim = min(sorted(priority), key=lambda v: priority[v])
            if priority[victim] > own:
                self.floor = own
                return False
            top = max(top, priority[victim])
            trial.remove(victim)
        self.held, self.floor = trial, top
        return False

    def lfu(self, i: int, growth: float = 2.0 ** (1 / 2500), margin: float = 1.1) -> bool:
        self.frequency[i] += self.step
        self.step *= growth
        if i in self.held:
            return True
        if not self.fits({i}):
            return False
        count = self.frequency
        trial, victims, lost = self.held | {i}, [], 0.0
        while not self.fits(trial) and lost * margin < count[i]:
            per_byte = {v: count[v] / max(self.freeable(v, trial), 1) for v in trial - {i}}
            victim = min(sorted(per_byte), key=lambda v: per_byte[v])
            trial.remove(victim)
            victims.append(victim)
            lost += count[victim]
        while spared := [v for v in victims if v not in trial and self.fits(trial | {v})]:
            spare = max(spared, key=lambda v: count[v])
            trial.add(spare)
            lost -= count[spare]
        if self.fits(trial) and (not victims or lost * margin < count[i]):
            self.held = trial
        return False
