"""Canonical bytes of a tensor as numbers, for the dtypes whose elements are numbers of whole bytes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# exponent bits, mantissa bits, exponent bias, what the all-ones patterns mean. e4m3fn and e5m2: Micikevicius et al., "FP8 Formats for
# Deep Learning", 2022; the fnuz variants: Noune et al., "8-bit Numerical Formats for Deep Neural Networks", 2022; e8m0: OCP
# Microscaling Formats 1.0.
_FLOAT8 = {
    "float8_e4m3fn": (4, 3, 7, "nan"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
}
_NATIVE = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
)  # fmt: skip
# Real and imaginary part are two numbers: the norm of a complex tensor is that of its parts.
_PAIRS = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}
# Bits of the significand, the leading one counted: IEEE 754 and the sources above.
_PRECISION = {
    "float64": 53, "float32": 24, "float16": 11, "bfloat16": 8,
    "float8_e4m3fn": 4, "float8_e5m2": 3, "float8_e4m3fnuz": 4, "float8_e5m2fnuz": 3,
}  # fmt: skip


def is_numeric(dtype: str) -> bool:
    """Whether :func:`numbers` reads this dtype. Packed, quantized and unknown ones are bytes without a value here."""
    return dtype in _NATIVE or dtype in _PAIRS or dtype in _FLOAT8 or dtype in ("bool", "bfloat16", "float8_e8m0fnu")


def numbers(data: bytes | memoryview, dtype: str) -> NDArray[np.generic]:
    """The elements in ``data``, exact: numpy's own type where it has one, else float32, which holds every value of the others.

    A complex element gives two numbers.
    """
    if dtype in _PAIRS:
        return np.frombuffer(data, np.dtype(_PAIRS[dtype]).newbyteorder("<"))
    if dtype == "bool":
        return np.frombuffer(data, np.uint8)
    if dtype == "bfloat16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype in _FLOAT8 or dtype == "float8_e8m0fnu":
        return _float8_values(dtype)[np.frombuffer(data, np.uint8)]
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))


def rounding_error(wide: str, narrow: str) -> float | None:
    """The largest relative error of rounding normal numbers of one dtype to the nearest of the other (unit roundoff, 2**-precision).

    None unless one of the two is a float type less precise than the other.
    """
    bits = _PRECISION.get(wide), _PRECISION.get(narrow)
    if bits[0] is None or bits[1] is None or bits[0] == bits[1]:
        return None
    return float(2.0 ** -min(bits[0], bits[1]))


@cache
def _float8_values(dtype: str) -> NDArray[np.float32]:
    codes = np.arange(256)
    if dtype == "float8_e8m0fnu":
        values = np.exp2(codes - 127.0)
        values[255] = np.nan
        return _table(values)
    exponent_bits, mantissa_bits, bias, special = _FLOAT8[dtype]
    mantissa = codes & ((1 << mantissa_bits) - 1)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    values = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    values = np.where(codes & 0x80, -values, values)
    if special == "nan":
        values[[0x7F, 0xFF]] = np.nan
    elif special == "fnuz":
        values[0x80] = np.nan
    else:
        top = exponent == (1 << exponent_bits) - 1
        values[top] = np.where(mantissa[top] == 0, np.where(codes[top] & 0x80, -np.inf, np.inf), np.nan)
    return _table(values)


def _table(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)
