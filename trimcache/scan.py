"""Scanning sources into a catalog: plan tasks, run ``scan_part`` on each, publish. The one place that runs extractors.

resolve(sources) -> PartSpec -> ScanTask -> scan_part -> PartRecord -> CatalogWriter -> Catalog
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from trimcache.catalog.compaction import compact_if_fragmented
from trimcache.catalog.description import CatalogDescription, create_or_check
from trimcache.catalog.reader import Catalog, Part, open_catalog
from trimcache.catalog.schema import DESCRIPTION
from trimcache.catalog.writer import CatalogWriter, remove_leftovers
from trimcache.errors import SourceError, TrimcacheError, UsageError
from trimcache.records import PartRecord
from trimcache.rules import Rules
from trimcache.scan_part import ScanTask, scan_part
from trimcache.sources.parts import PartSpec
from trimcache.sources.resolve import Resolution, rename_clashes, resolve

# A part this large keeps all workers busy by itself; smaller ones are scanned side by side.
_LARGE_PART_NBYTES = 64 << 20


class Progress(Protocol):
    """Told how a scan advances; the methods are called from several threads."""

    def start(self, n_parts: int, nbytes: int) -> None: ...
    def advance(self, nbytes: int) -> None: ...
    def part_done(self, name: str) -> None: ...


@dataclass
class ScanReport:
    """What a scan did.

    Attributes:
        scanned, unchanged, forgotten: names of parts.
        nbytes_read: bytes hashed.
        errors: sources and parts that could not be read, one error each.
        notes: what was skipped or left out, and why.
    """

    scanned: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    nbytes_read: int = 0
    errors: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def nothing_done(self) -> bool:
        return not (self.scanned or self.unchanged or self.forgotten)


def scan(
    sources: Any,
    catalog: Path | str,
    *,
    granularity: str = "tensor",
    digest: str = "blake3-256",
    workers: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prune: bool = False,
    progress: Progress | None = None,
) -> Catalog:
    """Scan sources into the catalog at ``catalog``, which is created or extended, and open it.

    Args:
        sources: a path of a file or folder, a model in memory, a ``(name, model)`` pair, or a list of these.
        granularity, digest: the rules; they must be those of a catalog that exists.
        workers: threads; None: one a core.
        include, exclude: globs on names of parts.
        prune: forget parts that were below the given sources and are gone.
        progress: told how it advances.

    Returns:
        The catalog; ``last_scan`` says what was done, and which sources could not be read.

    Raises:
        SourceError: no source at all could be scanned.
        CatalogRulesError: the catalog was made by other rules.
        UsageError: unknown digest or granularity.
    """
    listed = sources if isinstance(sources, (list, set)) else [sources]
    report = run_scan(
        listed,
        Path(catalog).expanduser(),
        Rules(digest, granularity),
        workers=workers,
        include=include,
        exclude=exclude,
        prune=prune,
        progress=progress,
    )
    if report.nothing_done and report.errors:
        raise report.errors[0]
    opened = open_catalog(catalog)
    opened.last_scan = report
    return opened


def run_scan(
    sources: Iterable[Any],
    catalog: Path,
    rules: Rules,
    *,
    workers: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prune: bool = False,
    progress: Progress | None = None,
) -> ScanReport:
    """As :func:`scan`, but errors of sources are only reported.

    Raises:
        CatalogError: the catalog cannot be used; nothing was scanned.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers}", "is not a number of threads", "use 1 or more")
    description = CatalogDescription(rules)
    known: dict[str, Part] = {}
    if (catalog / DESCRIPTION).exists() or catalog.exists():
        create_or_check(catalog, description)
        remove_leftovers(catalog)
        known = {part.part: part for part in open_catalog(catalog).parts}

    resolution = resolve(sources, include=include, exclude=exclude)
    report = ScanReport(errors=list(resolution.errors), notes=list(resolution.notes))
    specs = rename_clashes(resolution.parts, {uri: part.name for uri, part in known.items()})
    todo: list[PartSpec] = []
    for spec in specs:
        report.notes.extend(f"{spec.name}: {note}" for note in spec.notes)
        before = known.get(spec.uri)
        if before is not None and spec.version and before.version == spec.version:
            report.unchanged.append(before.name)
        else:
            todo.append(spec)

    with CatalogWriter(catalog, description) as writer:
        if prune:
            _forget_gone(known, resolution, writer, report, include, exclude)
        if progress is not None:
            progress.start(len(todo), sum(spec.nbytes for spec in todo))
        for spec, outcome in _run_tasks([ScanTask(spec, rules) for spec in todo], workers, writer, progress):
            if isinstance(outcome, PartRecord):
                report.scanned.append(outcome.name)
                report.nbytes_read += outcome.nbytes
            else:
                report.errors.append(outcome)
            if progress is not None:
                progress.part_done(spec.name)
    if (catalog / DESCRIPTION).exists():
        compact_if_fragmented(catalog)
    return report


def _forget_gone(
    known: dict[str, Part],
    resolution: Resolution,
    writer: CatalogWriter,
    report: ScanReport,
    include: Sequence[str],
    exclude: Sequence[str],
) -> None:
    """Forget known parts below the scanned sources that resolving no longer finds; filtered scans say nothing about what they skip."""
    if include or exclude:
        raise UsageError("--prune", "cannot be combined with --include or --exclude", "prune with the whole source")
    present = {spec.uri for spec in resolution.parts}
    for uri, part in known.items():
        below = any(uri == source or uri.startswith(f"{source}/") for source in resolution.sources)
        if below and uri not in present:
            writer.forget(uri, part.name, part.source)
            report.forgotten.append(part.name)


def _run_tasks(
    tasks: Sequence[ScanTask], workers: int | None, writer: CatalogWriter, progress: Progress | None
) -> Iterator[tuple[PartSpec, PartRecord | SourceError]]:
    """Run every task and publish its record as soon as it is there; small parts side by side, large ones with all threads each."""
    n_workers = workers or os.cpu_count() or 1
    advance = progress.advance if progress is not None else None

    def run(task: ScanTask, executor: Executor | None) -> PartRecord | SourceError:
        try:
            record = scan_part(task, executor=executor, advance=advance)
        except SourceError as error:
            return error
        writer.add(record)
        return record

    small = [task for task in tasks if task.spec.nbytes < _LARGE_PART_NBYTES]
    large = [task for task in tasks if task.spec.nbytes >= _LARGE_PART_NBYTES]
    with ThreadPoolExecutor(n_workers, thread_name_prefix="scan") as pool:
        try:
            for task in large:
                yield task.spec, run(task, pool)
            yield from _run_small(small, pool, run, writer)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_small(tasks: Sequence[ScanTask], pool: ThreadPoolExecutor, run: Any, writer: CatalogWriter) -> Iterator[tuple[PartSpec, Any]]:
    pending: dict[Future[Any], ScanTask] = {pool.submit(run, task, None): task for task in tasks}
    while pending:
        done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        writer.flush_if_due()
        for future in done:
            yield pending.pop(future).spec, future.result()


__all__ = ["Progress", "ScanReport", "TrimcacheError", "run_scan", "scan"]


class _CallableModule(ModuleType):
    """Importing this module makes ``trimcache.scan`` the module; calling it still scans."""

    def __call__(self, *args: Any, **kwargs: Any) -> Catalog:
        return scan(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
