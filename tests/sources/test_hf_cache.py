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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_server import Hub, git_sha1, serve
from snapshot import contents
from tiny_models import floats, safetensors_bytes, tensors_of
from trimcache import scan
from trimcache.bytesource import LocalFile
from trimcache.catalog.reader import Catalog
from trimcache.cli import main
from trimcache.errors import NoWeightsError, SourceError
from trimcache.sharing.sizes import disk_bytes
from trimcache.sources.hf_cache import default_cache, with_default_cache
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
    assert _names(_resolve(cache)) == sorted(
        ["org/name@main", f"org/name@{first[:12]}"], key=lambda name: first if "main" not in name else second
    )
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
    code = f"from huggingface_hub import snapshot_download as d; d('org/name', revision='next', cache_dir={str(cache)!r}, endpoint={hub.url!r}, token=False)"
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


# The command line and the default cache.


def test_the_default_cache_is_that_of_the_client(tmp_path: Path) -> None:
    code = "from trimcache.sources.hf_cache import default_cache; print(default_cache())"
    for variables, expected in [
        ({"HF_HOME": str(tmp_path)}, tmp_path / "hub"),
        ({"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "x")}, tmp_path / "x"),
    ]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
        done = subprocess.run([sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(expected)


def test_a_source_that_is_a_cache_stands_for_the_default(hub: Hub, cache: Path, tmp_path: Path) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    assert with_default_cache([str(cache)]) == [str(cache)]
    assert with_default_cache([str(cache / "models--org--name")]) == [str(cache / "models--org--name")]
    assert with_default_cache([str(tmp_path / "models")]) == [str(tmp_path / "models"), str(default_cache())]


def test_the_command_line(
    hub: Hub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.push("org/name", model(a=1))
    hub.download(cache, "org/name")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert main(["scan", "--hf-cache", "-o", str(tmp_path / "c"), "--json"]) == 0
    assert '"org/name@main"' in capsys.readouterr().out
    assert main(["scan", "-o", str(tmp_path / "c")]) == 2
    assert "name a SOURCE, or use --hf-cache" in capsys.readouterr().err
    assert main(["scan", str(cache), "-o", str(tmp_path / "c"), "--weights", "some"]) == 2
    assert "choose one of preferred, all" in capsys.readouterr().err


def test_a_default_cache_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nowhere"))
    assert main(["scan", "--hf-cache", "-o", str(tmp_path / "c")]) == 2
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


# Properties.

_LAYOUTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=5)


def _write(cache: Path, layout: list[tuple[int, int, bool]]) -> None:
    """Revisions of repositories whose files are blobs of few contents, linked or in place."""
    for number, (repo_number, seed, linked) in enumerate(layout):
        repo = cache / f"models--org--m{repo_number}"
        snapshot = repo / "snapshots" / f"{number:040x}"
        snapshot.mkdir(parents=True)
        (repo / "blobs").mkdir(exist_ok=True)
        for name, data in model(a=seed).items():
            path = snapshot / name
            path.parent.mkdir(exist_ok=True)
            if not linked:
                path.write_bytes(data)
                continue
            blob = repo / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            path.symlink_to(os.path.relpath(blob, path.parent))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=_LAYOUTS)
def test_no_byte_on_disk_counts_twice_and_files_add_up(
    layout: list[tuple[int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("layout")
    _write(root / "hub", layout)
    catalog = scan(root / "hub", root / "c")
    assert len(catalog.parts) == len(layout)
    assert disk_bytes(catalog) == _physical(root / "hub")
    _check_sums(catalog)


def _check_sums(catalog: Catalog) -> None:
    sums: Counter[str] = Counter()
    for row in catalog.table("files", ["nbytes"]).to_pylist():
        sums[row["part"]] += row["nbytes"]
    graph = catalog.graph(incomplete=True)
    assert {part.name: sums[part.part] for part in catalog.parts} == dict(zip(graph.model_names, graph.model_bytes.tolist(), strict=True))


def test_an_empty_cache(cache: Path) -> None:
    cache.mkdir()
    [error] = _resolve(cache).errors
    assert isinstance(error, NoWeightsError)
    assert isinstance(error, SourceError)
