"""Variants as parts of a catalog, files that turn out to hold no weights, and bases that have several forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.catalog.models import Model
from trimcache.catalog.reader import Catalog
from trimcache.cli import main
from trimcache.errors import NoWeightsError, SourceUnreadableError
from trimcache.extraction import file_extractors, weight_suffixes
from trimcache.sharing.sizes import disk_bytes
from trimcache.sources.resolve import resolve
from trimcache.tensors import Extraction

WEIGHTS = tensors_of(a=1)
OTHER = b"no weights at all"


class _Reader:
    """Stands in for the extractors of other formats: safetensors bytes under any ending, everything else holds no weights."""

    format = "stand-in"
    suffixes = (".bin", ".gguf", ".onnx", ".pt")
    priority = 100

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        if source.read_at(0, min(len(OTHER), source.size)) == OTHER:
            raise NoWeightsError(source.uri, "is no torch file", "name a file with weights")
        [reader] = [extractor for extractor in file_extractors() if extractor.format == "safetensors"]
        return reader.extract(source, files)


@pytest.fixture(autouse=True)
def _extractors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found: tuple[Any, ...] = (_Reader(), *(extractor for extractor in file_extractors() if extractor.format in ("safetensors", "peft")))
    from trimcache import extraction

    monkeypatch.setattr(extraction, "_installed", lambda: found)
    for cached in (file_extractors, weight_suffixes):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (file_extractors, weight_suffixes):
        cached.cache_clear()


def _write(folder: Path, *paths: str, tensors: dict[str, tuple[str, tuple[int, ...], bytes]] | None = None) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(safetensors_bytes(tensors or WEIGHTS))
    return folder


def _files(catalog: Catalog) -> dict[str, list[str]]:
    names = {part.part: part.name for part in catalog.parts}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for row in catalog.table("files", ["path"]).to_pylist():
        found[names[row["part"]]].append(row["path"])
    return {name: sorted(paths) for name, paths in found.items()}


def _notes(catalog: Catalog) -> list[str]:
    assert catalog.last_scan is not None
    return catalog.last_scan.notes


def test_preferred_is_one_part_all_is_one_a_copy(tmp_path: Path) -> None:
    _write(write_model(tmp_path / "zoo" / "m", WEIGHTS), "pytorch_model.bin", "onnx/model.onnx")
    assert _files(scan(tmp_path / "zoo", tmp_path / "one")) == {"m": ["config.json", "model.safetensors"]}
    catalog = scan(tmp_path / "zoo", tmp_path / "all", weights="all")
    assert _files(catalog) == {
        "m": ["config.json", "model.safetensors"],
        "m#onnx": ["config.json", "onnx/model.onnx"],
        "m#torch": ["config.json", "pytorch_model.bin"],
    }
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "zoo").rglob("*") if path.is_file()}
    assert disk_bytes(catalog) == sum(sizes.values())
    assert len({part.part for part in catalog.parts}) == 3


def test_each_gguf_of_a_model_folder_is_a_variant(tmp_path: Path) -> None:
    folder = _write(tmp_path / "zoo" / "m", "m-Q4.gguf", "m-Q8-00001-of-00002.gguf", "m-Q8-00002-of-00002.gguf")
    (folder / "config.json").write_text("{}")
    assert _files(scan(tmp_path / "zoo", tmp_path / "c")) == {
        "m#m-Q4": ["config.json", "m-Q4.gguf"],
        "m#m-Q8": ["config.json", "m-Q8-00001-of-00002.gguf", "m-Q8-00002-of-00002.gguf"],
    }


def test_split_files_of_a_plain_folder_are_one_part(tmp_path: Path) -> None:
    _write(tmp_path / "shelf", "a-Q4.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "c-00001-of-00002.gguf")
    resolution = resolve([str(tmp_path / "shelf")])
    assert {part.name: [file.path for file in part.files] for part in resolution.parts} == {
        "a-Q4.gguf": ["a-Q4.gguf"],
        "b.gguf": ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"],
    }
    [error] = resolution.errors
    assert isinstance(error, SourceUnreadableError)
    assert "c-00002-of-00002.gguf is missing" in str(error)


def test_the_data_of_an_onnx_file_belongs_to_it(tmp_path: Path) -> None:
    _write(tmp_path / "shelf", "x.onnx", "x.onnx.data", "y.onnx", "y.onnx_data", "z.onnx")
    parts = resolve([str(tmp_path / "shelf")]).parts
    assert {part.name: len(part.files) for part in parts} == {"x.onnx": 2, "y.onnx": 2, "z.onnx": 1}


def test_a_named_file_brings_its_shards_and_data(tmp_path: Path) -> None:
    shelf = _write(tmp_path / "shelf", "b.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "x.onnx", "x.onnx.data")
    walked = {part.uri: (part.name, part.files) for part in resolve([str(shelf)]).parts}
    assert sorted(name for name, _ in walked.values()) == ["b.gguf", "b.gguf", "x.onnx"]
    for name in ("b.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "x.onnx"):
        [part] = resolve([str(shelf / name)]).parts
        assert walked[part.uri] == (part.name, part.files)
    (shelf / "b-00001-of-00002.gguf").unlink()
    [error] = resolve([str(shelf / "b-00002-of-00002.gguf")]).errors
    assert "b-00001-of-00002.gguf is missing" in str(error)


def test_prune_forgets_variants_that_are_gone(tmp_path: Path) -> None:
    _write(write_model(tmp_path / "zoo" / "m", WEIGHTS), "pytorch_model.bin")
    scan(tmp_path / "zoo", tmp_path / "c", weights="all")
    (tmp_path / "zoo" / "m" / "pytorch_model.bin").unlink()
    catalog = scan(tmp_path / "zoo" / "m", tmp_path / "c", weights="all", prune=True)
    assert [part.name for part in catalog.parts] == ["m"]


def test_weights_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(write_model(tmp_path / "zoo" / "m", WEIGHTS), "pytorch_model.bin")
    assert main(["scan", str(tmp_path / "zoo"), "-o", str(tmp_path / "c"), "--weights", "all", "--json"]) == 0
    assert '"m#torch"' in capsys.readouterr().out


# Files that hold no weights.


def test_a_bin_that_is_no_torch_file_is_a_plain_file(tmp_path: Path) -> None:
    model = write_model(tmp_path / "zoo" / "m", WEIGHTS)
    (model / "tables").mkdir()
    (model / "tables" / "vocab.bin").write_bytes(OTHER)
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    assert _files(catalog) == {"m": ["config.json", "model.safetensors", "tables/vocab.bin"]}
    kinds = {row["file"]: row["kind"] for row in catalog.table("extents", ["file", "kind"]).to_pylist()}
    assert kinds["tables/vocab.bin"] == "file"
    assert any("vocab.bin: is no torch file; kept as a plain file" in note for note in catalog.parts[0].notes)


def test_a_model_of_nothing_but_such_files_is_an_error(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "fine", WEIGHTS)
    (tmp_path / "zoo" / "m").mkdir()
    (tmp_path / "zoo" / "m" / "config.json").write_text("{}")
    (tmp_path / "zoo" / "m" / "model.bin").write_bytes(OTHER)
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    assert catalog.last_scan is not None
    [error] = catalog.last_scan.errors
    assert isinstance(error, NoWeightsError)
    assert "m: holds no weights that can be read (model.bin: is no torch file" in str(error)


def test_a_lone_file_found_by_walking_is_a_note_a_named_one_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "shelf", "a.safetensors")
    (tmp_path / "shelf" / "data.bin").write_bytes(OTHER)
    catalog = scan(tmp_path / "shelf", tmp_path / "c")
    assert catalog.last_scan is not None
    assert catalog.last_scan.errors == []
    assert any("data.bin" in note for note in _notes(catalog))
    with pytest.raises(NoWeightsError):
        scan(tmp_path / "shelf" / "data.bin", tmp_path / "d")


def test_nothing_but_such_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "data.bin").write_bytes(OTHER)
    with pytest.raises(NoWeightsError, match=r"data\.bin"):
        scan(tmp_path / "shelf", tmp_path / "c")


def test_weights_that_no_extractor_reads_are_an_error_not_silence(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "fine", WEIGHTS)
    flax = tmp_path / "zoo" / "flax"
    flax.mkdir()
    (flax / "config.json").write_text("{}")
    (flax / "flax_model.msgpack").write_bytes(b"x")
    resolution = resolve([str(tmp_path / "zoo")])
    assert [part.name for part in resolution.parts] == ["fine"]
    assert "flax: no installed extractor reads its weights (flax_model.msgpack)" in str(resolution.errors[0])


def test_a_lone_file_that_no_extractor_reads_is_a_note(tmp_path: Path) -> None:
    _write(tmp_path / "shelf", "a.safetensors")
    (tmp_path / "shelf" / "b.msgpack").write_bytes(b"x")
    resolution = resolve([str(tmp_path / "shelf")])
    assert [part.name for part in resolution.parts] == ["a.safetensors"]
    assert any("b.msgpack: skipped, no installed extractor reads it" in note for note in resolution.notes)


# Bases.

ONE, TWO = "1" * 40, "2" * 40
LORA = tensors_of(lora_A=5)


def _cached(hub: Path, repo: str, commit: str, ref: str | None = None, **seeds: object) -> Path:
    root = hub / f"models--{repo.replace('/', '--')}"
    snapshot = write_model(root / "snapshots" / commit, tensors_of(**seeds))
    if ref is not None:
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / ref).write_text(commit)
    return snapshot


def _base_of(catalog: Catalog, name: str = "lora") -> str | None:
    """Name of the part that the adapter's model starts with, None if it is missing."""
    model: Model = next(model for model in catalog.models if model.name == name)
    names = {part.part: part.name for part in catalog.parts}
    return None if model.missing else names[model.parts[0]]


