"""The rules of the house, checked on the syntax trees: who imports whom, what is public, what may not be caught."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trimcache

_PACKAGE = Path(trimcache.__file__).parent
_EXTRACTORS = _PACKAGE.parent / "extractors"
# What an extractor may know of trimcache: bytes in, tensors out.
_FOR_EXTRACTORS = {"trimcache.bytesource", "trimcache.tensors", "trimcache.errors", "trimcache.dtypes"}


def _trees(*roots: Path) -> Iterator[tuple[Path, ast.Module]]:
    paths = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    assert paths
    for path in paths:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in ``tree``, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _below(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_trimcache_never_imports_extractors() -> None:
    for path, tree in _trees(_PACKAGE):
        assert not [module for module in _imports(tree) if _below(module, "extractors")], path


def test_extractors_know_only_bytes_and_tensors() -> None:
    for path, tree in _trees(_EXTRACTORS):
        known = [module for module in _imports(tree) if _below(module, "trimcache")]
        assert not [module for module in known if not _below(module, *_FOR_EXTRACTORS)], path


@pytest.mark.parametrize("room", ["placement", "network", "graph.py", "_atoms.py", "_graph_file.py", "_graph_rules.py"])
def test_placement_network_and_graph_need_no_torch_files_or_command_line(room: str) -> None:
    forbidden = ("torch", "transformers", "click", "rich", "trimcache.cli", "trimcache.sources", "trimcache.catalog", "trimcache.scanning")
    for path, tree in _trees(_PACKAGE / room):
        # What only type checkers import costs nobody anything.
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = []
        assert not [module for module in _imports(tree) if _below(module, *forbidden)], path


def test_nothing_in_trimcache_needs_torch() -> None:
    for path, tree in _trees(_PACKAGE):
        assert not [module for module in _imports(tree) if _below(module, "torch", "transformers", "peft")], path


def test_nothing_catches_everything() -> None:
    for path, tree in _trees(_PACKAGE, _EXTRACTORS):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type is not None else {"nothing named"}
            if caught & {"Exception", "nothing named"}:
                pytest.fail(f"{path}:{node.lineno} catches everything")
            if "BaseException" in caught:
                last = node.body[-1]
                assert isinstance(last, ast.Raise), f"{path}:{node.lineno} swallows even KeyboardInterrupt"
                assert last.exc is None, f"{path}:{node.lineno} replaces even KeyboardInterrupt"


def test_analysis_does_not_print() -> None:
    for path, tree in _trees(_PACKAGE):
        if "cli" in path.relative_to(_PACKAGE).parts:
            continue
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        assert not [node.lineno for node in calls if node.func.id == "print"], path  # type: ignore[attr-defined]


def test_public_names_are_sorted_and_pinned() -> None:
    """A name that is added here is a promise; one that is removed breaks somebody."""
    assert list(trimcache.__all__) == ["__version__", *sorted(name for name in trimcache.__all__ if name != "__version__")]
    promised = {
        "Catalog", "EdgeNetwork", "ModelBlockGraph", "Placement", "PlacementProblem", "TrimcacheError",
        "__version__", "compact", "open_catalog", "place", "scan",
    }  # fmt: skip
    assert promised <= set(trimcache.__all__)
    assert dir(trimcache) == sorted(trimcache.__all__)


def test_every_public_name_can_be_had() -> None:
    for name in trimcache.__all__:
        assert getattr(trimcache, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = trimcache.nonsense  # type: ignore[attr-defined]


def _in_a_fresh_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_scan_can_be_called_whatever_was_imported_before() -> None:
    """The package's function and its module share a name."""
    for first in ("", "import trimcache.scanning.run", "from trimcache.scanning.run import run_scan"):
        assert _in_a_fresh_process(f"{first}\nimport trimcache\nprint(callable(trimcache.scan))") == "True"


_HEAVY = {"numpy", "scipy", "numba", "pyarrow", "duckdb", "torch", "transformers", "safetensors", "huggingface_hub"}


@pytest.mark.parametrize(
    "code",
    [
        "import trimcache",
        "import trimcache.errors, trimcache.sizes, trimcache.bytesource, trimcache.tensors, trimcache.dtypes",
        "import trimcache.cli",
        "from trimcache.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from trimcache.cli import main\ntry: main(['scan', '--help'])\nexcept SystemExit: pass",
        "from trimcache.cli import main\nmain(['--version'])",
        "import extractors.safetensors, extractors.peft, extractors.module",
    ],
)
def test_what_must_be_light_is_light(code: str) -> None:
    loaded = set(_in_a_fresh_process(f"{code}\nimport sys\nprint()\nprint(*sys.modules)").splitlines()[-1].split())
    heavy = _HEAVY if "cli" in code else {*_HEAVY, "click", "rich"}
    assert not loaded & heavy


@pytest.mark.slow
def test_scanning_needs_no_torch(tmp_path: Path) -> None:
    from tiny_models import tensors_of, write_model

    write_model(tmp_path / "zoo" / "m", tensors_of(x=1))
    code = (
        f"import trimcache, sys; trimcache.scan({str(tmp_path / 'zoo')!r}, {str(tmp_path / 'c')!r}).graph(); print('torch' in sys.modules)"
    )
    assert _in_a_fresh_process(code) == "False"
