"""Whatever ``torch.save`` writes is read as ``torch.load`` reads it: names, types, shapes, bytes and places."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from blake3 import blake3
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch_truth import OLD_FORMAT, contents, extract, saved, truth

from extractors.safetensors import SafetensorsExtractor
from trimcache.testing import RangeOnlyPart

warnings.filterwarnings("ignore", category=UserWarning)

_DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.complex32,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip
_UNTYPED = frozenset(torch.storage._new_dtypes())
_FORMATS = pytest.mark.parametrize("options", [{}, OLD_FORMAT, {"pickle_protocol": 4}], ids=["zip", "old", "protocol 4"])


def _filled(dtype: torch.dtype, shape: list[int], seed: int) -> torch.Tensor:
    """Any bytes at all, for any type: NaNs with odd payloads must survive too."""
    nbytes = torch.empty(0, dtype=dtype).element_size() * int(np.prod(shape))
    if not nbytes:
        return torch.empty(shape, dtype=dtype)
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 256, nbytes, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype).reshape(shape)


@st.composite
def _views(draw: st.DrawFn) -> torch.Tensor:
    """A view of some storage: cut, turned, stepped, broadcast."""
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    tensor = _filled(draw(st.sampled_from(_DTYPES)), shape, draw(st.integers(0, 9)))
    for _ in range(draw(st.integers(0, 3))):
        axis = draw(st.integers(0, tensor.ndim - 1)) if tensor.ndim else None
        if axis is None:
            tensor = tensor.unsqueeze(0).expand(draw(st.integers(1, 3)))
        elif draw(st.booleans()):
            tensor = tensor.transpose(axis, draw(st.integers(0, tensor.ndim - 1)))
        else:
            size = tensor.shape[axis]
            start = draw(st.integers(0, size))
            index = [slice(None)] * tensor.ndim
            index[axis] = slice(start, draw(st.integers(start, size)), draw(st.integers(1, 3)))
            tensor = tensor[tuple(index)]
    return tensor


_KEYS = st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1, max_size=6).filter(
    lambda key: not key.isdigit() and key not in ("state", "model", "params") and "opt" not in key and "state" not in key
)
_TREES = st.recursive(
    _views() | st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.dictionaries(_KEYS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


def _flat(tree: Any, name: str = "") -> dict[str, torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    if isinstance(tree, (dict, list, tuple)):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: value for piece, inner in pairs for key, value in _flat(inner, f"{name}.{piece}" if name else str(piece)).items()}
    return {}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_TREES.filter(lambda tree: bool(_flat(tree))), st.sampled_from([{}, OLD_FORMAT, {"pickle_protocol": 4}]))
def test_any_tree_of_views_is_read_as_torch_loads_it(tree: dict[str, Any], options: dict[str, Any]) -> None:
    # The reference cannot load what it writes in the old format for its newer types.
    assume(options != OLD_FORMAT or not any(tensor.dtype in _UNTYPED for tensor in _flat(tree).values()))
    data = saved(tree, **options)
    # Its restricted reader knows protocol 2 alone.
    loaded = _flat(torch.load(io.BytesIO(data), weights_only="pickle_protocol" not in options))
    assert contents(data) == {name: truth(tensor) for name, tensor in loaded.items()}


@_FORMATS
def test_every_dtype(options: dict[str, Any]) -> None:
    model = {str(dtype): _filled(dtype, [3, 4], 1) for dtype in _DTYPES}
    assert contents(saved(model, **options)) == {name: truth(tensor) for name, tensor in model.items()}


def test_offsets_are_those_the_reference_computes() -> None:
    base = torch.randn(64, 3)
    model = {"a": torch.randn(5, 6), "tied": base, "again": base, "row": base[3:7], "byte": torch.arange(3, dtype=torch.uint8)}
    data = saved(model)
    with FakeTensorMode():
        fake = torch.load(io.BytesIO(data))
    for tensor in extract(data).tensors:
        view = fake[tensor.name]
        assert tensor.offset == view.untyped_storage()._checkpoint_offset + view.storage_offset() * view.element_size()


@_FORMATS
def test_digests_are_those_of_safetensors(options: dict[str, Any]) -> None:
    model = {f"layer.{n}": _filled(dtype, [4, n + 1], n) for n, dtype in enumerate(_DTYPES) if dtype != torch.complex32}
    model = {name: tensor for name, tensor in model.items() if tensor.dtype not in (torch.complex128, torch.float8_e8m0fnu)}
    part = RangeOnlyPart({"m.safetensors": safetensors.torch.save(model)})
    with part.open("m.safetensors") as source:
        found = SafetensorsExtractor().extract(source, part).tensors
        theirs = {t.name: (t.dtype, t.shape, blake3(source.read_at(t.offset or 0, t.nbytes)).digest()) for t in found}
    ours = {name: (dtype, shape, blake3(raw).digest()) for name, (dtype, shape, raw) in contents(saved(model, **options)).items()}
    assert ours == theirs


@_FORMATS
def test_lazily_conjugated_and_negated_views(options: dict[str, Any]) -> None:
    number = torch.randn(3, 4, dtype=torch.complex64)
    for view in (number.conj(), number.conj().t(), number.clone().conj().imag, torch._neg_view(torch.arange(4))):
        assert contents(saved({"x": view}, **options)) == {"x": truth(view)}


@_FORMATS
def test_sparse_tensors_are_their_components(options: dict[str, Any]) -> None:
    dense = torch.tensor([[0.0, 1.0, 0.0, 2.0], [3.0, 0.0, 0.0, 0.0]])
    coo, csr, csc = dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc()
    assert contents(saved({"coo": coo, "csr": csr, "csc": csc}, **options)) == {
        "coo.indices": truth(coo.indices()),
        "coo.values": truth(coo.values()),
        "csr.crow_indices": truth(csr.crow_indices()),
        "csr.col_indices": truth(csr.col_indices()),
        "csr.values": truth(csr.values()),
        "csc.ccol_indices": truth(csc.ccol_indices()),
        "csc.row_indices": truth(csc.row_indices()),
        "csc.values": truth(csc.values()),
    }


@_FORMATS
def test_quantized_tensors_are_their_integers(options: dict[str, Any]) -> None:
    one = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 3, torch.qint8)
    many = torch.quantize_per_channel(torch.randn(3, 4), torch.rand(3) + 0.1, torch.zeros(3), 0, torch.quint8)
    packed = torch.quantize_per_channel(torch.randn(4, 4), torch.ones(4), torch.zeros(4), 0, torch.quint4x2)
    found = contents(saved({"one": one, "many": many, "packed": packed}, **options))
    assert found["one"] == ("qint8", (3, 4), truth(one.int_repr())[2])
    assert found["many"] == ("quint8", (3, 4), truth(many.int_repr())[2])
    assert found["many.scales"] == truth(many.q_per_channel_scales())
    assert found["packed"][:2] == ("quint4x2", (4, 4))
    assert len(found["packed"][2]) == 8


def test_big_endian_storages_become_little_endian() -> None:
    model = {
        "f": torch.randn(3, 4),
        "c": torch.randn(5, dtype=torch.complex128),
        "b": torch.arange(3, dtype=torch.uint8),
        "t": torch.randn(4, 3).t(),
    }
    swapped = {name: _byteswapped(tensor) for name, tensor in model.items()}
    big = _with_entry(saved(swapped), "byteorder", b"big")
    assert contents(big) == {name: truth(tensor) for name, tensor in model.items()}
    assert {t.name: t.offset is None for t in extract(big).tensors} == {"f": True, "c": True, "b": False, "t": True}


def _byteswapped(tensor: torch.Tensor) -> torch.Tensor:
    swapped = torch.empty_like(tensor)
    swapped.untyped_storage().copy_(tensor.untyped_storage())
    swapped.untyped_storage().byteswap(tensor.dtype)
    return swapped


def _with_entry(data: bytes, name: str, content: bytes) -> bytes:
    """The archive packed again with another content for one entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename.endswith(f"/{name}") else old.read(info))
    return buffer.getvalue()
