"""Which extractors there are: the quick look must agree with the library that knows all ways to install a distribution."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from trimcache import extraction
from trimcache.extraction import BUILT_IN, GROUP

_FORMATS = ["gguf", "module", "npz", "onnx", "peft", "safetensors", "torch"]
_LOOK = """
import sys
from trimcache import extraction
print(extraction._only_built_in(), "importlib.metadata" in sys.modules)
print(*sorted(extractor.format for extractor in extraction._installed()))
"""


def _look(*paths: Path) -> list[str]:
    """What a fresh process finds with ``paths`` before the rest."""
    code = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n{_LOOK}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_list_is_what_the_project_declares() -> None:
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    assert list(BUILT_IN) == [declared[name] for name in sorted(declared)]


def test_alone_the_quick_look_finds_what_the_library_finds() -> None:
    others = [entry for entry in entry_points(group=GROUP) if entry.value not in BUILT_IN]
    if others:
        pytest.skip(f"{others[0].value} is installed here")
    assert _look() == ["True False", " ".join(_FORMATS)]


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A folder with one more extractor installed in it."""
    folder = tmp_path / "site"
    (folder / "other-1.0.dist-info").mkdir(parents=True)
    (folder / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (folder / "other-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nother = other:Other\n")
    (folder / "other.py").write_text("class Other:\n    format = 'other'\n")
    return folder


def test_one_more_extractor_is_found(third_party: Path) -> None:
    assert _look(third_party) == ["False False", " ".join(sorted([*_FORMATS, "other"]))]


def test_so_is_one_below_a_name_with_spaces_and_in_an_egg(third_party: Path) -> None:
    (third_party / "other-1.0.dist-info").rename(third_party / "other.egg-info")
    (third_party / "other.egg-info" / "METADATA").rename(third_party / "other.egg-info" / "PKG-INFO")
    (third_party / "other.egg-info" / "entry_points.txt").write_text(f"[ {GROUP} ]\nother=other:Other\n")
    assert _look(third_party)[0] == "False False"


def test_where_a_look_cannot_tell_the_library_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "packages.zip"
    archive.write_bytes(b"PK\5\6" + bytes(18))
    assert _look(archive) == ["False False", " ".join(_FORMATS)]

    class Finder(PathFinder):
        pass

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert not extraction._only_built_in()
