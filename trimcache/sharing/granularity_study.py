"""How much each granularity saves, and what its index costs, on one set of sources.

Finer blocks find more that is equal and need more index entries. All granularities are cut in one pass over the sources, so they see the
same bytes. What holds between them, for files that name their own tensors (safetensors, GGUF, torch):

    unique(file) >= unique(layer) >= unique(tensor) >= unique(chunk)     equal blocks are cut into equal finer ones
    unique(tensor) >= unique(row)                                        if equal tensors have equal shapes: rows are cut by shape
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimcache.errors import SourceError, UsageError
from trimcache.rules import Rules

if TYPE_CHECKING:
    from trimcache.scanning.run import Progress, ScanReport

#: From coarse to fine, which is the order of rows.
COARSE_TO_FINE: tuple[str, ...] = ("file", "layer", "tensor", "row", "chunk")


@dataclass(frozen=True, slots=True)
class GranularityRow:
    """One granularity.

    Attributes:
        blocks: distinct blocks: what a store would hold.
        unique_bytes: each block once.
        saved_bytes: the sum of all models less ``unique_bytes``.
        index_entries: extents: which block stands where in which file.
        index_bytes: of the compacted catalog's table ``extents`` (Parquet, zstd), which is that index.
        seconds: a scan at this granularity alone; None if it was not measured.
    """

    granularity: str
    blocks: int
    unique_bytes: int
    saved_bytes: int
    index_entries: int
    index_bytes: int
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class GranularityStudy:
    """All granularities on the same sources.

    Attributes:
        models, total_bytes: how many models, and the sum of their bytes.
        rows: from coarse to fine.
        seconds: the one pass that cut all of them.
        errors, notes: of the scan: sources that could not be read, and what was left out.
    """

    models: int
    total_bytes: int
    rows: tuple[GranularityRow, ...]
    seconds: float
    errors: tuple[SourceError, ...] = ()
    notes: tuple[str, ...] = ()

    def saved_share(self, row: GranularityRow) -> float:
        """``saved_bytes`` over the sum of all models; 0 where there are no bytes."""
        return row.saved_bytes / self.total_bytes if self.total_bytes else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "models": self.models,
            "total_bytes": self.total_bytes,
            "seconds": self.seconds,
            "granularities": [{**row.to_dict(), "saved_share": self.saved_share(row)} for row in self.rows],
            "errors": [str(error) for error in self.errors],
        }


def study(
    sources: Iterable[Any],
    granularities: Sequence[str] = COARSE_TO_FINE,
    *,
    digest: str = "blake3-256",
    workers: int | None = None,
    time_each: bool = False,
    progress: Progress | None = None,
) -> GranularityStudy:
    """Scan ``sources`` at several granularities in one pass, into temporary catalogs.

    Args:
        granularities: names; their order does not matter.
        time_each: afterwards scan once more at each granularity alone, for ``seconds``: the bytes are in the page cache then.
        progress: told of the first pass.

    Raises:
        UsageError: no or an unknown granularity, or one whose library is not installed.
        SourceError: no source could be read at all.
    """
    listed = list(sources)
    wanted = [name for name in COARSE_TO_FINE if name in granularities]
    unknown = [name for name in granularities if name not in COARSE_TO_FINE]
    if unknown or not wanted:
        what = f"granularity {unknown[0]!r}" if unknown else "granularities"
        raise UsageError(what, "is not offered" if unknown else "none is named", f"choose among {', '.join(COARSE_TO_FINE)}")
    rules = {name: Rules(digest, name) for name in wanted}
    with tempfile.TemporaryDirectory(prefix="trimcache-granularity-") as folder:
        catalogs = {name: Path(folder) / name for name in wanted}
        report, seconds = _scan(listed, {catalogs[name]: rules[name] for name in wanted}, workers, progress)
        alone: dict[str, float] = {}
        for name in wanted if time_each else ():
            _, alone[name] = _scan(listed, {Path(folder) / f"{name}-alone": rules[name]}, workers, None)
        found = [_row(catalogs[name], name, alone.get(name)) for name in wanted]
    models, total, rows = found[0][0], found[0][1], tuple(row for _, _, row in found)
    return GranularityStudy(models, total, rows, seconds, tuple(report.errors), tuple(report.notes))


def _scan(sources: list[Any], targets: dict[Path, Rules], workers: int | None, progress: Progress | None) -> tuple[ScanReport, float]:
    from trimcache.scanning.run import run_scan

    (first, rules), *others = targets.items()
    begin = time.perf_counter()
    report = run_scan(sources, first, rules, workers=workers, also=dict(others), progress=progress)
    seconds = time.perf_counter() - begin
    if report.nothing_done and report.errors:
        raise report.errors[0]
    return report, seconds


def _row(root: Path, granularity: str, seconds: float | None) -> tuple[int, int, GranularityRow]:
    """Models, their bytes, and the row of one catalog."""
    from trimcache.catalog.compaction import compact
    from trimcache.catalog.reader import open_catalog

    # How many shards a scan leaves depends on its speed; one shard is the same at every run.
    compact(root)
    catalog = open_catalog(root)
    graph = catalog.graph(incomplete=True)
    row = GranularityRow(
        granularity,
        blocks=graph.n_blocks,
        unique_bytes=graph.unique_bytes,
        saved_bytes=graph.total_bytes - graph.unique_bytes,
        index_entries=catalog.n_rows("extents"),
        index_bytes=sum(path.stat().st_size for path in (root / "extents").glob("*.parquet")),
        seconds=seconds,
    )
    return graph.n_models, graph.total_bytes, row
