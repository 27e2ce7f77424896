"""Hit ratio over time while users move: of placements made at time 0 and left alone, and re-placed every so often.

Every slot has its own reach, on expected rates; users keep their demand and their deadlines. All algorithms and policies see
the same walks. A user who is absent in a slot (floating-car data) asks for nothing in it and shares no bandwidth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import UsageError
from trimcache.network.edge_network import EdgeNetwork
from trimcache.network.latency import reach
from trimcache.network.mobility import Area, Mobility, Slot, slot_times
from trimcache.placement.demand import Demand
from trimcache.placement.evaluate import Held, served_weight
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.registry import place
from trimcache.placement.replan import replan
from trimcache.placement.result import Placement
from trimcache.simulation.topology import solve

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.simulation.setting import Setting

__all__ = ["POLICIES", "Timeline", "hit_ratio_over_time", "moved_bytes", "rows_over_time"]

POLICIES = ("keep", "anew", "replan")
Solve = Callable[[PlacementProblem, str], Placement]
"""Places by the name of an algorithm."""
_FAR_M = 1e12  # where the absent stand: outside all coverage


@dataclass(frozen=True)
class Timeline:
    """How long, in which slots, and what is done about placements on the way.

    Attributes:
        duration_s, slot_s: the paper's two hours in slots of five seconds (our reading).
        replace_every_s: time between re-placements; None: never, so only ``"keep"`` is left of the policies.
        policies: ``"keep"`` leaves the placement of time 0; ``"anew"`` runs the algorithm again, whatever servers hold;
            ``"replan"`` goes on from what they hold, weighing hit ratio against bytes (``trimcache.placement.replan``).
        switch_cost: for ``"replan"``: hit ratio that moving 10**9 bytes must earn (assumption).
        record_every_s: a row is the mean over slots of this long; None: one slot.

    Raises:
        UsageError: no slot, an unknown policy, or a re-placement more often than slots.
    """

    duration_s: float = 7200.0
    slot_s: float = 5.0
    replace_every_s: float | None = 600.0
    policies: tuple[str, ...] = POLICIES
    switch_cost: float = 0.01
    record_every_s: float | None = None

    def __post_init__(self) -> None:
        slot_times(self.duration_s, self.slot_s)
        object.__setattr__(self, "policies", tuple(self.policies))
        unknown = [name for name in self.policies if name not in POLICIES]
        if unknown or not self.policies or len(set(self.policies)) < len(self.policies):
            raise UsageError("policies", ",".join(self.policies) or "none", f"give some of {', '.join(POLICIES)}, each once")
        if self.replace_every_s is None:
            object.__setattr__(self, "policies", ("keep",))
        elif not self.slot_s <= self.replace_every_s < np.inf:
            raise UsageError("replace every", f"{self.replace_every_s:g} s is no time between slots of {self.slot_s:g} s", "give more")
        if not 0 <= self.switch_cost < np.inf:
            raise UsageError("switch cost", f"{self.switch_cost} is not a number >= 0", "give hit ratio per gigabyte, for example 0.01")

        if self.record_every_s is not None and not self.slot_s <= self.record_every_s < np.inf:
            raise UsageError("record every", f"{self.record_every_s:g} s is less than a slot of {self.slot_s:g} s", "give more")

    def columns(self) -> dict[str, Any]:
        """The parameters that results depend on, but the policies, as plain values."""
        return {name: getattr(self, name) for name in ("duration_s", "slot_s", "replace_every_s", "switch_cost", "record_every_s")}


def rows_over_time(
    setting: Setting, seed: int, graph: ModelBlockGraph, *, mobility: Mobility, timeline: Timeline | None = None
) -> list[dict[str, Any]]:
    """One row for each slot, algorithm and policy of the topology ``seed``, in that order, made of plain values.

    Every parameter (``Setting.columns``, ``Timeline.columns``, ``mobility``), ``seed``, and
    slot, time_s: from 0; algorithm, policy; users: those present;
    hit_ratio, attainable: in this slot, on expected rates (so ``n_realisations`` is 0);
    moved_bytes: by all re-placements so far, over all servers. With ``record_every_s`` a row is the mean of some slots and named by
    the first; slots in which nobody is there do not count.

    Args:
        mobility: of the network's users; floating-car data bring their own users, who take the place of the network's.
        seed: of the topology, demand, deadlines and walks.

    Raises:
        NetworkError: the network is a table of rates, where nobody can move, or a user starts outside the area.
    """
    timeline = timeline or Timeline()
    network = setting.edge_network(seed)
    if mobility.user_names is not None:
        network = _with_own_users(network, mobility.user_names)
    problem = setting.problem(network, setting.models(graph, seed), seed)
    start_m = network.places_m()[1]
    slots = mobility.slots(start_m, _area(setting, network), timeline.duration_s, timeline.slot_s, seed)
    counts = {"n_servers": problem.n_servers, "n_users": problem.n_users, "n_models": problem.n_models, "n_realisations": 0}
    parameters = setting.columns() | counts | timeline.columns() | {"mobility": mobility.name, "seed": seed}
    found = hit_ratio_over_time(
        problem,
        network,
        slots,
        setting.algorithms,
        timeline,
        seed=seed,
        time_limit_s=setting.time_limit_s,
        solve=lambda at, name: solve(at, name, setting, seed),
    )
    together = 1 if timeline.record_every_s is None else int(timeline.record_every_s / timeline.slot_s + 1e-9)
    return [parameters | row for row in (found if together == 1 else _means(found, together))]


def hit_ratio_over_time(
    problem: PlacementProblem,
    network: EdgeNetwork,
    slots: Iterable[Slot],
    algorithms: Sequence[str],
    timeline: Timeline,
    *,
    seed: int = 0,
    time_limit_s: float | None = None,
    solve: Solve | None = None,
) -> Iterator[dict[str, Any]]:
    """A row for each slot, algorithm and policy, slot by slot; slot 0 is where placements are first made.

    Args:
        problem: models, capacities, demand, pins and objective; its reach plays no part.
        network: its servers, links and deadlines; its users are where the slots say.
        time_limit_s: of every placement.
        solve: places by name; ``trimcache.placement.place`` if not given.

    A slot costs its reach, O(K log M + pairs + R log M), and O(R) for each placement that differs;
    re-placing costs what the algorithm does.
    """
    solve = solve or (lambda at, name: place(at, name, seed=seed, time_limit_s=time_limit_s))
    tracks: list[_Track] = []
    done = 0
    for number, slot in enumerate(slots):
        now = _problem_at(problem, network, slot)
        if number == 0:
            first = {name: solve(now, name).held for name in algorithms}
            tracks = [_Track(name, policy, first[name]) for name in algorithms for policy in timeline.policies]
        elif timeline.replace_every_s is not None and (due := int(slot.time_s / timeline.replace_every_s + 1e-9)) > done:
            done = due
            if now.demand.total:  # else there is nothing to place by
                for track in tracks:
                    track.replace(now, timeline.switch_cost, seed, time_limit_s, solve)
        total = now.demand.total
        attainable = now.attainable
        users = int(np.count_nonzero(~np.isnan(slot.positions_m[:, 0])))
        served: dict[int, int] = {}
        for track in tracks:
            if id(track.held) not in served:
                served[id(track.held)] = served_weight(now, track.held)
            yield {
                "slot": number,
                "time_s": slot.time_s,
                "algorithm": track.algorithm,
                "policy": track.policy,
                "users": users,
                "hit_ratio": served[id(track.held)] / total if total else 0.0,
                "attainable": attainable,
                "moved_bytes": track.moved_bytes,
            }


def moved_bytes(graph: ModelBlockGraph, old: Held, new: Held) -> int:
    """Bytes of the blocks that servers hold by ``new`` and did not by ``old``, over all servers: what re-placing transfers."""
    atoms = graph.atoms()
    total = 0
    for m in range(new[0].size - 1):
        needed = np.zeros(atoms.n_atoms, dtype=np.bool_)
        for held, value in ((new, True), (old, False)):
            for i in held[1][held[0][m] : held[0][m + 1]].tolist():
                needed[atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]] = value
        total += int(atoms.atom_bytes[needed].sum())
    return total


def _means(rows: Iterable[dict[str, Any]], together: int) -> Iterator[dict[str, Any]]:
    """Rows of so many slots made one: means over those with users, and the bytes moved by their end."""
    for _, window in groupby(rows, lambda row: row["slot"] // together):
        lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in window:
            lines.setdefault((row["algorithm"], row["policy"]), []).append(row)
        for same in lines.values():
            counted = [row for row in same if row["users"]] or same
            means = {name: float(np.mean([row[name] for row in counted])) for name in ("users", "hit_ratio", "attainable")}
            yield same[0] | means | {"moved_bytes": same[-1]["moved_bytes"]}


@dataclass
class _Track:
    """What servers hold now, by one algorithm and policy, and the bytes moved so far."""

    algorithm: str
    policy: str
    held: Held
    moved_bytes: int = 0

    def replace(self, now: PlacementProblem, switch_cost: float, seed: int, limit_s: float | None, solve: Solve) -> None:
        if self.policy == "keep":
            return
        if self.policy == "anew":
            held = solve(now, self.algorithm).held
        else:
            rows = [row.tolist() for row in np.split(self.held[1], self.held[0][1:-1])]
            present = [_blocks(now.graph, row) for row in rows]
            held = replan(now, rows, present, switch_cost, seed=seed, time_limit_s=limit_s).placement.held
        self.moved_bytes += moved_bytes(now.graph, self.held, held)
        self.held = held


def _blocks(graph: ModelBlockGraph, models: Sequence[int]) -> NDArray[np.int64]:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(graph.blocks_of(i) for i in models)])).astype(np.int64)


def _problem_at(problem: PlacementProblem, network: EdgeNetwork, slot: Slot) -> PlacementProblem:
    """The problem with everybody where they are in this slot, and the requests of those who are there."""
    absent = np.isnan(slot.positions_m[:, 0]) | np.isnan(slot.positions_m[:, 1])
    moved = network.with_users(np.where(absent[:, None], _FAR_M, slot.positions_m))
    demand = problem.requests
    if absent.any():
        there = ~absent[demand.user]
        demand = Demand(demand.n_users, demand.n_models, demand.user[there], demand.model[there], demand.weight[there])
    graph = problem.graph
    pinned, forbidden = (np.stack(np.divmod(keys, max(graph.n_models, 1)), axis=1) for keys in (problem.pinned, problem.forbidden))
    there_and_then = reach(moved, demand, graph.model_bytes)
    return PlacementProblem(graph, problem.capacity_bytes, demand, there_and_then, pinned, forbidden, problem.objective)


def _with_own_users(network: EdgeNetwork, names: tuple[str, ...]) -> EdgeNetwork:
    """The same servers with these users instead, all alike, and nowhere yet."""
    network.places_m()  # or it says that there are none
    far = np.full((len(names), 2), _FAR_M)
    return dataclasses.replace(network, user_names=names, user_positions_m=far, user_weight=np.ones(len(names)))


def _area(setting: Setting, network: EdgeNetwork) -> Area:
    """The square of the preset, or what the servers and users of an own network span."""
    if setting.network is None:
        return Area.square(float((setting.network_numbers() | dict(setting.overrides))["area_m"]))
    return Area.around(*network.places_m())
