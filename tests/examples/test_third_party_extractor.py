"""The worked example of docs/extractors.md: the contract, what the page shows, and the published figures through its entry point."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import fetch_weights
import pytest

import trimcache
from trimcache import extraction
from trimcache.scanning.inspection import inspect
from trimcache.sources.resolve import resolve
from trimcache.tensors import path_of
from trimcache.testing import RangeOnlyPart

_ROOT = Path(__file__).resolve().parents[2]
_DISTRIBUTION = _ROOT / "examples" / "trimcache-torchani"
_MODULE = _DISTRIBUTION / "trimcache_torchani.py"
_SUITE = _DISTRIBUTION / "test_torchani.py"
_PAGE = _ROOT / "docs" / "extractors.md"

with pytest.MonkeyPatch.context() as _patch:
    _patch.syspath_prepend(_DISTRIBUTION)
    _suite = runpy.run_path(str(_SUITE))
TorchaniExtractor, described = _suite["TorchaniExtractor"], _suite["described"]


class TestTorchani(_suite["TestTorchani"]):
    """The distribution's own suite, and what the contract does not ask."""

    def test_without_a_description_it_is_a_row_of_numbers(self) -> None:
        [tensor] = self.extract_bytes(bytes(60), "ANN-C.nnf-l2.wparam").tensors
        assert (tensor.name, tensor.shape) == ("ANN-C.l2.weight", (15,))

    @pytest.mark.parametrize("nbytes", [0, 3, 61])
    def test_what_is_no_row_of_numbers_is_refused(self, nbytes: int) -> None:
        self.assert_refused(bytes(nbytes), "ANN-C.nnf-l2.wparam", "no file of float32 numbers")

    @pytest.mark.parametrize(
        ("nnf", "match"),
        [
            (described((7, 2)), "does not describe layer 2"),
            (described((7, 2), (3, 4)), r"holds 60 bytes, its .nnf says float32\[3, 4\]"),
            (described((7, 2), (3, 5))[:-10], "does not describe layer 2"),
            (b"", "does not describe layer 2"),
            (b"300=\nBZh9 no data", "cannot be unpacked"),
            (b"9=\n" + bz2.compress(b"layer [" * 3 + b"a" * (10 << 20)), "does not describe layer 2"),
            (described((7, 2), (10**10, 5)), "does not describe layer 2"),
        ],
    )
    def test_damaged_descriptions(self, nnf: bytes, match: str) -> None:
        self.assert_refused(bytes(60), "ANN-C.nnf-l2.wparam", match, {"ANN-C.nnf": nnf})

    def test_only_files_with_its_names_are_claimed(self) -> None:
        part = RangeOnlyPart({})
        claimed = ["networks/ANN-C.nnf-l1.wparam", "a/b/x.nnf-l12.bparam"]
        others = ["ANN-C.wparam", "ANN-C.nnf-l0.wparam", "ANN-C.nnf-l1.params", "nnf-l1.wparam"]
        assert [self.make_extractor().claims(path, part) for path in claimed + others] == [True] * 2 + [False] * 4


def test_the_page_shows_the_example_and_its_test() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    module = _MODULE.read_text(encoding="utf-8")
    assert f"```python\n{module}```" in page
    assert f"```toml\n{(_DISTRIBUTION / 'pyproject.toml').read_text(encoding='utf-8')}```" in page
    assert len(module.splitlines()) < 60
    [shown] = [block.partition("```")[0] for block in page.split("```python\n") if block.startswith("class Test")]
    assert shown in _SUITE.read_text(encoding="utf-8")


