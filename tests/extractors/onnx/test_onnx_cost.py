"""Inline tensors are stepped over: a model of any size costs its graph and at most 1 MiB more."""

from __future__ import annotations

import time

import pytest
from tiny_onnx import FLOAT, field, graph, model, node, tensor

from extractors.onnx import OnnxExtractor
from trimcache.testing import RangeOnlyPart


@pytest.mark.parametrize(("n_tensors", "n_elements"), [(1, 4 << 20), (300, 16_384), (3_000, 700), (20_000, 100), (30_000, 8)])
def test_reading_costs_the_graph(n_tensors: int, n_elements: int) -> None:
    data = bytes(4 * n_elements)
    raw = model(graph(initializers=[tensor(f"layer.{i}.weight", FLOAT, (n_elements,), data) for i in range(n_tensors)]))
    part = RangeOnlyPart({"m.onnx": raw})
    started = time.process_time()
    with part.open("m.onnx") as source:
        extraction = OnnxExtractor().extract(source, part)
        seconds = time.process_time() - started
        assert len(extraction.tensors) == n_tensors
        assert source.nbytes_read <= len(raw) - n_tensors * len(data) + (1 << 20)
        # Not one request for each field either.
        assert source.n_reads <= 1.2 * n_tensors + 20
    assert seconds < 20


def test_typed_and_text_data_is_stepped_over_too() -> None:
    floats = tensor("f", FLOAT, (1 << 20,), None, field(4, bytes(4 << 20)))
    integers = tensor("i", 7, (4 << 20,), None, field(7, bytes(4 << 20)))
    words = tensor("s", 8, (1,), None, field(6, bytes(4 << 20)))
    part = RangeOnlyPart({"m.onnx": model(graph(initializers=[floats, integers, words]))})
    with part.open("m.onnx") as source:
        assert len(OnnxExtractor().extract(source, part).tensors) == 2
        assert source.nbytes_read < 32_768


def test_many_nodes_without_tensors() -> None:
    raw = model(graph(nodes=[node("Add", f"/layer/add_{i}_output", name=f"/layer/add_{i}") for i in range(50_000)]))
    part = RangeOnlyPart({"m.onnx": raw})
    started = time.process_time()
    with part.open("m.onnx") as source:
        assert OnnxExtractor().extract(source, part).tensors == ()
    assert time.process_time() - started < 20
