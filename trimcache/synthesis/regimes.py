"""Ways of making a model from another: each is a node in the forest with the slots that it writes.

    base        pretrained: writes everything
    full        every tensor is trained
    frozen      the bottom ``depth`` layers stay, the rest and a new head are trained
    head        only the head is new
    lora        an adapter beside the untouched base
    merged      an adapter added into the weights that it targets
    resized     embeddings of another size, and everything else as in the parent
    cast        all floating-point tensors in another type: new bytes, but the same for everybody who casts
    gguf        quantized: likewise a function of the parent's weights
    copy        uploaded again, byte for byte

Every function takes the forest, the parent's node and the new name, and returns the new node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trimcache.errors import UsageError
from trimcache.synthesis.adapters import LoraSpec, targeted
from trimcache.synthesis.architectures import Architecture
from trimcache.synthesis.layouts import ADAPTER_CONFIG, MAX_SHARD_BYTES, adapter_layout, gguf_layout, model_layout
from trimcache.synthesis.lineage import ROOT, Forest

# What every new model has of its own: its configuration (path, labels), and how adapters of it are configured (they name it).
_OWN_FILES = ("file.config.json", ADAPTER_CONFIG)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's files look like besides its architecture.

    Attributes:
        tokenizer_nbytes: size of ``tokenizer.json``, 0 for none.
        max_shard_bytes: where ``save_pretrained`` splits.
    """

    labels: int | None = None
    vocab: int | None = None
    dtype: str | None = None
    tokenizer_nbytes: int = 0
    max_shard_bytes: int = MAX_SHARD_BYTES


def check_depth(arch: Architecture, depth: int) -> None:
    """Raise UsageError unless ``depth`` layers of ``arch`` can be frozen: the head cannot."""
    if not 0 <= depth < arch.layers:
        raise UsageError(
            f"depth {depth}", f"is impossible for {arch.name}, which has {arch.layers} layers", f"choose one from 0 to {arch.layers - 1}"
        )


def base(forest: Forest, arch: Architecture, shape: Shape, name: str, *, listed: bool = True) -> int:
    """A pretrained network, a family of its own."""
    written = forest.write_id(("all", arch.trunk), arch.trunk, lambda: None)
    layout = _layout(forest, arch, shape)
    return forest.add(name, ROOT, layout, written, architecture=arch.model_class, regime="base", listed=listed, family=len(forest))


def full(forest: Forest, parent: int, arch: Architecture, shape: Shape, name: str) -> int:
    """Everything trained; the tokenizer stays."""
    return _child(forest, parent, arch, shape, name, "full", "", lambda: list(arch.layer_of_slot))


def frozen(forest: Forest, parent: int, arch: Architecture, shape: Shape, depth: int, name: str, *, listed: bool = True) -> int:
    """The bottom ``depth`` layers stay as in the parent.

    Raises:
        UsageError: an impossible depth.
    """
    check_depth(arch, depth)

    def slots() -> list[str]:
        return [slot for slot, layer in arch.layer_of_slot.items() if layer >= depth or slot in arch.head_slots]

    regime = "head" if depth == arch.layers - 1 else "frozen"
    return _child(forest, parent, arch, shape, name, regime, depth, slots, listed=listed)


def head(forest: Forest, parent: int, arch: Architecture, shape: Shape, name: str) -> int:
    """Only the top layer is new: the classifier, and what else lies above the last block where the architecture has blocks."""
    return frozen(forest, parent, arch, shape, arch.layers - 1, name)


def lora(forest: Forest, parent: int, arch: Architecture, spec: LoraSpec, name: str, *, listed: bool = True) -> int:
    """An adapter: a part of its own that cannot be served without its base.

    Raises:
        UsageError: an impossible rank or target.
    """
    base_name = forest.name[parent]
    layout = forest.layout_id(("adapter", arch.name, spec, len(base_name)), lambda: adapter_layout(arch, spec, base_name))
    # Its configuration says what it adapts and how: adapters of one base and one kind have the same.
    written = forest.write_id(
        ("adapter", arch.name, spec), arch.trunk, lambda: [slot for slot in forest.layouts[layout].slots if slot != ADAPTER_CONFIG]
    )
    return forest.add(
        name, parent, layout, written, architecture=arch.model_class, regime="lora", listed=listed, base=base_name, needs_base=True
    )


def merged(forest: Forest, adapter: int, arch: Architecture, spec: LoraSpec, shape: Shape, name: str) -> int:
    """An adapter added into its base; ``adapter`` is the adapter's node, whose classifier it keeps."""
    return _child(forest, adapter, arch, shape, name, "merged", spec.targets, lambda: [arch.slot(t.name) for t in targeted(arch, spec)])


def resized(forest: Forest, parent: int, arch: Architecture, shape: Shape, name: str) -> int:
    """Another number of tokens: every tensor that depends on it is new as a block, though most of its rows are not.

    Raises:
        UsageError: no tensor depends on it.
    """
    if not arch.embedding_slots:
        raise UsageError(f"architecture {arch.name}", "has no embeddings that could be resized", "choose a language model")
    return _child(forest, parent, arch, shape, name, "resized", "", lambda: [*arch.embedding_slots, "file.tokenizer.json"])


def cast(forest: Forest, parent: int, arch: Architecture, shape: Shape, name: str) -> int:
    """The parent in ``shape.dtype``."""
    return _child(forest, parent, arch, shape, name, "cast", "", lambda: [])


def gguf(forest: Forest, parent: int, arch: Architecture, mixture: str, name: str) -> int:
    """The parent quantized; only the file's header, which names the model, is its own.

    Raises:
        UsageError: an unknown mixture, or no conversion.
    """
    layout = forest.layout_id(("gguf", arch.name, mixture), lambda: gguf_layout(arch, mixture))
    written = forest.write_id(("gguf", arch.trunk), arch.trunk, lambda: ["file.gguf header"])
    return forest.add(name, parent, layout, written, architecture=arch.model_class, regime="gguf", base=forest.name[parent])


def copy(forest: Forest, original: int, name: str) -> int:
    """The same files under another name."""
    trunk = forest.writes[forest.written[original]].trunk
    return forest.add(
        name,
        original,
        forest.layout[original],
        forest.write_id(("nothing", trunk), trunk, lambda: []),
        architecture=forest.architecture[original],
        regime="copy",
        base=forest.declared_base[original],
        needs_base=forest.needs_base[original],
    )


def _child(
    forest: Forest,
    parent: int,
    arch: Architecture,
    shape: Shape,
    name: str,
    regime: str,
    detail: object,
    slots: Callable[[], list[str]],
    *,
    listed: bool = True,
) -> int:
    """A model of whole files that wrote ``slots`` and its own configuration."""
    written = forest.write_id((regime, arch.name, detail), arch.trunk, lambda: [*slots(), *_OWN_FILES])
    base_name = forest.name[parent] if forest.listed[parent] else None
    layout = _layout(forest, arch, shape)
    return forest.add(name, parent, layout, written, architecture=arch.model_class, regime=regime, listed=listed, base=base_name)


def _layout(forest: Forest, arch: Architecture, shape: Shape) -> int:
    return forest.layout_id(
        (arch.name, shape),
        lambda: model_layout(
            arch,
            labels=shape.labels,
            vocab=shape.vocab,
            dtype=shape.dtype,
            max_shard_bytes=shape.max_shard_bytes,
            tokenizer_nbytes=shape.tokenizer_nbytes,
        ),
    )
