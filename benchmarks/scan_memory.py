"""How much memory does a scan take, whatever the size of the file?

    python benchmarks/scan_memory.py [--gigabytes 9]

Scans sparse files (their bytes are zeros that take no disk) and a GGUF file with a vocabulary of 150,000 tokens, and samples the
anonymous memory (RssAnon) of the process every 5 ms.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

LIMIT_NBYTES = 300 << 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=9)
    arguments = parser.parse_args()
    nbytes = int(arguments.gigabytes * 10**9) // 4096 * 4096
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {
            "safetensors, one tensor": sparse_safetensors(folder / "one.safetensors", nbytes, 1),
            "safetensors, 512 tensors": sparse_safetensors(folder / "many.safetensors", nbytes, 512),
            "the same, chunks of content": folder / "many.safetensors",
            "GGUF, 150,000 tokens": gguf(folder / "vocabulary.gguf", 150_000),
        }
        print(f"{describe()}\n")
        print(f"{'source':<30}{'bytes':>16}{'peak RssAnon':>16}{'seconds':>10}")
        worst = 0
        for number, (title, path) in enumerate(cases.items()):
            options = ["--granularity", "chunk"] if "chunks" in title else []
            peak, seconds = scan_peak(path, folder / f"catalog-{number}", options)
            worst = max(worst, peak)
            print(f"{title:<30}{path.stat().st_size:>16,}{peak / 2**20:>12.0f} MiB{seconds:>10.1f}")
        print(f"\nlimit {LIMIT_NBYTES / 2**20:.0f} MiB: {'kept' if worst < LIMIT_NBYTES else 'EXCEEDED'}")


def scan_peak(source: Path, catalog: Path, options: list[str]) -> tuple[int, float]:
    """Peak of anonymous memory in bytes, and seconds, of one scan."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "trimcache", "scan", str(source), "-o", str(catalog), "-q", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))])
        time.sleep(0.005)
    if process.wait():
        sys.exit(f"scan of {source} failed")
    return peak, time.perf_counter() - began


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


if __name__ == "__main__":
    main()
