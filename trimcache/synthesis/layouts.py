"""All files of one part, as extents and tensors, with the slot of the trunk that each extent holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimcache.synthesis.adapters import LoraSpec, adapter_config, adapter_tensors
from trimcache.synthesis.architectures import Architecture, TensorShape
from trimcache.synthesis.gguf_files import gguf_tensors
from trimcache.synthesis.safetensors_files import SafetensorsFile, safetensors_file, split_files
from trimcache.tensors import Kind, kind_of

# transformers 4, which most of the hub was saved with, splits at this size; transformers 5 at 50 GB.
MAX_SHARD_BYTES = 5 * 10**9
ADAPTER_CONFIG = "file.adapter_config.json"
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class ExtentRow:
    """One extent.

    Attributes:
        slot: place in the trunk that it holds, or None for bytes that follow from ``content`` alone.
        content: what decides the bytes besides the writer of the slot: the encoding of a tensor, the text of a header.
    """

    file: int
    offset: int
    nbytes: int
    kind: Kind
    slot: str | None
    content: bytes


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One tensor; ``extent`` is the position of its bytes among the extents, None for an empty tensor."""

    extent: int
    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass
class Layout:
    """What the files of a part hold: ``files`` is ``(path, bytes, format or None)``; extents tile each file, in order."""

    format: str
    files: list[tuple[str, int, str | None]] = field(default_factory=list)
    extents: list[ExtentRow] = field(default_factory=list)
    tensors: list[TensorRow] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(nbytes for _, nbytes, _ in self.files)

    @property
    def slots(self) -> list[str]:
        """Slots in the order of extents, without those that follow from content."""
        return [extent.slot for extent in self.extents if extent.slot is not None]

    def add_plain_file(self, path: str, nbytes: int, slot: str | None = None, content: bytes = b"") -> None:
        """A file without tensors; its bytes belong to the slot ``file.PATH`` unless another is given."""
        self.files.append((path, nbytes, None))
        self.extents.append(ExtentRow(len(self.files) - 1, 0, nbytes, Kind.FILE, slot or f"file.{path}", content))

    def add_safetensors(
        self, file: SafetensorsFile, slots: Sequence[str], kind: Kind | None = None, file_format: str = "safetensors"
    ) -> None:
        """A weight file; ``slots`` as its tensors."""
        self.files.append((file.path, file.nbytes, file_format))
        number = len(self.files) - 1
        self.extents.append(ExtentRow(number, 0, len(file.header), Kind.HEADER, None, file.header))
        for (tensor, offset), slot in zip(file.tensors, slots, strict=True):
            self.add_tensor(number, offset, tensor, kind or kind_of(tensor.name, tensor.dtype), slot, tensor.dtype.encode())

    def add_tensor(self, file: int, offset: int, tensor: TensorShape, kind: Kind, slot: str, content: bytes) -> None:
        """A tensor and its extent."""
        # Batch-norm counters of one model all hold the same number, so they are one block.
        written = _COUNTER if slot.endswith("." + _COUNTER) else slot
        self.tensors.append(TensorRow(len(self.extents), tensor.name, tensor.dtype, tensor.shape))
        self.extents.append(ExtentRow(file, offset, tensor.nbytes, kind, slot, content + b" " + written.encode()))


def model_layout(
    arch: Architecture,
    *,
    labels: int | None = None,
    vocab: int | None = None,
    dtype: str | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    tokenizer_nbytes: int = 0,
) -> Layout:
    """A folder as ``save_pretrained`` writes it, and a tokenizer of a stated size if there is one."""
    layout = Layout("safetensors")
    layout.add_plain_file("config.json", len(arch.config_text(labels=labels, vocab=vocab, dtype=dtype)))
    generation = arch.generation_text()
    if generation is not None:
        layout.add_plain_file("generation_config.json", len(generation), None, generation)
    tensors = arch.tensors(labels=labels, vocab=vocab, dtype=dtype)
    files, index = split_files(tensors, max_shard_bytes, arch.parameters)
    for file in files:
        layout.add_safetensors(file, [arch.slot(tensor.name) for tensor, _ in file.tensors])
    if index is not None:
        layout.files.append(("model.safetensors.index.json", len(index), None))
        layout.extents.append(ExtentRow(len(layout.files) - 1, 0, len(index), Kind.FILE, None, index))
    if tokenizer_nbytes:
        layout.add_plain_file("tokenizer.json", tokenizer_nbytes)
    return layout


def adapter_layout(arch: Architecture, spec: LoraSpec, base: str) -> Layout:
    """A folder as peft's ``save_pretrained`` writes it, without the model card."""
    rows = adapter_tensors(arch, spec)
    slots = {tensor.name: slot for slot, tensor in rows}
    file = safetensors_file("adapter_model.safetensors", [tensor for _, tensor in rows])
    layout = Layout("peft")
    layout.add_plain_file("adapter_config.json", len(adapter_config(arch, spec, base)), ADAPTER_CONFIG, repr(spec).encode())
    layout.add_safetensors(file, [slots[tensor.name] for tensor, _ in file.tensors], Kind.ADAPTER, "peft")
    return layout


def gguf_layout(arch: Architecture, mixture: str) -> Layout:
    """One GGUF file. Quantizing is a function of the weights: two conversions of one model hold the same bytes."""
    layout = Layout("gguf")
    start, tensors, total = gguf_tensors(arch, mixture)
    layout.files.append((f"model-{mixture}.gguf", total, "gguf"))
    layout.extents.append(ExtentRow(0, 0, start, Kind.HEADER, "file.gguf header", mixture.encode()))
    position = start
    for tensor in tensors:
        if tensor.offset > position:
            layout.extents.append(ExtentRow(0, position, tensor.offset - position, Kind.HEADER, None, b"zeros"))
        slot, encoding = arch.slot(tensor.source.name), f"gguf.{tensor.encoding}"
        dtype = {"f32": "float32", "f16": "float16"}.get(tensor.encoding, encoding)
        # A GGUF tensor of a dense type holds the very bytes that a cast to it gives.
        layout.tensors.append(TensorRow(len(layout.extents), tensor.name, dtype, tensor.source.shape))
        content = dtype.encode() + b" " + slot.encode()
        layout.extents.append(ExtentRow(0, tensor.offset, tensor.nbytes, kind_of(tensor.name, dtype), slot, content))
        position = tensor.offset + tensor.nbytes
    if total > position:
        layout.extents.append(ExtentRow(0, position, total - position, Kind.HEADER, None, b"zeros"))
    return layout
