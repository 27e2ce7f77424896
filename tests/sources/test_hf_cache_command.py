"""Scanning whole Hugging Face caches: the default cache, the command line, and what must hold for every layout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import safetensors_bytes, tensors_of

from trimcache import scan
from trimcache.cli import main
from trimcache.errors import NoWeightsError
from trimcache.sharing.sizes import disk_bytes
from trimcache.sources.hf_cache import default_cache, with_default_cache
from trimcache.sources.resolve import resolve


def _write(cache: Path, layout: list[tuple[int, int, bool]]) -> Path:
    """Revisions, each (repository, contents, linked or in place), whose files are blobs of few contents."""
    for number, (repo_number, seed, linked) in enumerate(layout):
        repo = cache / f"models--org--m{repo_number}"
        snapshot = repo / "snapshots" / f"{number:040x}"
        snapshot.mkdir(parents=True)
        (repo / "blobs").mkdir(exist_ok=True)
        files = {"config.json": b"{}", "model.safetensors": safetensors_bytes(tensors_of(a=seed)), "tokenizer/vocab.txt": b"a b c"}
        for name, data in files.items():
            path = snapshot / name
            path.parent.mkdir(exist_ok=True)
            if not linked:
                path.write_bytes(data)
                continue
            blob = repo / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            path.symlink_to(os.path.relpath(blob, path.parent))
    return cache


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return _write(tmp_path / "hub", [(0, 1, True)])


def test_the_default_cache_is_that_of_the_client(tmp_path: Path) -> None:
    code = "from trimcache.sources.hf_cache import default_cache; print(default_cache())"
    for variables, expected in [
        ({"HF_HOME": str(tmp_path)}, tmp_path / "hub"),
        ({"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "x")}, tmp_path / "x"),
    ]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
        done = subprocess.run([sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(expected)


def test_a_source_that_is_a_cache_stands_for_the_default(cache: Path, tmp_path: Path) -> None:
    for source in (cache, cache / "models--org--m0"):
        assert with_default_cache([str(source)]) == [str(source)]
    assert with_default_cache([str(tmp_path / "models")]) == [str(tmp_path / "models"), str(default_cache())]


def test_the_command_line(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert main(["scan", "--hf-cache", "-o", str(tmp_path / "c"), "--json"]) == 0
    assert '"org/m0@000000000000"' in capsys.readouterr().out
    assert main(["scan", "--hf-cache", str(cache), "-o", str(tmp_path / "c")]) == 0
    assert "1 unchanged" in capsys.readouterr().out
    assert main(["scan", "-o", str(tmp_path / "c")]) == 2
    assert "name a SOURCE, or use --hf-cache" in capsys.readouterr().err
    assert main(["scan", str(cache), "-o", str(tmp_path / "c"), "--weights", "some"]) == 2
    assert "choose one of preferred, all" in capsys.readouterr().err


def test_a_default_cache_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nowhere"))
    assert main(["scan", "--hf-cache", "-o", str(tmp_path / "c")]) == 2
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


def test_an_empty_cache(tmp_path: Path) -> None:
    [error] = resolve([str(tmp_path)]).errors
    assert isinstance(error, NoWeightsError)


@pytest.mark.parametrize("linked", ["blobs", "snapshots"])
def test_a_cache_whose_own_folders_are_links_leads_nowhere_else(cache: Path, tmp_path: Path, linked: str) -> None:
    repo = cache / "models--org--m0"
    (repo / linked).rename(tmp_path / "elsewhere")
    (repo / linked).symlink_to(tmp_path / "elsewhere")
    resolution = resolve([str(cache)])
    assert resolution.parts == []
    assert resolution.notes


def _physical(root: Path) -> int:
    """Bytes of the regular files below ``root``, each once."""
    found = {os.lstat(path).st_ino: os.lstat(path).st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    return sum(found.values())


_LAYOUTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None)
@given(layout=_LAYOUTS)
def test_no_byte_on_disk_counts_twice_and_files_add_up(
    layout: list[tuple[int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("layout")
    catalog = scan(_write(root / "hub", layout), root / "c")
    assert len(catalog.parts) == len(layout)
    assert disk_bytes(catalog) == _physical(root / "hub")
    sums: Counter[str] = Counter()
    for row in catalog.table("files", ["nbytes"]).to_pylist():
        sums[row["part"]] += row["nbytes"]
    graph = catalog.graph(incomplete=True)
    assert {part.name: sums[part.part] for part in catalog.parts} == dict(zip(graph.model_names, graph.model_bytes.tolist(), strict=True))
