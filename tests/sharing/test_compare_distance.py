"""Distances against numpy and torch on whole arrays."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

from trimcache.sharing import distance as module
from trimcache.sharing.distance import CHUNK_ELEMENTS, Distance, distance
from trimcache.sharing.elements import is_numeric, numbers, rounding_error

_ONE_BYTE = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]


@pytest.mark.parametrize("dtype", [*_ONE_BYTE, "bfloat16", "float16"])
def test_every_bit_pattern_means_what_torch_says(dtype: str) -> None:
    codes = np.arange(256, dtype=np.uint8) if dtype in _ONE_BYTE else np.arange(1 << 16, dtype=np.uint16)
    truth = torch.from_numpy(codes.view(np.uint8).copy()).view(getattr(torch, dtype)).float().numpy()
    assert is_numeric(dtype)
    assert np.array_equal(numbers(codes.tobytes(), dtype).astype(np.float32), truth, equal_nan=True)


def measure(a: np.ndarray, b: np.ndarray, dtype_a: str, dtype_b: str | None = None, n: int | None = None) -> Distance:
    return distance(io.BytesIO(a.tobytes()), io.BytesIO(b.tobytes()), dtype_a, dtype_b or dtype_a, a.size if n is None else n, b.nbytes)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int32", "int64", "uint8", "uint64", "complex64", "complex128"])
@pytest.mark.parametrize("n", [1, 1000, CHUNK_ELEMENTS, 2 * CHUNK_ELEMENTS + 17])
def test_against_whole_arrays(dtype: str, n: int) -> None:
    rng = np.random.default_rng(n)
    a = (100 * rng.random(n)).astype(dtype)
    b = np.where(rng.random(n) < 0.3, a, (100 * rng.random(n)).astype(dtype))
    found = measure(a, b, dtype)
    assert found.equal_bytes == np.count_nonzero(a.view(np.uint8) == b.view(np.uint8))
    assert found.compared_bytes == a.nbytes
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(wide), b.astype(wide)
    assert found.norm_a == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert found.norm_difference == pytest.approx(np.linalg.norm(x - y), rel=1e-12)
    assert found.n_not_finite == 0


@pytest.mark.parametrize("narrow", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_a_cast_is_as_far_as_rounding(narrow: str) -> None:
    wide = torch.randn(3 * CHUNK_ELEMENTS + 5, generator=torch.Generator().manual_seed(0))
    cast = wide.to(getattr(torch, narrow))
    found = measure(wide.numpy(), cast.view(torch.uint8).numpy(), "float32", narrow)
    truth = float(torch.linalg.norm((wide - cast.float()).double()) / torch.linalg.norm(wide.double()))
    assert found.relative == pytest.approx(truth, rel=1e-6)
    error = rounding_error("float32", narrow)
    assert error == torch.finfo(getattr(torch, narrow)).eps / 2
    assert found.relative is not None
    assert error / 20 < found.relative <= error
    assert (found.equal_bytes, found.difference_share) == (None, None)


def test_rounding_needs_two_precisions() -> None:
    assert rounding_error("float32", "float32") is None
    assert rounding_error("float32", "int8") is None


def test_not_finite_numbers_are_left_out_and_counted() -> None:
    a = np.array([1, np.nan, np.inf, 3, -np.inf, 5], np.float32)
    b = np.array([1, np.nan, 2, np.nan, -np.inf, 9], np.float32)
    found = measure(a, b, "float32")
    assert found.n_not_finite == 4
    assert (found.norm_a, found.norm_difference) == (pytest.approx(math.sqrt(26)), 4.0)
    everything = measure(a[[1, 1]], b[[3, 3]], "float32")
    assert (everything.n_not_finite, everything.relative) == (2, 0.0)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in found.to_dict().values())


def test_numbers_too_large_for_squares() -> None:
    a, b = np.full(9, 1e200), np.full(9, 2e200)
    assert measure(a, b, "float64").relative == pytest.approx(1)
    beyond = measure(np.full(2, 1.7e308), np.full(2, -1.7e308), "float64")
    assert beyond.relative is None
    assert beyond.to_dict()["norm_difference"] is None


def test_whole_numbers_beyond_the_precision_of_floats() -> None:
    a, b = np.array([2**62, -(2**63)], np.int64), np.array([2**62 + 1, 2**63 - 1], np.int64)
    assert measure(a[:1], b[:1], "int64").norm_difference == 1
    assert measure(a[1:], b[1:], "int64").norm_difference == float(2**64 - 1)


def test_zeros() -> None:
    zero, minus, one = np.zeros(4, np.float32), -np.zeros(4, np.float32), np.ones(4, np.float32)
    same_value = measure(zero, minus, "float32")
    assert (same_value.relative, same_value.equal_share) == (0.0, 0.75)
    assert measure(zero, one, "float32").relative is None
    assert measure(zero, one, "float32").bounded == 1.0
    assert measure(one, -one, "float32").bounded == 2.0


@pytest.mark.parametrize("dtype", ["gguf.q4_k", "int4", "float128", "something_new"])
def test_dtypes_without_numbers_are_bytes(dtype: str) -> None:
    a = np.arange(100, dtype=np.uint8)
    found = measure(a, np.where(a < 97, a, 0).astype(np.uint8), dtype)
    assert (found.equal_bytes, found.norm_a, found.relative) == (97, None, None)
    assert found.difference_bytes < 40


def test_what_the_difference_compresses_to() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(1 << 20).astype(np.float32)
    patched = a.copy()
    patched[::1000] += 1
    near, noise = measure(a, patched, "float32"), measure(a, rng.standard_normal(1 << 20).astype(np.float32), "float32")
    assert near.difference_share is not None
    assert near.difference_share < 0.01
    assert noise.difference_share is not None
    assert noise.alone_share is not None
    # No lossless code beats the entropy of 23 random mantissa bits and a sign: 3 of 4 bytes.
    assert 0.75 < noise.alone_share < noise.difference_share <= 1


def test_a_sample_estimates_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    n = 12 * CHUNK_ELEMENTS
    a = rng.standard_normal(n).astype(np.float32)
    b = a * (1 + 1e-3 * rng.standard_normal(n).astype(np.float32))
    sample = measure(a, b, "float32")
    monkeypatch.setattr(module, "SAMPLED_CHUNKS", 1000)
    whole = measure(a, b, "float32")
    assert (sample.sampled_bytes, whole.sampled_bytes) == (a.nbytes // 3, a.nbytes)
    assert sample.difference_share == pytest.approx(whole.difference_share, rel=0.01)
    assert sample.equal_bytes == whole.equal_bytes
