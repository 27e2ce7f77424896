"""Scanning sources into a catalog: plan tasks, run ``scan_part`` on each, publish. The one place that runs extractors.

resolve(sources) -> PartSpec -> ScanTask -> scan_part -> PartRecord -> CatalogWriter -> Catalog
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trimcache.catalog.description import CatalogDescription, create_or_check
from trimcache.catalog.layout import is_fragmented
from trimcache.catalog.writer import CatalogWriter, Publish, remove_leftovers
from trimcache.errors import NoWeightsError, SourceError, UsageError
from trimcache.rules import Rules
from trimcache.scanning.mapping import map_workers
from trimcache.scanning.part import ScanTask, scan_part
from trimcache.scanning.records import PartRecord
from trimcache.sources.parts import PartSpec
from trimcache.sources.resolve import Resolution, rename_clashes, resolve

if TYPE_CHECKING:
    from trimcache.blocks.mapped import MapWorkers
    from trimcache.catalog.reader import Catalog, Part

# A part this large keeps all workers busy by itself; smaller ones are scanned side by side.
_LARGE_PART_NBYTES = 64 << 20
_TASKS_AHEAD = 32
# Below this, a part is mostly headers, which is work for the interpreter: two threads would only take turns, and lose time doing so.
_TINY_PART_NBYTES = 4 << 20


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
        has_adapters: whether the catalog has parts that are complete only with their base.
    """

    scanned: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    nbytes_read: int = 0
    errors: list[SourceError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_adapters: bool = False

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
    weights: str = "preferred",
    sequential: bool = False,
    progress: Progress | None = None,
) -> Catalog:
    """Scan sources into the catalog at ``catalog``, which is created or extended, and open it.

    Args:
        sources: a path of a file or folder, a model in memory, a ``(name, model)`` pair, or a list of these.
        granularity, digest: the rules; they must be those of a catalog that exists.
        workers: threads; None: one a core.
        include, exclude: globs on names of parts.
        prune: forget parts that were below the given sources and are gone.
        weights: ``"preferred"``: of several copies of the same weights, the one that libraries load; ``"all"``: each as its own variant.
        sequential: read in file order from one thread, for spinning disks and network mounts.
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
        weights=weights,
        sequential=sequential,
        progress=progress,
    )
    if report.nothing_done and report.errors:
        raise report.errors[0]
    from trimcache.catalog.reader import open_catalog

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
    weights: str = "preferred",
    sequential: bool = False,
    also: Mapping[Path, Rules] | None = None,
    progress: Progress | None = None,
    publish: Publish | None = None,
) -> ScanReport:
    """As :func:`scan`, but errors of sources are only reported.

    Args:
        also: further catalogs, by other rules with the same digest, to write in the same pass.
        publish: what writes shards in another process; None: here.

    Raises:
        CatalogError: the catalog cannot be used; nothing was scanned.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers}", "is not a number of threads", "use 1 or more")
    targets = [_Target.of(path, one, publish) for path, one in {catalog: rules, **(also or {})}.items()]
    known = targets[0].known
    resolution = resolve(sources, include=include, exclude=exclude, weights=weights)
    report = ScanReport(errors=list(resolution.errors), notes=list(resolution.notes))
    report.has_adapters = any(part.needs_base for part in known.values())
    specs = rename_clashes(resolution.parts, {uri: part.name for uri, part in known.items()})
    todo: list[PartSpec] = []
    for spec in specs:
        report.notes.extend(f"{spec.name}: {note}" for note in spec.notes)
        if spec.version and all(target.has(spec) for target in targets):
            report.unchanged.append(known[spec.uri].name)
        else:
            todo.append(spec)

    skipped: list[SourceError] = []
    also_rules = tuple(target.rules for target in targets[1:])
    tasks = [ScanTask(spec, rules, also_rules, sequential) for spec in todo]
    n_workers = workers or os.cpu_count() or 1
    mappable_nbytes = sum(task.spec.nbytes for task in tasks if task.spec.nbytes >= _LARGE_PART_NBYTES and task.can_map)
    with ExitStack() as stack:
        mapped = stack.enter_context(map_workers(mappable_nbytes, rules.digest, n_workers))
        if tasks and publish is None:
            # What publishing needs is imported while the first files are hashed, not after; begun only now, for a thread forbids forking.
            threading.Thread(target=import_module, args=("trimcache.catalog.shards",), daemon=True).start()
        for target in targets:
            stack.enter_context(target.writer)
        if prune:
            _forget_gone(resolution, targets, report, include, exclude)
        if progress is not None:
            progress.start(len(todo), sum(spec.nbytes for spec in todo))
        for spec, outcome in _run_tasks(tasks, n_workers, mapped, targets, progress):
            if isinstance(outcome, PartRecord):
                report.scanned.append(outcome.name)
                report.nbytes_read += outcome.nbytes
                report.has_adapters |= outcome.needs_base
            elif spec.lone and isinstance(outcome, NoWeightsError):
                skipped.append(outcome)
            else:
                report.errors.append(outcome)
            if progress is not None:
                progress.part_done(spec.name)
    # A file that was found by its ending and turned out to hold no weights is no failure, unless nothing else was found.
    if report.nothing_done and not report.errors:
        report.errors += skipped
    else:
        report.notes += [f"skipped: {error}" for error in skipped]
    for target in targets:
        if is_fragmented(target.path):
            from trimcache.catalog.compaction import compact

            compact(target.path)
    return report


