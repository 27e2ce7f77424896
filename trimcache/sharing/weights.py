"""Weights alone: which distinct parameter and adapter tensors each model holds. Buffers, headers and files tell nothing of descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trimcache.catalog.block_numbers import number_blocks
from trimcache.catalog.block_table import BlockTable, by_part, bytes_matrix, codes_of
from trimcache.catalog.graph_builder import incidence
from trimcache.graph import ModelBlockGraph
from trimcache.tensors import Kind

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
WEIGHT_KINDS = (Kind.PARAMETER.value, Kind.ADAPTER.value)


@dataclass(frozen=True, eq=False)
class TensorRows:
    """Every tensor of a catalog, E rows; those of part ``p`` are ``starts[p] : starts[p] + counts[p]``, in the order of the catalog.

    Attributes:
        weight: int64[E]: the block of the tensor in the graph of weights, -1 if it is no weight (a buffer, a constant).
        name, shape, dtype, file: int32[E]: indices into the texts beside them; a shape is written ``384x1536``, a scalar is empty.
        nbytes: int64[E].
    """

    starts: Ints
    counts: Ints
    weight: Ints
    nbytes: Ints
    name: NDArray[np.int32]
    names: tuple[str, ...]
    shape: NDArray[np.int32]
    shapes: tuple[str, ...]
    dtype: NDArray[np.int32]
    dtypes: tuple[str, ...]
    file: NDArray[np.int32]
    files: tuple[str, ...]

    def of_part(self, part: int) -> slice:
        """Rows of ``catalog.parts[part]``."""
        return slice(int(self.starts[part]), int(self.starts[part] + self.counts[part]))


def weight_graph(catalog: Catalog) -> ModelBlockGraph:
    """Models x distinct weight tensors, by canonical digest; a model's tensor counts once, however often the model holds it.

    The models are those of ``catalog.models``, in that order; an adapter without its base holds what is there. Tensors of one constant
    value are left out: a fresh bias of zeros relates nobody. ``model_bytes`` are the bytes of the distinct weights.
    """
    table = catalog.table("tensors", ["kind", "nbytes", "digest", "constant"])
    kept = table.filter(_is_weight(table))
    part_index = {part.part: i for i, part in enumerate(catalog.parts)}
    digests = bytes_matrix(kept["digest"], catalog.rules.digest_nbytes)
    return _graph(catalog, codes_of(kept["part"], part_index), digests, _int64(kept["nbytes"]))[0]


def read_tensors(catalog: Catalog) -> tuple[ModelBlockGraph, TensorRows]:
    """The graph of weights, and every tensor with what its header says of it; slower and larger than the graph alone."""
    table = catalog.table("tensors", ["kind", "nbytes", "digest", "constant", "name", "dtype", "shape", "file"])
    part_index = {part.part: i for i, part in enumerate(catalog.parts)}
    part = codes_of(table["part"], part_index)
    order, parts, begins = by_part(part)
    if order is not None:
        table, part = table.take(pa.array(order)), part[order]
    starts, counts = np.zeros(len(catalog.parts), np.int64), np.zeros(len(catalog.parts), np.int64)
    starts[parts] = begins
    counts[parts] = np.diff(begins, append=len(table))
    is_weight = _is_weight(table).combine_chunks().to_numpy(zero_copy_only=False).astype(bool)
    digests, nbytes = bytes_matrix(table["digest"], catalog.rules.digest_nbytes), _int64(table["nbytes"])
    graph, block = _graph(catalog, part[is_weight], digests[is_weight], nbytes[is_weight])
    weight = np.full(len(table), -1, np.int64)
    weight[is_weight] = block
    shape = pc.binary_join(table["shape"].cast(pa.list_(pa.string())), "x")
    coded = [_coded(column) for column in (table["name"], shape, table["dtype"], table["file"])]
    (name, names), (shapes_of, shapes), (dtype, dtypes), (file, files) = coded
    return graph, TensorRows(starts, counts, weight, nbytes, name, names, shapes_of, shapes, dtype, dtypes, file, files)


def _is_weight(table: pa.Table) -> pa.ChunkedArray:
    of_kind = pc.is_in(table["kind"], value_set=pa.array(WEIGHT_KINDS, table["kind"].type))
    return pc.and_(pc.and_(of_kind, pc.invert(table["constant"])), pc.greater(table["nbytes"], 0))


def _graph(catalog: Catalog, part: Ints, digests: NDArray[np.uint8], nbytes: Ints) -> tuple[ModelBlockGraph, Ints]:
    """The graph of rows ``(part, digest, nbytes)``, and the block of each row."""
    block, new = number_blocks(digests)
    order, parts, begins = by_part(part)
    starts, counts = np.zeros(len(catalog.parts), np.int64), np.zeros(len(catalog.parts), np.int64)
    starts[parts] = begins
    counts[parts] = np.diff(begins, append=len(part))
    sizes = nbytes[new]
    table = BlockTable(digests[new], sizes, block if order is None else block[order], starts, counts)
    index = {part.part: i for i, part in enumerate(catalog.parts)}
    pairs = [(i, index[uri]) for i, model in enumerate(catalog.models) for uri in model.parts]
    model_of_pair, part_of_pair = (np.array(column, np.int64) for column in (zip(*pairs, strict=True) if pairs else ((), ())))
    indptr, indices = incidence(model_of_pair, part_of_pair, len(catalog.models), table)
    cumulative = np.concatenate([[0], np.cumsum(sizes[indices])])
    own = cumulative[indptr[1:]] - cumulative[indptr[:-1]]
    names = tuple(model.name for model in catalog.models)
    return ModelBlockGraph(names, sizes, indptr, indices, own, synthetic=catalog.synthetic), block.astype(np.int64)


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), tuple(encoded.dictionary.to_pylist())


def _int64(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), np.int64)
