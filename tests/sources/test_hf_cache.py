"""The Hugging Face cache, as the real client writes it when it downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, git_sha1, serve
from snapshot import contents
from tiny_models import floats, safetensors_bytes, tensors_of

from trimcache import scan
from trimcache.bytesource import LocalFile
from trimcache.sharing.sizes import disk_bytes
from trimcache.sources.resolve import Resolution, resolve

CONFIG = b'{"architectures": ["Tiny"]}'


def weights(**seeds: object) -> bytes:
    return safetensors_bytes(tensors_of(**seeds))


def model(**seeds: object) -> dict[str, bytes]:
    return {"config.json": CONFIG, "model.safetensors": weights(**seeds), "tokenizer/vocab.txt": b"a b c"}


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def _resolve(*sources: Path, **options: str) -> Resolution:
    return resolve([str(source) for source in sources], **options)


def _names(resolution: Resolution) -> list[str]:
    assert resolution.errors == []
    return [part.name for part in resolution.parts]


def _physical(root: Path) -> int:
    """Bytes of the files below ``root``, links not followed, each file once."""
    sizes = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(Path(folder) / name)
            if not (Path(folder) / name).is_symlink():
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


@pytest.mark.parametrize("below", [".", "..", "models--org--name", "models--org--name/snapshots", "snapshot"])
def test_a_revision_is_found_from_every_level(hub: Hub, cache: Path, below: str) -> None:
    commit = hub.push("org/name", model(a=1))
    snapshot = hub.download(cache, "org/name")
    [part] = _resolve(snapshot if below == "snapshot" else cache / below).parts
    assert (part.name, part.uri) == ("org/name@main", f"hf://org/name@{commit}")
    assert [file.path for file in part.files] == ["config.json", "model.safetensors", "tokenizer/vocab.txt"]
    assert all(Path(file.location).parent == cache / "models--org--name" / "blobs" for file in part.files)


def test_blob_names_are_known_hashes_and_true(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    [part] = _resolve(cache).parts
    for file in part.files:
        data = Path(file.location).read_bytes()
        assert file.known_hash in (f"git-sha1:{git_sha1(data)}", f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert Counter(str(file.known_hash).split(":")[0] for file in part.files) == {"git-sha1": 2, "sha256": 1}
    stored = scan(cache, cache.parent / "c").table("files", ["known_hash"])["known_hash"].to_pylist()
    assert set(stored) == {file.known_hash for file in part.files}


def test_every_cached_revision_is_a_part_and_shared_blobs_count_once(hub: Hub, cache: Path, tmp_path: Path) -> None:
    first = hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    second = hub.push("org/name", {**model(a=1), "README.md": b"now with a card"})
    hub.download(cache, "org/name")
    assert {part.uri: part.name for part in _resolve(cache).parts} == {
        f"hf://org/name@{first}": f"org/name@{first[:12]}",
        f"hf://org/name@{second}": "org/name@main",
    }
    catalog = scan(cache, tmp_path / "c")
    assert disk_bytes(catalog) == _physical(cache / "models--org--name" / "blobs")
    assert catalog.graph().total_bytes > int(disk_bytes(catalog) or 0)


def test_names_of_revisions(hub: Hub, cache: Path) -> None:
    main = hub.push("org/name", model(a=1))
    hub.refs["org/name", "stable"] = main
    tagged = hub.push("org/name", model(a=2), ref="v1.0")
    twice = hub.push("org/name", model(a=3), ref="x")
    hub.refs["org/name", "y"] = twice
    pull = hub.push("org/name", model(a=4), ref="refs/pr/1")
    for revision in ("main", "stable", "v1.0", "x", "y"):
        hub.download(cache, "org/name", revision)
    hub.download(cache, "org/name", pull)
    (cache / "models--org--name" / "refs" / "refs" / "pr").mkdir(parents=True)
    (cache / "models--org--name" / "refs" / "refs" / "pr" / "1").write_text(pull)
    named = {part.uri.rpartition("@")[2]: part.name for part in _resolve(cache).parts}
    assert named == {
        main: "org/name@main",
        tagged: "org/name@v1.0",
        twice: f"org/name@{twice[:12]}",
        pull: f"org/name@{pull[:12]}",
    }


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    whole = LocalFile._read_into

    def counting(self: LocalFile, offset: int, buffer: memoryview) -> None:
        counted[str(self.local_path)] += 1
        whole(self, offset, buffer)

    monkeypatch.setattr(LocalFile, "_read_into", counting)
    return counted


def test_an_unchanged_cache_is_not_read_again(hub: Hub, cache: Path, tmp_path: Path, reads: Counter[str]) -> None:
    hub.push("org/name", model(a=1))
    hub.push("org/other", model(a=2))
    for repo in ("org/name", "org/other"):
        hub.download(cache, repo)
    first = scan(cache, tmp_path / "c")
    reads.clear()
    again = scan(cache, tmp_path / "c")
    assert not reads
    assert contents(again) == contents(first)


def test_when_main_moves_on_the_name_goes_with_it(hub: Hub, cache: Path, tmp_path: Path) -> None:
    old = hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    scan(cache, tmp_path / "c")
    new = hub.push("org/name", model(a=2))
    hub.download(cache, "org/name")
    catalog = scan(cache, tmp_path / "c")
    assert {part.part: part.name for part in catalog.parts} == {
        f"hf://org/name@{new}": "org/name@main",
        f"hf://org/name@{old}": f"org/name@{old[:12]}",
    }


def test_prune_forgets_deleted_revisions_and_only_of_this_cache(hub: Hub, cache: Path, tmp_path: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.push("org/other", model(a=2))
    hub.download(cache, "org/name")
    hub.download(tmp_path / "second", "org/other")
    hub.download(cache, "org/other")
    scan([cache, tmp_path / "second"], tmp_path / "c")
    shutil.rmtree(cache / "models--org--name")
    catalog = scan(cache, tmp_path / "c", prune=True)
    assert catalog.last_scan is not None
    assert catalog.last_scan.forgotten == ["org/name@main"]


def _share(cache: Path, snapshot: Path, xet_hash: str, *names: str) -> None:
    """Move blobs into the store that repositories share, with the client's own function."""
    shared = pytest.importorskip("huggingface_hub.utils._shared_blobs")
    for name in names:
        blob = Path(os.path.normpath((snapshot / name).parent / os.readlink(snapshot / name)))
        size = blob.stat().st_size
        assert shared.publish_blob_to_shared_store(blob_path=str(blob), xet_hash=xet_hash, cache_dir=str(cache), expected_size=size)
        assert blob.is_symlink()


