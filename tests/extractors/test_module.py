"""Modules in memory: what a state dict holds, as bytes of a virtual file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from extractors.module import ModuleExtractor
from trimcache import scan
from trimcache.bytesource import MemoryBytes
from trimcache.errors import FormatError
from trimcache.tensors import Kind, TensorRef


def _tensors(module: nn.Module) -> dict[str, TensorRef]:
    extraction = ModuleExtractor().extract_object(module)
    by_name = {tensor.name: tensor for tensor in extraction.tensors}
    assert len(by_name) == len(extraction.tensors)
    return by_name


def _bytes(tensor: TensorRef) -> bytes:
    data = bytes(tensor.whole(MemoryBytes(b"")))
    assert len(data) == tensor.nbytes
    return data


def _truth(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


class _Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(8, 4)
        self.decoder = nn.Linear(4, 8, bias=False)
        self.decoder.weight = self.embedding.weight
        self.norm = nn.BatchNorm1d(4)
        self.transposed = nn.Parameter(torch.randn(3, 5, generator=generator).t())
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.empty = nn.Parameter(torch.empty(0, 3))
        for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.complex64):
            setattr(self, f"as_{dtype}".replace("torch.", ""), nn.Parameter(torch.randn(3, generator=generator).to(dtype)))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("eight", torch.randn(4, generator=generator).to(torch.float8_e4m3fn))
        self.register_buffer("conjugate", torch.tensor([1 + 2j, 3 - 1j]).conj())
        self.register_buffer("gone", torch.ones(3), persistent=False)

    def get_extra_state(self) -> Any:
        return {"any": "object"}

    def set_extra_state(self, state: Any) -> None:
        del state


def test_names_dtypes_shapes_and_bytes_are_those_of_the_state_dict() -> None:
    module = _Everything()
    truth = {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    tensors = _tensors(module)
    assert list(tensors) == list(truth)
    for name, value in truth.items():
        assert tensors[name].dtype == str(value.dtype).removeprefix("torch.")
        assert tensors[name].shape == tuple(value.shape)
        assert _bytes(tensors[name]) == _truth(value.resolve_conj())


def test_kinds() -> None:
    kinds = {name: tensor.kind for name, tensor in _tensors(_Everything()).items()}
    buffers = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "mask", "eight", "conjugate"}
    assert {name for name, kind in kinds.items() if kind is Kind.BUFFER} == buffers
    assert {kind for name, kind in kinds.items() if name not in buffers} == {Kind.PARAMETER}


def test_tied_weights_share_one_range_under_both_names() -> None:
    tensors = _tensors(_Everything())
    assert tensors["embedding.weight"].offset == tensors["decoder.weight"].offset
    ranges = {(tensor.offset, tensor.nbytes) for tensor in tensors.values() if tensor.nbytes}
    end = 0
    for offset, nbytes in sorted((offset or 0, nbytes) for offset, nbytes in ranges):
        assert offset == end
        end += nbytes


def test_equal_values_in_other_memory_are_not_tied() -> None:
    module = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    module[1].weight.data.copy_(module[0].weight.data)
    tensors = _tensors(module)
    assert tensors["0.weight"].offset != tensors["1.weight"].offset
    assert _bytes(tensors["0.weight"]) == _bytes(tensors["1.weight"])


def test_two_views_of_one_storage_are_not_tied() -> None:
    storage = torch.arange(6.0)
    module = nn.Module()
    module.register_buffer("rows", storage.view(2, 3))
    module.register_buffer("columns", storage.view(2, 3).t())
    tensors = _tensors(module)
    assert tensors["rows"].offset != tensors["columns"].offset
    assert _bytes(tensors["columns"]) == _truth(storage.view(2, 3).t())


def test_a_meta_tensor_is_refused() -> None:
    with torch.device("meta"):
        module = nn.Linear(2, 2)
    with pytest.raises(FormatError, match="meta device"):
        ModuleExtractor().extract_object(module)


def test_in_memory_and_saved_it_has_the_same_digests(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2).to(torch.bfloat16))
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    catalog = scan([("memory", module), tmp_path / "m.safetensors"], tmp_path / "c")
    name_of = {part.part: part.name for part in catalog.parts}
    found: dict[str, dict[str, tuple[object, ...]]] = {"memory": {}, "m.safetensors": {}}
    for row in catalog.table("tensors").to_pylist():
        found[name_of[row["part"]]][row["name"]] = (row["digest"], row["dtype"], row["shape"], row["kind"], row["constant"])
    assert found["memory"] == found["m.safetensors"]
    assert len(found["memory"]) == 9
    assert catalog.graph().shared_bytes > 0


@pytest.mark.slow  # importing peft takes seconds
def test_peft_wrapped() -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(nn.Sequential(nn.Linear(4, 4)), peft.LoraConfig(target_modules=["0"], r=2))
    kinds = {name: tensor.kind for name, tensor in _tensors(model).items()}
    adapters = {name for name, kind in kinds.items() if kind is Kind.ADAPTER}
    assert adapters == {name for name in kinds if "lora_" in name}
    assert adapters
    assert Kind.PARAMETER in kinds.values()


@pytest.mark.parametrize("other", [None, 3, "text", {"weight": torch.zeros(2)}, nn.Module], ids=repr)
def test_accepts_nothing_but_modules(other: object) -> None:
    assert not ModuleExtractor().accepts(other)
    assert ModuleExtractor().accepts(nn.Linear(1, 1))
