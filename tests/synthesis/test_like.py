"""Catalogs like a real one: totals within 5 %, distances printed, nothing repeated that need not be."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from finetunes_fixture import finetunes_folder

import trimcache
from trimcache import extraction
from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.cli import main
from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.synthesis.fit import Fitted, fit_catalog
from trimcache.synthesis.generate import write_catalog
from trimcache.synthesis.goodness import Goodness, goodness, ks_distance
from trimcache.synthesis.sample import sample

SEEDS = 20
MEASURES = ("total_bytes", "unique_bytes", "shared_bytes")


def sampled(fitted: Fitted, n: int, seed: int, tmp_path: Path) -> ModelBlockGraph:
    root = tmp_path / f"sample-{n}-{seed}"
    write_catalog(sample(fitted, n, seed), root, source="test", seed=seed)
    return open_catalog(root).graph()


def mean_differences(catalog: Catalog, tmp_path: Path) -> tuple[dict[str, float], list[Goodness]]:
    fitted, real = fit_catalog(catalog), catalog.graph()
    fits = [goodness(real, sampled(fitted, real.n_models, seed, tmp_path)) for seed in range(SEEDS)]
    return {name: float(np.mean([fit.difference(name) for fit in fits])) for name in MEASURES}, fits


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return trimcache.scan([str(finetunes_folder())], tmp_path_factory.mktemp("demo") / "c")


@pytest.fixture(scope="module")
def torchani(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The published family, read by the example extractor as if its distribution were installed."""
    import fetch_weights

    try:
        plain = fetch_weights.fetch("torchani")
    except fetch_weights.FetchError as error:
        pytest.skip(str(error))
    cache = tmp_path_factory.mktemp("weights")
    for wheel in plain.parent.glob("torchani-*.whl"):
        (cache / wheel.name).symlink_to(wheel)
    with pytest.MonkeyPatch.context() as patch:  # the descriptions of the networks too
        patch.setitem(fetch_weights.CONTENTS, "torchani", ("torchani/resources/", (".wparam", ".bparam", ".params", ".nnf")))
        folder = fetch_weights.fetch("torchani", cache)
    example = Path(__file__).resolve().parents[2] / "examples" / "trimcache-torchani" / "trimcache_torchani.py"
    extractors = (*extraction._installed(), runpy.run_path(str(example))["TorchaniExtractor"]())
    caches = (extraction.file_extractors, extraction.weight_suffixes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "_installed", lambda: extractors)
        for cached in caches:
            cached.cache_clear()
        catalog = trimcache.scan([str(folder)], tmp_path_factory.mktemp("torchani") / "c")
    for cached in caches:
        cached.cache_clear()
    return catalog


def _check(catalog: Catalog, tmp_path: Path) -> None:
    means, fits = mean_differences(catalog, tmp_path)
    print(catalog.root, means, fits[0].distances)
    assert all(abs(mean) < 0.05 for mean in means.values()), means
    for fit in fits:
        assert all(0 <= distance <= 1 for distance in fit.distances.values())


@pytest.mark.slow
def test_like_the_demo(demo: Catalog, tmp_path: Path) -> None:
    _check(demo, tmp_path)


@pytest.mark.slow
def test_like_the_minilm_family(tmp_path: Path) -> None:
    _check(trimcache.scan([str(finetunes_folder() / "minilm")], tmp_path / "c"), tmp_path)


@pytest.mark.slow
def test_like_torchani(torchani: Catalog, tmp_path: Path) -> None:
    fitted = fit_catalog(torchani)
    assert [len(family.members) for family in fitted.families] == [2] * 8
    assert {family.children[0].regime for family in fitted.families} == {"partial"}
    _check(torchani, tmp_path)


@pytest.mark.slow
def test_nothing_is_repeated_that_the_regime_does_not_force(demo: Catalog, tmp_path: Path) -> None:
    """A base is what it is, and an adapter of one rank without a head has one size; whatever has a head gets another."""
    from trimcache.synthesis.goodness import _size_vectors

    fitted = fit_catalog(demo)
    vectors = set(_size_vectors(demo.graph()))
    heads = {member.name for family in fitted.families for member in family.members if member.labels is not None}
    assert len(heads) >= 10
    graph = sampled(fitted, 22, 0, tmp_path)
    again = [name for name, vector in zip(graph.model_names, _size_vectors(graph), strict=True) if vector in vectors]
    for name in again:
        assert not any(name.endswith(f"-{head.replace('/', '-')}") for head in heads), name


@pytest.mark.slow
def test_against_the_half_that_was_not_seen(demo: Catalog, tmp_path: Path) -> None:
    names = [part.name for part in demo.parts]
    bases = {name for name in names if name.endswith("/base")}
    rest = sorted(set(names) - bases)
    rng = np.random.default_rng(0)
    distances: dict[str, list[float]] = {}
    for seed in range(5):
        order = rng.permutation(len(rest))
        seen = bases | {rest[i] for i in order[: len(rest) // 2]}
        unseen = bases | {rest[i] for i in order[len(rest) // 2 :]}
        graph = demo.graph()
        half = graph.subset([name for name in graph.model_names if name in unseen])
        fit = goodness(half, sampled(fit_catalog(demo, seen), half.n_models, seed, tmp_path))
        for name, distance in fit.distances.items():
            distances.setdefault(name, []).append(distance)
    print("against the unseen half, mean of 5:", {name: round(float(np.mean(values)), 3) for name, values in distances.items()})
    assert all(np.mean(values) < 0.5 for values in distances.values())


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 5, 11, 50, 500])
def test_other_numbers_of_models(n: int, demo: Catalog, tmp_path: Path) -> None:
    graph = sampled(fit_catalog(demo), n, 0, tmp_path)
    assert graph.n_models == n
    if n >= 50:
        fit = goodness(demo.graph(), graph)
        assert abs(fit.difference("total_bytes")) < 0.1


@pytest.mark.slow
def test_through_the_command_line(demo: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "like"
    assert main(["generate", "--like", str(demo.root), "--models", "22", "-o", str(out), "-q"]) == 0
    printed = capsys.readouterr().out
    assert "synthetic catalog" in printed
    assert "Kolmogorov-Smirnov" in printed
    saved = json.loads((tmp_path / "like.fit.json").read_text())
    assert saved["synthetic"] is True
    assert set(saved["distances"]) >= {"model_bytes", "blocks a model"}
    assert main(["generate", "--like", str(demo.root), "--models", "3", "-o", str(out), "-q"]) == 2


def test_too_few_to_fit(tmp_path: Path) -> None:
    from tiny_models import tensors_of, write_model

    write_model(tmp_path / "zoo" / "m", tensors_of(x=1))
    catalog = trimcache.scan([str(tmp_path / "zoo")], tmp_path / "c")
    with pytest.raises(UsageError, match="too few to fit"):
        fit_catalog(catalog)


def test_ks_distance() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 50, 40), rng.integers(10, 60, 25)
        assert ks_distance(a, b) == pytest.approx(ks_2samp(a, b).statistic)
