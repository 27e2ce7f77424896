"""A vocabulary of 150,000 tokens costs neither memory nor time, and hardly a byte more than the header has."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_gguf import ARRAY, F32, I32, STRING, header, info, string

from extractors.gguf import GgufExtractor
from trimcache.testing import RangeOnlyPart

_N_TOKENS = 150_000
_N_TENSORS = 400
_ROW = 4096


def _vocabulary() -> bytes:
    def array(key: str, item_type: int, n: int, items: bytes) -> bytes:
        return string(key) + struct.pack("<IIQ", ARRAY, item_type, n) + items

    tokens = b"".join(string(f"Ġtoken{i}") for i in range(_N_TOKENS))
    merges = b"".join(string(f"Ġto ken{i}") for i in range(_N_TOKENS))
    return (
        array("tokenizer.ggml.tokens", STRING, _N_TOKENS, tokens)
        + array("tokenizer.ggml.scores", F32, _N_TOKENS, bytes(4 * _N_TOKENS))
        + array("tokenizer.ggml.token_type", I32, _N_TOKENS, bytes(4 * _N_TOKENS))
        + array("tokenizer.ggml.merges", STRING, _N_TOKENS, merges)
    )


def _header() -> bytes:
    infos = b"".join(info(f"blk.{i}.attn_q.weight", 0, (_ROW,), 4 * _ROW * i) for i in range(_N_TENSORS))
    raw = header(_N_TENSORS, 4) + _vocabulary() + infos
    return raw + bytes(-len(raw) % 32)


@pytest.fixture(scope="module")
def large_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "large.gguf"
    path.write_bytes(_header() + bytes(4 * _ROW * _N_TENSORS))
    return path


def test_reads_the_header_and_at_most_1_mib_more(large_vocabulary: Path) -> None:
    part = RangeOnlyPart({"m.gguf": large_vocabulary.read_bytes()})
    with part.open("m.gguf") as source:
        started = time.process_time()
        extraction = GgufExtractor().extract(source, part)
        seconds = time.process_time() - started
        assert len(extraction.tensors) == _N_TENSORS
        nbytes_header = source.size - 4 * _ROW * _N_TENSORS
        assert source.nbytes_read <= nbytes_header + (1 << 20)
        assert source.n_reads < 100
    assert seconds < 10


def test_a_small_header_costs_few_bytes() -> None:
    raw = header(1, 0) + info("w", 0, (1 << 20,), 0)
    part = RangeOnlyPart({"m.gguf": raw + bytes(-len(raw) % 32 + (4 << 20))})
    with part.open("m.gguf") as source:
        GgufExtractor().extract(source, part)
        assert source.nbytes_read <= 8192


_MEASURE = """
import re, sys
from trimcache.bytesource import LocalFile
from extractors.gguf import GgufExtractor
class NoFiles:
    def names(self): return ()
with LocalFile(sys.argv[1]) as source:
    assert len(GgufExtractor().extract(source, NoFiles()).tensors) == 400
status = open("/proc/self/status").read()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], re.search(r"RssAnon:\\s+(\\d+) kB", status)[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_far_below_the_header(large_vocabulary: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(large_vocabulary)], capture_output=True, text=True, check=True)
    peak_kb, anonymous_kb = map(int, done.stdout.split())
    assert peak_kb < 60_000
    assert anonymous_kb < 50_000
