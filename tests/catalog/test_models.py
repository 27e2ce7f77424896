"""Adapter models: completed by their base whenever it is scanned, never by a guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.catalog.models import Model
from trimcache.catalog.reader import Catalog

WEIGHTS = tensors_of(x=1)
LORA = tensors_of(lora_A=5)


def _model(catalog: Catalog, name: str) -> Model:
    return next(model for model in catalog.models if model.name == name)


def _names(catalog: Catalog, model: Model) -> list[str]:
    by_uri = {part.part: part.name for part in catalog.parts}
    return [by_uri[part] for part in model.parts]


def test_a_base_scanned_later_completes_it(tmp_path: Path) -> None:
    write_adapter(tmp_path / "one" / "lora", "org/base", LORA)
    alone = scan(tmp_path / "one", tmp_path / "c")
    assert "org/base is not in the catalog" in str(_model(alone, "lora").missing)
    assert alone.graph().n_models == 0
    write_model(tmp_path / "two" / "org" / "base", WEIGHTS)
    both = scan(tmp_path / "two", tmp_path / "c")
    model = _model(both, "lora")
    assert model.missing is None
    assert _names(both, model) == ["org/base", "lora"]


def test_its_block_set_is_closed(tmp_path: Path) -> None:
    write_model(tmp_path / "org" / "base", WEIGHTS)
    write_adapter(tmp_path / "lora", "org/base", LORA)
    graph = scan(tmp_path, tmp_path / "c").graph()
    holds = {name: set(graph.indices[graph.indptr[i] : graph.indptr[i + 1]].tolist()) for i, name in enumerate(graph.model_names)}
    assert holds["org/base"] < holds["lora"]


def test_a_base_path_of_another_machine_is_found_by_its_end(tmp_path: Path) -> None:
    write_model(tmp_path / "org" / "base", WEIGHTS)
    write_model(tmp_path / "other" / "base", WEIGHTS)
    write_adapter(tmp_path / "lora", "/somewhere/else/org/base/", LORA)
    catalog = scan(tmp_path, tmp_path / "c")
    assert _names(catalog, _model(catalog, "lora")) == ["org/base", "lora"]


def test_last_components_alone_do_not_match(tmp_path: Path) -> None:
    write_model(tmp_path / "mine" / "base", WEIGHTS)
    write_adapter(tmp_path / "lora", "org/base", LORA)
    assert _model(scan(tmp_path, tmp_path / "c"), "lora").missing


def test_an_ambiguous_base_is_named_not_guessed(tmp_path: Path) -> None:
    write_model(tmp_path / "x" / "org" / "base", WEIGHTS)
    write_model(tmp_path / "y" / "org" / "base", WEIGHTS)
    write_adapter(tmp_path / "lora", "org/base", LORA)
    missing = str(_model(scan(tmp_path, tmp_path / "c"), "lora").missing)
    assert "x/org/base" in missing
    assert "y/org/base" in missing


def test_chains_are_followed(tmp_path: Path) -> None:
    write_model(tmp_path / "org" / "base", WEIGHTS)
    write_adapter(tmp_path / "org" / "first", "org/base", LORA)
    write_adapter(tmp_path / "org" / "second", "org/first", tensors_of(lora_A=6))
    catalog = scan(tmp_path, tmp_path / "c")
    assert _names(catalog, _model(catalog, "org/second")) == ["org/base", "org/first", "org/second"]


def test_a_chain_that_lacks_its_root_is_incomplete(tmp_path: Path) -> None:
    write_adapter(tmp_path / "org" / "first", "org/base", LORA)
    write_adapter(tmp_path / "org" / "second", "org/first", tensors_of(lora_A=6))
    catalog = scan(tmp_path, tmp_path / "c")
    assert all("org/base" in str(model.missing) for model in catalog.models)


@pytest.mark.parametrize("second", ["org/first", "org/second"])
def test_circles_end(tmp_path: Path, second: str) -> None:
    write_adapter(tmp_path / "org" / "first", "org/second", LORA)
    write_adapter(tmp_path / "org" / "second", second, tensors_of(lora_A=6))
    assert all(model.missing for model in scan(tmp_path, tmp_path / "c").models)


def test_an_adapter_without_a_name_for_its_base_says_so(tmp_path: Path) -> None:
    write_adapter(tmp_path / "zoo" / "lora", None, LORA)
    assert "which base" in str(_model(scan(tmp_path / "zoo", tmp_path / "c"), "lora").missing)


def test_a_base_with_odd_characters(tmp_path: Path) -> None:
    write_model(tmp_path / "org" / "bäse #1 100%", WEIGHTS)
    write_adapter(tmp_path / "lora", str(tmp_path / "org" / "bäse #1 100%"), LORA)
    assert _model(scan(tmp_path, tmp_path / "c"), "lora").missing is None
