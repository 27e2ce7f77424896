"""What deleting models would free, and what adding sources would bring; nothing is changed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache.catalog.block_numbers import number_blocks
from trimcache.catalog.block_table import read_blocks
from trimcache.catalog.description import create_or_check
from trimcache.catalog.layout import TABLES
from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.errors import CatalogRulesError
from trimcache.graph import ModelBlockGraph
from trimcache.scanning.run import run_scan

if TYPE_CHECKING:
    from trimcache.scanning.run import Progress


@dataclass(frozen=True, slots=True)
class IfDeleted:
    """What deleting some models together would do.

    Attributes:
        deleted: their names, each once.
        freed_bytes: blocks that no other model needs, each once; for one model, its ``exclusive_bytes``. An adapter that stays needs
            the blocks of its base.
        freed_blocks: how many blocks these are.
        freed_on_disk_bytes: the files that no other model is made of, each physical file once: what removing them frees on the disk
            as it is; None if some of the catalog is in memory or was generated.
        adapters: the models that stay and are built on a deleted one.
        kept_for_adapters_bytes: blocks of the deleted that only these still need: freed too once the adapters are given up as models,
            or if the base is deleted all the same.
        models, total_bytes, unique_bytes: what remains, as :class:`trimcache.sharing.sizes.Sizes` counts it.
    """

    deleted: tuple[str, ...]
    freed_bytes: int
    freed_blocks: int
    freed_on_disk_bytes: int | None
    adapters: tuple[str, ...]
    kept_for_adapters_bytes: int
    models: int
    total_bytes: int
    unique_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "deleted": list(self.deleted), "adapters": list(self.adapters)}


def if_deleted(catalog: Catalog, models: Sequence[str], graph: ModelBlockGraph | None = None) -> IfDeleted:
    """What deleting ``models`` (any unambiguous ending of their names) together would free.

    Args:
        graph: ``catalog.graph(incomplete=True)``, if it is at hand.

    Raises:
        ModelNameError: a name fits no model, or more than one.
    """
    graph = catalog.graph(incomplete=True) if graph is None else graph
    deleted = list(dict.fromkeys(catalog.find_model(name) for name in models))
    gone = {model.parts[-1] for model in deleted}
    names = {model.name for model in deleted}
    staying = [i for i, model in enumerate(catalog.models) if model.name not in names]
    adapters = [catalog.models[i] for i in staying if gone.intersection(catalog.models[i].parts)]
    needed = np.zeros(graph.n_blocks, bool)
    for i in staying:
        needed[graph.blocks_of(i)] = True
    unique = int(graph.block_bytes[needed].sum())
    return IfDeleted(
        tuple(model.name for model in deleted),
        graph.unique_bytes - unique,
        graph.n_blocks - int(np.count_nonzero(needed)),
        _only_on_disk(catalog, gone),
        tuple(model.name for model in adapters),
        unique - _parts_unique_bytes(catalog, gone) if adapters else 0,
        len(staying),
        int(graph.model_bytes[staying].sum()),
        unique,
    )


def _parts_unique_bytes(catalog: Catalog, without: Collection[str]) -> int:
    """The blocks of all parts but some, each once: what is left if adapters get nothing kept for them."""
    table = read_blocks(catalog)
    left = np.array([part.part not in without for part in catalog.parts], bool)
    held = np.zeros(len(table.nbytes), bool)
    held[table.block[left[table.parts_of_extents()]]] = True
    return int(table.nbytes[held].sum())


def _only_on_disk(catalog: Catalog, gone: Collection[str]) -> int | None:
    """Bytes of the physical files that only parts in ``gone`` have; None if a file of the catalog is not on a disk."""
    if catalog.synthetic:
        return None
    files = catalog.table("files", ["nbytes", "device", "inode"])
    if files["inode"].null_count:
        return None
    doomed: dict[tuple[int, int], int] = {}
    staying: set[tuple[int, int]] = set()
    for part, nbytes, *place in zip(*(files[name].to_pylist() for name in ("part", "nbytes", "device", "inode")), strict=True):
        if part in gone:
            doomed[place[0], place[1]] = nbytes
        else:
            staying.add((place[0], place[1]))
    return sum(nbytes for place, nbytes in doomed.items() if place not in staying)


@dataclass(frozen=True, slots=True)
class IfAdded:
    """What adding some sources would bring.

    Attributes:
        scanned: names of the parts that the catalog does not have, or has at another version.
        unchanged: names of the parts that it already has as they are.
        errors: sources that could not be read, and are not counted: one line each.
        total_bytes: what fetching the models of the scanned parts moves, bases included.
        new_bytes: their blocks that the catalog does not hold, each once; the rest is there already.
        new_blocks: how many blocks these are.
        incomplete: names of scanned adapters whose base is neither in the catalog nor among the sources.
        models, unique_bytes: of the catalog with the sources in it; a new version of a part takes the place of the old one.
    """

    scanned: tuple[str, ...]
    unchanged: tuple[str, ...]
    errors: tuple[str, ...]
    total_bytes: int
    new_bytes: int
    new_blocks: int
    incomplete: tuple[str, ...]
    models: int
    unique_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def if_added(catalog: Catalog, sources: Sequence[Any], graph: ModelBlockGraph | None = None, progress: Progress | None = None) -> IfAdded:
    """What scanning ``sources`` into ``catalog`` would add to it; they are scanned, by its rules, into a temporary one.

    Args:
        sources: as for :func:`trimcache.scan`.
        graph: ``catalog.graph(incomplete=True)``, if it is at hand.

    Raises:
        SourceError: no source at all could be scanned.
        CatalogRulesError: the catalog is synthetic: real models do not go into it.
    """
    if catalog.synthetic:
        raise CatalogRulesError(str(catalog.root), "is a synthetic catalog, which cannot take in scanned models", "name a scanned one")
    graph = catalog.graph(incomplete=True) if graph is None else graph
    with tempfile.TemporaryDirectory(prefix="trimcache-") as folder:
        view = Path(folder) / "if-added.catalog"
        _link(catalog, view)
        report = run_scan(sources, view, catalog.rules, progress=progress)
        if report.nothing_done and report.errors:
            raise report.errors[0]
        after = open_catalog(view)
        grown = after.graph(incomplete=True)
    assert graph.block_ids is not None
    assert grown.block_ids is not None
    _, first = number_blocks(np.concatenate([graph.block_ids, grown.block_ids]))
    added = first[graph.n_blocks :]  # what the catalog has comes first there
    scanned = set(report.scanned)
    fresh = [i for i, model in enumerate(after.models) if model.name in scanned]
    return IfAdded(
        tuple(report.scanned),
        tuple(report.unchanged),
        tuple(str(error) for error in report.errors),
        int(grown.model_bytes[fresh].sum()),
        int(grown.block_bytes[added].sum()),
        int(np.count_nonzero(added)),
        tuple(after.models[i].name for i in fresh if after.models[i].missing is not None),
        grown.n_models,
        grown.unique_bytes,
    )


def _link(catalog: Catalog, view: Path) -> None:
    """A catalog of the same content at ``view``, made of links: what is written there, or compacted, leaves ``catalog`` as it is."""
    create_or_check(view, catalog.description)
    # Also shards without live rows: they say what is forgotten.
    shards = [path.name for path in (catalog.root / "parts").glob("[!.]*.parquet")]
    for table in TABLES:
        (view / table).mkdir()
        for shard in shards:
            (view / table / shard).symlink_to((catalog.root / table / shard).resolve())
