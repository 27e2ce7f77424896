"""The torch format as an extractor."""

from __future__ import annotations

from typing import ClassVar

from trimcache.bytesource import ByteSource, PartFiles
from trimcache.tensors import Extraction


class TorchExtractor:
    """State dicts, whole modules and TorchScript; the pickles in them are interpreted, never run."""

    format: ClassVar[str] = "torch"
    suffixes: ClassVar[tuple[str, ...]] = (".bin", ".pt", ".pth", ".ckpt", ".jit", ".pth.tar", ".pt.tar")
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        # Imported by the first torch file: every command that looks for weights loads this class.
        from extractors.torch.checkpoint import read_checkpoint

        return read_checkpoint(source)
