"""PyTorch files: what ``torch.save`` and ``torch.jit.save`` write, read without torch and without running anything."""

from extractors.torch.extractor import TorchExtractor

__all__ = ["TorchExtractor"]
