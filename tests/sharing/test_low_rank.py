"""Which differences of matrices are an adapter's, for every stored type, against ranks that are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from trimcache.sharing.low_rank import LowRank, low_rank

SHAPES = [(64, 96), (96, 64), (300, 700), (700, 300), (2100, 2060)]  # the last by sketches
DTYPES = ["float32", "float16", "bfloat16"]
Floats = NDArray[np.float64]


def _stored(values: Floats, dtype: str) -> Floats:
    """Rounded to nearest as the type does it."""
    if dtype == "bfloat16":
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)
    return values.astype(dtype).astype(np.float64)


def _judged(base: Floats, merged: Floats, dtype: str, step: int = 100) -> LowRank:
    def read() -> Iterator[tuple[Floats, Floats]]:
        for begin in range(0, len(base), step):
            yield base[begin : begin + step], merged[begin : begin + step]

    return low_rank(read, base.shape, (dtype, dtype))


def _weights(shape: tuple[int, int], dtype: str) -> tuple[Floats, np.random.Generator]:
    rng = np.random.default_rng(shape)
    return _stored(0.05 * rng.standard_normal(shape), dtype), rng


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 8, 16])
def test_a_merged_adapter_has_its_rank(shape: tuple[int, int], dtype: str, rank: int) -> None:
    base, rng = _weights(shape, dtype)
    update = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1])) * 0.01 / np.sqrt(rank)
    found = _judged(base, _stored(base + update, dtype), dtype)
    assert found.rank == rank
    assert found.residual <= found.bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_full_updates_and_quantization_are_not(shape: tuple[int, int], dtype: str) -> None:
    base, rng = _weights(shape, dtype)
    for size in (1e-2, 1e-3, 1e-5):
        assert _judged(base, _stored(base + size * rng.standard_normal(shape), dtype), dtype).rank in (None, 0)
    for bits in (8, 4):
        step = 2 * np.abs(base).max(axis=1, keepdims=True) / 2**bits
        assert _judged(base, _stored(np.round(base / step) * step, dtype), dtype).rank is None


def test_a_decaying_spectrum_is_not_low_rank() -> None:
    """Updates of a full fine-tune are dominated by few directions, but no rank explains them up to rounding."""
    base, rng = _weights((300, 700), "float32")
    left, _, right = np.linalg.svd(rng.standard_normal((300, 700)), full_matrices=False)
    update = (left * np.exp(-np.arange(300) / 10.0)) @ right * 0.1
    assert _judged(base, _stored(base + update, "float32"), "float32").rank is None


def test_equal_matrices_differ_by_rank_zero() -> None:
    base, _ = _weights((64, 96), "float32")
    assert _judged(base, base, "float32") == LowRank(0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_numbers_that_are_none_decide_nothing(odd: float) -> None:
    base, _ = _weights((64, 96), "float32")
    merged = base.copy()
    merged[3, 4] = odd
    assert _judged(base, merged, "float32").rank is None


def test_a_rank_above_a_quarter_is_not_low() -> None:
    base, rng = _weights((64, 96), "float32")
    update = rng.standard_normal((64, 17)) @ rng.standard_normal((17, 96)) * 0.01
    assert _judged(base, _stored(base + update, "float32"), "float32").rank is None


def test_it_does_not_matter_where_slices_end() -> None:
    base, rng = _weights((300, 700), "float32")
    merged = _stored(base + rng.standard_normal((300, 4)) @ rng.standard_normal((4, 700)) * 0.01, "float32")
    assert {_judged(base, merged, "float32", step).rank for step in (1, 7, 300)} == {4}
