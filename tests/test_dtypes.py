"""One spelling a dtype, whatever the library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimcache.dtypes import DTYPE_BITS, SAFETENSORS_DTYPES, dense_nbytes, normalize_dtype


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (("F32", "float32", "torch.float32", "torch.float", "float", "numpy.float32", "np.float32", "Float32"), "float32"),
        (("F16", "torch.half", "half", "float16"), "float16"),
        (("BF16", "torch.bfloat16", "bfloat16"), "bfloat16"),
        (("F64", "double", "torch.double"), "float64"),
        (("I64", "long", "torch.long", "int64"), "int64"),
        (("U8", "byte", "torch.uint8"), "uint8"),
        (("BOOL", "bool", "bool_", "torch.bool", "numpy.bool_"), "bool"),
        (("F8_E4M3", "torch.float8_e4m3fn"), "float8_e4m3fn"),
        (("C64", "torch.cfloat", "complex64"), "complex64"),
    ],
)
def test_spellings(spellings: tuple[str, ...], canonical: str) -> None:
    assert {normalize_dtype(spelling) for spelling in spellings} == {canonical}


@pytest.mark.parametrize("canonical", sorted(DTYPE_BITS))
def test_canonical_names_stay(canonical: str) -> None:
    assert normalize_dtype(canonical) == canonical


def test_every_safetensors_dtype_has_a_width() -> None:
    assert set(SAFETENSORS_DTYPES.values()) <= set(DTYPE_BITS)


def test_an_unknown_dtype_is_kept_in_lower_case() -> None:
    assert normalize_dtype("torch.Float3_Weird") == "float3_weird"


def test_widths_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    checked = 0
    for name, bits in DTYPE_BITS.items():
        dtype = getattr(torch, name, None)
        if isinstance(dtype, torch.dtype) and bits >= 8:
            assert 8 * dtype.itemsize == bits, name
            assert normalize_dtype(str(dtype)) == name
            checked += 1
    assert checked >= 15


@given(st.sampled_from(sorted(DTYPE_BITS)), st.integers(0, 2**70))
def test_dense_nbytes_is_exact_or_nothing(dtype: str, n: int) -> None:
    nbytes = dense_nbytes(dtype, n)
    if nbytes is None:
        assert DTYPE_BITS[dtype] * n % 8
    else:
        assert 8 * nbytes == DTYPE_BITS[dtype] * n


def test_dense_nbytes_of_an_unknown_width() -> None:
    assert dense_nbytes("gguf.q4_k", 256) is None
