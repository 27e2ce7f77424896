"""Compiling from nothing: two processes share the work, and either can do it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trimcache.placement

_RUN = """
import sys
from trimcache.placement import _jit, compile_kernels
started = []
class Popen(_jit.subprocess.Popen):
    def __init__(self, command, **options):
        started.append(command)
        super().__init__([sys.executable, "-c", "raise SystemExit(3)"] if sys.argv[1] == "fails" else command, **options)
_jit.subprocess.Popen = Popen
_jit._cores = lambda: 2
assert _jit.needs_compilation(["spec-tree"])
compile_kernels(["spec-tree"])
assert not _jit.needs_compilation(["spec-tree"])
assert all(kernel.signatures for kernel, _, _ in _jit._needed(["spec-tree"]))
print(len(started))
"""


def run(code: str, cache: Path, *arguments: str, path: Path | None = None) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, cwd=path, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("second", ["works", "fails"])
def test_a_second_process_compiles_or_is_done_without(tmp_path, second):
    assert run(_RUN, tmp_path, second) == "1"
    assert list(tmp_path.rglob("_kernels_tree.solve_servers-*.nbi"))
    assert run("from trimcache.placement import needs_compilation as n; print(n(['spec-tree']))", tmp_path) == "False"


@pytest.mark.slow
def test_a_changed_helper_is_noticed(tmp_path):
    """The file of the kernel itself stays as it is."""
    room = tmp_path / "trimcache"
    shutil.copytree(Path(trimcache.placement.__file__).parent.parent, room, ignore=shutil.ignore_patterns("__pycache__"))
    loads = "from trimcache.placement import needs_compilation as n; import trimcache; print(trimcache.__file__, n(['gen']))"
    compiles = "from trimcache.placement import compile_kernels as c; c(['gen'])"
    run(compiles, tmp_path / "cache", path=tmp_path)
    assert run(loads, tmp_path / "cache", path=tmp_path) == f"{room / '__init__.py'} False"
    helper = room / "placement" / "_kernels_heap.py"
    text = helper.read_text()
    assert "missing = private_bytes[i]" in text
    helper.write_text(text.replace("missing = private_bytes[i]", "missing = private_bytes[i] + 10**15"))  # nothing fits any more
    assert run(loads, tmp_path / "cache", path=tmp_path).endswith("True")
    place = """
import numpy as np
from trimcache.graph import ModelBlockGraph
from trimcache.placement import PlacementProblem, place
graph = ModelBlockGraph.from_incidence(["a"], np.array([0]), np.array([0]), np.array([5]), None)
print(place(PlacementProblem(graph, 10, [[1.0]], [[[True]]]), "gen").n_placed)
"""
    assert run(place, tmp_path / "cache", path=tmp_path) == "0"


def test_every_file_of_kernels_is_watched_for_changes():
    from trimcache.placement import _jit
    from trimcache.simulation import _fading_kernel

    assert _fading_kernel
    for kernel, _, file in _jit._needed(None):
        assert Path(file).name in {name for name, _, _ in _jit._stamps(str(Path(file).parent))}, kernel