def test_the_blob_store_that_repositories_share(hub: Hub, cache: Path, tmp_path: Path) -> None:
    for repo in ("org/name", "other/fork"):
        hub.push(repo, model(a=1))
        _share(cache, hub.download(cache, repo), "ab" * 32, "model.safetensors")
    resolution = _resolve(cache)
    assert _names(resolution) == ["org/name@main", "other/fork@main"]
    assert resolution.notes == []
    one, two = ({file.path: file for file in part.files}["model.safetensors"] for part in resolution.parts)
    assert one.location == two.location == str(cache / "blobs" / "ab" / ("ab" * 32))
    # The shared store names files by a hash of their chunks; the repository's own link names the SHA-256.
    assert one.known_hash == f"sha256:{hashlib.sha256(weights(a=1)).hexdigest()}"
    catalog = scan(cache, tmp_path / "c")
    expected = sum(_physical(folder) for folder in [*cache.glob("models--*/blobs"), cache / "blobs" / "ab"])
    refs = (cache / "blobs" / "ab" / f"{'ab' * 32}.refs").stat().st_size
    assert disk_bytes(catalog) == expected - refs
    assert catalog.graph().unique_bytes == sum(len(data) for data in model(a=1).values())


def test_a_cache_without_links_is_read_as_well(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    snapshot = hub.download(cache, "org/name")
    for path in [*snapshot.rglob("*")]:
        if path.is_symlink():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    shutil.rmtree(cache / "models--org--name" / "blobs")
    [part] = _resolve(cache).parts
    assert part.name == "org/name@main"
    assert [file.known_hash for file in part.files] == [None] * 3


def test_a_missing_blob_is_an_error_of_its_revision_only(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    snapshot = hub.download(cache, "org/name")
    hub.push("org/fine", model(a=2))
    hub.download(cache, "org/fine")
    os.unlink(os.path.realpath(snapshot / "model.safetensors"))
    resolution = _resolve(cache)
    assert [part.name for part in resolution.parts] == ["org/fine@main"]
    [error] = resolution.errors
    assert str(error).startswith("org/name@main: model.safetensors is a link to a blob that is not there")
    assert "hf download org/name" in str(error)


def test_a_download_that_was_killed_is_an_error_of_its_revision_only(hub: Hub, cache: Path) -> None:
    old = hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    big = safetensors_bytes({"w": ("F32", (200_000,), floats(200_000))})
    hub.push("org/name", {**model(a=1), "second.safetensors": big}, ref="next")
    hub.stalled.add("second.safetensors")
    download = f"d('org/name', revision='next', cache_dir={str(cache)!r}, endpoint={hub.url!r}, token=False)"
    code = f"from huggingface_hub import snapshot_download as d; {download}"
    client = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "HF_HUB_OFFLINE": "0"}, stderr=subprocess.DEVNULL)
    try:
        assert hub.stalling.wait(60)
        deadline = time.monotonic() + 30
        while not [*cache.rglob("*.incomplete")] or len([*cache.rglob("model.safetensors")]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        client.kill()
        client.wait()
    assert [*cache.rglob("*.incomplete")]
    resolution = _resolve(cache)
    assert [part.uri for part in resolution.parts] == [f"hf://org/name@{old}"]
    assert "org/name@next: the download of second.safetensors did not end" in str(resolution.errors[0])
    # A client that is run again finishes under another name; the leftover is stale then.
    hub.stalled.clear()
    hub.download(cache, "org/name", "next")
    assert len(_names(_resolve(cache))) == 2


def test_without_a_listing_an_unfinished_blob_counts_against_the_only_revision(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    shutil.rmtree(cache / "models--org--name" / "trees")
    (cache / "models--org--name" / "blobs" / ("c" * 64 + ".incomplete")).write_bytes(b"half")
    [error] = _resolve(cache).errors
    assert "did not end" in str(error)


def test_a_missing_shard_is_an_error(hub: Hub, cache: Path) -> None:
    shards = {f"model-0000{i}-of-00003.safetensors": weights(a=i) for i in (1, 2, 3)}
    hub.push("org/name", {"config.json": CONFIG, "model.safetensors.index.json": b"{}", **shards})
    hub.download(cache, "org/name", ignore_patterns=["*-00002-*"])
    [error] = _resolve(cache).errors
    assert str(error) == "org/name@main: model-00002-of-00003.safetensors is missing; download it again"


def test_a_revision_without_weights_is_a_note(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name", allow_patterns=["config.json"])
    hub.push("org/fine", model(a=2))
    hub.download(cache, "org/fine")
    resolution = _resolve(cache)
    assert _names(resolution) == ["org/fine@main"]
    assert any("org/name@main: skipped, no weights of it are cached" in note for note in resolution.notes)


def test_links_that_leave_the_cache_are_not_followed(hub: Hub, cache: Path, tmp_path: Path) -> None:
    hub.push("org/name", model(a=1))
    snapshot = hub.download(cache, "org/name")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (snapshot / "LICENSE").symlink_to(secret)
    (snapshot / "folder").symlink_to(tmp_path)
    (snapshot / "again").symlink_to(snapshot)
    blob = cache / "models--org--name" / "blobs" / ("d" * 64)
    blob.symlink_to(secret)
    (snapshot / "notes.txt").symlink_to(f"../../blobs/{blob.name}")
    resolution = _resolve(cache)
    [part] = resolution.parts
    assert [file.path for file in part.files] == ["config.json", "model.safetensors", "tokenizer/vocab.txt"]
    assert sorted(note.split(":")[0].rpartition("/")[2] for note in resolution.notes) == ["LICENSE", "again", "folder", "notes.txt"]


def test_data_sets_and_spaces_are_not_models(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    for other in ("datasets--org--name", "spaces--org--name"):
        shutil.copytree(cache / "models--org--name", cache / other, symlinks=True)
    assert _names(_resolve(cache)) == ["org/name@main"]


def test_what_is_no_revision_is_skipped(hub: Hub, cache: Path) -> None:
    hub.push("org/name", model(a=1))
    snapshot = hub.download(cache, "org/name")
    (snapshot.parent / "not-a-commit").mkdir()
    (snapshot.parent / ("f" * 40)).symlink_to(snapshot)
    (snapshot.parent / ".DS_Store").write_text("")
    (cache / "models--org--name" / "refs" / "broken").write_bytes(b"\xff" * 100)
    resolution = _resolve(cache)
    assert _names(resolution) == ["org/name@main"]
    assert len(resolution.notes) == 2


@pytest.mark.parametrize("listing", [b"", b"[]", b'{"files": 3}', b'{"files": {"a": 3}}', b"[" * 100_000, b"\xff"])
def test_a_bad_listing_costs_nothing(hub: Hub, cache: Path, listing: bytes) -> None:
    commit = hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    hub.push("org/name", model(a=2), ref="other")
    hub.download(cache, "org/name", "other")
    (cache / "models--org--name" / "trees" / f"{commit}.json").write_bytes(listing)
    (cache / "models--org--name" / "blobs" / ("c" * 64 + ".12345678.incomplete")).write_bytes(b"half")
    assert len(_names(_resolve(cache))) == 2


def test_models_inside_a_revision(hub: Hub, cache: Path) -> None:
    commit = hub.push(
        "org/name",
        {
            **model(a=1),
            "checkpoint-5/config.json": CONFIG,
            "checkpoint-5/model.safetensors": weights(a=2),
        },
    )
    hub.download(cache, "org/name")
    parts = _resolve(cache).parts
    assert [(part.name, part.uri) for part in parts] == [
        ("org/name@main", f"hf://org/name@{commit}"),
        ("org/name@main/checkpoint-5", f"hf://org/name@{commit}/checkpoint-5"),
    ]


def test_an_unmarked_repository_is_its_only_weights_or_each_of_them(hub: Hub, cache: Path) -> None:
    hub.push("org/one", {"README.md": b"one", "best.safetensors": weights(a=1)})
    hub.push("org/two", {"README.md": b"two", "small.safetensors": weights(a=1), "large.safetensors": weights(a=2)})
    for repo in ("org/one", "org/two"):
        hub.download(cache, repo)
    assert {part.name: [file.path for file in part.files] for part in _resolve(cache).parts} == {
        "org/one@main": ["README.md", "best.safetensors"],
        "org/two@main#large": ["README.md", "large.safetensors"],
        "org/two@main#small": ["README.md", "small.safetensors"],
    }
