"""The model-block graph: which model is made of which blocks, and how large each block is.

It is all that placement knows of models: an incidence of models x blocks with exact sizes. Size words are those of the
design: ``model_bytes`` is what fetching a model moves, ``unique_bytes`` counts each block once.

    >>> graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10, "y": 5})
    >>> graph.total_bytes, graph.unique_bytes, graph.shared_bytes, graph.specific_bytes
    (25, 15, 10, 5)
    >>> graph.set_bytes(["a", "b"]), graph.exclusive_bytes().tolist()
    (15, [5, 0])
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache._atoms import Atoms, build_atoms, count_each, set_hashes, sorted_unique, transpose
from trimcache._graph_rules import SUBJECT, as_int64, check_sum, frozen, validate
from trimcache.errors import GraphError

__all__ = ["Atoms", "ModelBlockGraph"]


@dataclass(frozen=True, eq=False)
class ModelBlockGraph:
    """Models x blocks, frozen: I models, J blocks, every array read-only.

    Attributes:
        model_names: I unique names; their order is the order of every per-model array.
        block_bytes: int64[J], exact size of each block.
        indptr, indices: int64[I+1], int32[nnz]: model ``i`` is made of blocks ``indices[indptr[i]:indptr[i+1]]``,
            ascending, each once. Every block belongs to at least one model.
        model_bytes: int64[I], all bytes that fetching the model moves. Not the sum of its blocks in general: equal
            bytes at two places of a file are one block but travel twice.
        block_ids: uint8[J, n] digests, or None.
        popularity: float64[I], non-negative, or None.
        synthetic: True if the models were generated, not scanned.
        meta: string rules, such as ``granularity`` and ``digest``.

    Raises:
        GraphError: shapes that disagree, negative sizes, repeated names or ids, a block of no model, sums beyond int64.
    """

    model_names: tuple[str, ...]
    block_bytes: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    model_bytes: NDArray[np.int64]
    block_ids: NDArray[np.uint8] | None = None
    popularity: NDArray[np.float64] | None = None
    synthetic: bool = False
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("model_names", tuple(self.model_names))
        put("block_bytes", frozen(self.block_bytes, np.int64, "block_bytes"))
        put("indptr", frozen(self.indptr, np.int64, "indptr"))
        put("indices", frozen(self.indices, np.int32, "indices"))
        put("model_bytes", frozen(self.model_bytes, np.int64, "model_bytes"))
        if self.block_ids is not None:
            put("block_ids", frozen(self.block_ids, np.uint8, "block_ids", ndim=2))
        if self.popularity is not None:
            put("popularity", frozen(self.popularity, np.float64, "popularity"))
        put("synthetic", bool(self.synthetic))
        put("meta", MappingProxyType({str(key): str(value) for key, value in dict(self.meta).items()}))
        validate(self)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a mapping proxy and cached results do not travel between processes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"meta": dict(self.meta)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    # -- made from ------------------------------------------------------------------------------------------------

    @classmethod
    def from_blocks(
        cls,
        models: Mapping[str, Iterable[str]],
        block_bytes: Mapping[str, int],
        model_bytes: Mapping[str, int] | None = None,
    ) -> ModelBlockGraph:
        """A graph from names: ``models`` maps a model to its blocks, ``block_bytes`` a block to its size.

        ``model_bytes=None`` means the sum of a model's blocks. Block ids are hashes of the block *names*, tagged so
        that they never equal the digest of bytes.
        """
        names, blocks = list(models), list(block_bytes)
        index = {block: j for j, block in enumerate(blocks)}
        rows: list[tuple[int, int]] = []
        for i, name in enumerate(names):
            for block in models[name]:
                if block not in index:
                    raise GraphError(f"model {name!r}", f"has block {block!r} of unknown size", "give its size")
                rows.append((i, index[block]))
        used = {j for _, j in rows}
        if idle := [block for block in blocks if index[block] not in used]:
            raise GraphError(f"block {idle[0]!r}", "belongs to no model", "leave it out")
        if model_bytes is not None and (wrong := set(names) ^ set(model_bytes)):
            raise GraphError(f"model {min(wrong)!r}", "is not in both models and model_bytes", "give every model once")
        tagged = [hashlib.sha256(b"trimcache block name\0" + block.encode("utf-8", "surrogatepass")) for block in blocks]
        pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return cls.from_incidence(
            names,
            pairs[:, 0],
            pairs[:, 1],
            as_int64([block_bytes[block] for block in blocks], "block_bytes"),
            None if model_bytes is None else as_int64([model_bytes[name] for name in names], "model_bytes"),
            block_ids=np.frombuffer(b"".join(h.digest() for h in tagged), np.uint8).reshape(-1, 32),
        )

    @classmethod
    def from_incidence(
        cls,
        model_names: Sequence[str],
        model_of_row: ArrayLike,
        block_of_row: ArrayLike,
        block_bytes: ArrayLike,
        model_bytes: ArrayLike | None,
        block_ids: NDArray[np.uint8] | None = None,
        *,
        popularity: ArrayLike | None = None,
        synthetic: bool = False,
        meta: Mapping[str, str] | None = None,
    ) -> ModelBlockGraph:
        """A graph from rows (model index, block index), in any order, repeats allowed.

        Args:
            model_names: I names.
            model_of_row, block_of_row: integers [n], the incidence.
            block_bytes: integers [J].
            model_bytes: integers [I], or None for the sum of each model's blocks, each once.
            block_ids: uint8[J, n] or None.
            popularity: floats [I] or None.
        """
        sizes = as_int64(block_bytes, "block_bytes")
        models, blocks = as_int64(model_of_row, "model_of_row"), as_int64(block_of_row, "block_of_row")
        n_models, n_blocks = len(model_names), sizes.size
        if models.shape != blocks.shape:
            raise GraphError(SUBJECT, f"{models.size} model rows but {blocks.size} block rows", "give pairs")
        for rows, count, what in ((models, n_models, "model"), (blocks, n_blocks, "block")):
            if rows.size and (rows.min() < 0 or rows.max() >= count):
                bad = int(rows.min()) if rows.min() < 0 else int(rows.max())
                raise GraphError(SUBJECT, f"row refers to {what} {bad}, there are {count}", "use indices from 0")
        keys = sorted_unique(models * np.int64(max(n_blocks, 1)) + blocks)
        owner, indices = np.divmod(keys, max(n_blocks, 1))
        indptr = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=n_models))))
        if model_bytes is None:
            check_sum(sizes[indices], "the sizes of all models' blocks")
            cumulative = np.concatenate(([0], np.cumsum(sizes[indices])))
            model_bytes = cumulative[indptr[1:]] - cumulative[indptr[:-1]]
        return cls(
            tuple(model_names),
            sizes,
            indptr,
            indices.astype(np.int32),
            as_int64(model_bytes, "model_bytes"),
            block_ids,
            None if popularity is None else np.asarray(popularity, dtype=np.float64),
            synthetic,
            meta or {},
        )

    # -- sizes ----------------------------------------------------------------------------------------------------

    @property
    def n_models(self) -> int:
        """I, the number of models."""
        return len(self.model_names)

    @property
    def n_blocks(self) -> int:
        """J, the number of blocks."""
        return int(self.block_bytes.size)

    @property
    def total_bytes(self) -> int:
        """Sum of ``model_bytes`` over models."""
        return int(self.model_bytes.sum())

    @property
    def unique_bytes(self) -> int:
        """Each block once; equals ``shared_bytes + specific_bytes``."""
        return int(self.block_bytes.sum())

    @property
    def shared_bytes(self) -> int:
        """Blocks that two or more models hold, each once."""
        return int(self.block_bytes[self.holders() >= 2].sum())

    @property
    def specific_bytes(self) -> int:
        """Blocks that exactly one model holds."""
        return int(self.block_bytes[self.holders() == 1].sum())

    @property
    def granularity(self) -> str:
        """The rule by which files were cut into blocks; empty if unknown."""
        return self.meta.get("granularity", "")

    @property
    def digest(self) -> str:
        """The rule by which blocks were named; empty if unknown."""
        return self.meta.get("digest", "")

    def exclusive_bytes(self) -> NDArray[np.int64]:
        """int64[I]: what deleting each model alone frees, the sum of its specific blocks."""
        return self._row_sums(np.where(self.holders() == 1, self.block_bytes, 0))

    def closed_bytes(self) -> NDArray[np.int64]:
        """int64[I]: storage each model needs alone, its blocks each once."""
        return self._row_sums(self.block_bytes)

    def set_bytes(self, models: Iterable[str | int]) -> int:
        """Storage that a set of models (names or indices) needs together: the union of their blocks."""
        chosen = self.model_indices(models)
        if not chosen.size:
            return 0
        blocks = np.concatenate([self.blocks_of(int(i)) for i in chosen])
        return int(self.block_bytes[sorted_unique(blocks)].sum())

    # -- structure ------------------------------------------------------------------------------------------------

    def blocks_of(self, model: int) -> NDArray[np.int32]:
        """Block indices of model index ``model``, ascending."""
        return self.indices[self.indptr[model] : self.indptr[model + 1]]

    def model_indices(self, models: Iterable[str | int]) -> NDArray[np.int64]:
        """int64[n] indices of ``models``, given by exact name or by index, in the order given."""
        found = []
        for model in models:
            if isinstance(model, str):
                if model not in self._index:
                    raise GraphError(f"model {model!r}", "is not in the graph", "see model_names")
                found.append(self._index[model])
            elif 0 <= int(model) < self.n_models:
                found.append(int(model))
            else:
                raise GraphError(f"model {model}", f"is not an index below {self.n_models}", "see n_models")
        return np.array(found, dtype=np.int64)

    def holders(self) -> NDArray[np.int64]:
        """int64[J]: how many models hold each block."""
        return self._holders

    def transposed(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """CSR blocks -> models: ``indptr`` int64[J+1] and ascending ``indices`` int32[nnz]."""
        return self._transposed

    def atoms(self) -> Atoms:
        """Blocks held by exactly the same set of models, merged: lossless for any question about sets of models."""
        return self._atoms

    def subset(self, models: Iterable[str | int]) -> ModelBlockGraph:
        """The graph of only these models, in the order given, with the blocks that they hold."""
        chosen = self.model_indices(models)
        lengths = np.diff(self.indptr)[chosen]
        rows = np.concatenate([self.blocks_of(int(i)) for i in chosen]) if chosen.size else self.indices[:0]
        kept, renumbered = np.unique(rows, return_inverse=True)
        return ModelBlockGraph(
            tuple(self.model_names[i] for i in chosen),
            self.block_bytes[kept],
            np.concatenate(([0], np.cumsum(lengths))),
            renumbered.reshape(-1).astype(np.int32),
            self.model_bytes[chosen],
            None if self.block_ids is None else self.block_ids[kept],
            None if self.popularity is None else self.popularity[chosen],
            self.synthetic,
            self.meta,
        )

    def fingerprint(self) -> str:
        """64 hex digits over names, rules, sizes and structure; the order of blocks does not matter, that of models does.

        A block enters as its id (if there are ids), its size and a 128-bit hash of the set of models that hold it.
        """
        hashes = set_hashes(*self.transposed(), seed=0)
        columns = [self.block_bytes.astype(">u8"), *(column.astype(">u8") for column in hashes.T)]
        width = 0 if self.block_ids is None else self.block_ids.shape[1]
        rows = np.empty((self.n_blocks, 8 * len(columns) + width), dtype=np.uint8)
        for n, column in enumerate(columns):
            rows[:, 8 * n : 8 * n + 8] = column.view(np.uint8).reshape(-1, 8)
        if self.block_ids is not None:
            rows[:, 8 * len(columns) :] = self.block_ids
        rows = np.sort(np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)) if rows.size else rows
        state = hashlib.blake2b(digest_size=32, person=b"trimcache graph")
        for text in ("1", str(width), *(f"{key}={self.meta[key]}" for key in sorted(self.meta)), *self.model_names):
            raw = text.encode("utf-8", "surrogatepass")
            state.update(len(raw).to_bytes(8, "big") + raw)
        state.update(self.model_bytes.astype(">u8").tobytes())
        if self.popularity is not None:
            state.update(self.popularity.astype(">f8").tobytes())
        state.update(rows.tobytes())
        return state.hexdigest()

    # -- on disk --------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one npz (docs/formats.md, "Model-block graph"); it appears whole or not at all."""
        from trimcache._graph_file import save_graph

        save_graph(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelBlockGraph:
        """Read what ``save`` wrote; GraphError if the file is missing, damaged or newer than this trimcache."""
        from trimcache._graph_file import load_graph

        return load_graph(path)

    def __repr__(self) -> str:
        return f"ModelBlockGraph({self.n_models} models, {self.n_blocks} blocks, {self.unique_bytes} unique bytes)"

    def _repr_html_(self) -> str:
        from trimcache.report.notebook import graph_html

        return graph_html(self)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.model_names)}

    @cached_property
    def _holders(self) -> NDArray[np.int64]:
        counts = np.diff(self._transposed[0]) if "_transposed" in self.__dict__ else count_each(self.indices, self.n_blocks)
        counts.flags.writeable = False
        return counts

    @cached_property
    def _transposed(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        return transpose(self.indptr, self.indices, self.n_blocks)

    @cached_property
    def _atoms(self) -> Atoms:
        return build_atoms(self.indptr, self.indices, self.block_bytes, self._transposed)

    def _row_sums(self, per_block: NDArray[np.int64]) -> NDArray[np.int64]:
        cumulative = np.concatenate(([0], np.cumsum(per_block[self.indices])))
        return np.asarray(cumulative[self.indptr[1:]] - cumulative[self.indptr[:-1]], dtype=np.int64)
