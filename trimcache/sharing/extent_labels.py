"""What each extent of a catalog is: its kind, or the element types of the tensors in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimcache.catalog.block_table import codes_of
from trimcache.tensors import Kind

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
NO_TENSOR = "none"
ENCODED = "encoded"
JOINT = "+"  # between the types of an extent that holds tensors of several; no type has it in its name
_NOT_TENSORS = (Kind.HEADER.value, Kind.FILE.value)


def kind_of_extents(_catalog: Catalog, _shard: str, extents: pa.Table) -> pa.ChunkedArray:
    """The kind that the scan gave each extent, dictionary-encoded."""
    return extents["kind"].dictionary_encode()


def dtype_of_extents(catalog: Catalog, shard: str, extents: pa.Table) -> pa.ChunkedArray:
    """The element type of the tensors that lie in each extent, dictionary-encoded.

    Several are joined (``float16+int64``), as blocks larger than a tensor hold. Without a tensor: ``none`` for headers and other files,
    ``encoded`` for tensors that are stored in another form than row by row (deflated arrays, for example).

    Args:
        extents: columns ``part``, ``file``, ``offset``, ``nbytes``, ``kind``.
    """
    tensors = catalog.live_rows("tensors", shard, ["file", "dtype", "offset", "nbytes"], encoded=("file", "dtype"))
    key, tensor_key = _file_keys(catalog, extents, tensors)
    order, begin, extent_end, files, base = _layout(extents, key)
    dtype, dtypes = _encoded(tensors["dtype"])
    offset, nbytes = tensors["offset"].fill_null(-1).to_numpy(), tensors["nbytes"].to_numpy()
    placed = (offset >= 0) & (nbytes > 0)
    if not placed.all():
        dtype, offset, nbytes, tensor_key = dtype[placed], offset[placed], nbytes[placed], tensor_key[placed]
    address = base[np.searchsorted(files, tensor_key)] + offset
    extent, of_type = np.searchsorted(begin, address, side="right") - 1, dtype
    address += nbytes
    wide = np.flatnonzero(address > extent_end[extent])  # tensors that several extents tile
    if len(wide):
        first, last = extent[wide], np.searchsorted(begin, address[wide], side="left") - 1
        repeats = last - first
        further = np.repeat(first + 1 - (np.cumsum(repeats) - repeats), repeats) + np.arange(int(repeats.sum()))
        extent, of_type = np.concatenate([extent, further]), np.concatenate([dtype, np.repeat(dtype[wide], repeats)])
    label = np.full(len(begin), -1, np.int64)
    label[extent] = of_type
    names = [*dtypes, NO_TENSOR, ENCODED]
    bare = np.flatnonzero(label < 0)
    kinds, kind_names = _encoded(extents["kind"].take(pa.array(bare if order is None else order[bare])))
    no_tensor = np.isin(kinds, [code for code, name in enumerate(kind_names) if name in _NOT_TENSORS])
    label[bare] = np.where(no_tensor, len(dtypes), len(dtypes) + 1)
    mixed = np.zeros(len(begin), bool)
    mixed[extent[label[extent] != of_type]] = True
    if mixed.any():
        chosen = mixed[extent]
        _join_types(label, names, extent[chosen], of_type[chosen])
    if order is not None:
        label[order] = label.copy()
    return pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array(label, pa.int32()), pa.array(names, pa.string()))])


def _layout(extents: pa.Table, key: Ints) -> tuple[Ints | None, Ints, Ints, Ints, Ints]:
    """``(order, begin, end, files, base)``: all files of a shard as one line of addresses, because the extents of a file tile it.

    Extents in that order (None: as they are) lie at ``begin:end``; the file of key ``files[i]``, ascending, begins at ``base[i]``.
    """
    offset, nbytes = extents["offset"].to_numpy(), extents["nbytes"].to_numpy()
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    in_order = np.ones(len(key), bool)
    in_order[1:] = offset[1:] > offset[:-1]
    in_order[starts] = True
    order = None
    if not in_order.all() or len(np.unique(key[starts])) < len(starts):  # no writer of ours leaves them so
        order = np.lexsort((offset, key))
        key, nbytes = key[order], nbytes[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
    end = np.cumsum(nbytes)
    begin = end - nbytes
    by_key = np.argsort(key[starts])
    return order, begin, end, key[starts][by_key], begin[starts][by_key]


def _file_keys(catalog: Catalog, *tables: pa.Table) -> list[Ints]:
    """For each row of each table a number of its (part, file); the same ones in all tables."""
    part_index = {part.part: i for i, part in enumerate(catalog.parts)}
    numbers: dict[str, int] = {}
    found = []
    for table in tables:
        codes, files = _encoded(table["file"])
        file = np.array([numbers.setdefault(name, len(numbers)) for name in files], np.int64)
        found.append((codes_of(table["part"], part_index), file[codes] if len(codes) else codes))
    return [part * len(numbers) + file for part, file in found]


def _join_types(label: Ints, names: list[str], extent: Ints, dtype: Ints) -> None:
    """Give each of some extents the joined name of all its types; ``label`` and ``names`` grow in place."""
    pairs = np.unique(extent * len(names) + dtype)
    owner, of_type = np.divmod(pairs, len(names))
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    codes: dict[str, int] = {}
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(owner)], strict=False):
        joint = JOINT.join(sorted(names[code] for code in of_type[begin:end].tolist()))
        label[owner[begin]] = codes.setdefault(joint, len(names) + len(codes))
    names += codes


def _encoded(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Codes of a column of texts, and the texts."""
    encoded = column.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64) for chunk in encoded.chunks]
    return np.concatenate([np.zeros(0, np.int64), *codes]), encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
