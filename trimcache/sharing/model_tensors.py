"""The tensors of one model as its catalog holds them: ranges of files, each with every name tied to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from trimcache.catalog.models import Model
from trimcache.catalog.reader import Catalog, Part

_COLUMNS = ("file", "name", "kind", "dtype", "shape", "offset", "nbytes", "digest", "constant")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One range of one file of a model. Tied tensors are one of these with several names.

    Attributes:
        part: index in the model's parts (a base is 0, its adapter 1).
        file: path in that part.
        names: in file order; the first one's kind, dtype and shape are meant below.
        offset: None where the file does not hold the bytes row-major.
        nbytes, digest, constant: of the canonical bytes, as in the table ``tensors``.
    """

    part: int
    file: str
    names: tuple[str, ...]
    kind: str
    dtype: str
    shape: tuple[int, ...]
    offset: int | None
    nbytes: int
    digest: bytes
    constant: bool

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def folder(self) -> str:
        """Of its file: the component of a pipeline (``unet``, ``text_encoder``), "" at the top."""
        return self.file.rpartition("/")[0]


def stored_tensors(catalog: Catalog, model: Model) -> list[StoredTensor]:
    """Every tensor of ``model``, base parts first, in file order; only the shards that hold its parts are read.

    Tensors that share a whole range are one. A tensor that the file does not hold row-major has no range and stands for itself.
    """
    parts = {part.part: part for part in catalog.parts}
    return [tensor for index, uri in enumerate(model.parts) for tensor in _of_part(catalog, parts[uri], index)]


def _of_part(catalog: Catalog, part: Part, index: int) -> Iterator[StoredTensor]:
    rows = catalog.live_rows("tensors", part.shard, _COLUMNS)
    rows = rows.filter(pc.equal(rows["part"].cast(pa.string()), part.part))
    tied: dict[tuple[str, int | None, int], list[dict[str, object]]] = {}
    for ordinal, row in enumerate(rows.select(list(_COLUMNS)).to_pylist()):
        no_range = row["offset"] is None or not row["nbytes"]
        # No offset is negative, so these keys meet no other.
        key = (row["file"], -1 - ordinal, 0) if no_range else (row["file"], row["offset"], row["nbytes"])
        tied.setdefault(key, []).append(row)
    for group in tied.values():
        first = dict(group[0])
        names = tuple(str(row["name"]) for row in group)
        shape = tuple(first.pop("shape"))  # type: ignore[arg-type,var-annotated]
        del first["name"]
        yield StoredTensor(part=index, names=names, shape=shape, **first)  # type: ignore[arg-type]
