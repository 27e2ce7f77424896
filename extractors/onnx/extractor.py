"""The ONNX format as an extractor."""

from __future__ import annotations

from typing import ClassVar

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.tensors import Extraction


class OnnxExtractor:
    """Graphs with their initializers, inline or in files beside them."""

    format: ClassVar[str] = "onnx"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        # Imported by the first ONNX file: every command that looks for weights loads this class.
        from extractors.onnx.checkpoint import read_checkpoint

        return read_checkpoint(source, files)
