"""What reading costs: bytes asked for, time a tensor, memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_torch import archive, pickled, storage, table, tensor
from torch_truth import OLD_FORMAT, saved

from extractors.torch import TorchExtractor
from trimcache.bytesource import MemoryBytes
from trimcache.testing import RangeOnlyPart


def _asked(data: bytes) -> tuple[int, int, int]:
    part = RangeOnlyPart({"m.pt": data})
    with part.open("m.pt") as source:
        n_tensors = len(TorchExtractor().extract(source, part).tensors)
        return n_tensors, source.nbytes_read, source.n_reads


@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
def test_tensors_are_not_read(options: dict[str, bool]) -> None:
    data = saved({f"layer.{n}": torch.zeros(1 << 18) for n in range(16)}, **options)
    n_tensors, nbytes, n_reads = _asked(data)
    assert n_tensors == 16
    assert nbytes < 512 << 10
    assert n_reads < 25


def test_headers_of_small_tensors_are_read_together() -> None:
    data = saved({f"layer.{n}": torch.zeros(64) for n in range(500)})
    n_tensors, nbytes, n_reads = _asked(data)
    assert n_tensors == 500
    assert nbytes < (1 << 20) + 100_000
    assert n_reads < 60


def test_ten_thousand_tensors_a_second() -> None:
    data = saved({f"encoder.layer.{n}.weight": torch.zeros(4) for n in range(300)})
    assert 300 / min(_seconds(data) for _ in range(20)) > 10_000  # 32,000 where this was written; a loaded machine is slower


def _seconds(data: bytes) -> float:
    start = time.process_time()
    with MemoryBytes(data) as source:
        TorchExtractor().extract(source, RangeOnlyPart({}))
    return time.process_time() - start


_MEASURE = """
import re, sys
from trimcache.bytesource import LocalFile
from extractors.torch import TorchExtractor
class NoFiles:
    def names(self): return ()
with LocalFile(sys.argv[1]) as source:
    [tensor] = TorchExtractor().extract(source, NoFiles()).tensors
    data = tensor.whole(source)
    assert len(data) == tensor.nbytes == 400 << 20
    assert bytes(data[:8]) == bytes(8) and data[-1] == 0
status = open("/proc/self/status").read()
print(re.search(r"RssAnon:\\s+(\\d+) kB", status)[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_turned_tensor_does_not_fill_memory(tmp_path: Path) -> None:
    """400 MiB in another layout: gathered in pieces into memory that the kernel can move out."""
    rows, columns = 100, 1 << 20
    turned = tensor(storage("0", rows * columns), shape=(columns, rows), stride=(1, columns))
    small = archive(pickled(table(w=turned)), {})
    path = tmp_path / "large.pt"
    _write_sparse(path, small, 4 * rows * columns)
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150_000


def _write_sparse(path: Path, small: bytes, nbytes: int) -> None:
    """``small`` with one more stored entry of zeros, ``archive/data/0``, written as a hole."""
    end = small.rfind(b"PK\5\6")
    first = small.find(b"PK\1\2")
    name = b"archive/data/0"
    size = nbytes.to_bytes(4, "little")
    local = b"PK\3\4" + bytes(14) + size + size + len(name).to_bytes(2, "little") + bytes(2) + name
    central = b"PK\1\2" + bytes(16) + size + size + len(name).to_bytes(2, "little") + bytes(12) + first.to_bytes(4, "little") + name
    n = int.from_bytes(small[end + 10 : end + 12], "little") + 1
    directory = small[first:end] + central
    start = first + len(local) + nbytes
    record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n, n, len(directory), start, 0)
    with path.open("wb") as file:
        file.write(small[:first] + local)
        file.seek(start)
        file.write(directory + record)
