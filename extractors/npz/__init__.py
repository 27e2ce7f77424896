"""NumPy ``.npz`` archives."""

from extractors.npz.extractor import NpzExtractor as NpzExtractor
