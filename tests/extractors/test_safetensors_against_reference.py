"""Whatever the reference library writes is read the same way by both."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.safetensors import SafetensorsExtractor
from trimcache.dtypes import DTYPE_BITS, SAFETENSORS_DTYPES
from trimcache.errors import FormatError
from trimcache.testing import RangeOnlyPart

# By the names that the reference takes; types below a byte are left to hand-made files.
_WHOLE_BYTES = {
    "bool",
    "uint8",
    "int8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
}
_DTYPES = sorted(_WHOLE_BYTES | {"float8_e4m3fn", "float8_e5m2"})
_SHAPES = st.lists(st.integers(0, 5), max_size=4)
_NAMES = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda name: name != "__metadata__")
_MODELS = st.dictionaries(_NAMES, st.tuples(st.sampled_from(_DTYPES), _SHAPES, st.integers(0, 255)), max_size=8)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
# Not {}: for that, version 0.8.0 of the reference writes a header that is no JSON.
_METADATA = st.none() | st.dictionaries(_TEXT, _TEXT, min_size=1)


def _serialize(model: dict[str, tuple[str, list[int], int]], metadata: dict[str, str] | None = None) -> bytes:
    specs, alive = {}, []
    for name, (dtype, shape, fill) in model.items():
        nbytes = DTYPE_BITS[dtype] // 8 * prod(shape)
        data = np.arange(fill, fill + nbytes).astype(np.uint8)
        alive.append(data)
        specs[name] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=data.ctypes.data, data_len=nbytes)
    return safetensors.serialize(specs, metadata)


@settings(max_examples=150, deadline=None)
@given(_MODELS, _METADATA)
def test_files_of_the_reference_are_read_the_same(model: dict[str, tuple[str, list[int], int]], metadata: dict[str, str] | None) -> None:
    raw = _serialize(model, metadata)
    part = RangeOnlyPart({"m.safetensors": raw})
    with part.open("m.safetensors") as source:
        extraction = SafetensorsExtractor().extract(source, part)
        ours = {
            tensor.name: (tensor.dtype, list(tensor.shape), source.read_at(tensor.offset or 0, tensor.nbytes))
            for tensor in extraction.tensors
        }
    theirs = {
        name: (SAFETENSORS_DTYPES[entry["dtype"]], list(entry["shape"]), bytes(entry["data"]))
        for name, entry in safetensors.deserialize(raw)
    }
    assert ours == theirs
    assert dict(extraction.metadata) == (metadata or {})


@settings(max_examples=300, deadline=None)
@given(_MODELS.filter(bool), st.data())
def test_damage_that_the_reference_refuses_is_refused(model: dict[str, tuple[str, list[int], int]], data: st.DataObject) -> None:
    damaged = bytearray(_serialize(model))
    length = int.from_bytes(damaged[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 7 + length))] = data.draw(st.sampled_from(b'{}[]",:0123456789-eE \x00\xff') | st.integers(0, 255))
    part = RangeOnlyPart({"m.safetensors": bytes(damaged)})
    try:
        safetensors.deserialize(bytes(damaged))
    except safetensors.SafetensorError:
        with part.open("m.safetensors") as source, pytest.raises(FormatError):
            SafetensorsExtractor().extract(source, part)
    else:
        with part.open("m.safetensors") as source:
            SafetensorsExtractor().extract(source, part)
