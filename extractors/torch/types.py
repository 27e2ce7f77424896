"""Element types of torch: how storages and dtypes are spelled in a pickle, and how wide one addressable element is.

Facts: https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.dtype and the legacy storage classes of ``torch.storage``.
"""

from __future__ import annotations

from trimcache.dtypes import DTYPE_BITS

# Class name of a typed storage -> canonical dtype. New types are written as an UntypedStorage beside a dtype.
STORAGE_DTYPES: dict[str, str] = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64",
    "QInt8Storage": "qint8", "QInt32Storage": "qint32", "QUInt8Storage": "quint8",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "",
}  # fmt: skip

# Tensor classes of files written before PyTorch 0.4, which name the class instead of a rebuild function.
TENSOR_CLASSES = frozenset(name.replace("Storage", "Tensor") for name, dtype in STORAGE_DTYPES.items() if dtype)

_TORCH_NAMES: dict[str, str] = {
    "half": "float16", "float": "float32", "double": "float64", "chalf": "complex32", "cfloat": "complex64", "cdouble": "complex128",
    "short": "int16", "int": "int32", "long": "int64",
}  # fmt: skip

_PLAIN = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
    "qint8", "quint8", "qint32",
)  # fmt: skip

# Bytes of one addressable element. Types that pack several values into one byte are addressed by the byte.
ELEMENT_NBYTES: dict[str, int] = {
    "": 1,
    **{name: DTYPE_BITS[name] // 8 for name in _PLAIN},
    "float4_e2m1fn_x2": 1, "quint4x2": 1, "quint2x4": 1,
    "bits8": 1, "bits16": 2, "bits1x8": 1, "bits2x4": 1, "bits4x2": 1,
}  # fmt: skip

# Quantized types whose shape counts values and whose bytes hold several.
PACKED: dict[str, int] = {"quint4x2": 2, "quint2x4": 4}

COMPLEX = frozenset({"complex32", "complex64", "complex128"})
FLOATING = COMPLEX | {name for name in _PLAIN if name.startswith(("float", "bfloat"))}


def storage_dtype(class_name: str) -> str | None:
    """The dtype of a storage class ("" for an untyped one), or None if there is no such class."""
    return STORAGE_DTYPES.get(class_name)


def torch_dtype(name: str) -> str | None:
    """The dtype called ``torch.<name>``, or None if it is unknown."""
    name = _TORCH_NAMES.get(name, name)
    return name if name in ELEMENT_NBYTES and name else None


def component_nbytes(dtype: str) -> int:
    """Width of what a byte order applies to: half an element for complex types."""
    return ELEMENT_NBYTES[dtype] // (2 if dtype in COMPLEX else 1)


def canonical(dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """``(dtype, shape)`` in trimcache's terms: torch addresses 4-bit floats in pairs, trimcache counts each."""
    if dtype != "float4_e2m1fn_x2":
        return dtype, shape
    return "float4_e2m1fn", (*shape[:-1], 2 * shape[-1]) if shape else (2,)
