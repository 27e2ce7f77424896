"""What a plan says, and the rules it obeys whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from trimcache._atoms import sorted_unique
from trimcache.errors import PlanError
from trimcache.graph import ModelBlockGraph

__all__ = ["FORMAT", "VERSION", "Catalog", "Comparison", "Plan", "PlanDocument", "ServerPlan", "validate_against"]

FORMAT = "trimcache-plan"
VERSION = 1

_Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    # Unknown keys are ignored, for keys are only ever added; no number is read from a string.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Comparison(_Part):
    """One algorithm's result: hit ratios as shares of demand, bytes and models over all servers, running time."""

    algorithm: str
    hit_ratio: _Ratio
    attainable: _Ratio
    upper_bound: _Ratio
    gap: _Ratio
    used_bytes: _Bytes
    models_placed: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ServerPlan(_Part):
    """One server: the models it holds by name, the storage their blocks take together, its capacity, and what was asked of it."""

    name: str
    models: list[str]
    used_bytes: _Bytes
    capacity_bytes: _Bytes
    pinned: list[str] = []
    forbidden: list[str] = []


class Catalog(_Part):
    """The catalog that the plan was made for, as its graph."""

    fingerprint: str
    models: Annotated[int, Field(ge=0)]
    unique_bytes: _Bytes
    rules: dict[str, str] = {}
    synthetic: bool = False


class PlanDocument(_Part):
    """The plan without its block table: what ``trimcache plan --json`` prints."""

    format: Literal["trimcache-plan"] = "trimcache-plan"
    version: int = VERSION
    algorithm: str
    hit_ratio: _Ratio
    attainable: _Ratio
    upper_bound: _Ratio
    gap: _Ratio
    servers: list[ServerPlan]
    comparison: list[Comparison] = []
    catalog: Catalog
    demand: dict[str, Any] = {}
    seed: int = 0
    network: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan, checked when it is made.

    Attributes:
        document: everything but blocks; also ``plan.servers``, ``plan.hit_ratio`` and so on.
        block_digests: uint8[B, n], the digest of each block that some server holds.
        block_bytes: int64[B].
        server_ptr, server_blocks: int64[M+1], int32[n]: the rows of the block table that each server holds.

    Raises:
        PlanError: arrays that disagree, a repeated block or server, a server whose blocks are not ``used_bytes`` or
            exceed its capacity, a pin that is not held or a forbidden model that is, a hit ratio above its bound.
    """

    document: PlanDocument
    block_digests: NDArray[np.uint8]
    block_bytes: NDArray[np.int64]
    server_ptr: NDArray[np.int64]
    server_blocks: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_table(self)
        _check_servers(self)

    @property
    def servers(self) -> list[ServerPlan]:
        """The servers, in the order of the network."""
        return self.document.servers

    @property
    def hit_ratio(self) -> float:
        """Demand served in time over all demand."""
        return self.document.hit_ratio

    @property
    def attainable(self) -> float:
        """The hit ratio if every server held everything."""
        return self.document.attainable

    def blocks_of(self, server: int) -> NDArray[np.int32]:
        """Rows of the block table that one server holds."""
        return self.server_blocks[self.server_ptr[server] : self.server_ptr[server + 1]]

    def digests(self, rows: NDArray[np.integer[Any]] | slice = slice(None)) -> list[str]:
        """Digests in hex of some rows of the block table."""
        return [row.tobytes().hex() for row in self.block_digests[rows]]

    def to_dict(self) -> dict[str, Any]:
        """The document as plain values, without the block table."""
        return self.document.model_dump(mode="json")


def validate_against(plan: Plan, graph: ModelBlockGraph) -> None:
    """PlanError unless ``plan`` was made for exactly this graph and its servers hold its models' blocks."""
    if plan.document.catalog.fingerprint != graph.fingerprint():
        raise PlanError("plan", "was made for another catalog, or for an earlier state of it", "run trimcache plan again")
    known = set(graph.model_names)
    for server in plan.servers:
        if missing := [name for name in server.models if name not in known]:
            raise PlanError(f"server {server.name!r}", f"holds unknown model {missing[0]!r}", "run trimcache plan again")
        if graph.set_bytes(server.models) != server.used_bytes:
            raise PlanError(f"server {server.name!r}", "does not hold its models' blocks", "run trimcache plan again")


def _check_table(plan: Plan) -> None:
    rows, digests, servers = plan.block_bytes, plan.block_digests, plan.server_blocks
    if digests.ndim != 2 or digests.shape[0] != rows.size or (rows.size and digests.shape[1] == 0):
        raise PlanError("block table", f"{rows.size} sizes, digests of shape {digests.shape}", "write the plan again")
    if rows.size and rows.min() < 0:
        raise PlanError("block table", "holds a negative size", "write the plan again")
    if rows.size > 1:
        ids = np.sort(np.ascontiguousarray(digests).view(f"V{digests.shape[1]}").reshape(-1))
        if bool((ids[1:] == ids[:-1]).any()):
            raise PlanError("block table", "lists a block twice", "write the plan again")
    ends = plan.server_ptr
    if ends.shape != (len(plan.servers) + 1,) or ends[0] != 0 or ends[-1] != servers.size or bool((np.diff(ends) < 0).any()):
        raise PlanError("plan", "the block lists do not match the servers", "write the plan again")
    if servers.size and (servers.min() < 0 or servers.max() >= rows.size):
        raise PlanError("plan", "a server refers to a block outside the block table", "write the plan again")


def _check_servers(plan: Plan) -> None:
    document = plan.document
    names = [server.name for server in document.servers]
    if len(set(names)) != len(names):
        raise PlanError("plan", "two servers have one name", "name every server once")
    for m, server in enumerate(document.servers):
        subject = f"server {server.name!r}"
        blocks = plan.blocks_of(m)
        if sorted_unique(blocks).size != blocks.size or len(set(server.models)) != len(server.models):
            raise PlanError(subject, "lists a block or a model twice", "write the plan again")
        used = sum(plan.block_bytes[blocks].tolist())  # Python integers: a hostile table cannot overflow them
        if used != server.used_bytes:
            raise PlanError(subject, f"its blocks are {used} bytes, not {server.used_bytes}", "write the plan again")
        if used > server.capacity_bytes:
            raise PlanError(subject, f"holds {used} bytes of {server.capacity_bytes}", "write the plan again")
        held = set(server.models)
        if missing := [name for name in server.pinned if name not in held]:
            raise PlanError(subject, f"does not hold {missing[0]!r}, which is pinned there", "write the plan again")
        if wrong := [name for name in server.forbidden if name in held]:
            raise PlanError(subject, f"holds {wrong[0]!r}, which is forbidden there", "write the plan again")
    results: list[PlanDocument | Comparison] = [document, *document.comparison]
    for row in results:
        slack = 1e-9
        if row.hit_ratio > row.upper_bound + slack or row.upper_bound > row.attainable + slack:
            raise PlanError(f"algorithm {row.algorithm!r}", "has a hit ratio above its bound", "write the plan again")
