"""Labels that a folder gives itself; never a reason to fail."""

from __future__ import annotations

import json

import pytest

from trimcache.sources.describe import describe
from trimcache.testing import RangeOnlyPart


def _of(**files: bytes) -> tuple[str | None, str | None]:
    found = describe(RangeOnlyPart({name.replace("__", "."): data for name, data in files.items()}))
    return found.architecture, found.declared_base


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        ({"architectures": ["BertModel", "Other"], "model_type": "bert"}, "BertModel"),
        ({"model_type": "bert"}, "bert"),
        ({"_class_name": "StableDiffusionPipeline"}, "StableDiffusionPipeline"),
        ({"architectures": []}, None),
        ({"architectures": [3], "model_type": ["x"]}, None),
        ([], None),
    ],
)
def test_architecture(config: object, architecture: str | None) -> None:
    assert _of(config__json=json.dumps(config).encode()) == (architecture, None)


@pytest.mark.parametrize("config", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20), b'{"architectures":["\\ud800"]}'])
def test_a_bad_configuration_only_costs_the_label(config: bytes) -> None:
    architecture, _ = _of(config__json=config)
    assert architecture is None or architecture.encode("utf-8")


@pytest.mark.parametrize(
    ("card", "base"),
    [
        ("---\nlicense: mit\nbase_model: org/name\n---\ntext", "org/name"),
        ("---\nbase_model:\n- org/name\n- other\n---\n", "org/name"),
        ("---\nbase_model: 'org/name' # said\n---\n", "org/name"),
        ("---\nlicense: mit\n---\nbase_model: org/name\n", None),
        ("base_model: org/name\n", None),
        ("", None),
    ],
)
def test_declared_base(card: str, base: str | None) -> None:
    assert _of(README__md=card.encode()) == (None, base)
