"""Families and lineage: against generated libraries whose true lineage is known, on trained models, and for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from finetunes_fixture import finetunes_folder
from tiny_models import Tensors, floats, safetensors_bytes, write_adapter, write_model

import trimcache
from trimcache.catalog.forget import forget
from trimcache.sharing.families import families, family_sizes, tied
from trimcache.sharing.lineage import Direction, Finding, Forest, lineage
from trimcache.sharing.pairs import SharedPairs, shared_pairs
from trimcache.sharing.relations import Kind
from trimcache.synthesis.generate import write_catalog
from trimcache.synthesis.lineage import Forest as Generated
from trimcache.synthesis.presets import build

_ROWS = 260  # of 64 float32 each: 66,560 bytes, just enough to tie


def _tensors(**seeds: object) -> Tensors:
    return {f"{name}.weight": ("F32", (_ROWS, 64), floats(_ROWS * 64, seed)) for name, seed in seeds.items()}


def _scan(tmp_path: Path, models: dict[str, Tensors], cards: dict[str, str] | None = None) -> trimcache.Catalog:
    for name, tensors in models.items():
        folder = write_model(tmp_path / "zoo" / name, tensors)
        if cards and name in cards:
            (folder / "README.md").write_text(f"---\nbase_model: {cards[name]}\n---\n")
    return trimcache.scan(tmp_path / "zoo", tmp_path / "c")


def _parents(forest: Forest) -> dict[str, str | None]:
    return {name: None if p < 0 else forest.names[p] for name, p in zip(forest.names, forest.parent.tolist(), strict=True)}


def _findings(forest: Forest) -> dict[str, Finding]:
    return {one.model: one.finding for one in forest.disagreements}


# Generated libraries: the truth is how they were made.


def _generated(name: str, n: int, root: Path) -> tuple[trimcache.Catalog, SharedPairs, np.ndarray, np.ndarray]:
    """A catalog, the nearest listed ancestor of each model (-1: none), and which models share enough with it to be tied."""
    made: Generated = build(name, n, 1)
    write_catalog(made, root, source=name, seed=1)
    catalog = trimcache.open_catalog(root)
    pairs = shared_pairs(catalog)
    index = {model: i for i, model in enumerate(pairs.names)}
    truth = np.full(n, -1)
    for node in np.flatnonzero(made.listed):
        above = made.parent[node]
        while above >= 0 and not made.listed[above]:
            above = made.parent[above]
        truth[index[made.name[node]]] = index[made.name[above]] if above >= 0 else -1
    children = np.flatnonzero(truth >= 0)
    shared = pairs.between(children, truth[children])
    own = pairs.own_bytes
    return catalog, pairs, truth, children[tied(shared, own[children], own[truth[children]])]


@pytest.mark.parametrize("preset", ["hub-mixed", "llm-lora", "vision-frozen"])
def test_declared_and_measured_together_give_the_true_parents(preset: str, tmp_path: Path) -> None:
    catalog, pairs, truth, telling = _generated(preset, 400, tmp_path / "c")
    forest = lineage(catalog, pairs=pairs)
    assert len(telling) > 60
    wrong = [forest.names[i] for i in telling if forest.parent[i] != truth[i]]
    # Who copies whom cannot be told from equal bytes, so only that the parent is a copy of the true one is asked.
    assert not [name for name in wrong if not name.endswith("-copy")]
    assert len(wrong) <= len(telling) // 50


@pytest.mark.parametrize("preset", ["hub-mixed", "llm-lora", "vision-frozen"])
def test_without_declarations_the_parent_shares_no_less_than_the_true_one(preset: str, tmp_path: Path) -> None:
    """Or the model is the root of its tree: which of several is the root, equal sharing cannot tell."""
    catalog, pairs, truth, telling = _generated(preset, 400, tmp_path / "c")
    forest = lineage(catalog, use_declared=False, pairs=pairs)
    children = telling[forest.parent[telling] >= 0]
    found, true = pairs.between(children, forest.parent[children]), pairs.between(children, truth[children])
    reversed_ = truth[forest.parent[children]] == children
    assert ((found >= true) | reversed_).all()
    # Trees span families: one root in each.
    label = forest.families.labels
    assert np.array_equal(np.sort(label[forest.parent < 0]), np.arange(len(forest.families)))


def test_two_rounds_are_told_from_one(tmp_path: Path) -> None:
    """c is a child of b, which is a child of a: it shares more with b. The bytes of all sizes are known here."""
    models = {
        "a": _tensors(t1=1, t2=2, t3=3, t4=4, t5=5),
        "b": _tensors(t1=1, t2=2, t3=13, t4=14, t5=15),
        "c": _tensors(t1=1, t2=2, t3=13, t4=24, t5=25),
        "d": _tensors(t1=1, t2=2, t3=3, t4=34, t5=35),
        "e": _tensors(t1=1, t2=2, t3=3, t4=4, t5=45),
    }
    forest = lineage(_scan(tmp_path, models))
    assert _parents(forest) == {"a": None, "b": "a", "c": "b", "d": "a", "e": "a"}
    assert forest.families.names == ("a",)
    edge = forest.edges[2]
    assert edge is not None
    assert (edge.shared_bytes, edge.share) == (3 * _ROWS * 256, 0.6)


# Trained models.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Forest:
    return lineage(trimcache.scan(finetunes_folder(), tmp_path_factory.mktemp("demo") / "c"))


def test_trained_models_descend_as_they_were_trained(trained: Forest) -> None:
    manifest = json.loads((finetunes_folder() / "manifest.json").read_text())["models"]
    parents = _parents(trained)
    for model in manifest:
        # A merged adapter keeps the classifier of the adapter, so it may be found below that.
        allowed = {model["parent"], model["adapter"]} - {None} or {None}
        if model["kind"] == "full":
            allowed = {None}
        assert parents[model["path"]] in allowed, model["path"]


def test_kinds_of_trained_models(trained: Forest) -> None:
    kinds = {edge.model: edge.kind for edge in trained.edges if edge is not None}
    manifest = json.loads((finetunes_folder() / "manifest.json").read_text())["models"]
    for model in manifest:
        if model["kind"] == "frozen":
            head = model["n_layers"] - model["frozen_layers"] == 1 and model["path"].startswith("resnet")
            assert kinds[model["path"]] is (Kind.HEAD if head else Kind.FROZEN)
        elif model["kind"] == "lora":
            assert kinds[model["path"]] is Kind.ADAPTER


def test_a_full_fine_tune_is_related_but_not_sharing(trained: Forest) -> None:
    [related] = [one for one in trained.disagreements if one.finding is Finding.RELATED]
    assert (related.model, related.other) == ("minilm/full", "minilm/base")
    label = dict(zip(trained.names, trained.families.labels.tolist(), strict=True))
    assert label["minilm/full"] != label["minilm/base"]
    assert trained.families.names == ("minilm/base", "decoder/base", "resnet18/base", "resnet34/base", "minilm/full")


# What is declared.

_A = {"t1": 1, "t2": 2, "t3": 3}


def test_a_declared_base_without_shared_weights_is_said(tmp_path: Path) -> None:
    models = {"org/base": _tensors(**_A), "org/full": _tensors(t1=11, t2=12, t3=13), "org/other": _tensors(x=7)}
    forest = lineage(_scan(tmp_path, models, {"org/full": "org/base", "org/other": "org/base"}))
    assert _findings(forest) == {"org/full": Finding.NOTHING_SHARED, "org/other": Finding.NOTHING_SHARED}
    assert _parents(forest) == {"org/base": None, "org/full": "org/base", "org/other": None}
    edge = forest.edges[1]
    assert edge is not None
    assert (edge.kind, edge.direction, edge.shared_bytes) == (Kind.FULL, Direction.DECLARED, 0)


def test_a_copy_in_another_type_is_related_too(tmp_path: Path) -> None:
    half: Tensors = {f"t{i}.weight": ("F16", (_ROWS, 64), floats(_ROWS * 32, f"half {i}")) for i in (1, 2, 3)}
    forest = lineage(_scan(tmp_path, {"org/base": _tensors(**_A), "org/half": half}, {"org/half": "org/base"}))
    assert [edge.kind for edge in forest.edges if edge is not None] == [Kind.CAST]


def test_a_declared_base_wins_over_equal_sharing_and_loses_to_none(tmp_path: Path) -> None:
    """Two models that share the same with each other: the order of names would make a the base."""
    models = {"org/a": _tensors(t1=1, t2=12), "org/b": _tensors(t1=1, t2=2)}
    assert _parents(lineage(_scan(tmp_path / "none", models))) == {"org/a": None, "org/b": "org/a"}
    forest = lineage(_scan(tmp_path / "one", models, {"org/a": "org/b"}))
    assert _parents(forest) == {"org/a": "org/b", "org/b": None}
    assert forest.disagreements == ()


def test_a_declaration_against_the_evidence_is_kept_and_said(tmp_path: Path) -> None:
    models = {
        "org/a": _tensors(t1=1, t2=2, t3=3, t4=4),
        "org/b": _tensors(t1=1, t2=2, t3=13, t4=14),
        "org/c": _tensors(t1=1, t2=2, t3=13, t4=24),
    }
    forest = lineage(_scan(tmp_path, models, {"org/b": "org/a", "org/c": "org/a"}))
    assert _parents(forest) == {"org/a": None, "org/b": "org/a", "org/c": "org/a"}
    assert _findings(forest) == {"org/b": Finding.NEARER, "org/c": Finding.NEARER}


def test_a_declared_base_that_is_absent(tmp_path: Path) -> None:
    models = {"org/a": _tensors(t1=1, t2=2), "org/b": _tensors(t1=1, t2=12)}
    forest = lineage(_scan(tmp_path, models, {"org/b": "somebody/else"}))
    assert _findings(forest) == {"org/b": Finding.ABSENT}


def test_declarations_in_a_circle_end(tmp_path: Path) -> None:
    models = {"org/a": _tensors(t1=1, t2=2), "org/b": _tensors(t1=1, t2=12), "org/c": _tensors(t1=1, t2=22)}
    forest = lineage(_scan(tmp_path, models, {"org/a": "org/b", "org/b": "org/c", "org/c": "org/a"}))
    assert sorted(map(str, _parents(forest).values())).count("None") == 1


# Bad input.


def test_an_empty_catalog(tmp_path: Path) -> None:
    catalog = _scan(tmp_path, {"a": _tensors(t=1)})
    empty = forget(catalog, ["a"])
    assert empty.models == ()
    forest = lineage(empty)
    assert (len(forest.families), forest.names, forest.disagreements) == (0, (), ())
    assert family_sizes(empty, forest.families) == []
    assert shared_pairs(empty).n_pairs == 0


def test_one_model(tmp_path: Path) -> None:
    catalog = _scan(tmp_path, {"a": _tensors(t=1)})
    forest = lineage(catalog)
    assert _parents(forest) == {"a": None}
    [row] = family_sizes(catalog, forest.families)
    assert (row.models, row.shared_bytes, row.total_bytes) == (1, 0, sum(part.nbytes for part in catalog.parts))


def test_models_without_parameters_are_tied_to_none(tmp_path: Path) -> None:
    """Equal buffers, equal constants, empty tensors: nothing that was learned."""
    nothing: Tensors = {
        "bn.running_mean": ("F32", (20_000,), floats(20_000)),
        "zeros.weight": ("F32", (20_000,), bytes(80_000)),
        "empty.weight": ("F32", (0, 5), b""),
    }
    forest = lineage(_scan(tmp_path, {"a": nothing, "b": nothing}))
    assert len(forest.families) == 2
    assert (forest.parent == -1).all()
    assert forest.disagreements == ()


def test_nothing_but_duplicates(tmp_path: Path) -> None:
    catalog = _scan(tmp_path, {f"copy{i}": _tensors(t1=1, t2=2) for i in range(5)})
    forest = lineage(catalog)
    assert _parents(forest) == {"copy0": None, **{f"copy{i}": "copy0" for i in range(1, 5)}}
    assert {edge.kind for edge in forest.edges if edge is not None} == {Kind.SAME}
    assert {edge.direction for edge in forest.edges if edge is not None} == {Direction.OPEN}
    [row] = family_sizes(catalog, forest.families)
    assert row.unique_bytes == row.shared_bytes


def test_an_adapter_without_its_base_stands_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "a", _tensors(t=1))
    write_adapter(tmp_path / "zoo" / "ad", "org/elsewhere", {"q.lora_A.weight": ("F32", (8, 64), floats(512))})
    found = families(trimcache.scan(tmp_path / "zoo", tmp_path / "c"))
    assert sorted(found.names) == ["a", "ad"]


def test_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name in ("<b>\u202e", "ü ~1", "x\ny"):
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(_tensors(**{"": 1, "\u202e": 2})))
    forest = lineage(trimcache.scan(folder, tmp_path / "c"))
    assert len(forest.families) == 1
    assert sum(parent < 0 for parent in forest.parent) == 1
