"""The face of every online policy, and the cache of one site that it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.online._kernels import Blocks, Log, Resident
from trimcache.placement.online.blocks import charged_blocks, empty_cache, empty_log, frozen
from trimcache.placement.online.result import OnlineResult

if TYPE_CHECKING:
    from trimcache.simulation.traces import Trace

__all__ = ["OnlineCache", "Policy", "Serve", "check_positive", "check_whole"]

Serve = Callable[[NDArray[np.int32], Log], None]
"""Serve model indices in order and fill one entry of the log for each; keeps its state between calls."""


@dataclass(frozen=True, eq=False)
class OnlineCache:
    """The cache of one site, in the hands of one policy."""

    resident: Resident
    _serve: Serve

    def serve(self, models: ArrayLike) -> Log:
        """Requests for these model indices, in order; a cache may be served piece by piece."""
        asked = frozen(models, np.int32)
        if asked.size and (asked.min() < 0 or asked.max() >= self.resident.held.size):
            raise UsageError("request", f"refers to a model outside the {self.resident.held.size} of the graph", "use indices from 0")
        log = empty_log(asked.size)
        self._serve(asked, log)
        return log

    @property
    def models(self) -> list[int]:
        """Indices of the resident models, ascending."""
        return [int(i) for i in np.flatnonzero(self.resident.held)]

    @property
    def used_bytes(self) -> int:
        """Bytes that the resident models take, each block once (without sharing: each model whole)."""
        return int(self.resident.used[0])


@dataclass(frozen=True, eq=False)
class Policy(ABC):
    """How a cache decides, from past requests alone, what to admit and what to evict.

    Args:
        graph: the models that may be asked for.
        capacity_bytes: of each site's cache, >= 0. A model larger than that is never admitted.
        sharing: blocks are stored once (True), or every model is charged all its bytes (False).

    Raises:
        UsageError: a capacity that is no whole number of bytes >= 0, or an option out of its range.
    """

    graph: ModelBlockGraph = field(repr=False)
    capacity_bytes: int
    sharing: bool = field(default=True, kw_only=True)

    base_name: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "capacity_bytes", _whole_bytes(self.capacity_bytes))

    @property
    def name(self) -> str:
        """As in ``policy_names()``."""
        return self.base_name if self.sharing else f"{self.base_name}-unshared"

    @abstractmethod
    def _start(self, blocks: Blocks, resident: Resident) -> Serve:
        """The serving loop of a cache that begins as ``resident``, with state of its own."""

    def open(self) -> OnlineCache:
        """An empty cache under this policy."""
        resident = empty_cache(self._blocks)
        return OnlineCache(resident, self._start(self._blocks, resident))

    def run(self, trace: Trace) -> OnlineResult:
        """Serve the whole trace, each site with an empty cache of its own.

        Raises:
            UsageError: the trace asks for a model that the graph does not have.
        """
        models = self._indices(trace)
        log = empty_log(models.size)
        for site in np.unique(trace.site):
            mine = np.flatnonzero(trace.site == site)
            for whole, part in zip(log, self.open().serve(models[mine]), strict=True):
                whole[mine] = part
        return OnlineResult(self.name, self.capacity_bytes, log.hit, self.graph.model_bytes[models], log.written, log.evicted)

    @cached_property
    def _blocks(self) -> Blocks:
        return charged_blocks(self.graph, self.sharing)

    def _indices(self, trace: Trace) -> NDArray[np.int32]:
        """int32[N]: the graph's index of each request's model; only models that are asked for need be known."""
        known = {name: i for i, name in enumerate(self.graph.model_names)}
        index_of = np.full(len(trace.model_names), -1, dtype=np.int32)
        for m in np.unique(trace.model):
            name = trace.model_names[m]
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.4)
                fix = f"did you mean {near[0]}?" if near else f"the graph has {len(known)} models, see model_names"
                raise UsageError(f"trace: model {name!r}", "is not in the graph", fix)
            index_of[m] = known[name]
        return np.asarray(index_of[trace.model], dtype=np.int32)


def _whole_bytes(value: object) -> int:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**62:
        raise UsageError("capacity", f"{value} is not a whole number of bytes >= 0", "give for example 10**9")
    return number


def check_positive(what: str, value: float, least: float = 0.0, *, strict: bool = True) -> None:
    """UsageError unless ``value`` is finite and above (or, not ``strict``, at) ``least``."""
    if not (np.isfinite(value) and (value > least if strict else value >= least)):
        raise UsageError(what, f"{value} is not a number {'>' if strict else '>='} {least:g}", "see the docstring of the policy")


def check_whole(what: str, value: float, least: int) -> None:
    """UsageError unless ``value`` is an integer and at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(what, f"{value} is not a whole number >= {least}", "see the docstring of the policy")
