"""Comparing a catalog with the files it describes: reading everything again, trusting no stamp."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from trimcache.blocks.granularity import is_cut
from trimcache.errors import CatalogRulesError, SourceError, SourceNotFoundError
from trimcache.scanning.mapping import map_workers
from trimcache.scanning.part import Advance, ScanTask, scan_part
from trimcache.sources.resolve import resolve

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog, Part
    from trimcache.scanning.records import PartRecord
    from trimcache.sources.parts import PartSpec


class Verdict(StrEnum):
    """What became of a part since it was scanned."""

    SAME = "same"
    TOUCHED = "touched"  # its files were written or replaced, by the same bytes
    CHANGED = "changed"  # its files were written or replaced, by other bytes
    ROTTED = "rotted"  # other bytes, though the file system says that nobody wrote
    GONE = "gone"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Verification:
    """One part: verdict, files that differ (names relative to the part), and one line of explanation."""

    name: str
    verdict: Verdict
    files: tuple[str, ...] = ()
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether the catalog still describes the part truly."""
        return self.verdict in (Verdict.SAME, Verdict.TOUCHED)


def verify(catalog: Catalog, *, workers: int | None = None, advance: Advance | None = None) -> Iterator[Verification]:
    """Read every part of ``catalog`` again and compare blocks; parts are yielded as they are done.

    Raises:
        CatalogRulesError: the catalog is synthetic: there is nothing to read.
    """
    if catalog.synthetic:
        raise CatalogRulesError(str(catalog.root), "is synthetic: it describes no files that could be read", "verify a scanned catalog")
    expected = _blocks_by_part(catalog)
    n_workers = workers or os.cpu_count() or 1
    mappable_nbytes = 0 if is_cut(catalog.rules.granularity) else sum(part.nbytes for part in catalog.parts)
    with map_workers(mappable_nbytes, catalog.rules.digest, n_workers) as mapped, ThreadPoolExecutor(n_workers) as pool:
        scan = partial(scan_part, executor=pool, advance=advance, mapped=mapped)
        for part in catalog.parts:
            yield _verify_part(part, expected.get(part.part, {}), catalog, scan)


def _verify_part(part: Part, expected: dict[str, list[bytes]], catalog: Catalog, scan: Callable[[ScanTask], PartRecord]) -> Verification:
    if part.part.startswith("memory://"):
        return Verification(part.name, Verdict.GONE, (), "it was a model in memory")
    try:
        spec = find_again(part)
        record = scan(ScanTask(spec, catalog.rules))
    except SourceNotFoundError as error:
        return Verification(part.name, Verdict.GONE, (), str(error))
    except SourceError as error:
        verdict = Verdict.UNREADABLE
        return Verification(part.name, verdict, (), str(error))
    found = _blocks_of(record)
    differing = tuple(sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)))
    same_stamps = spec.version == part.version
    if not differing:
        return Verification(part.name, Verdict.SAME if same_stamps else Verdict.TOUCHED)
    if same_stamps:
        return Verification(part.name, Verdict.ROTTED, differing, "the bytes differ although no file was written: check the disk")
    return Verification(part.name, Verdict.CHANGED, differing, "scan it again")


def find_again(part: Part) -> PartSpec:
    """The part as it is now.

    Raises:
        SourceNotFoundError: it is gone.
    """
    # A cached revision is known by its name on the hub; its source is where it lies. A variant is found where its model is.
    place = part.source if part.part.startswith("hf://") else part.part
    path = unquote(urlsplit(place).path)
    for weights in ("preferred", "all"):
        resolution = resolve([path], weights=weights)
        for spec in resolution.parts:
            if spec.uri == part.part:
                return spec
        if resolution.errors:
            raise resolution.errors[0]
    raise SourceNotFoundError(part.name, "is no longer where it was scanned", "forget it, or scan with --prune")


def _blocks_by_part(catalog: Catalog) -> dict[str, dict[str, list[bytes]]]:
    """part -> file -> digests of its extents, in order."""
    table = catalog.table("extents", ["file", "block"])  # a part's rows lie in one shard, in the order of its files
    blocks: dict[str, dict[str, list[bytes]]] = {}
    rows = zip(table["part"].to_pylist(), table["file"].to_pylist(), table["block"].to_pylist(), strict=True)
    for part, file, block in rows:
        blocks.setdefault(part, {}).setdefault(file, []).append(block)
    return blocks


def _blocks_of(record: PartRecord) -> dict[str, list[bytes]]:
    blocks: dict[str, list[bytes]] = {}
    for file, block in zip(record.extents.file, record.extents.block, strict=True):
        blocks.setdefault(file, []).append(block)
    return blocks
