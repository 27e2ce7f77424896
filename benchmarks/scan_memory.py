"""How much memory does a scan take, whatever the size of the file?

    python benchmarks/scan_memory.py [--gigabytes 9] [--turned-gigabytes 1] [--folder DIR]

Scans sparse files (their bytes are zeros that take no disk), a GGUF file with a vocabulary of 150,000 tokens, and files whose one large
tensor lies in another layout than the canonical one (deflated, column-major, big-endian, in pieces, as varints), and samples the
anonymous memory (RssAnon) of the process and its helpers together every 5 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from machine import describe

LIMIT_NBYTES = 300 << 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=9)
    parser.add_argument("--turned-gigabytes", type=float, default=1, help="size of the tensors in another layout")
    parser.add_argument("--folder", type=Path, help="where to write the files; a temporary folder if not given")
    arguments = parser.parse_args()
    nbytes = int(arguments.gigabytes * 10**9) // 4096 * 4096
    n_columns = max(1, int(arguments.turned_gigabytes * 10**9) // (4 * 16384))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        cases = {
            "safetensors, one tensor": sparse_safetensors(folder / "one.safetensors", nbytes, 1),
            "safetensors, 512 tensors": sparse_safetensors(folder / "many.safetensors", nbytes, 512),
            "the same, chunks of content": folder / "many.safetensors",
            "GGUF, 150,000 tokens": gguf(folder / "vocabulary.gguf", 150_000),
            "npz, deflated": npz(folder / "deflated.npz", n_columns, deflated=True),
            "npz, column-major": npz(folder / "columns.npz", n_columns, order="F"),
            "npz, column-major, deflated": npz(folder / "both.npz", n_columns, order="F", deflated=True),
            "npz, big-endian": npz(folder / "big.npz", n_columns, dtype=">f4"),
            "GGUF, big-endian": gguf_big_endian(folder / "big.gguf", 16384 * n_columns),
            "ONNX, float_data in two pieces": onnx(folder / "pieces.onnx", 1, 4, 16384 * n_columns, (32768 * n_columns,) * 2),
            "ONNX, int64_data (varints)": onnx(folder / "varints.onnx", 7, 7, 8192 * n_columns, (8192 * n_columns,)),
        }
        print(f"{describe()}\n")
        print(f"{'source':<32}{'bytes':>16}{'peak RssAnon':>16}{'seconds':>10}")
        worst = 0
        for number, (title, path) in enumerate(cases.items()):
            options = ["--granularity", "chunk"] if "chunks" in title else []
            peak, seconds = scan_peak(path, folder / f"catalog-{number}", options)
            worst = max(worst, peak)
            print(f"{title:<32}{path.stat().st_size:>16,}{peak / 2**20:>12.0f} MiB{seconds:>10.1f}")
        print(f"\nlimit {LIMIT_NBYTES / 2**20:.0f} MiB: {'kept' if worst < LIMIT_NBYTES else 'EXCEEDED'}")


def scan_peak(source: Path, catalog: Path, options: list[str]) -> tuple[int, float]:
    """Peak of anonymous memory in bytes, and seconds, of one scan."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "trimcache", "scan", str(source), "-o", str(catalog), "-q", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_nbytes(process.pid))
        time.sleep(0.005)
    if process.wait():
        sys.exit(f"scan of {source} failed")
    return peak, time.perf_counter() - began


def anonymous_nbytes(pid: int) -> int:
    """Of a process and its children; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    own = sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))
    return own + sum(map(anonymous_nbytes, map(int, children)))


def sparse_safetensors(path: Path, nbytes: int, n_tensors: int) -> Path:
    """A safetensors file whose tensors are holes."""
    size = nbytes // n_tensors // 4 * 4
    entries = {
        f"layers.{i}.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]} for i in range(n_tensors)
    }
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + n_tensors * size)
    return path


def gguf(path: Path, n_tokens: int) -> Path:
    """A GGUF file with a vocabulary, scores, types and merges, and one small tensor, written by the gguf package."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_token_list([f"token-{i}" for i in range(n_tokens)])
    writer.add_token_scores([float(i) for i in range(n_tokens)])
    writer.add_token_types([1] * n_tokens)
    writer.add_token_merges([f"a{i} b{i}" for i in range(n_tokens)])
    writer.add_tensor("token_embd.weight", np.zeros((64, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def npz(path: Path, n_columns: int, *, dtype: str = "<f4", order: Literal["C", "F"] = "C", deflated: bool = False) -> Path:
    """A NumPy archive with one array of 16,384 rows, of zeros: what costs most memory to recognise as constant."""
    import numpy as np

    (np.savez_compressed if deflated else np.savez)(path, w=np.zeros((16384, n_columns), dtype, order))
    return path


def gguf_big_endian(path: Path, n_elements: int) -> Path:
    """A sparse big-endian GGUF file of one float32 tensor, written field by field as its specification says."""
    key, name = b"general.architecture", b"w"
    header = struct.pack(">4sIQQ", b"GGUF", 3, 1, 1)
    header += struct.pack(">Q", len(key)) + key + struct.pack(">IQ", 8, 5) + b"llama"
    header += struct.pack(">Q", len(name)) + name + struct.pack(">IQIQ", 1, n_elements, 0, 0)
    header += bytes(-len(header) % 32)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * n_elements)
    return path


def onnx(path: Path, data_type: int, data_field: int, n_elements: int, pieces: Sequence[int]) -> Path:
    """A sparse ONNX model whose one initializer has its elements in packed ``pieces`` (in bytes) of a typed field."""
    heads = [_tag(data_field, 2) + _varint(nbytes) for nbytes in pieces]
    first = _tag(1, 0) + _varint(n_elements) + _tag(2, 0) + _varint(data_type) + _tag(8, 2) + _varint(1) + b"w"
    tensor_nbytes = len(first) + sum(map(len, heads)) + sum(pieces)
    initializer = _tag(5, 2) + _varint(tensor_nbytes)
    graph = _tag(7, 2) + _varint(len(initializer) + tensor_nbytes)
    with path.open("wb") as file:
        file.write(_tag(1, 0) + _varint(10) + graph + initializer + first)
        for head, nbytes in zip(heads, pieces, strict=True):
            file.write(head)
            file.seek(nbytes, os.SEEK_CUR)
        file.truncate()
    return path


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


if __name__ == "__main__":
    main()
