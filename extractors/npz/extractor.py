"""The ``.npz`` format as an extractor."""

from __future__ import annotations

from typing import ClassVar

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.tensors import Extraction


class NpzExtractor:
    """Archives of NumPy arrays."""

    format: ClassVar[str] = "npz"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        # Imported by the first npz file: every command that looks for weights loads this class.
        from extractors.npz.checkpoint import read_checkpoint

        return read_checkpoint(source)
