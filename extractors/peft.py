"""PEFT adapter folders: ``adapter_config.json`` beside ``adapter_model.*``.

The weights are an ordinary weight file; what this module adds is their meaning: every tensor is an adapter's, and the folder names the
base model without which it cannot be served. Layout: https://huggingface.co/docs/peft (checkpoint format).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from extractors.safetensors import SafetensorsExtractor
from extractors.strict_json import parse_object
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind

_CONFIG = "adapter_config.json"
_MAX_CONFIG_BYTES = 16 << 20


class PeftExtractor:
    """Adapter weights with the base they declare."""

    format: ClassVar[str] = "peft"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    priority: ClassVar[int] = 10

    def claims(self, path: str, files: PartFiles) -> bool:
        # Adapters in sub-folders are parts of their own; only the folder itself has the configuration that counts.
        return path.startswith("adapter_model.") and _CONFIG in files.names()

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        config = read_config(files)
        extraction = SafetensorsExtractor().extract(source, files)
        tensors = tuple(replace(tensor, kind=Kind.ADAPTER) for tensor in extraction.tensors)
        base, revision = config.get("base_model_name_or_path"), config.get("revision")
        return replace(
            extraction,
            tensors=tensors,
            declared_base=base if isinstance(base, str) and base else None,
            base_revision=revision if isinstance(revision, str) and revision else None,
        )


def read_config(files: PartFiles) -> dict[str, Any]:
    """``adapter_config.json`` of a part.

    Raises:
        FormatError: it is missing, too large or not a JSON object.
    """
    with files.open(_CONFIG) as config:
        if config.size > _MAX_CONFIG_BYTES:
            raise FormatError(config.uri, f"{config.size} bytes is too large for an adapter configuration", "save it again")
        return parse_object(config.read_at(0, config.size), config.uri, _CONFIG)
