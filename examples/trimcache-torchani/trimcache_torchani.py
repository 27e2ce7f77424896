"""torchani's parameters: raw little-endian float32, one file an array, ``networks/ANN-C.nnf-l1.wparam`` and the like."""

from __future__ import annotations

import bz2
import re
from typing import ClassVar

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind, TensorRef, path_of

_NAME = re.compile(r"(?P<network>(?:.*/)?(?P<atom>[^/]+)\.nnf)-l(?P<layer>[1-9]\d?)\.(?P<what>[wb])param")
_MAX_NNF_NBYTES = 1 << 16  # real ones hold 400 bytes, and 1,200 unpacked
_AGAIN = "download it again"


class TorchaniExtractor:
    """An array's shape is in the ``.nnf`` file beside it; without that file it is a row of numbers."""

    format: ClassVar[str] = "torchani"
    suffixes: ClassVar[tuple[str, ...]] = (".wparam", ".bparam")
    priority: ClassVar[int] = 0
    markers: ClassVar[tuple[str, ...]] = ("*.params",)

    def claims(self, path: str, files: PartFiles) -> bool:
        return _NAME.fullmatch(path) is not None

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        name = _NAME.fullmatch(path_of(source, files))
        if name is None or not source.size or source.size % 4:
            raise FormatError(source.uri, "is no file of float32 numbers with a name of torchani's", _AGAIN)
        shape: tuple[int, ...] = (source.size // 4,)
        if name["network"] in files.names():
            with files.open(name["network"]) as nnf:
                n_out, n_in = _layer_sizes(nnf, int(name["layer"]))
            shape = (n_out, n_in) if name["what"] == "w" else (n_out,)
            if source.size != 4 * n_out * (n_in if name["what"] == "w" else 1):
                raise FormatError(source.uri, f"holds {source.size} bytes, its .nnf says float32{list(shape)}", _AGAIN)
        label = f"{name['atom']}.l{name['layer']}.{'weight' if name['what'] == 'w' else 'bias'}"
        return Extraction((TensorRef(label, "float32", shape, Kind.PARAMETER, source.size, offset=0),))


def _layer_sizes(nnf: ByteSource, layer: int) -> tuple[int, int]:
    """Outputs and inputs of a layer, from a description that is packed with bzip2 behind its length and ``=``."""
    unpacking = bz2.BZ2Decompressor()
    try:
        text = unpacking.decompress(nnf.read_at(0, min(nnf.size, _MAX_NNF_NBYTES)).partition(b"=\n")[2], _MAX_NNF_NBYTES)
    except OSError as error:
        raise FormatError(nnf.uri, "cannot be unpacked", _AGAIN) from error
    described = [dict(re.findall(rb"\b(nodes|blocksize)=(\d{1,9});", entries)) for entries in text.split(b"layer [")]
    if not unpacking.eof or layer >= len(described) or len(described[layer]) < 2:
        raise FormatError(nnf.uri, f"does not describe layer {layer}", _AGAIN)
    return int(described[layer][b"nodes"]), int(described[layer][b"blocksize"])
