"""Element types of ONNX: canonical name, and the typed field that holds the elements when ``raw_data`` does not.

Source: the enum ``TensorProto.DataType`` and the comments on ``TensorProto``'s fields in ``onnx.proto``.
"""

from __future__ import annotations

from typing import Final

FLOAT_DATA: Final = 4
INT32_DATA: Final = 5
STRING_DATA: Final = 6
INT64_DATA: Final = 7
RAW_DATA: Final = 9
DOUBLE_DATA: Final = 10
UINT64_DATA: Final = 11

# Typed fields whose packed form is the little-endian array itself.
FIXED_WIDTH_FIELDS: Final = {FLOAT_DATA: 4, DOUBLE_DATA: 8}
VARINT_FIELDS: Final = frozenset({INT32_DATA, INT64_DATA, UINT64_DATA})
DATA_FIELDS: Final = frozenset({RAW_DATA, *FIXED_WIDTH_FIELDS, *VARINT_FIELDS})

STRING: Final = 8

ELEMENT_TYPES: Final[dict[int, tuple[str, int]]] = {
    1: ("float32", FLOAT_DATA), 2: ("uint8", INT32_DATA), 3: ("int8", INT32_DATA), 4: ("uint16", INT32_DATA), 5: ("int16", INT32_DATA),
    6: ("int32", INT32_DATA), 7: ("int64", INT64_DATA), 9: ("bool", INT32_DATA), 10: ("float16", INT32_DATA),
    11: ("float64", DOUBLE_DATA), 12: ("uint32", UINT64_DATA), 13: ("uint64", UINT64_DATA), 14: ("complex64", FLOAT_DATA),
    15: ("complex128", DOUBLE_DATA), 16: ("bfloat16", INT32_DATA), 17: ("float8_e4m3fn", INT32_DATA),
    18: ("float8_e4m3fnuz", INT32_DATA), 19: ("float8_e5m2", INT32_DATA), 20: ("float8_e5m2fnuz", INT32_DATA),
    21: ("uint4", INT32_DATA), 22: ("int4", INT32_DATA), 23: ("float4_e2m1fn", INT32_DATA), 24: ("float8_e8m0fnu", INT32_DATA),
    25: ("uint2", INT32_DATA), 26: ("int2", INT32_DATA), 27: ("float6_e2m3fn", INT32_DATA), 28: ("float6_e3m2fn", INT32_DATA),
}  # fmt: skip
