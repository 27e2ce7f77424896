"""The extractor contract for archives, the old format and TorchScript."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch_truth import OLD_FORMAT, saved, truth

from extractors.torch import TorchExtractor
from trimcache.errors import FormatError, NoWeightsError
from trimcache.tensors import Extraction, Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample


def _ordinary() -> dict[str, Any]:
    torch.manual_seed(0)
    return OrderedDict(
        {
            "layer.weight": torch.randn(5, 7),
            "layer.bias": torch.randn(5).to(torch.bfloat16),
            "bn.running_mean": torch.randn(3),
            "ids": torch.arange(6).reshape(2, 3),
        }
    )


def _odd() -> dict[str, Any]:
    torch.manual_seed(1)
    shared, buffer = torch.randn(4, 6), torch.randn(100)
    return {
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "tied": shared,
        "tied_again": shared,
        "transposed": shared.t(),
        "columns": torch.randn(6, 8)[:, 2:5],
        "inner": buffer[10:20],
        "overlapping": buffer[15:30],
        "expanded": torch.randn(3, 1).expand(3, 4),
        "flags": torch.tensor([True, False]),
        "complex": torch.randn(3, dtype=torch.complex64).conj(),
        "half_complex": torch.randn(2, 2, dtype=torch.complex32),
        "tiny": torch.randn(8).to(torch.float8_e5m2),
        "unsigned": torch.arange(5).to(torch.uint16),
    }


def _expected(tensors: dict[str, torch.Tensor]) -> dict[str, Expected]:
    return {name: Expected(*truth(tensor)) for name, tensor in tensors.items()}


class _TorchContract(ExtractorContract):
    def make_extractor(self) -> TorchExtractor:
        return TorchExtractor()

    def _extract(self, name: str, part: RangeOnlyPart) -> Extraction:
        # A damaged file may no longer look like a torch file, or have lost its tensors: that is an answer too.
        try:
            return super()._extract(name, part)
        except NoWeightsError as error:
            raise FormatError(error.subject, error.problem, error.fix) from error


class TestArchive(_TorchContract):
    def write_valid(self, folder: Path) -> Sequence[Sample]:
        return list(_samples(folder))


class TestOldFormat(_TorchContract):
    def write_valid(self, folder: Path) -> Sequence[Sample]:
        return list(_samples(folder, **OLD_FORMAT))


def _samples(folder: Path, **options: Any) -> Sequence[Sample]:
    samples = []
    for name, tensors in (("ordinary", _ordinary()), ("odd", _odd())):
        path = folder / name / "pytorch_model.bin"
        path.parent.mkdir()
        path.write_bytes(saved(tensors, **options))
        samples.append(Sample(path, _expected(tensors)))
    path = folder / "nested" / "model.ckpt"
    path.parent.mkdir()
    wrapped = {"state_dict": _ordinary(), "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(9)}}, "param_groups": []}}
    path.write_bytes(saved(wrapped, **options))
    return [*samples, Sample(path, _expected(_ordinary()))]


class _Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.register_buffer("table", torch.arange(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x)) + self.table.sum()


class TestTorchScript(_TorchContract):
    def write_valid(self, folder: Path) -> Sequence[Sample]:
        torch.manual_seed(2)
        module = _Scripted().eval()
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(module), buffer)
        (folder / "model.jit").write_bytes(buffer.getvalue())
        parameters = dict(module.named_parameters())
        expected = {
            name: Expected(*truth(tensor), kind=Kind.PARAMETER if name in parameters else Kind.BUFFER)
            for name, tensor in module.state_dict().items()
        }
        return [Sample(folder / "model.jit", expected)]
