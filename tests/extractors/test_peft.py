"""PEFT adapter folders: the contract, and what their configuration says."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_models import floats, safetensors_bytes, write_adapter

from extractors.peft import PeftExtractor
from trimcache.errors import FormatError, NoWeightsError
from trimcache.tensors import Extraction, Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample

_LORA = {
    "base_model.model.q.lora_A.weight": ("F32", (2, 8), floats(16, "a")),
    "base_model.model.q.lora_B.weight": ("F32", (8, 2), floats(16, "b")),
    "base_model.model.bn.running_mean": ("F32", (4,), floats(4, "c")),
}
_WEIGHTS = safetensors_bytes(_LORA)


_AS_TORCH = {name: torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(shape) for name, (_, shape, data) in _LORA.items()}


class TestPeft(ExtractorContract):
    def make_extractor(self) -> PeftExtractor:
        return PeftExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        expected = {name: Expected("float32", shape, data, Kind.ADAPTER) for name, (_, shape, data) in _LORA.items()}
        write_adapter(folder / "new", "org/base", _LORA, revision="main")
        write_adapter(folder / "old", "org/base", _LORA)
        (folder / "old" / "adapter_model.safetensors").unlink()
        torch.save(_AS_TORCH, folder / "old" / "adapter_model.bin")
        return [Sample(folder / "new" / "adapter_model.safetensors", expected), Sample(folder / "old" / "adapter_model.bin", expected)]

    def _extract(self, name: str, part: RangeOnlyPart) -> Extraction:
        # A damaged .bin may no longer look like a torch file.
        try:
            return super()._extract(name, part)
        except NoWeightsError as error:
            raise FormatError(error.subject, error.problem, error.fix) from error

    def extract_with(self, config: bytes) -> Extraction:
        return self.extract_bytes(_WEIGHTS, "adapter_model.safetensors", {"adapter_config.json": config})

    def test_base_and_revision(self) -> None:
        found = self.extract_with(json.dumps({"base_model_name_or_path": "org/base", "revision": "abc"}).encode())
        assert (found.declared_base, found.base_revision) == ("org/base", "abc")

    @pytest.mark.parametrize("value", [None, "", 7, ["org/base"], {}])
    def test_a_base_that_is_no_name_is_no_base(self, value: object) -> None:
        found = self.extract_with(json.dumps({"base_model_name_or_path": value, "revision": value}).encode())
        assert (found.declared_base, found.base_revision) == (None, None)

    @pytest.mark.parametrize(
        ("config", "match"),
        [
            (b"", "not JSON"),
            (b"[]", "not a JSON object"),
            (b"\xff{}", "not UTF-8"),
            (b'{"a":' * 50_000, "nested too deeply|not JSON"),
            (b'{"base_model_name_or_path":"a","base_model_name_or_path":"b"}', "twice"),
            (b'{"base_model_name_or_path":"\\udc80"}', "surrogate"),
            (b" " * ((16 << 20) + 1), "too large"),
        ],
        ids=["empty", "list", "not UTF-8", "deep", "twice", "surrogate", "huge"],
    )
    def test_a_bad_configuration_is_refused_by_its_own_name(self, config: bytes, match: str) -> None:
        with pytest.raises(FormatError, match=match) as caught:
            self.extract_with(config)
        assert str(caught.value).startswith("ranges://part/adapter_config.json: ")

    def test_claims_only_adapter_weights_beside_a_configuration(self) -> None:
        claims = self.make_extractor().claims
        part = RangeOnlyPart({"adapter_config.json": b"{}", "adapter_model.safetensors": b"", "other.safetensors": b""})
        assert claims("adapter_model.safetensors", part)
        assert not claims("other.safetensors", part)
        assert not claims("adapter_model.safetensors", RangeOnlyPart({"adapter_model.safetensors": b""}))

    def test_leaves_sub_folders_alone(self) -> None:
        """They are parts of their own; a configuration in one says nothing of the part that is read."""
        part = RangeOnlyPart({"original/adapter_config.json": b"{}", "original/adapter_model.safetensors": _WEIGHTS})
        assert not self.make_extractor().claims("original/adapter_model.safetensors", part)

    @pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "old"])
    def test_torch_weights_are_known_by_their_bytes(self, options: dict[str, bool]) -> None:
        buffer = io.BytesIO()
        torch.save(_AS_TORCH, buffer, **options)
        for name in ("adapter_model.bin", "adapter_model.safetensors"):  # a blob of a cache may have any name
            found = self.extract_bytes(buffer.getvalue(), name, {"adapter_config.json": b"{}"})
            assert {tensor.name for tensor in found.tensors} == set(_LORA)

    def test_what_the_configuration_says_is_kept(self) -> None:
        mapping = {"base_model_class": "TinyModel", "parent_library": "tiny"}
        config = {"peft_type": "IA3", "task_type": None, "auto_mapping": mapping, "base_model_name_or_path": None}
        found = self.extract_with(json.dumps(config).encode())
        assert found.declared_base is None
        assert dict(found.metadata) == {"peft_type": "IA3", **mapping}
