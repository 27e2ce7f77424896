"""PEFT adapter folders: ``adapter_config.json`` beside ``adapter_model.*``.

The weights are an ordinary weight file, safetensors or torch; what this module adds is their meaning: every tensor is an adapter's,
whatever its kind (LoRA, DoRA, IA3, prompts, ...) calls it, and the folder names the base model without which it cannot be served.
Layout: https://huggingface.co/docs/peft (checkpoint format).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from extractors.safetensors import SafetensorsExtractor
from extractors.strict_json import parse_object
from extractors.torch import TorchExtractor
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Extractor, Kind

_CONFIG = "adapter_config.json"
_MAX_CONFIG_BYTES = 16 << 20


class PeftExtractor:
    """Adapter weights with the base they declare."""

    format: ClassVar[str] = "peft"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors", ".bin")
    priority: ClassVar[int] = 10

    def claims(self, path: str, files: PartFiles) -> bool:
        # Adapters in sub-folders are parts of their own; only the folder itself has the configuration that counts.
        return path.startswith("adapter_model.") and _CONFIG in files.names()

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        config = read_config(files)
        extraction = _weights_reader(source).extract(source, files)
        tensors = tuple(tensor._replace(kind=Kind.ADAPTER) for tensor in extraction.tensors)
        base, revision = config.get("base_model_name_or_path"), config.get("revision")
        return replace(
            extraction,
            tensors=tensors,
            metadata=dict(extraction.metadata) | _facts(config),
            declared_base=base if isinstance(base, str) and base else None,
            base_revision=revision if isinstance(revision, str) and revision else None,
        )


def _weights_reader(source: ByteSource) -> Extractor:
    """peft up to 0.6 wrote ``adapter_model.bin``, a torch file, and still does on request.

    The bytes decide where the name is not at hand (a blob of a cache): no safetensors header is long enough to read like a ZIP or pickle.
    """
    head = source.read_at(0, min(8, source.size))
    is_pickle = head[:1] == b"\x80" and head[1:2] <= b"\x05" and any(head[4:8])
    return TorchExtractor() if source.uri.endswith(".bin") or head.startswith(b"PK\x03\x04") or is_pickle else SafetensorsExtractor()


def _facts(config: dict[str, Any]) -> dict[str, str]:
    """What the configuration says of the kind of adapter, and of the class of a base that it does not name (``auto_mapping``)."""
    mapping = config.get("auto_mapping")
    facts = {key: config.get(key) for key in ("peft_type", "task_type")}
    if isinstance(mapping, dict):
        facts |= {key: mapping.get(key) for key in ("base_model_class", "parent_library")}
    return {key: value for key, value in facts.items() if isinstance(value, str) and value}


def read_config(files: PartFiles) -> dict[str, Any]:
    """``adapter_config.json`` of a part.

    Raises:
        FormatError: it is missing, too large or not a JSON object.
    """
    with files.open(_CONFIG) as config:
        if config.size > _MAX_CONFIG_BYTES:
            raise FormatError(config.uri, f"{config.size} bytes is too large for an adapter configuration", "save it again")
        return parse_object(config.read_at(0, config.size), config.uri, _CONFIG)
