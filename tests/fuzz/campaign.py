"""One campaign of damaged files against one extractor, in a process of its own.

    python -m fuzz.campaign FORMAT N SEED     (with tests/ on the path)

Prints a JSON object: how many inputs were accepted and refused, how many got past the header, the slowest, the peak of anonymous
memory, and the first inputs that broke a rule. An input gets past the header when its tensors are listed, or when it is refused only
for what it says of one of them or of their bytes.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimcache.blocks.digests import digest_algorithm
from trimcache.blocks.engine import Engine
from trimcache.blocks.tiling import Extent, tile
from trimcache.errors import TrimcacheError
from trimcache.extraction import file_extractors
from trimcache.tensors import Kind
from trimcache.testing import RangeOnlyPart

FILE_NAMES = {"safetensors": "model.safetensors", "torch": "model.pt", "gguf": "model.gguf", "onnx": "model.onnx", "npz": "model.npz"}
MAX_SECONDS = 5.0
MAX_MEMORY_NBYTES = 300 << 20


@dataclass
class Result:
    """What a campaign found."""

    format: str
    inputs: int = 0
    accepted: int = 0
    past_header: int = 0
    slowest_s: float = 0.0
    peak_anonymous_nbytes: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def run(file_format: str, n: int, seed: int) -> Result:
    """Feed ``n`` mutations of valid files to the extractor of ``file_format``, and hash what it lists."""
    mutators = importlib.import_module(f"fuzz.mutators_{file_format}")
    extractor = next(one for one in file_extractors() if one.format == file_format)
    valid = mutators.valid_files()
    rng = random.Random(seed)
    name = FILE_NAMES[file_format]
    result = Result(file_format)
    before = _anonymous_nbytes()
    for _ in range(n):
        data = rng.choice(valid)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            try:
                data = mutators.mutate(data, rng)
            except (ValueError, TypeError, IndexError, KeyError, RecursionError):
                break  # the mutator cannot parse what it broke before
        began = time.perf_counter()
        try:
            consume(extractor, name, data)
            result.accepted += 1
            result.past_header += 1
        except TrimcacheError as error:
            # Refusals are counted by where they were raised and by their words without numbers and names.
            result.refusals[_shape_of(error)] += 1
            result.past_header += _names_a_tensor(error)
        except BaseException:  # noqa: BLE001 - finding any other exception is what the campaign is for
            if len(result.broken) < 5:
                result.broken.append(f"{traceback.format_exc()[-1500:]}\ninput: {data[:4096].hex()}")
        seconds = time.perf_counter() - began
        result.inputs += 1
        result.slowest_s = max(result.slowest_s, seconds)
        if seconds > MAX_SECONDS:
            result.broken.append(f"took {seconds:.1f} s\ninput: {data[:4096].hex()}")
    result.peak_anonymous_nbytes = _peak_nbytes() - before
    return result


def consume(extractor: Any, name: str, data: bytes) -> None:
    """Extract, tile and hash as a scan does, down to the bytes of every tensor."""
    part = RangeOnlyPart({name: data})
    with part.open(name) as source:
        extraction = extractor.extract(source, part)
    with part.open(name) as source:
        ranges = [
            Extent(offset, nbytes, tensor.kind)
            for tensor in extraction.tensors
            for offset, nbytes in (((tensor.offset, tensor.nbytes),) if tensor.offset is not None else tensor.stored)
            if not tensor.file
        ]
        tiles = tile(source.size, ranges, Kind.HEADER, source.uri)
        assert sum(extent.nbytes for extent in tiles) == source.size
        Engine(digest_algorithm("xxh3-128")).hash_extents(source, tiles)
        for tensor in extraction.tensors:
            if tensor.offset is None:
                assert sum(piece.nbytes for piece in tensor.pieces(source)) == tensor.nbytes


def _names_a_tensor(error: TrimcacheError) -> bool:
    return "tensor" in error.problem or "member" in error.problem or "storage" in error.problem


def _shape_of(error: TrimcacheError) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame is not None else "?"


def _anonymous_nbytes() -> int:
    return _status("RssAnon")


def _peak_nbytes() -> int:
    return _status("VmHWM") - _status("RssFile") - _status("RssShmem")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    outcome = run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({**outcome.__dict__, "refusals": outcome.refusals.most_common()}))