def _why(catalog: Catalog) -> str:
    return str(next(model for model in catalog.models if model.name == "lora").missing)


def _scan(tmp_path: Path, base: str, **config: object) -> Catalog:
    write_adapter(tmp_path / "adapters" / "lora", base, LORA, **config)
    return scan([tmp_path / "adapters", tmp_path / "hub"], tmp_path / "c", weights="all")


def test_a_base_by_its_hub_name(tmp_path: Path) -> None:
    _cached(tmp_path / "hub", "org/name", ONE, "main", a=1)
    _cached(tmp_path / "hub", "other/name", ONE, "main", a=2)
    assert _base_of(_scan(tmp_path, "org/name")) == "org/name@main"


@pytest.mark.parametrize(
    ("revision", "base"),
    [
        (None, "org/name@main"),
        ("main", "org/name@main"),
        (TWO, "org/name@main"),
        (TWO[:8], "org/name@main"),
        (ONE, f"org/name@{ONE[:12]}"),
        (ONE[:7], f"org/name@{ONE[:12]}"),
    ],
)
def test_the_revision_decides_and_main_is_meant_without_one(tmp_path: Path, revision: str | None, base: str) -> None:
    _cached(tmp_path / "hub", "org/name", ONE, a=1)
    _cached(tmp_path / "hub", "org/name", TWO, "main", a=2)
    assert _base_of(_scan(tmp_path, "org/name", revision=revision)) == base


