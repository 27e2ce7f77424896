"""What the onnx package writes, trimcache and the onnx package read the same.

Where they differ, on damaged files alone: the package parses messages that trimcache steps over, and so refuses more; it reads the unused
half of the last byte of an odd number of 4-bit elements as zero; it refuses external data without a length unless the tensor ends its file
(onnxruntime does not); it looks for graphs in an attribute only if the attribute's type says so.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.onnx import OnnxExtractor
from extractors.onnx.element_types import ELEMENT_TYPES
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import FormatError
from trimcache.testing import RangeOnlyPart

onnx = pytest.importorskip("onnx")
DecodeError = pytest.importorskip("google.protobuf.message").DecodeError
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

_TYPES = sorted(ELEMENT_TYPES)
_SHAPES = st.lists(st.integers(0, 4), max_size=3)
_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def _ours(name: str, files: Mapping[str, bytes]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    part = RangeOnlyPart(files)
    with part.open(name) as source:
        tensors = OnnxExtractor().extract(source, part).tensors
    contents = {}
    for tensor in tensors:
        with part.open(tensor.file or name) as source:
            data = tensor.whole(source)
        contents[tensor.name] = (tensor.dtype, tensor.shape, bytes(data))
    return contents


def _canonical(data_type: int, array: np.ndarray) -> bytes:
    """Packed little-endian bytes of what the reference reads; below a byte through its own writer."""
    if DTYPE_BITS[ELEMENT_TYPES[data_type][0]] < 8:
        return numpy_helper.from_array(array).raw_data
    return array.tobytes()


def _random_tensor(name: str, data_type: int, shape: list[int], seed: int, raw: bool):
    rng = np.random.default_rng(seed)
    bits = DTYPE_BITS[ELEMENT_TYPES[data_type][0]]
    packed = rng.bytes(-(-prod(shape) * bits // 8))
    as_raw = TensorProto(name=name, data_type=data_type, dims=shape, raw_data=packed)
    if data_type == TensorProto.BOOL:
        as_raw.raw_data = bytes(byte & 1 for byte in packed)
    array = numpy_helper.to_array(as_raw)
    if raw:
        return numpy_helper.from_array(array, name)
    typed = TensorProto(name=name, data_type=data_type, dims=shape)
    field = getattr(typed, helper.tensor_dtype_to_field(data_type))
    if bits >= 32 or data_type in (TensorProto.INT8, TensorProto.INT16, TensorProto.UINT8, TensorProto.UINT16):
        flat = array.reshape(-1)
        parts = {14: "float32", 15: "float64"}.get(data_type)
        field.extend((flat.view(parts) if parts else flat).tolist())
    elif bits == 6:
        field.extend(array.reshape(-1).view(np.uint8).tolist())
    else:
        field.extend(np.frombuffer(numpy_helper.from_array(array).raw_data, dtype=np.uint16 if bits == 16 else np.uint8).tolist())
    return typed


def _model(initializers: list) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "g", [], [], initializers))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("data_type", _TYPES, ids=TensorProto.DataType.Name)
def test_every_type_is_read_the_same(data_type: int, raw: bool) -> None:
    for shape in ([], [0], [5], [3, 7]):
        message = _random_tensor("w", data_type, shape, data_type, raw)
        array = numpy_helper.to_array(message)
        expected = ELEMENT_TYPES[data_type][0], tuple(shape), _canonical(data_type, array)
        assert _ours("m.onnx", {"m.onnx": _model([message]).SerializeToString()}) == {"w": expected}


def test_every_type_of_the_package_is_known() -> None:
    known = {*_TYPES, TensorProto.UNDEFINED, TensorProto.STRING}
    assert set(TensorProto.DataType.values()) == known
    for data_type, (_, field) in ELEMENT_TYPES.items():
        name = helper.tensor_dtype_to_field(data_type)
        assert TensorProto.DESCRIPTOR.fields_by_name[name].number == field


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_NAMES, st.tuples(st.sampled_from(_TYPES), _SHAPES, st.booleans()), max_size=6), st.booleans())
def test_models_are_read_the_same(model: dict[str, tuple[int, list[int], bool]], outside: bool) -> None:
    messages = [_random_tensor(name, *spec[:2], i, spec[2]) for i, (name, spec) in enumerate(model.items())]
    expected = {m.name: (ELEMENT_TYPES[m.data_type][0], tuple(m.dims), _canonical(m.data_type, numpy_helper.to_array(m))) for m in messages}
    with tempfile.TemporaryDirectory() as folder:
        onnx.save_model(
            _model(messages),
            f"{folder}/m.onnx",
            save_as_external_data=outside,
            location="m.onnx_data" if outside else None,
            size_threshold=0,
        )
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    assert _ours("m.onnx", files) == expected


def test_subgraphs_functions_and_constants_hold_the_same_tensors(tmp_path: Path) -> None:
    def constant(name: str, seed: int):
        return helper.make_node("Constant", [], [name], value=_random_tensor(name, TensorProto.FLOAT, [3], seed, bool(seed % 2)))

    def branch(seed: int):
        return helper.make_graph([constant("c", seed)], "b", [], [], [_random_tensor("w", TensorProto.INT64, [2], seed, False)])

    nodes = [
        helper.make_node("If", ["x"], ["y"], then_branch=branch(1), else_branch=branch(2)),
        constant("k", 3),
        helper.make_node("ConstantOfShape", ["x"], ["z"], value=_random_tensor("", TensorProto.FLOAT16, [1], 4, True)),
    ]
    function = helper.make_function("d", "F", [], ["c"], [constant("c", 5)], [helper.make_opsetid("", 21)])
    graph = helper.make_graph(nodes, "g", [], [], [_random_tensor("w", TensorProto.DOUBLE, [2, 2], 6, False)])
    model = helper.make_model(graph, functions=[function])
    theirs = Counter((tuple(m.dims), numpy_helper.to_array(m).tobytes()) for m in onnx.external_data_helper._get_all_tensors(model))
    ours = _ours("m.onnx", {"m.onnx": model.SerializeToString()})
    assert Counter((shape, data) for _, shape, data in ours.values()) == theirs
    assert set(ours) == {"w", "y.then_branch/w", "y.then_branch/c", "y.else_branch/w", "y.else_branch/c", "k", "z.value", "d.F/c"}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_accepted_after_damage_the_reference_reads_the_same(data: st.DataObject) -> None:
    messages = [
        _random_tensor("a", TensorProto.FLOAT, [2, 2], 0, True),
        _random_tensor("b", TensorProto.INT64, [3], 1, False),
        _random_tensor("c", TensorProto.FLOAT16, [2], 2, False),
    ]
    damaged = bytearray(_model(messages).SerializeToString())
    for _ in range(data.draw(st.integers(1, 2))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        ours = _ours("m.onnx", {"m.onnx": bytes(damaged)})
    except FormatError:
        return
    try:
        model = onnx.ModelProto.FromString(bytes(damaged))
    except DecodeError:
        return  # the reference parses all messages, trimcache steps over those that hold no tensors
    theirs = [m for m in model.graph.initializer if m.data_type != TensorProto.STRING]
    contents = [(ELEMENT_TYPES[m.data_type][0], tuple(m.dims), _canonical(m.data_type, numpy_helper.to_array(m))) for m in theirs]
    assert contents == list(ours.values())
