"""Folders that lead astray: links, loops, pipes, nothing at all, names that are no text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_models import safetensors_bytes, tensors_of, write_model

from trimcache.errors import NoWeightsError, SourceError, SourceNotFoundError, SourceUnreadableError
from trimcache.sources.resolve import Resolution, resolve

WEIGHTS = tensors_of(a=1)


def _resolve(source: Path | str) -> Resolution:
    return resolve([str(source)])


def _only_error(resolution: Resolution) -> SourceError:
    [error] = resolution.errors
    assert str(error).isprintable()
    return error


def test_a_link_to_a_folder_outside_is_skipped_and_named(tmp_path: Path) -> None:
    outside = write_model(tmp_path / "outside", WEIGHTS)
    write_model(tmp_path / "zoo" / "m", WEIGHTS)
    (tmp_path / "zoo" / "link").symlink_to(outside)
    resolution = _resolve(tmp_path / "zoo")
    assert [part.name for part in resolution.parts] == ["m"]
    assert any("link" in note and str(outside) in note for note in resolution.notes)


def test_a_link_to_a_file_outside_is_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    model = write_model(tmp_path / "zoo" / "m", WEIGHTS)
    (model / "tokenizer.json").symlink_to(tmp_path / "secret")
    resolution = _resolve(tmp_path / "zoo")
    assert [file.path for file in resolution.parts[0].files] == ["config.json", "model.safetensors"]
    assert any("tokenizer.json" in note for note in resolution.notes)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    (model / "again").symlink_to(tmp_path)
    (model / "self").symlink_to(model / "self")
    assert [part.name for part in _resolve(tmp_path).parts] == ["m"]


def test_a_dangling_link_does_not_stop_the_rest(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    (model / "vocab.txt").symlink_to(model / "missing")
    assert [part.name for part in _resolve(tmp_path).parts] == ["m"]


def test_a_link_inside_the_source_is_a_file_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "common.json").write_text("{}")
    model = write_model(tmp_path / "m", WEIGHTS)
    (model / "tokenizer.json").symlink_to("../common.json")
    assert "tokenizer.json" in [file.path for file in _resolve(tmp_path).parts[0].files]


def _snapshot(root: Path, *revisions: str) -> Path:
    """A Hugging Face cache with one repository whose revisions share their blobs."""
    repo = root / "models--org--name"
    (repo / "blobs").mkdir(parents=True)
    (repo / "blobs" / "aaa").write_bytes(safetensors_bytes(WEIGHTS))
    (repo / "blobs" / "bbb").write_text("{}")
    for revision in revisions:
        snapshot = repo / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to("../../blobs/aaa")
        (snapshot / "config.json").symlink_to("../../blobs/bbb")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revisions[0])
    return repo


@pytest.mark.parametrize("below", [".", "models--org--name", "models--org--name/snapshots", "models--org--name/snapshots/r1"])
def test_hugging_face_snapshots_are_read_through_their_links(tmp_path: Path, below: str) -> None:
    _snapshot(tmp_path, "r1")
    [part] = _resolve(tmp_path / below).parts
    assert [file.path for file in part.files] == ["config.json", "model.safetensors"]
    assert part.name.endswith(("r1",))


def test_two_revisions_are_two_parts_of_the_same_physical_files(tmp_path: Path) -> None:
    _snapshot(tmp_path, "r1", "r2")
    one, two = _resolve(tmp_path).parts
    assert [file.stamp for file in one.files] == [file.stamp for file in two.files]
    assert one.uri != two.uri


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    os.mkfifo(model / "pipe.safetensors")
    assert [file.path for file in _resolve(tmp_path).parts[0].files] == ["config.json", "model.safetensors"]


def test_an_empty_folder(tmp_path: Path) -> None:
    error = _only_error(_resolve(tmp_path))
    assert isinstance(error, NoWeightsError)
    assert "the folder is empty" in str(error)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert "holds no weights" in str(_only_error(_resolve(tmp_path)))


def test_a_missing_path(tmp_path: Path) -> None:
    assert isinstance(_only_error(_resolve(tmp_path / "missing")), SourceNotFoundError)


@pytest.mark.parametrize("uri", ["hf://org/name", "s3://bucket/x", "http://host/x.safetensors"])
def test_a_scheme_that_is_not_supported(uri: str) -> None:
    error = _only_error(_resolve(uri))
    assert "not supported" in str(error)
    assert str(error).startswith(uri)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    assert "not a weight file" in str(_only_error(_resolve(tmp_path / "readme.txt")))


def test_a_folder_that_cannot_be_listed_is_an_error_the_rest_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "m", WEIGHTS)
    (tmp_path / "locked").mkdir()
    whole = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    resolution = _resolve(tmp_path)
    assert [part.name for part in resolution.parts] == ["m"]
    assert "locked" in str(_only_error(resolution))
    assert resolution.sources == [], "what was not seen whole must not be pruned"


def test_names_that_are_not_utf8_are_refused_by_name(tmp_path: Path) -> None:
    write_model(tmp_path / "m", WEIGHTS)
    bad = os.fsencode(tmp_path) + b"/b\xffd"
    os.mkdir(bad)
    resolution = _resolve(tmp_path)
    error = _only_error(resolution)
    assert isinstance(error, SourceUnreadableError)
    assert "not UTF-8" in str(error)
    assert [part.name for part in resolution.parts] == ["m"]
    assert "not UTF-8" in str(_only_error(_resolve(os.fsdecode(bad))))


def test_objects_that_are_no_model() -> None:
    assert "is not a model" in str(_only_error(resolve([("x", object())])))


def test_deep_folders_end_with_a_note(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"d" * 70)
    deep.mkdir(parents=True)
    (deep / "x.safetensors").write_bytes(safetensors_bytes(WEIGHTS))
    write_model(tmp_path / "m", WEIGHTS)
    resolution = _resolve(tmp_path)
    assert [part.name for part in resolution.parts] == ["m"]
    assert any("folders deep" in note for note in resolution.notes)
