"""Reading a torch file of any of its kinds: zip, legacy, TorchScript."""

from __future__ import annotations

from typing import Any

from extractors.torch.layout import model_leaves
from extractors.torch.legacy import is_tar, load_legacy, looks_legacy
from extractors.torch.placing import Placing
from extractors.torch.torchscript import ScriptedModules
from extractors.torch.walking import Leaf, Walker
from extractors.torch.zip_archive import LOCAL_MAGIC
from extractors.torch.zip_checkpoint import ZipCheckpoint
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError, NoWeightsError
from trimcache.tensors import Extraction, Kind, TensorRef, kind_of

_HEAD_NBYTES = 512
_EMPTY_ZIP = b"PK\x05\x06"


def read_checkpoint(source: ByteSource) -> Extraction:
    """The tensors of a torch file, and notes on what was left out.

    Raises:
        NoWeightsError: it is no torch file, or one without tensors.
        FormatError: it is damaged or hostile, or of a kind that is not read.
    """
    head = source.read_at(0, min(_HEAD_NBYTES, source.size))
    if LOCAL_MAGIC.startswith(head[:4]) or head.startswith(_EMPTY_ZIP):
        tensors, notes = _from_zip(source)
    elif looks_legacy(head):
        tensors, notes = _from_legacy(source)
    elif is_tar(head):
        raise FormatError(source.uri, "is in the tar format of PyTorch before 0.1.10", "load it with torch.load and save it again")
    elif source.size < _HEAD_NBYTES and head.startswith(b"\x80"):
        raise FormatError(source.uri, "truncated: it ends before it says what it is", "download or copy it again")
    else:
        raise NoWeightsError(source.uri, "is not a torch file", "leave it out, or name its own format")
    if not tensors:
        why = "; ".join(notes) or "it holds settings alone"
        raise NoWeightsError(source.uri, f"is a torch file without tensors ({why[:200]})", "leave it out")
    return Extraction(tuple(tensors), notes=tuple(notes))


def _from_legacy(source: ByteSource) -> tuple[list[TensorRef], list[str]]:
    loaded = load_legacy(source)
    leaves, notes = model_leaves(loaded.root, Walker(source.uri, loaded.pickle_nbytes))
    return _placed(leaves, Placing(source, loaded.places)), notes


def _from_zip(source: ByteSource) -> tuple[list[TensorRef], list[str]]:
    checkpoint = ZipCheckpoint(source)
    big_endian = checkpoint.is_big_endian()
    data = checkpoint.load("data")
    if not checkpoint.is_scripted:
        leaves, notes = model_leaves(data.root, Walker(source.uri, data.nbytes))
        return _placed(leaves, Placing(source, data.places, big_endian=big_endian)), notes
    modules = ScriptedModules(checkpoint.archive, checkpoint.prefix, source.uri)
    tensors = _placed(
        list(Walker(source.uri, data.nbytes, modules.children).leaves(data.root)),
        Placing(source, data.places, big_endian=big_endian),
    )
    constants = checkpoint.load("constants")
    tensors += _placed(
        _constants(constants.root, Walker(source.uri, constants.nbytes)),
        Placing(source, constants.places, big_endian=big_endian),
    )
    return _distinct(tensors), []


def _constants(root: Any, walker: Walker) -> list[Leaf]:
    """Tensors that the code of a scripted module refers to as ``CONSTANTS.c0``; empty ones say nothing."""
    leaves = walker.leaves(root, "constants")
    return [Leaf(leaf.name, leaf.tensor, Kind.BUFFER) for leaf in leaves if 0 not in leaf.tensor.shape]


def _distinct(tensors: list[TensorRef]) -> list[TensorRef]:
    """The first tensor of each name: attributes of a scripted module cannot clash, a damaged one's can."""
    return list({tensor.name: tensor for tensor in reversed(tensors)}.values())[::-1]


def _placed(leaves: list[Leaf], placing: Placing) -> list[TensorRef]:
    return [placing.tensor(leaf.name, leaf.tensor, leaf.kind or kind_of(leaf.name, leaf.tensor.dtype)) for leaf in leaves]