def test_several_revisions_without_main_are_named_not_guessed(tmp_path: Path) -> None:
    _cached(tmp_path / "hub", "org/name", ONE, a=1)
    _cached(tmp_path / "hub", "org/name", TWO, "v2", a=2)
    why = _why(_scan(tmp_path, "org/name"))
    assert f"org/name@{ONE[:12]}" in why
    assert "org/name@v2" in why


@pytest.mark.parametrize("revision", ["v3", "3" * 40, "v"])
def test_another_revision_of_the_base_is_not_the_base(tmp_path: Path, revision: str) -> None:
    _cached(tmp_path / "hub", "org/name", TWO, "v2", a=2)
    assert "only as org/name@v2, at another revision" in _why(_scan(tmp_path, "org/name", revision=revision))


@pytest.mark.parametrize("style", ["/home/someone/.cache/huggingface/hub/{}", "C:\\cache\\hub\\{}"])
def test_a_base_by_the_path_of_its_snapshot_on_another_machine(tmp_path: Path, style: str) -> None:
    _cached(tmp_path / "hub", "org/name", ONE, a=1)
    _cached(tmp_path / "hub", "org/name", TWO, "main", a=2)
    path = style.format(f"models--org--name/snapshots/{ONE}")
    assert _base_of(_scan(tmp_path, path.replace("/", "\\") if "\\" in style else path)) == f"org/name@{ONE[:12]}"


def test_variants_do_not_make_a_base_ambiguous(tmp_path: Path) -> None:
    _write(_cached(tmp_path / "hub", "org/name", ONE, "main", a=1), "pytorch_model.bin", "onnx/model.onnx")
    catalog = _scan(tmp_path, "org/name")
    assert "org/name@main#torch" in [part.name for part in catalog.parts]
    assert _base_of(catalog) == "org/name@main"


def test_variants_of_a_local_base_do_not_either(tmp_path: Path) -> None:
    _write(write_model(tmp_path / "hub" / "org" / "name", WEIGHTS), "pytorch_model.bin")
    assert _base_of(_scan(tmp_path, "org/name")) == "org/name"


def test_quantizations_alone_are_ambiguous(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / ONE
    _write(snapshot, "a-Q4.gguf", "a-Q8.gguf")
    assert f"org/name@{ONE[:12]}#a-Q4" in _why(_scan(tmp_path, "org/name"))


def test_a_base_inside_a_revision(tmp_path: Path) -> None:
    snapshot = _cached(tmp_path / "hub", "org/name", ONE, "main", a=1)
    write_model(snapshot / "checkpoint-5", tensors_of(a=3))
    path = f"/cache/models--org--name/snapshots/{ONE}/checkpoint-5"
    assert _base_of(_scan(tmp_path, path)) == "org/name@main/checkpoint-5"


def test_an_adapter_in_the_cache(tmp_path: Path) -> None:
    _cached(tmp_path / "hub", "org/name", ONE, "main", a=1)
    write_adapter(tmp_path / "hub" / "models--me--lora" / "snapshots" / TWO, "org/name", LORA)
    catalog = scan(tmp_path / "hub", tmp_path / "c")
    assert _base_of(catalog, f"me/lora@{TWO[:12]}") == "org/name@main"
