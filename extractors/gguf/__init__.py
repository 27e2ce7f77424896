"""GGUF, the model files of llama.cpp: header first, then aligned tensors, mostly quantized in blocks.

Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

- :mod:`extractors.gguf.reader` parses the header, skipping what nobody needs (vocabularies),
- :mod:`extractors.gguf.quantization` knows the size of every element type,
- :mod:`extractors.gguf.splits` checks the pieces of a model that was cut into several files,
- :mod:`extractors.gguf.checkpoint` turns all that into tensors.
"""

from extractors.gguf.extractor import GgufExtractor

__all__ = ["GgufExtractor"]
