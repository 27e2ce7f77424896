"""The same weights are the same tensors whatever they are saved as: written by the reference libraries, compared by digest."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import trimcache
from trimcache.scanning.inspection import inspect
from trimcache.sharing.sizes import SizeAnalysis

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

Arrays = Mapping[str, np.ndarray]

# What safetensors, torch, NumPy and ONNX all have.
_DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64", "complex64",
]  # fmt: skip
# NumPy has no name for these.
_ONLY_TENSORS = ["bfloat16", "float8_e4m3fn", "float8_e5m2"]


def _tensors(arrays: Arrays) -> dict[str, Any]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _safetensors(arrays: Arrays, path: Path) -> None:
    safetensors_numpy.save_file(dict(arrays), path)


def _torch_zip(arrays: Arrays, path: Path) -> None:
    torch.save(_tensors(arrays), path)


def _torch_legacy(arrays: Arrays, path: Path) -> None:
    torch.save(_tensors(arrays), path, _use_new_zipfile_serialization=False)


def _npz(arrays: Arrays, path: Path) -> None:
    np.savez(path, **arrays)


def _npz_deflated(arrays: Arrays, path: Path) -> None:
    np.savez_compressed(path, **arrays)


def _model(tensors: list[Any]) -> Any:
    return onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors))


def _onnx_raw(arrays: Arrays, path: Path) -> None:
    onnx.save(_model([onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]), path)


def _onnx_typed(arrays: Arrays, path: Path) -> None:
    """Elements in ``float_data``, ``int32_data`` and the like."""
    typed = []
    for name, array in arrays.items():
        data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        typed.append(onnx.helper.make_tensor(name, data_type, array.shape, array.reshape(-1).tolist()))
    onnx.save(_model(typed), path)


def _onnx_external(arrays: Arrays, path: Path) -> None:
    model = _model([onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()])
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)


_WRITERS: dict[str, tuple[Callable[[Arrays, Path], None], str]] = {
    "safetensors": (_safetensors, ".safetensors"),
    "torch zip": (_torch_zip, ".bin"),
    "torch legacy": (_torch_legacy, ".bin"),
    "npz": (_npz, ".npz"),
    "npz deflated": (_npz_deflated, ".npz"),
    "onnx raw": (_onnx_raw, ".onnx"),
    "onnx typed": (_onnx_typed, ".onnx"),
    "onnx external": (_onnx_external, ".onnx"),
}


def _in_memory(arrays: Arrays) -> Any:
    module = torch.nn.Module()
    for name, tensor in _tensors(arrays).items():
        if tensor.is_floating_point():
            module.register_parameter(name, torch.nn.Parameter(tensor))
        else:
            module.register_buffer(name, tensor)
    return module


def _read(source: Any) -> dict[str, tuple[str, tuple[int, ...], bytes | None]]:
    [part] = inspect(source, hash_tensors=True)
    assert part.error is None, part.error
    return {tensor.name: (tensor.dtype, tensor.shape, tensor.digest) for tensor in part.tensors}


def _truth(arrays: Arrays) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (array.dtype.name, array.shape, blake3(array.tobytes()).digest()) for name, array in arrays.items()}


def _filled(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers that every writer keeps as they are: no NaN, whose payload does not survive a list of Python floats."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if np.issubdtype(np.dtype(dtype), np.integer):
        return np.frombuffer(rng.bytes(prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)
    values = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype == "complex64" else 0)
    return np.asarray(values).astype(dtype)


_MODELS = st.dictionaries(
    st.text("abcdefgh_", min_size=1, max_size=8).map(lambda text: f"w_{text}"),
    st.tuples(st.sampled_from(_DTYPES), st.lists(st.integers(0, 4), max_size=4).map(tuple), st.integers(0, 99)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(_MODELS)
def test_every_format_gives_the_same_tensors(model: dict[str, tuple[str, tuple[int, ...], int]]) -> None:
    arrays = {name: _filled(*spec) for name, spec in model.items()}
    truth = _truth(arrays)
    with tempfile.TemporaryDirectory() as folder:
        for label, (write, suffix) in _WRITERS.items():
            path = Path(folder) / label.replace(" ", "_") / f"m{suffix}"
            path.parent.mkdir()
            write(arrays, path)
            # The folder, so that the data of an ONNX graph is found beside it.
            assert _read(path.parent) == truth, label
    if any(array.nbytes for array in arrays.values()):
        assert _read(("m", _in_memory(arrays))) == truth


@pytest.mark.parametrize("dtype", _ONLY_TENSORS)
def test_types_that_numpy_has_no_name_for(dtype: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    raw = np.random.default_rng(0).integers(0, 100, 48, dtype=np.uint8)
    tensor = torch.from_numpy(raw).view(getattr(torch, dtype)).reshape(2, 3, -1)
    message = onnx.TensorProto(name="w", dims=tensor.shape, raw_data=raw.tobytes())
    message.data_type = onnx.TensorProto.DataType.Value(dtype.upper().replace("FLOAT8_", "FLOAT8"))
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    torch.save({"w": tensor}, tmp_path / "zip.bin")
    torch.save({"w": tensor}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    onnx.save(_model([message]), tmp_path / "m.onnx")
    module = torch.nn.Module()
    module.register_buffer("w", tensor)
    expected = {"w": (dtype, tuple(tensor.shape), blake3(raw.tobytes()).digest())}
    for source in (*sorted(tmp_path.iterdir()), ("m", module)):
        assert _read(source) == expected, source


def test_other_layouts_of_the_same_numbers(tmp_path: Path) -> None:
    """Column-major, big-endian and transposed views are other bytes in the file, and the same tensor."""
    array = np.arange(12, dtype="<f4").reshape(3, 4)
    np.savez(tmp_path / "columns.npz", w=np.asfortranarray(array))
    np.savez(tmp_path / "big.npz", w=array.astype(">f4"))
    torch.save({"w": torch.from_numpy(np.ascontiguousarray(array.T)).T}, tmp_path / "view.bin")
    torch.save({"w": torch.arange(99, dtype=torch.float32)[:12].reshape(3, 4)}, tmp_path / "part.bin")
    for path in sorted(tmp_path.iterdir()):
        assert _read(path) == _truth({"w": array}), path.name


# A folder that holds one model in several formats.

_WEIGHTS = {f"layer{i}.weight": np.random.default_rng(i).standard_normal((64, 32 + i)).astype("<f4") for i in range(4)}
_NBYTES = sum(array.nbytes for array in _WEIGHTS.values())
_FIVE = ["safetensors", "torch zip", "torch legacy", "npz", "onnx external"]


def _write_five(root: Path) -> None:
    root.mkdir()
    for label in _FIVE:
        write, suffix = _WRITERS[label]
        write(_WEIGHTS, root / f"{label.replace(' ', '_')}{suffix}")


def test_five_formats_of_one_model_share_all_its_weights(tmp_path: Path) -> None:
    _write_five(tmp_path / "zoo")
    catalog = trimcache.scan(tmp_path / "zoo", tmp_path / "zoo.catalog")
    assert len(catalog.models) == 5
    analysis = SizeAnalysis(catalog)
    # Each of the five keeps the weights as they are; what else is in the files is of each alone.
    [weights] = [row for row in analysis.by("kind") if row.name == "parameter"]
    assert (weights.total_bytes, weights.unique_bytes, weights.shared_bytes) == (5 * _NBYTES, _NBYTES, _NBYTES)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "zoo").iterdir())
    sizes = analysis.headline
    assert sizes.total_bytes == sizes.disk_bytes == on_disk
    assert 4 * _NBYTES <= sizes.saved_on_disk_bytes <= on_disk - _NBYTES
    assert len(set(catalog.table("tensors")["digest"].to_pylist())) == len(_WEIGHTS)


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    _write_five(tmp_path / "zoo")

    def run(*arguments: str) -> Any:
        done = subprocess.run([sys.executable, "-m", "trimcache", *arguments, "--json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    catalog = str(tmp_path / "zoo.catalog")
    assert len(run("scan", str(tmp_path / "zoo"), "-o", catalog)["scanned"]) == 5
    document = run("stats", catalog, "--by", "kind")
    assert document["models"] == 5
    [row] = [row for row in document["rows"] if row["name"] == "parameter"]
    assert (row["total_bytes"], row["unique_bytes"]) == (5 * _NBYTES, _NBYTES)


def test_formats_that_store_other_bytes_have_the_same_tensors_and_other_blocks(tmp_path: Path) -> None:
    """Digests of tensors find equal weights; blocks are what a file is rebuilt from, so deflated arrays are blocks of their own."""
    for label in ("safetensors", "npz deflated"):
        write, suffix = _WRITERS[label]
        write(_WEIGHTS, tmp_path / f"m{suffix}")
    catalog = trimcache.scan([tmp_path / "m.safetensors", tmp_path / "m.npz"], tmp_path / "zoo.catalog")
    digests = catalog.table("tensors")["digest"].to_pylist()
    assert len(digests) == 2 * len(set(digests)) == 2 * len(_WEIGHTS)
    assert SizeAnalysis(catalog).headline.shared_bytes == 0


def test_a_model_in_memory_shares_with_its_files(tmp_path: Path) -> None:
    _write_five(tmp_path / "zoo")
    arrays = {name.replace(".", "_"): array for name, array in _WEIGHTS.items()}
    catalog = trimcache.scan([tmp_path / "zoo", ("live", _in_memory(arrays))], tmp_path / "zoo.catalog")
    [weights] = [row for row in SizeAnalysis(catalog).by("kind") if row.name == "parameter"]
    assert (weights.total_bytes, weights.unique_bytes) == (6 * _NBYTES, _NBYTES)


def test_in_a_folder_marked_as_one_model_the_formats_are_copies(tmp_path: Path) -> None:
    """With a ``config.json`` one copy is the model; as variants they are models that share their weights."""
    root = tmp_path / "m"
    root.mkdir()
    (root / "config.json").write_text("{}")
    names = {"safetensors": "model.safetensors", "torch zip": "pytorch_model.bin", "npz": "model.npz", "onnx raw": "model.onnx"}
    for label, name in names.items():
        _WRITERS[label][0](_WEIGHTS, root / name)
    one = SizeAnalysis(trimcache.scan(root, tmp_path / "one.catalog")).headline
    assert (one.models, one.total_bytes) == (1, (root / "model.safetensors").stat().st_size + 2)
    every = trimcache.scan(root, tmp_path / "all.catalog", weights="all")
    assert {model.name for model in every.models} == {"m", "m#torch", "m#numpy", "m#onnx"}
    [weights] = [row for row in SizeAnalysis(every).by("kind") if row.name == "parameter"]
    assert (weights.total_bytes, weights.unique_bytes) == (4 * _NBYTES, _NBYTES)
