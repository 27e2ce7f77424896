"""The same weights in safetensors, ``.npz``, ONNX (three ways) and GGUF have the same tensor digests after a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import gguf_bytes
from tiny_onnx import external, field, graph, model, packed_varints, tensor

import trimcache

_ARRAYS = {
    "w": np.linspace(-1, 1, 60, dtype="<f4").reshape(6, 10),
    "b": np.arange(10, dtype="<f2"),
    "i": np.arange(-5, 5, dtype="<i8"),
}
_ONNX_TYPES = {"w": 1, "b": 10, "i": 7}
_GGUF_TYPES = {"w": 0, "b": 1, "i": 27}


def _onnx_typed(name: str) -> bytes:
    array = _ARRAYS[name]
    data = {
        "w": lambda: field(4, array.tobytes()),
        "b": lambda: field(5, packed_varints(*array.view("<u2").tolist())),
        "i": lambda: field(7, packed_varints(*array.tolist())),
    }[name]()
    return tensor(name, _ONNX_TYPES[name], array.shape, None, data)


def _onnx_external() -> tuple[bytes, bytes]:
    tensors, data = [], b""
    for name, array in _ARRAYS.items():
        place = external("model.onnx_data", len(data), array.nbytes)
        tensors.append(tensor(name, _ONNX_TYPES[name], array.shape, None, place))
        data += array.tobytes()
    return model(graph(initializers=tensors)), data


def _write(root: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    folders = {name: root / name for name in ("safetensors", "npz", "deflated", "columns", "onnx", "typed", "external", "gguf", "big")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    safetensors.save_file(_ARRAYS, folders["safetensors"] / "model.safetensors")
    np.savez(folders["npz"] / "model.npz", **_ARRAYS)
    np.savez_compressed(folders["deflated"] / "model.npz", **_ARRAYS)
    columns = {name: np.asfortranarray(array).astype(array.dtype.newbyteorder(">")) for name, array in _ARRAYS.items()}
    np.savez(folders["columns"] / "model.npz", **columns)
    raw = [tensor(name, _ONNX_TYPES[name], array.shape, array.tobytes()) for name, array in _ARRAYS.items()]
    (folders["onnx"] / "model.onnx").write_bytes(model(graph(initializers=raw)))
    (folders["typed"] / "model.onnx").write_bytes(model(graph(initializers=[_onnx_typed(name) for name in _ARRAYS])))
    outside, data = _onnx_external()
    (folders["external"] / "config.json").write_text("{}")
    (folders["external"] / "model.onnx").write_bytes(outside)
    (folders["external"] / "model.onnx_data").write_bytes(data)
    for name, arrays, order in (("gguf", _ARRAYS, "<"), ("big", columns, ">")):
        tensors = {key: (_GGUF_TYPES[key], array.shape[::-1], array.tobytes("C")) for key, array in arrays.items()}
        (folders[name] / "model.gguf").write_bytes(gguf_bytes(tensors, order=order))


def test_after_a_scan(tmp_path: Path) -> None:
    _write(tmp_path / "zoo")
    catalog = trimcache.scan([str(tmp_path / "zoo")], str(tmp_path / "zoo.catalog"))
    rows = catalog.table("tensors").to_pylist()
    assert len(rows) == 9 * len(_ARRAYS)
    for name, array in _ARRAYS.items():
        found = [row for row in rows if row["name"] == name]
        assert {(row["dtype"], tuple(row["shape"]), row["nbytes"]) for row in found} == {(array.dtype.name, array.shape, array.nbytes)}
        assert len({row["digest"] for row in found}) == 1
