"""The GGUF format as an extractor."""

from __future__ import annotations

from typing import ClassVar

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.tensors import Extraction


class GgufExtractor:
    """Model files of llama.cpp, each a variant of its repository; of split files, those that are there."""

    format: ClassVar[str] = "gguf"
    suffixes: ClassVar[tuple[str, ...]] = (".gguf",)
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        # Imported by the first GGUF file: every command that looks for weights loads this class.
        from extractors.gguf.checkpoint import read_checkpoint

        return read_checkpoint(source, files)
