"""The contract suite itself: it lets a sound extractor through, and each kind of fault fails the test that is there for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

import trimcache
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind, TensorRef
from trimcache.testing import Expected, ExtractorContract, Sample


class CountedExtractor:
    """Files of one byte that says how many bytes follow."""

    format: ClassVar[str] = "counted"
    suffixes: ClassVar[tuple[str, ...]] = (".counted",)
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        nbytes = source.read_at(0, 1)[0]
        if source.size != 1 + nbytes:
            raise FormatError(source.uri, f"should hold {nbytes} bytes behind the first", "write it again")
        return Extraction((TensorRef("w", "uint8", (nbytes,), Kind.PARAMETER, nbytes, 1),))


class CountedContract(ExtractorContract):
    extractor: ClassVar[type] = CountedExtractor

    def make_extractor(self) -> CountedExtractor:
        return self.extractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        (folder / "m.counted").write_bytes(b"\3abc")
        return [Sample(folder / "m.counted", {"w": Expected("uint8", (3,), b"abc")})]


class TestCounted(CountedContract):
    pass


class _OpensForClaims(CountedExtractor):
    def claims(self, path, files):
        return files.open(path).size > 0


class _ShiftsBytes(CountedExtractor):
    def extract(self, source, files):
        [tensor] = super().extract(source, files).tensors
        return Extraction((tensor._replace(offset=0),))


class _TrustsTheCount(CountedExtractor):
    def extract(self, source, files):
        nbytes = source.size - 1
        return Extraction((TensorRef("w", "uint8", (nbytes,), Kind.PARAMETER, nbytes, 1),))


class _LeavesTheFile(CountedExtractor):
    def extract(self, source, files):
        try:
            source.read_at(source.size, 1)
        except FormatError:
            return super().extract(source, files)
        raise AssertionError


class _CrashesOnDamage(CountedExtractor):
    def extract(self, source, files):
        assert source.size == 1 + source.read_at(0, 1)[0]
        return super().extract(source, files)


class _NeverTheSame(CountedExtractor):
    _turn = 0

    def extract(self, source, files):
        _NeverTheSame._turn += 1
        [tensor] = super().extract(source, files).tensors
        return Extraction((tensor._replace(name=f"w{self._turn}"),))


class _LosesTheLastPiece(CountedExtractor):
    def extract(self, source, files):
        [tensor] = super().extract(source, files).tensors
        place = (1, tensor.nbytes)
        return Extraction((tensor._replace(offset=None, stored=(place,), data=lambda source: iter([memoryview(source.read_at(1, 2))])),))


@pytest.mark.parametrize(
    ("faulty", "caught_by"),
    [
        (_OpensForClaims, "test_claims_looks_at_names_alone"),
        (_ShiftsBytes, "test_tensors_are_the_expected_ones"),
        (_LosesTheLastPiece, "test_tensors_are_the_expected_ones"),
        (_TrustsTheCount, "test_a_truncated_file_is_refused_or_yields_the_same"),
        (_CrashesOnDamage, "test_flipped_bytes_are_refused_or_yield_a_valid_extraction"),
        (_LeavesTheFile, "test_nothing_outside_a_file_is_asked_for"),
        (_NeverTheSame, "test_extracting_twice_gives_the_same"),
    ],
)
def test_a_faulty_extractor_is_caught(faulty: type, caught_by: str, tmp_path: Path) -> None:
    suite = type("Suite", (CountedContract,), {"extractor": faulty})()
    with pytest.raises(AssertionError):
        getattr(suite, caught_by)(suite.write_valid(tmp_path))


def test_nothing_else_in_trimcache_needs_it_or_pytest() -> None:
    package = Path(trimcache.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(("trimcache.testing", "pytest"))], path
    code = "import pkgutil, sys, trimcache, trimcache.scanning.run; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
