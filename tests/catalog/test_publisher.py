"""Publishing from a process of its own: the same catalog, the same errors, and what becomes of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import is_running, wait_for_end
from snapshot import contents
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import open_catalog, scan

_SCAN = """
import os, sys
from pathlib import Path
from trimcache.catalog import publisher
{before}
with publisher.publishing_process() as publish:
    from trimcache.rules import Rules
    from trimcache.scanning.run import run_scan
    {inside}
    report = run_scan([sys.argv[1]], Path(sys.argv[2]), Rules(), publish=publish, workers=2)
    print(*report.scanned, publish is not None, "pyarrow" in sys.modules)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nobody left")
"""
_CHILD = 'child = int(Path(f"/proc/self/task/{os.getpid()}/children").read_text())'


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for i in range(3):
        write_model(tmp_path / "zoo" / f"m{i}", tensors_of(shared=0, own=i))
    write_adapter(tmp_path / "zoo" / "lora", "zoo/m0", tensors_of(lora_A="a"))
    return tmp_path / "zoo"


def _run(zoo: Path, catalog: Path, before: str = "", inside: str = "") -> subprocess.CompletedProcess[str]:
    code = _SCAN.format(before=before, inside=inside)
    return subprocess.run([sys.executable, "-c", code, str(zoo), str(catalog)], capture_output=True, text=True, check=False, timeout=60)


def test_the_catalog_is_the_same_and_parquet_is_imported_elsewhere(zoo: Path, tmp_path: Path) -> None:
    done = _run(zoo, tmp_path / "c")
    assert done.stdout == "lora m0 m1 m2 True False\nnobody left\n", done.stderr
    scan(zoo, tmp_path / "here")
    assert contents(open_catalog(tmp_path / "c")) == contents(open_catalog(tmp_path / "here"))


_NO_FORK = """
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refuse
"""


@pytest.mark.parametrize(
    "why", ["import pyarrow", _NO_FORK, "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"]
)
def test_where_forking_is_no_use_or_not_safe_publishing_happens_here(zoo: Path, tmp_path: Path, why: str) -> None:
    done = _run(zoo, tmp_path / "c", before=why)
    assert done.stdout == "lora m0 m1 m2 False True\nnobody left\n", done.stderr
    assert len(open_catalog(tmp_path / "c").models) == 4


def test_a_catalog_that_cannot_be_written_is_the_same_error(zoo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    done = _run(zoo, broken, inside="import trimcache.catalog.writer as w; check = w.create_or_check\n"
                "    def spoil(root, wanted): check(root, wanted); (root / 'extents').write_text('')\n"
                "    w.create_or_check = spoil")  # fmt: skip
    assert done.returncode == 1
    assert f"CatalogError: {broken}: cannot be written" in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_a_process_that_is_killed_is_one_error_and_no_hang(zoo: Path, tmp_path: Path) -> None:
    done = _run(zoo, tmp_path / "c", inside=f"{_CHILD}; os.kill(child, 9)")
    assert done.returncode == 1
    assert "died (out of memory, or killed); run the same command again to go on" in done.stderr
    assert len(scan(zoo, tmp_path / "c").models) == 4


def test_it_ends_when_the_scan_is_killed(zoo: Path, tmp_path: Path) -> None:
    code = _SCAN.format(before="", inside=f"{_CHILD}; print(child, flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", code, str(zoo), str(tmp_path / "c")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
    wait_for_end([child])


def test_ctrl_c_reaches_both_and_leaves_neither(zoo: Path, tmp_path: Path) -> None:
    code = _SCAN.format(before="", inside=f"{_CHILD}; print(child, flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", code, str(zoo), str(tmp_path / "c")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        child = int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr.read().count("KeyboardInterrupt") == 1
        assert process.wait() == -signal.SIGINT
    assert not is_running(child)
