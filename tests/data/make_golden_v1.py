"""Writes ``golden-v1.catalog``, the catalog of format version 1.0 that every later version must read.

Run once, by version 0.1 of trimcache, as ``python tests/data/make_golden_v1.py``. It must never be made again: the files that are
committed are the test. Two models share a tensor, one holds a constant one, an adapter is completed by the first, another lacks its base.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tiny_models import tensors_of, write_adapter, write_model  # noqa: E402

from trimcache.catalog.description import CatalogDescription  # noqa: E402
from trimcache.catalog.writer import CatalogWriter  # noqa: E402
from trimcache.rules import Rules  # noqa: E402
from trimcache.scanning.part import ScanTask, scan_part  # noqa: E402
from trimcache.sources.resolve import resolve  # noqa: E402


def main() -> None:
    target = HERE / "golden-v1.catalog"
    if target.exists():
        sys.exit(f"{target} exists and must stay as it is")
    inode = count(100)
    with tempfile.TemporaryDirectory() as folder:
        zoo = Path(folder) / "zoo"
        write_model(zoo / "org" / "base", tensors_of(shared=1, own=2), tokenizer_json='{"version": "1.0"}')
        zeros = {"zeros.weight": ("F32", (8, 8), bytes(256)), "empty": ("BF16", (0, 4), b""), "bn.running_mean": ("F32", (2,), bytes(8))}
        write_model(zoo / "org" / "tuned", {**tensors_of(shared=1), **zeros})
        write_adapter(zoo / "org" / "lora", "org/base", tensors_of(lora_A=3), revision="main")
        write_adapter(zoo / "org" / "orphan", "org/missing", tensors_of(lora_A=4))
        with CatalogWriter(target, CatalogDescription(Rules())) as writer:
            for spec in resolve([zoo]).parts:
                record = scan_part(ScanTask(spec, Rules()))
                # Where it was made is nobody's business, and would differ.
                record.part = f"file:///zoo/{record.name}"
                record.source = "file:///zoo"
                record.files.stamp = [
                    replace(stamp, mtime_ns=1_700_000_000_000_000_000, ctime_ns=1_700_000_000_000_000_000, device=1, inode=next(inode))
                    for stamp in record.files.stamp
                    if stamp is not None
                ]
                writer.add(record)


if __name__ == "__main__":
    main()
