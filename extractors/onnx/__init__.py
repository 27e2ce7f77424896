"""ONNX models: a protobuf message whose tensors lie inline, or in files beside it.

Specification: https://github.com/onnx/onnx/blob/main/docs/IR.md and ``onnx/onnx.proto`` there; wire format:
https://protobuf.dev/programming-guides/encoding. Tensor bytes are stepped over, never read.

- :mod:`extractors.onnx.protobuf` walks the wire format,
- :mod:`extractors.onnx.tensor_message` reads one ``TensorProto``,
- :mod:`extractors.onnx.graph` finds the tensors of graphs, nodes, subgraphs and functions, and names them,
- :mod:`extractors.onnx.element_types` knows element types and the fields that hold them,
- :mod:`extractors.onnx.varint_data` decodes the integer fields,
- :mod:`extractors.onnx.external` finds external data among the files of the part,
- :mod:`extractors.onnx.checkpoint` turns all that into tensors.
"""

from extractors.onnx.extractor import OnnxExtractor

__all__ = ["OnnxExtractor"]