@dataclass(frozen=True)
class _Target:
    """One catalog that a scan writes: where, by which rules, and what it knew before."""

    path: Path
    rules: Rules
    known: dict[str, Part]
    writer: CatalogWriter

    @classmethod
    def of(cls, path: Path, rules: Rules, publish: Publish | None) -> _Target:
        description = CatalogDescription(rules)
        known: dict[str, Part] = {}
        if path.exists():
            create_or_check(path, description)
            remove_leftovers(path)
            # Only here, because it imports pyarrow: a first scan does that while files are being hashed.
            from trimcache.catalog.reader import open_catalog

            known = {part.part: part for part in open_catalog(path).parts}
        return cls(path, rules, known, CatalogWriter(path, description, publish))

    def has(self, spec: PartSpec) -> bool:
        """Whether the catalog holds the part at the version that it has now."""
        before = self.known.get(spec.uri)
        return before is not None and before.version == spec.version


def _forget_gone(
    resolution: Resolution, targets: Sequence[_Target], report: ScanReport, include: Sequence[str], exclude: Sequence[str]
) -> None:
    """Forget known parts below the scanned sources that resolving no longer finds; filtered scans say nothing about what they skip."""
    if include or exclude:
        raise UsageError("--prune", "cannot be combined with --include or --exclude", "prune with the whole source")
    present = {spec.uri for spec in resolution.parts}
    for target in targets:
        for uri, part in target.known.items():
            if uri not in present and any(_is_below(part, source) for source in resolution.sources):
                target.writer.forget(uri, part.name, part.source)
                if target is targets[0]:
                    report.forgotten.append(part.name)


def _is_below(part: Part, source: str) -> bool:
    """Whether a part was found below ``source``: by its own place, or for a cached revision by where its snapshot lies."""
    places = (part.part.partition("#")[0], part.source)
    return any(place == source or place.startswith(f"{source}/") for place in places)


def _run_tasks(
    tasks: Sequence[ScanTask], n_workers: int, mapped: MapWorkers | None, targets: Sequence[_Target], progress: Progress | None
) -> Iterator[tuple[PartSpec, PartRecord | SourceError]]:
    """Run every task and publish its record as soon as it is there: large parts with all threads each, two at a time where processes hash
    them (these go on with one while the other is finished), others side by side, tiny ones one after another."""
    advance = progress.advance if progress is not None else None

    def run(task: ScanTask, executor: Executor | None = None) -> PartRecord | SourceError:
        try:
            record = scan_part(task, executor=executor, advance=advance, mapped=mapped)
        except SourceError as error:
            return error
        for target, extents in zip(targets, (record.extents, *record.also), strict=True):
            target.writer.add(replace(record, extents=extents, also=()))
        return record

    large: list[ScanTask] = []
    others: list[ScanTask] = []
    tiny: list[ScanTask] = []
    for task in tasks:
        nbytes = task.spec.nbytes
        (large if nbytes >= _LARGE_PART_NBYTES or task.sequential else others if nbytes >= _TINY_PART_NBYTES else tiny).append(task)
    with ThreadPoolExecutor(n_workers, thread_name_prefix="scan") as pool, ThreadPoolExecutor(2, thread_name_prefix="part") as parts:
        try:
            if mapped is None:
                for task in large:
                    yield task.spec, run(task, pool)
            else:
                yield from _side_by_side(large, parts, partial(run, executor=pool), targets)
                mapped.dismiss()
            yield from _side_by_side(others, pool, run, targets)
            for task in tiny:
                yield task.spec, run(task)
        except BaseException:
            parts.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _side_by_side(
    tasks: Sequence[ScanTask], pool: ThreadPoolExecutor, run: Any, targets: Sequence[_Target]
) -> Iterator[tuple[PartSpec, Any]]:
    """A few tasks ahead of the threads, not all: waiting costs time for each task that is waited for."""
    waiting = iter(tasks)
    pending: dict[Future[Any], ScanTask] = {}
    while True:
        for task in islice(waiting, _TASKS_AHEAD - len(pending)):
            pending[pool.submit(run, task)] = task
        if not pending:
            return
        done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        for target in targets:
            target.writer.flush_if_due()
        for future in done:
            yield pending.pop(future).spec, future.result()


__all__ = ["Progress", "ScanReport", "run_scan", "scan"]
