"""The trained models, as a fixture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from finetunes_fixture import finetunes_folder

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def finetunes() -> Path:
    """The folder of the demo's fine-tunes, with its manifest.json."""
    return finetunes_folder()
