"""How close does `trimcache scan` come to merely hashing the files?

    python benchmarks/scan_throughput.py [--gigabytes 8] [--runs 5] [--folder DIR]

Writes safetensors files and the same tensors as torch zip files, keeps them in the page cache, and measures in alternation:

* `scan` (wall time of the command, less that of `trimcache --help`) against a bare loop in Python that maps the same files and hashes
  each whole with BLAKE3 on all threads;
* `scan --digest xxh3-128` against the same loop with XXH3 on two threads;
* `scan` of the torch files against `scan` of the safetensors files;
* `sha256sum`, for scale.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe, in_turn, wall_s

LOOP = """
import mmap, sys
from concurrent.futures import ThreadPoolExecutor
from blake3 import blake3
import xxhash
algorithm, files = sys.argv[1], sys.argv[2:]
def whole(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        return blake3(data, max_threads=blake3.AUTO).digest() if algorithm == "blake3" else xxhash.xxh3_128_digest(data)
if algorithm == "blake3":
    for path in files:
        whole(path)
else:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(whole, files))
"""


def write_files(folder: Path, nbytes: int, torch_files: bool) -> tuple[list[Path], list[Path]]:
    """Files of about 1 GB of tensors of 4 kB to 64 MB, as a language model has them."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    shapes = [(1024,), (4096, 4096), (4096, 1024), (11008, 1024), (1024,), (1024,)]
    plain, zipped, written, number = [], [], 0, 0
    while written < nbytes:
        tensors = {}
        size = 0
        while size < min(10**9, nbytes - written):
            shape = shapes[len(tensors) % len(shapes)]
            tensors[f"model.layers.{len(tensors)}.weight"] = rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
            size += int(np.prod(shape)) * 4
        written += size
        plain.append(folder / "safetensors" / f"{number:03d}.safetensors")
        plain[-1].parent.mkdir(exist_ok=True)
        save_file(tensors, plain[-1])
        if torch_files:
            import torch

            zipped.append(folder / "torch" / f"{number:03d}.pt")
            zipped[-1].parent.mkdir(exist_ok=True)
            torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, zipped[-1])
        number += 1
    return plain, zipped


def scan_s(source: Path, folder: Path, *options: str) -> float:
    """Wall time of one scan into a new catalog."""
    catalog = folder / "catalog"
    shutil.rmtree(catalog, ignore_errors=True)
    return wall_s([sys.executable, "-m", "trimcache", "scan", str(source), "-o", str(catalog), "-q", *options])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write the files; a temporary folder if not given")
    parser.add_argument("--no-torch", action="store_true", help="leave out the torch files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        plain, zipped = write_files(folder, int(arguments.gigabytes * 10**9), not arguments.no_torch)
        nbytes = sum(path.stat().st_size for path in plain)
        print(f"{describe()}; {len(plain)} files, {nbytes / 1e9:.2f} GB; median of {arguments.runs} runs in alternation\n")
        files = [str(path) for path in plain]
        help_s = statistics.median(wall_s([sys.executable, "-m", "trimcache", "--help"]) for _ in range(5))
        subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
        report(
            f"blake3-256 (trimcache --help: {help_s:.2f} s)",
            nbytes,
            help_s,
            in_turn(
                arguments.runs,
                lambda: scan_s(folder / "safetensors", folder),
                lambda: wall_s([sys.executable, "-c", LOOP, "blake3", *files]),
            ),
            ("scan", "bare loop, blake3, all threads"),
        )
        report(
            "xxh3-128",
            nbytes,
            help_s,
            in_turn(
                arguments.runs,
                lambda: scan_s(folder / "safetensors", folder, "--digest", "xxh3-128"),
                lambda: wall_s([sys.executable, "-c", LOOP, "xxh3", *files]),
            ),
            ("scan", "bare loop, xxh3, two threads"),
        )
        if zipped:
            subprocess.run(["cat", *map(str, zipped)], stdout=subprocess.DEVNULL, check=True)
            report(
                "torch zip against safetensors",
                nbytes,
                help_s,
                in_turn(arguments.runs, lambda: scan_s(folder / "torch", folder), lambda: scan_s(folder / "safetensors", folder)),
                ("scan of torch files", "scan of safetensors files"),
            )
        print(f"sha256sum of the same bytes: {wall_s(['sha256sum', *files]):.2f} s")


def report(title: str, nbytes: int, help_s: float, times: list[list[float]], names: tuple[str, str]) -> None:
    """Print two rows and their ratio, pair by pair; the scan's start-up is taken off."""
    print(title)
    for name, seconds in zip(names, times, strict=True):
        middle = statistics.median(seconds)
        print(f"  {name:<34}{middle:8.2f} s {nbytes / middle / 1e9:8.2f} GB/s  ({min(seconds):.2f} to {max(seconds):.2f})")
    scans = times[0]
    peers = [t - help_s for t in times[1]] if names[1].startswith("scan") else times[1]
    ratios = [(scan - help_s) / peer for scan, peer in zip(scans, peers, strict=True)]
    print(f"  ratio, start-up of scan taken off: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n")


if __name__ == "__main__":
    main()
