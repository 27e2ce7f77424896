"""How close does `trimcache scan` come to merely hashing the files?

    python benchmarks/scan_throughput.py [--gigabytes 8] [--runs 5] [--folder DIR] [--peer-python PATH] [--only-peers]

Writes safetensors files and the same tensors as torch zip files, keeps them in the page cache, and measures in alternation:

* `scan` (wall time of the command, less that of `trimcache --help`) against a bare loop in Python that maps the same files and hashes
  each whole with BLAKE3 on all threads;
* `scan --digest xxh3-128` against the same loop with XXH3 on two threads;
* `scan` of the torch files against `scan` of the safetensors files;
* for scale, `sha256sum`, and two tools that also store what they read: `hf-xet` into a local folder and `tensorfs import`. They are no
  dependencies: install them into an environment of their own (`pip install hf-xet tensorfs`) and name its Python with `--peer-python`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from machine import describe, in_turn, wall_s

XET = """
import sys
import hf_xet
store, *files = sys.argv[1:]
with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{store}") as commit:
    for file in files:
        commit.start_upload_file(file)
"""

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
    parser.add_argument("--peer-python", type=Path, default=Path(sys.executable), help="a Python that has hf-xet and tensorfs")
    parser.add_argument("--peer-runs", type=int, default=3, help="runs of the peers: each writes as many bytes as there are")
    parser.add_argument("--only-peers", action="store_true", help="measure nothing but the peers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        with_torch = not (arguments.no_torch or arguments.only_peers)
        plain, zipped = write_files(folder, int(arguments.gigabytes * 10**9), with_torch)
        nbytes = sum(path.stat().st_size for path in plain)
        print(f"{describe()}; {len(plain)} files, {nbytes / 1e9:.2f} GB; in alternation\n")
        files = [str(path) for path in plain]
        help_s = statistics.median(wall_s([sys.executable, "-m", "trimcache", "--help"]) for _ in range(5))
        os.sync()  # or the disk is busy writing them while the first runs are measured
        subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
        if arguments.only_peers:
            compare_peers(arguments.peer_python, arguments.peer_runs, folder, files, nbytes)
            return
        report(
            f"blake3-256, median of {arguments.runs} (trimcache --help: {help_s:.2f} s)",
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
        compare_peers(arguments.peer_python, arguments.peer_runs, folder, files, nbytes)


def compare_peers(python: Path, runs: int, folder: Path, files: list[str], nbytes: int) -> None:
    """Print what the same bytes cost tools that hash, and tools that hash and store, in alternation with a scan."""
    store = folder / "store"
    measured: dict[str, Callable[[], float]] = {
        "scan": lambda: scan_s(folder / "safetensors", folder),
        "sha256sum": lambda: wall_s(["sha256sum", *files]),
    }
    missing = []
    if subprocess.run([python, "-c", "import hf_xet"], check=False, stderr=subprocess.DEVNULL).returncode:
        missing.append("hf-xet")
    else:
        measured["hf-xet, local store"] = lambda: stored_s(store, [str(python), "-c", XET, str(store), *files])
    tfs = shutil.which("tfs", path=python.parent) or shutil.which("tfs")
    if tfs is None:
        missing.append("tensorfs")
    else:
        imports = " && ".join(f'"$0" --store "$1" import {shlex.quote(f)} --name local/m{i}' for i, f in enumerate(files))
        measured["tensorfs import"] = lambda: stored_s(store, ["sh", "-c", imports, tfs, str(store)])
    sizes: dict[str, int] = {}

    def measure(title: str) -> float:
        seconds = measured[title]()
        if store.exists():
            sizes[title] = sum(path.stat().st_blocks * 512 for path in store.rglob("*") if path.is_file())
            shutil.rmtree(store)
        return seconds

    times = in_turn(runs, *(partial(measure, title) for title in measured))
    print(f"for scale, whole processes, median of {runs}")
    for title, seconds in zip(measured, times, strict=True):
        middle = statistics.median(seconds)
        ratio = statistics.median(peer / scan for peer, scan in zip(seconds, times[0], strict=True))
        stored = f", {sizes[title] / 1e9:.2f} GB stored" if title in sizes else ""
        print(f"  {title:<34}{middle:8.2f} s {nbytes / middle / 1e9:8.2f} GB/s  {ratio:6.1f} times the scan{stored}")
    for name in missing:
        print(f"  {name:<34}not installed (see --peer-python)")


def stored_s(store: Path, command: list[str]) -> float:
    """Wall time of a tool that fills ``store``, an empty folder; its caches go there too."""
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    return wall_s(["env", f"HF_HOME={store}/hf", f"HOME={store}/home", *command])


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
