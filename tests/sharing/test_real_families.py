"""Families of published weights, each against sets of digests counted from the files alone."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from fetch_weights import fetch

import trimcache
from trimcache import extraction
from trimcache.sharing.lineage import Finding, lineage
from trimcache.sharing.pairs import shared_pairs
from trimcache.sharing.relations import Kind

pytestmark = pytest.mark.slow
_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "trimcache-torchani" / "trimcache_torchani.py"


@pytest.fixture
def torchani(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The sixteen networks, with the example extractor as if it were installed."""
    extractor = runpy.run_path(str(_EXAMPLE))["TorchaniExtractor"]()
    before = extraction._installed()
    caches = (extraction.file_extractors, extraction.weight_suffixes)
    monkeypatch.setattr(extraction, "_installed", lambda: (*before, extractor))
    for cached in caches:
        cached.cache_clear()
    yield fetch("torchani")
    for cached in caches:
        cached.cache_clear()


def test_torchani_is_eight_pairs_that_share_nothing_with_each_other(torchani: Path, tmp_path: Path) -> None:
    catalog = trimcache.scan(torchani, tmp_path / "c")
    forest = lineage(catalog)
    members: dict[int, set[str]] = {}
    for name, label in zip(forest.names, forest.families.labels.tolist(), strict=True):
        members.setdefault(label, set()).add(name)
    assert sorted(map(sorted, members.values())) == [[f"ani-1ccx_8x/train{k}", f"ani-1x_8x/train{k}"] for k in range(8)]
    # The bytes from the files: every array that both of a pair hold, and none between pairs.
    raw = {
        name: {path.read_bytes() for ending in ("w", "b") for path in (torchani / name / "networks").glob(f"*.{ending}param")}
        for name in forest.names
    }
    i, j, shared = (column.tolist() for column in shared_pairs(catalog).arrays())
    found = {frozenset((forest.names[a], forest.names[b])): value for a, b, value in zip(i, j, shared, strict=True)}
    truth = {frozenset(pair): sum(map(len, raw[pair[0]] & raw[pair[1]])) for pair in combinations(forest.names, 2)}
    assert found == {pair: value for pair, value in truth.items() if value}
    assert len(found) == 8
    # The networks of the eight pairs have the same shapes: related, but not sharing.
    assert sum(one.finding is Finding.RELATED for one in forest.disagreements) == 7


def test_silero_formats_that_hold_the_same_model(tmp_path: Path) -> None:
    """The basis of a Fourier transform ties all of them, as a parameter of all but one; how much is shared tells which hold one model."""
    forest = lineage(trimcache.scan(fetch("silero-vad"), tmp_path / "c"))
    assert forest.families.names == ("silero_vad.onnx",)
    below = {edge.model: edge for edge in forest.edges if edge is not None and edge.parent == "silero_vad.onnx"}
    for name in ("silero_vad.jit", "silero_vad_16k_op15.onnx"):
        assert (below[name].kind, below[name].share) == (Kind.CONTAINED, 1.0)
    for name in ("silero_vad_16k.safetensors", "silero_vad_half.onnx"):
        assert below[name].share < 0.25
        assert 258 * 256 * 4 <= below[name].shared_bytes < 258 * 256 * 4 + 64  # the basis, and little else
    [same] = [edge for edge in forest.edges if edge is not None and edge.kind is Kind.SAME]
    assert {same.model, same.parent} == {"silero_vad_16k_op15.onnx", "silero_vad_openvino_16k.onnx"}
