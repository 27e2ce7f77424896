"""The architectures that models are generated from: exact tensors of published configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import UsageError

DATA = Path(__file__).with_name("architectures.json")


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One tensor of a model: ``layer`` is its position from the input, in the units of ``Architecture.layer_unit``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    layer: int

    @property
    def nbytes(self) -> int:
        return nbytes_of(self.dtype, self.shape)


def nbytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a dense tensor."""
    count = 1
    for size in shape:
        count *= size
    return count * DTYPE_BITS[dtype] // 8


@dataclass(frozen=True, eq=False)  # one object a name: hashed by identity
class Architecture:
    """One architecture in one model class, as ``save_pretrained`` of that class writes it.

    Attributes:
        name: what presets and ``--bases`` call it.
        trunk: architectures of one trunk share the weights of everything but their heads.
        source: where the configuration was published.
        labels, vocab: of the published model; None if no tensor depends on them.
        prefix: what a model with a head puts before the names of its trunk.
        linear: last components of the linear maps in its blocks: what LoRA may target.
        transposed: whether linear maps are stored input first (GPT-2's ``Conv1D``).
        layers: how many layers there are, the head included.
        rows: ``(name, dtype, shape with "labels" and "vocab", layer)`` in state-dict order.
        parameters, published_parameters: counted; and as the model card states it, None if unknown to us.
    """

    name: str
    trunk: str
    source: str
    model_class: str
    dtype: str
    labels: int | None
    vocab: int | None
    prefix: str
    linear: tuple[str, ...]
    transposed: bool
    layer_unit: str
    layers: int
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any] | None
    rows: tuple[tuple[str, str, tuple[int | str, ...], int], ...]
    parameters: int
    published_parameters: int | None

    def tensors(self, *, labels: int | None = None, vocab: int | None = None, dtype: str | None = None) -> list[TensorShape]:
        """Tensors in state-dict order.

        Args:
            labels, vocab: other sizes of head and embedding; ignored where nothing depends on them.
            dtype: another type for all floating-point tensors.
        """
        sizes = {"labels": labels or self.labels, "vocab": vocab or self.vocab}
        result = []
        for name, stored, shape, layer in self.rows:
            actual = dtype if dtype is not None and stored.endswith(("float16", "float32")) else stored
            dims = tuple(sizes[size] if isinstance(size, str) else size for size in shape)
            result.append(TensorShape(name, actual, dims, layer))  # type: ignore[arg-type]
        return result

    def slot(self, name: str) -> str:
        """The name of a tensor's place in the trunk, equal for all classes of one trunk."""
        return name.removeprefix(self.prefix) if self.prefix else name

    @cached_property
    def layer_of_slot(self) -> dict[str, int]:
        """Layer of each slot."""
        return {self.slot(name): layer for name, _, _, layer in self.rows}

    @cached_property
    def head_slots(self) -> frozenset[str]:
        """Slots whose size depends on the number of labels: a new task needs new ones."""
        return frozenset(self.slot(name) for name, _, shape, _ in self.rows if "labels" in shape)

    @cached_property
    def embedding_slots(self) -> frozenset[str]:
        """Slots whose size depends on the number of tokens."""
        return frozenset(self.slot(name) for name, _, shape, _ in self.rows if "vocab" in shape)

    def config_text(self, *, labels: int | None = None, vocab: int | None = None, dtype: str | None = None) -> bytes:
        """``config.json`` as ``save_pretrained`` writes it: keys sorted, two spaces, a final line break."""
        document = dict(self.config)
        n_labels = labels or self.labels
        if n_labels is not None and n_labels != 2:  # two labels are the default, which is not written
            document["id2label"] = {str(i): f"LABEL_{i}" for i in range(n_labels)}
            document["label2id"] = {f"LABEL_{i}": i for i in range(n_labels)}
        if vocab is not None and "vocab_size" in document:
            document["vocab_size"] = vocab
        if dtype is not None:
            document["dtype"] = dtype
        return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()

    def generation_text(self) -> bytes | None:
        """``generation_config.json``, for models that generate."""
        if self.generation_config is None:
            return None
        return (json.dumps(dict(self.generation_config), indent=2, sort_keys=True) + "\n").encode()


def _unfolded(rows: list[Any]) -> list[tuple[str, str, tuple[int | str, ...], int]]:
    result = []
    for row in rows:
        if isinstance(row, list):
            result.append((row[0], row[1], tuple(row[2]), row[3]))
            continue
        first, end = row["repeat"]
        for number in range(first, end):
            for name, dtype, shape, layer, _ in row["tensors"]:
                result.append((name.replace("{}", str(number), 1), dtype, tuple(shape), layer + (number - first) * row["layers"]))
    return result


def _parsed(name: str, entry: Mapping[str, Any]) -> Architecture:
    return Architecture(
        name=name,
        trunk=entry.get("trunk", name),
        source=entry["source"],
        model_class=entry["class"],
        dtype=entry["dtype"],
        labels=entry["labels"],
        vocab=entry["vocab"],
        prefix=entry["prefix"],
        linear=tuple(entry["linear"]),
        transposed=bool(entry["transposed"]),
        layer_unit=entry["layer_unit"],
        layers=entry["layers"],
        config=entry["config"],
        generation_config=entry["generation_config"],
        rows=tuple(_unfolded(entry["tensors"])),
        parameters=entry["parameters"],
        published_parameters=entry["published_parameters"],
    )


@cache
def load_architectures(path: Path = DATA) -> Mapping[str, Architecture]:
    """All architectures of a data file, by name.

    Raises:
        UsageError: it is not one.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: _parsed(name, entry) for name, entry in document["architectures"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no list of architectures"
        raise UsageError(f"architectures {path}", str(why), "make it with tools/build_architectures.py") from error


def architecture(name: str, extra: Path | None = None) -> Architecture:
    """The architecture called ``name``, from ``extra`` or from the shipped file.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    known = {**load_architectures(), **(load_architectures(extra) if extra is not None else {})}
    if name not in known:
        raise UsageError(f"architecture {name!r}", "is not known", nearest(name, known))
    return known[name]


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """What to say about a name that is not among ``known``."""
    close = get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"choose one of {', '.join(known)}"