def test_its_suite_runs_where_only_its_packages_are(tmp_path: Path) -> None:
    """As in a repository of one's own: pytest knows nothing of trimcache's tests."""
    for path in (_MODULE, _SUITE):
        shutil.copy(path, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout


def test_every_name_that_the_page_imports_is_there() -> None:
    lines = [line.strip() for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.strip().startswith(("import ", "from "))]
    assert len(lines) >= 8
    for line in lines:
        exec(line.replace("from trimcache_torchani import TorchaniExtractor", "pass"), {})


# What is one part: markers.


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as if its distribution were installed."""
    before = extraction._installed()
    caches = (extraction.file_extractors, extraction.weight_suffixes)
    monkeypatch.setattr(extraction, "_installed", lambda: (*before, TorchaniExtractor()))
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


@pytest.mark.usefixtures("installed")
def test_a_marker_makes_its_folder_one_part(tmp_path: Path) -> None:
    pair = {"ANN-C.nnf-l1.wparam": bytes(60), "ANN-C.nnf-l1.bparam": bytes(12)}
    network = {f"networks/{name}": data for name, data in {"ANN-C.nnf": described((3, 5)), **pair}.items()}
    members = {f"ani/train{k}/{path}": data for k in range(2) for path, data in {**network, "r.params": b"Rcr = 5.2"}.items()}
    # The marker of one format does not gather the files of another, nor files without it.
    others = {"x/r.params": b"", "x/w.npz": b"", **{f"y/{name}": data for name, data in pair.items()}}
    _write(tmp_path, {"ani/r.params": b"Rcr = 5.2", **members, **others})
    found = {part.name: [file.path for file in part.files] for part in resolve([tmp_path]).parts}
    assert found == {
        "ani/train0": [*sorted(network), "r.params"],
        "ani/train1": [*sorted(network), "r.params"],
        "x/w.npz": ["w.npz"],
        "y/ANN-C.nnf-l1.bparam": ["ANN-C.nnf-l1.bparam"],
        "y/ANN-C.nnf-l1.wparam": ["ANN-C.nnf-l1.wparam"],
    }


def test_without_the_extractor_its_marker_means_nothing(tmp_path: Path) -> None:
    _write(tmp_path, {"r.params": b"", "ANN-C.nnf-l1.wparam": bytes(60), "w.npz": b""})
    assert [part.name for part in resolve([tmp_path]).parts] == ["w.npz"]


def test_path_of_finds_the_file_by_its_uri() -> None:
    part = RangeOnlyPart({"w.bin": b"1", "a/w.bin": b"2", "b/w.bin": b"3"})
    for path in part.names():
        assert path_of(part.open(path), part) == path
    outside = RangeOnlyPart({"z/lone.bin": b""}).open("z/lone.bin")
    assert path_of(outside, part) == "lone.bin"


@pytest.mark.usefixtures("installed")
def test_in_a_cache_names_come_from_links_and_not_from_blobs(tmp_path: Path) -> None:
    repo, commit = tmp_path / "hub" / "models--org--ani", "0123456789" * 4
    files = {"ANN-C.nnf": described((3, 5)), "ANN-C.nnf-l1.wparam": bytes(60), "ANN-C.nnf-l1.bparam": bytes(12)}
    _write(repo, {"refs/main": commit.encode(), **{f"blobs/{i:040x}": data for i, data in enumerate(files.values())}})
    (repo / "snapshots" / commit / "networks").mkdir(parents=True)
    for i, name in enumerate(files):
        (repo / "snapshots" / commit / "networks" / name).symlink_to(f"../../../blobs/{i:040x}")
    [part] = inspect(tmp_path / "hub")
    assert (part.name, part.error) == ("org/ani@main", None)
    assert {tensor.name: tensor.shape for tensor in part.tensors} == {"ANN-C.l1.weight": (3, 5), "ANN-C.l1.bias": (3,)}


# The published package, read by the installed distribution.

_SUFFIXES = (".wparam", ".bparam")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sixteen networks, with the ``.nnf`` files that describe them."""
    plain = fetch_weights.fetch("torchani")
    cache = tmp_path_factory.mktemp("weights")
    for wheel in plain.parent.glob("torchani-*.whl"):
        (cache / wheel.name).symlink_to(wheel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fetch_weights.CONTENTS, "torchani", ("torchani/resources/", (*_SUFFIXES, ".params", ".nnf")))
        return fetch_weights.fetch("torchani", cache)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the distribution is installed, so that the environment of the tests stays as it is."""
    folder = tmp_path_factory.mktemp("site")
    copied = shutil.copytree(_DISTRIBUTION, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--target", str(folder / "packages"), str(copied)], check=True)
    return folder / "packages"


def _trimcache(*arguments: str | Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), environment.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "trimcache", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _counted(folder: Path) -> dict[str, dict[bytes, int]]:
    """Digest -> bytes of the parameter files of each network, counted from the files alone."""
    networks = {}
    for network in sorted(folder.glob("ani-*_8x/train*")):
        raw = [path.read_bytes() for path in sorted(network.rglob("*")) if path.suffix in _SUFFIXES]
        assert len(raw) == 32
        networks[network.relative_to(folder).as_posix()] = {hashlib.sha256(data).digest(): len(data) for data in raw}
    assert len(networks) == 16
    return networks


def _shared(one: Mapping[bytes, int], other: Mapping[bytes, int]) -> float:
    return sum(nbytes for digest, nbytes in one.items() if digest in other) / sum(one.values())


def _figures(networks: Mapping[str, Mapping[bytes, int]]) -> tuple[str, set[str], float]:
    """Bytes saved over all, the part of its base that each fine-tune keeps, the most that any two other networks share."""
    total = sum(sum(held.values()) for held in networks.values())
    unique = {digest: nbytes for held in networks.values() for digest, nbytes in held.items()}
    kept = {f"{_shared(networks[f'ani-1ccx_8x/train{k}'], networks[f'ani-1x_8x/train{k}']):.2%}" for k in range(8)}
    pairs = [(one, other) for one in networks for other in networks if one.partition("/")[2] != other.partition("/")[2]]
    return f"{1 - sum(unique.values()) / total:.2%}", kept, max(_shared(networks[one], networks[other]) for one, other in pairs)


@pytest.mark.slow
def test_the_published_figures(published: Path, site: Path, tmp_path: Path) -> None:
    alone = _trimcache("scan", published, "-o", tmp_path / "none.catalog")
    assert alone.returncode == 2
    assert "holds no weights" in alone.stderr

    done = _trimcache("scan", published, "-o", tmp_path / "ani.catalog", "--json", site=site)
    assert done.returncode == 0, done.stderr
    truth = _counted(published)
    assert sorted(json.loads(done.stdout)["scanned"]) == sorted(truth)

    catalog = trimcache.open_catalog(tmp_path / "ani.catalog")
    assert {part.format for part in catalog.parts} == {"torchani"}
    name_of = {part.part: part.name for part in catalog.parts}
    measured: dict[str, dict[bytes, int]] = {name: {} for name in truth}
    for row in catalog.table("extents").to_pylist():
        if row["kind"] == "parameter":
            measured[name_of[row["part"]]][row["block"]] = row["nbytes"]
    assert {name: sorted(held.values()) for name, held in measured.items()} == {name: sorted(held.values()) for name, held in truth.items()}
    assert _figures(measured) == _figures(truth) == ("39.88%", {"79.76%"}, 0.0)

    # The same figure as a user reads it.
    stats = json.loads(_trimcache("stats", catalog.root, "--by", "kind", "--json").stdout)
    [row] = [row for row in stats["rows"] if row["name"] == "parameter"]
    assert f"{1 - row['unique_bytes'] / row['total_bytes']:.2%}" == "39.88%"
    assert row["total_bytes"] == 20_906_240


@pytest.mark.slow
def test_the_constants_that_all_networks_hold_join_none(published: Path, site: Path, tmp_path: Path) -> None:
    """The ``.params`` file is the same in all sixteen: it is served with each, and is no parameter of any."""
    assert _trimcache("scan", published, "-o", tmp_path / "ani.catalog", site=site).returncode == 0
    catalog = trimcache.open_catalog(tmp_path / "ani.catalog")
    rows = [row for row in catalog.table("extents").to_pylist() if row["file"].endswith(".params")]
    assert len(rows) == 16
    assert {(row["kind"], row["nbytes"]) for row in rows} == {("file", 546)}
    assert len({row["block"] for row in rows}) == 1
    assert not [row for row in catalog.table("tensors").to_pylist() if row["file"].endswith((".params", ".nnf"))]


@pytest.mark.slow
def test_the_shapes_of_published_networks(published: Path, site: Path) -> None:
    done = _trimcache("inspect", published / "ani-1x_8x" / "train0", "--json", site=site)
    assert done.returncode == 0, done.stderr
    [part] = json.loads(done.stdout)["models"]
    shapes = {tensor["name"]: tuple(tensor["shape"]) for tensor in part["tensors"]}
    assert shapes["ANN-C.l1.weight"] == (144, 384)
    for atom in "HCNO":
        n_in = 384
        for layer in range(1, 5):
            (n_out,) = shapes[f"ANN-{atom}.l{layer}.bias"]
            assert shapes[f"ANN-{atom}.l{layer}.weight"] == (n_out, n_in)
            n_in = n_out
        assert n_in == 1
