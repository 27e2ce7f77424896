"""Opening a catalog: the newest generation of every part, and its rows in every table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import repeat, starmap
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trimcache.catalog.description import SYNTHETIC_ORIGIN, CatalogDescription, read_description
from trimcache.catalog.layout import FORGOTTEN
from trimcache.catalog.models import Model, resolve_models
from trimcache.catalog.schema import schemas
from trimcache.errors import CatalogCorruptError, CatalogNotFoundError, ModelNameError
from trimcache.rules import Rules

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.scanning.run import ScanReport

T = TypeVar("T")
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One live row of ``parts``; attributes are its columns (:mod:`trimcache.catalog.schema`)."""

    part: str
    generation: int
    name: str
    source: str
    version: str
    format: str
    architecture: str | None
    declared_base: str | None
    base_revision: str | None
    needs_base: bool
    popularity: float | None
    nbytes: int
    notes: tuple[str, ...]
    shard: str


_PART_COLUMNS = tuple(field.name for field in fields(Part) if field.name != "shard")


class Catalog:
    """A snapshot of a catalog as it was when it was opened.

    Raises:
        CatalogNotFoundError, CatalogVersionError, CatalogCorruptError: from opening.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()
        self.description: CatalogDescription = read_description(self.root)
        #: What the scan that opened this catalog did, if one did.
        self.last_scan: ScanReport | None = None
        _ = self.parts

    def __repr__(self) -> str:
        kind = "synthetic " if self.synthetic else ""
        return f"<{kind}Catalog {str(self.root)!r}: {len(self.parts)} parts, {self.rules}>"

    def _repr_html_(self) -> str:
        from trimcache.report.notebook import catalog_html

        return catalog_html(self)

    @property
    def rules(self) -> Rules:
        return self.description.rules

    @property
    def synthetic(self) -> bool:
        """Whether its models were generated instead of scanned."""
        return self.description.origin == SYNTHETIC_ORIGIN

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every live part, sorted by name."""
        newest: dict[str, tuple[Part, bool]] = {}
        n_rows = 0
        for shard in self._shards("parts"):
            table = self.read_shard("parts", shard, ("status", *_PART_COLUMNS))
            n_rows += len(table)
            forgotten = (status == FORGOTTEN for status in table["status"].to_pylist())
            for part, gone in zip(_parts(table, shard), forgotten, strict=True):
                known = newest.get(part.part)
                if known is None or (part.generation, shard) > (known[0].generation, known[0].shard):
                    newest[part.part] = (part, gone)
        live = [part for part, gone in newest.values() if not gone]
        self._nothing_outdated = len(live) == n_rows
        return tuple(_unique_names(sorted(live, key=lambda part: (part.name, part.part))))

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """Every model, adapters completed with their bases where those are in the catalog; sorted by name."""
        return resolve_models(self.parts)

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The live rows of one table (``files``, ``tensors``, ``extents``), ``part`` dictionary-encoded.

        Args:
            columns: which to read besides ``part`` and ``generation``; None: all.
        """
        pieces = [self.live_rows(name, shard, columns) for shard in self.shards]
        if not pieces:
            schema = schemas(self.rules.digest_nbytes)[name]
            return schema.empty_table().select(schema.names if columns is None else ["part", "generation", *columns])
        return pa.concat_tables(pieces, promote_options="default").unify_dictionaries()

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards with live rows, in the order in which :meth:`table` joins them."""
        return tuple(self._live_by_shard)

    def live_rows(self, name: str, shard: str, columns: Sequence[str] | None = None, *, encoded: Sequence[str] = ()) -> pa.Table:
        """The rows of :meth:`table` that lie in one shard: a large catalog need not lie in memory whole.

        Args:
            encoded: columns of repeated texts to leave dictionary-encoded besides ``part``.
        """
        schema = schemas(self.rules.digest_nbytes)[name]
        wanted = schema.names if columns is None else ["part", "generation", *columns]
        # Where every part has one row only, no generation has to be compared.
        read = [column for column in wanted if column != "generation"] if self._nothing_outdated and columns is not None else wanted
        rows = self.read_shard(name, shard, read, read_dictionary=("part", *encoded))
        parts = rows["part"].dictionary_encode().unify_dictionaries()
        rows = rows.set_column(rows.column_names.index("part"), "part", parts)
        if self._nothing_outdated:
            return rows
        live = self._live_by_shard[shard]
        mask = pc.and_(
            pc.is_in(rows["part"], value_set=pa.array(list(live), pa.string())),
            pc.is_in(rows["generation"], value_set=pa.array(sorted(set(live.values())), pa.int64())),
        )
        return rows.filter(mask)

    def n_rows(self, name: str) -> int:
        """How many rows the shards of one table hold, live or not, by their footers."""
        return sum(self._read(name, shard, lambda path: pq.read_metadata(path).num_rows) for shard in self.shards)

    @cached_property
    def _live_by_shard(self) -> dict[str, dict[str, int]]:
        """Shard to the generation of each part that is read from it."""
        by_shard: dict[str, dict[str, int]] = {}
        for part in self.parts:
            by_shard.setdefault(part.shard, {})[part.part] = part.generation
        return by_shard

    def graph(self, *, incomplete: bool = False) -> ModelBlockGraph:
        """The model-block graph, block sets closed: an adapter model holds its base's blocks too.

        Args:
            incomplete: also take in adapters whose base is not in the catalog, as the bytes that are there.
        """
        from trimcache.catalog.graph_builder import build_graph

        return build_graph(self, incomplete=incomplete)

    def find_model(self, name: str) -> Model:
        """The model of that name, or the only one whose name ends in ``/name``.

        Raises:
            ModelNameError: there is none, or more than one.
        """
        exact = [model for model in self.models if model.name == name]
        found = exact or [model for model in self.models if model.name.endswith(f"/{name}")]
        # A cached revision may be named without its revision, while there is only one.
        found = found or [model for model in self.models if model.name.partition("@")[0] == name or model.name.startswith(f"{name}@")]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(model.name for model in found[:4])
            raise ModelNameError(f"model {name!r}", f"could be any of {len(found)} ({some})", "write more of its name")
        from difflib import get_close_matches

        close = get_close_matches(name, [model.name for model in self.models], n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(close)}?" if close else "see: trimcache stats CATALOG"
        raise ModelNameError(f"model {name!r}", f"is not in {self.root}", hint)

    def _shards(self, table: str) -> list[str]:
        folder = self.root / table
        try:
            return sorted(path.name for path in folder.iterdir() if path.name.endswith(".parquet") and not path.name.startswith("."))
        except FileNotFoundError:
            return []

    def read_shard(self, table: str, shard: str, columns: Sequence[str] | None = None, *, read_dictionary: Sequence[str] = ()) -> pa.Table:
        """All rows of one shard of one table, live or not, in the columns this version knows.

        Args:
            read_dictionary: columns to leave as dictionaries, which saves most of the time that repeated texts take.
        """
        path = self.root / table / shard
        expected = schemas(self.rules.digest_nbytes)[table]

        def read(path: Path) -> pa.Table:
            with pq.ParquetFile(path, read_dictionary=list(read_dictionary)) as file:
                present = file.schema_arrow.names
                return file.read(None if columns is None else [name for name in columns if name in present])

        present = self._read(table, shard, read)
        for field in expected:
            if columns is not None and field.name not in columns:
                continue
            if field.name not in present.column_names:
                if not field.nullable:
                    raise CatalogCorruptError(str(path), f"has no column {field.name}", f"delete {shard} from parts/ and scan again")
                present = present.append_column(field, pa.nulls(len(present), field.type))
        return present.select([field.name for field in expected if columns is None or field.name in columns])

    def _read(self, table: str, shard: str, read: Callable[[Path], T]) -> T:
        path = self.root / table / shard
        try:
            return read(path)
        except FileNotFoundError as error:
            raise CatalogCorruptError(
                str(path), "is missing", "open the catalog again if it was being compacted, else scan again into a new folder"
            ) from error
        except (OSError, pa.ArrowException) as error:
            raise CatalogCorruptError(str(path), "is damaged", f"delete {shard} from parts/ and scan again") from error


def open_catalog(path: Path | str) -> Catalog:
    """Open the catalog at ``path``; tries again if it is being compacted at this moment.

    Raises:
        CatalogNotFoundError, CatalogVersionError, CatalogCorruptError: there is none, it is too new, it is damaged.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return Catalog(path)
        except CatalogCorruptError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.05 * 2**attempt)
    raise CatalogNotFoundError(str(path), "cannot be opened", "scan again")


def _parts(table: pa.Table, shard: str) -> Iterator[Part]:
    """The rows of one shard of ``parts``, column by column: rows as dictionaries would take ten times as long."""
    columns = [map(tuple, values) if name == "notes" else values for name in _PART_COLUMNS for values in [table[name].to_pylist()]]
    return starmap(Part, zip(*columns, repeat(shard, len(table)), strict=True))


def _unique_names(parts: Sequence[Part]) -> Iterator[Part]:
    """Two scans at once may have given two parts one name: the later of them gets a suffix, the same one at every opening."""
    from dataclasses import replace

    used: set[str] = set()
    for part in parts:
        name, number = part.name, 1
        while name in used:
            number += 1
            name = f"{part.name}~{number}"
        used.add(name)
        yield part if name == part.name else replace(part, name=name)
