"""Element types under one spelling each, with their exact width in bits.

The same type is called ``F32`` by safetensors, ``torch.float32`` by PyTorch, ``float32`` by NumPy: here it is ``float32``.
Quantized types whose elements only exist in blocks (GGUF) are named ``gguf.q4_k`` and the like and have no width in bits.
"""

from __future__ import annotations

# Width of one element in bits. Sub-byte types are packed, so a tensor of them need not fill its last byte.
DTYPE_BITS: dict[str, int] = {
    "bool": 8,
    "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "uint32": 32, "int32": 32, "uint64": 64, "int64": 64,
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64, "float128": 128,
    "complex32": 32, "complex64": 64, "complex128": 128,
    "float8_e4m3fn": 8, "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4,
    "int4": 4, "uint4": 4, "int2": 2, "uint2": 2,
    "qint8": 8, "quint8": 8, "qint32": 32,
}  # fmt: skip

# Spellings of the safetensors format: github.com/huggingface/safetensors, enum Dtype.
SAFETENSORS_DTYPES: dict[str, str] = {
    "BOOL": "bool",
    "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32", "U64": "uint64", "I64": "int64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F6_E2M3": "float6_e2m3fn", "F6_E3M2": "float6_e3m2fn", "F4": "float4_e2m1fn",
}  # fmt: skip

_ALIASES: dict[str, str] = {
    "half": "float16", "float": "float32", "double": "float64", "cfloat": "complex64", "cdouble": "complex128",
    "chalf": "complex32", "byte": "uint8", "char": "int8", "short": "int16", "int": "int32", "long": "int64", "bool_": "bool",
    "float8_e4m3": "float8_e4m3fn", "float8_e8m0": "float8_e8m0fnu", "longdouble": "float128",
    # torch packs two 4-bit floats in one addressable element; counted in elements of 4 bits it is the same type.
    "float4_e2m1fn_x2": "float4_e2m1fn",
}  # fmt: skip


def normalize_dtype(spelling: str) -> str:
    """The canonical name of a dtype however a library spells it: ``F32``, ``torch.float32`` and ``float`` give ``float32``.

    An unknown spelling comes back in lower case, so that a new type is still shown and compared by name.
    """
    if spelling in SAFETENSORS_DTYPES:
        return SAFETENSORS_DTYPES[spelling]
    name = spelling.lower().removeprefix("torch.").removeprefix("numpy.").removeprefix("np.")
    return _ALIASES.get(name, name)


def dense_nbytes(dtype: str, n_elements: int) -> int | None:
    """Exact bytes of ``n_elements`` packed elements, or None if the width of ``dtype`` is unknown or they do not fill whole bytes."""
    bits = DTYPE_BITS.get(dtype)
    if bits is None or (bits * n_elements) % 8:
        return None
    return bits * n_elements // 8
