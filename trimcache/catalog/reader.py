"""Opening a catalog: the newest generation of every part, and its rows in every table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        shards = self._shards("parts")
        newest: dict[str, tuple[tuple[int, str], dict[str, Any]]] = {}
        n_rows = 0
        for shard in shards:
            for row in self.read_shard("parts", shard).to_pylist():
                n_rows += 1
                key = (row["generation"], shard)
                if row["part"] not in newest or key > newest[row["part"]][0]:
                    newest[row["part"]] = (key, row)
        live = [_part(row, shard) for (_, shard), row in newest.values() if row["status"] != FORGOTTEN]
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
        schema = schemas(self.rules.digest_nbytes)[name]
        wanted = [field.name for field in schema] if columns is None else ["part", "generation", *columns]
        by_shard: dict[str, dict[str, int]] = {}
        for part in self.parts:
            by_shard.setdefault(part.shard, {})[part.part] = part.generation
        pieces = []
        for shard, live in by_shard.items():
            # Where every part has one row only, no generation has to be compared.
            read = [column for column in wanted if column != "generation"] if self._nothing_outdated and columns is not None else wanted
            piece = self.read_shard(name, shard, read, read_dictionary=("part",))
            encoded = piece["part"].dictionary_encode().unify_dictionaries()
            piece = piece.set_column(piece.column_names.index("part"), "part", encoded)
            if not self._nothing_outdated:
                mask = pc.and_(
                    pc.is_in(piece["part"], value_set=pa.array(list(live), pa.string())),
                    pc.is_in(piece["generation"], value_set=pa.array(sorted(set(live.values())), pa.int64())),
                )
                piece = piece.filter(mask)
            pieces.append(piece)
        if not pieces:
            return schema.empty_table().select(wanted)
        return pa.concat_tables(pieces, promote_options="default").unify_dictionaries()

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
        try:
            present = pq.read_table(
                path,
                columns=None if columns is None else list(columns),
                partitioning=None,
                read_dictionary=list(read_dictionary),
            )
        except FileNotFoundError as error:
            raise CatalogCorruptError(
                str(path), "is missing", "open the catalog again if it was being compacted, else scan again into a new folder"
            ) from error
        except (OSError, pa.ArrowException) as error:
            raise CatalogCorruptError(str(path), "is damaged", f"delete {shard} from parts/ and scan again") from error
        for field in expected:
            if columns is not None and field.name not in columns:
                continue
            if field.name not in present.column_names:
                if not field.nullable:
                    raise CatalogCorruptError(str(path), f"has no column {field.name}", f"delete {shard} from parts/ and scan again")
                present = present.append_column(field, pa.nulls(len(present), field.type))
        return present.select([field.name for field in expected if columns is None or field.name in columns])


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


def _part(row: dict[str, Any], shard: str) -> Part:
    return Part(
        part=row["part"],
        generation=row["generation"],
        name=row["name"],
        source=row["source"],
        version=row["version"],
        format=row["format"],
        architecture=row["architecture"],
        declared_base=row["declared_base"],
        base_revision=row["base_revision"],
        needs_base=bool(row["needs_base"]),
        popularity=row["popularity"],
        nbytes=row["nbytes"],
        notes=tuple(row["notes"]),
        shard=shard,
    )


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
