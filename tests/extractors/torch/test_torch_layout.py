"""Names that a user would load: wrappers, training state, pickled modules."""

from __future__ import annotations

import argparse
import io
import zipfile
from typing import Any

import pytest
import torch
from torch_truth import OLD_FORMAT, contents, extract, saved, truth

from trimcache.errors import FormatError, NoWeightsError
from trimcache.tensors import Kind

_ONE, _TWO = torch.ones(2), torch.full((3,), 2.0)
_STATE = {"layer.weight": _ONE, "layer.bias": _TWO}


def _names(value: Any) -> list[str]:
    return [tensor.name for tensor in extract(saved(value)).tensors]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module", "model_state_dict", "net", "weights"])
def test_one_wrapper_is_taken_off(wrapper: str) -> None:
    assert _names({"epoch": 3, wrapper: _STATE, "best": torch.tensor(0.5)}) == ["layer.weight", "layer.bias", "best"]


def test_a_wrapper_is_kept_where_it_is_not_the_only_one_or_a_tensor_stands_beside_it() -> None:
    assert _names({"model": {"w": _ONE}, "state_dict": {"v": _ONE}}) == ["model.w", "state_dict.v"]
    assert _names({"model": {"w": _ONE}, "bias": _TWO}) == ["model.w", "bias"]
    assert _names({"encoder": {"w": _ONE}}) == ["encoder.w"]
    assert _names({"state_dict": {"w": _ONE}, "ema": {"w": _TWO}}) == ["w", "ema.w"]


def test_lists_numbers_and_other_keys() -> None:
    assert _names([_ONE, {"a": _TWO}]) == ["0", "1.a"]
    assert _names({0: _ONE, "blocks": (_ONE, _TWO), ("a", "b"): _TWO}) == ["0", "blocks.0", "blocks.1", "#2"]
    assert _names(_ONE) == ["tensor"]


def test_two_tensors_of_one_name_are_told_apart() -> None:
    assert _names({"a.b": _ONE, "a": {"b": _TWO}}) == ["a.b", "a.b#2"]


def test_a_surrogate_in_a_name_becomes_its_escape() -> None:
    assert _names({"\ud800": _ONE, "b": _TWO}) == ["\\ud800", "b"]


@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
def test_training_state_is_left_out_and_said(options: dict[str, Any]) -> None:
    module = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(1, 2)).sum().backward()
    optimizer.step()
    value = {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "trainer": {"inner": optimizer.state_dict()},
        "rng_state": torch.get_rng_state(),
    }
    found = extract(saved(value, **options))
    assert [tensor.name for tensor in found.tensors] == ["weight", "bias"]
    notes = "\n".join(found.notes)
    assert all(word in notes for word in ("optimizer", "optimizer_states", "trainer.inner", "rng_state"))


def test_a_file_of_nothing_but_optimizer_state_has_no_weights() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(_ONE)], momentum=0.9)
    with pytest.raises(NoWeightsError, match="optimizer state left out"):
        extract(saved(optimizer.state_dict()))
    with pytest.raises(NoWeightsError, match="without tensors"):
        extract(saved({"lr": 0.1, "steps": [1, 2]}))


@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
@pytest.mark.filterwarnings("ignore")
def test_a_pickled_module_gives_its_state_dict(options: dict[str, Any]) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    net.add_module("tied", net[0])
    net.register_buffer("scratch", torch.ones(5), persistent=False)
    for data in (saved(net, **options), saved({"epoch": 1, "model": net}, **options)):
        assert contents(data) == {name: truth(tensor) for name, tensor in net.state_dict().items()}
        kinds = {tensor.name: tensor.kind for tensor in extract(data).tensors}
        parameters = dict(net.named_parameters(remove_duplicate=False))
        assert kinds == {name: Kind.PARAMETER if name in parameters else Kind.BUFFER for name in kinds}


def test_parameters_and_subclasses_are_tensors() -> None:
    parameter = torch.nn.Parameter(_ONE.clone())
    parameter.note = "kept"  # makes torch write _rebuild_parameter_with_state
    assert contents(saved({"p": parameter, "q": torch.nn.Parameter(_TWO.clone())})) == {"p": truth(_ONE), "q": truth(_TWO)}


def test_a_tensor_without_bytes_is_left_out_and_said() -> None:
    found = extract(saved({"there": _ONE, "gone": torch.empty(4, device="meta")}))
    assert [tensor.name for tensor in found.tensors] == ["there"]
    assert found.notes == ("tensor 'gone' left out: it is on the meta device",)


def test_unknown_objects_are_looked_through() -> None:
    value = {"args": argparse.Namespace(lr=0.1, table=_TWO), "weight": _ONE}
    assert contents(saved(value)) == {"args.table": truth(_TWO), "weight": truth(_ONE)}


def test_compressed_storages_are_unpacked_when_asked_for() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(4, 5), "b": torch.randn(3, 2).t()}))) as old, zipfile.ZipFile(data, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info), zipfile.ZIP_DEFLATED)
    loaded = torch.load(io.BytesIO(data.getvalue()))
    assert contents(data.getvalue()) == {name: truth(tensor) for name, tensor in loaded.items()}
    assert all(tensor.offset is None and len(tensor.stored) == 1 for tensor in extract(data.getvalue()).tensors)


def test_what_is_no_torch_file() -> None:
    for data in (b"GGUF" + bytes(600), bytes(600), b"some text\n" * 100):
        with pytest.raises(NoWeightsError, match="is not a torch file"):
            extract(data, "openvino_model.bin")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(NoWeightsError, match="is not a torch file"):
        extract(other.getvalue())
    with pytest.raises(FormatError, match="tar format"):
        extract(b"pickle".ljust(257, b"\0") + b"ustar\0".ljust(400, b"\0"))
    with pytest.raises(FormatError, match="truncated"):
        extract(b"")
