"""``stats`` against a count that shares no code with it, to the byte."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_count import count, files, pieces
from tiny_models import floats, safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.catalog.reader import Catalog
from trimcache.cli import main


def _stats(capsys: pytest.CaptureFixture[str], catalog: Path) -> dict[str, object]:
    assert main(["stats", str(catalog), "--json", "-q"]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def _check(catalog: Catalog, models: Mapping[str, Sequence[Path]], capsys: pytest.CaptureFixture[str]) -> None:
    expected = count(models)
    stated = _stats(capsys, catalog.root)
    assert {key: stated[key] for key in expected} == expected
    _check_extents(catalog, {folder for folders in models.values() for folder in folders})


def _check_extents(catalog: Catalog, folders: set[Path]) -> None:
    """The extents of every file are the ranges of the independent count; they tile it, so they rebuild it."""
    by_file: dict[tuple[str, str], list[tuple[int, int, bytes]]] = {}
    for row in catalog.table("extents").to_pylist():
        by_file.setdefault((row["part"], row["file"]), []).append((row["offset"], row["nbytes"], row["block"]))
    seen = 0
    for folder in folders:
        for path in files(folder):
            extents = sorted(by_file.get((folder.resolve().as_uri(), path.relative_to(folder).as_posix()), []))
            assert extents == sorted((piece.offset, piece.nbytes, piece.digest) for piece in pieces(path))
            raw = path.read_bytes()
            assert b"".join(raw[offset : offset + nbytes] for offset, nbytes, _ in extents) == raw
            assert [offset for offset, _, _ in extents] == [sum(n for _, n, _ in extents[:i]) for i in range(len(extents))]
            seen += 1
    assert seen == len(catalog.table("files"))


def test_models_adapters_and_oddities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo = tmp_path / "zoo"
    base = write_model(zoo / "org" / "base", tensors_of(a=1, b=2, tied=2), tokenizer_json="{}", empty_txt="")
    tuned = write_model(zoo / "org" / "tuned", {**tensors_of(a=1, b=3), "none": ("F32", (0,), b"")}, tokenizer_json="{}")
    twin = write_model(zoo / "org" / "twin", tensors_of(a=1, b=2, tied=2), tokenizer_json="{}")
    lora = write_adapter(zoo / "org" / "lora", "org/base", tensors_of(lora_A=4))
    second = write_adapter(zoo / "org" / "second", "org/lora", tensors_of(lora_A=5))
    models = {"base": [base], "tuned": [tuned], "twin": [twin], "lora": [base, lora], "second": [base, lora, second]}
    _check(scan(zoo, tmp_path / "c"), models, capsys)


def test_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "zoo" / "big"
    model.mkdir(parents=True)
    for i in range(3):
        (model / f"model-{i}.safetensors").write_bytes(safetensors_bytes(tensors_of(**{f"layer{i}": i, "repeated": 7})))
    (model / "model.safetensors.index.json").write_text("{}")
    _check(scan(tmp_path / "zoo", tmp_path / "c"), {"big": [model]}, capsys)


def test_hard_links_count_once_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_model(tmp_path / "zoo" / "one", tensors_of(a=1))
    two = write_model(tmp_path / "zoo" / "two", tensors_of(a=2))
    (two / "model.safetensors").unlink()
    os.link(one / "model.safetensors", two / "model.safetensors")
    _check(scan(tmp_path / "zoo", tmp_path / "c"), {"one": [one], "two": [two]}, capsys)


def test_tensors_around_the_buffer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [1, 1 << 18, (1 << 18) - 1, (1 << 18) + 1, 3 << 18]
    tensors = {f"t{i}": ("F32", (n,), floats(n, i)) for i, n in enumerate(sizes)}
    models = {name: [write_model(tmp_path / "zoo" / name, tensors)] for name in ("one", "two")}
    _check(scan(tmp_path / "zoo", tmp_path / "c"), models, capsys)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_generated_zoos(tmp_path_factory: pytest.TempPathFactory, generator: random.Random) -> None:
    root = tmp_path_factory.mktemp("zoo")
    models: dict[str, list[Path]] = {}
    for m in range(generator.randrange(1, 6)):
        tensors = {
            f"t{i}": ("F32", (n,), floats(n, generator.randrange(6)))
            for i in range(generator.randrange(5))
            for n in [generator.choice((0, 1, 16))]
        }
        if models and generator.random() < 0.4:
            base = generator.choice(sorted(models))
            folder = write_adapter(root / "zoo" / "org" / f"m{m}", f"org/{base}", tensors or tensors_of(lora_A=m))
            models[f"m{m}"] = [*models[base], folder]
        else:
            models[f"m{m}"] = [write_model(root / "zoo" / "org" / f"m{m}", tensors, vocab_txt="v" * generator.randrange(3))]
    catalog = scan(root / "zoo", root / "c")
    from trimcache.sharing.sizes import SizeAnalysis

    expected, stated = count(models), SizeAnalysis(catalog).headline.to_dict()
    assert {key: stated[key] for key in expected} == expected
    _check_extents(catalog, {folder for folders in models.values() for folder in folders})


def test_every_breakdown_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "zoo" / "org" / "base", tensors_of(a=1, b=2))
    write_model(tmp_path / "zoo" / "org" / "tuned", tensors_of(a=1, b=3))
    write_adapter(tmp_path / "zoo" / "org" / "lora", "org/base", tensors_of(lora_A=4))
    scan(tmp_path / "zoo", tmp_path / "c")
    for by in ("model", "kind", "format"):
        assert main(["stats", str(tmp_path / "c"), "--by", by, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert sum(row["unique_bytes"] for row in document["rows"]) == document["unique_bytes"]
        assert sum(row["total_bytes"] for row in document["rows"]) == document["total_bytes"]


@pytest.mark.slow
def test_real_finetunes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from finetunes_fixture import finetunes_folder

    folder = Path(finetunes_folder())
    catalog = scan(folder, tmp_path / "c")
    place = {part.part: Path(part.part.removeprefix("file://")) for part in catalog.parts}
    _check(catalog, {model.name: [place[part] for part in model.parts] for model in catalog.models}, capsys)
