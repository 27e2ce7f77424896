"""What every extractor promises, checked for torchani's parameters: ``pytest examples/trimcache-torchani``."""

from __future__ import annotations

import bz2
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from trimcache_torchani import TorchaniExtractor

from trimcache.tensors import Kind
from trimcache.testing import Expected, ExtractorContract, Sample


def described(*layers: tuple[int, int]) -> bytes:
    """A ``.nnf`` file as torchani's are: ``(outputs, inputs)`` of each layer, packed behind a length."""
    text = "".join(f"layer [\nnodes={n_out};\nactivation=9;\nblocksize={n_in};\nl2valu=0.000100;\n]\n" for n_out, n_in in layers)
    packed = bz2.compress(f"inputsize={layers[0][1]};\natom_net C $\n{text}$\0".encode())
    return f"{len(packed)}=\n".encode() + packed


class TestTorchani(ExtractorContract):
    """A matrix and a bias that a ``.nnf`` file describes."""

    def make_extractor(self):
        return TorchaniExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        weight, bias = np.arange(15, dtype="<f4"), np.ones(3, dtype="<f4")
        (folder / "ANN-C.nnf").write_bytes(described((7, 2), (3, 5)))
        (folder / "ANN-C.nnf-l2.wparam").write_bytes(weight.tobytes())
        (folder / "ANN-C.nnf-l2.bparam").write_bytes(bias.tobytes())
        return [
            Sample(folder / "ANN-C.nnf-l2.wparam", {"ANN-C.l2.weight": Expected("float32", (3, 5), weight.tobytes(), Kind.PARAMETER)}),
            Sample(folder / "ANN-C.nnf-l2.bparam", {"ANN-C.l2.bias": Expected("float32", (3,), bias.tobytes(), Kind.PARAMETER)}),
        ]
