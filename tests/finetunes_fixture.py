"""Where tests find trained models: the demo's, built on first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILDER = ROOT / "examples" / "build_finetunes.py"


def finetunes_folder() -> Path:
    """The folder with the demo's finished fine-tunes; built there when missing or out of date (minutes).

    `$TRIMCACHE_FINETUNES` names it, `demo/finetunes` is where `make demo` writes. Another process may ask at the same time:
    the builder locks the folder, so one builds and the other waits. A process of its own, so that thread counts and the
    deterministic mode that training sets do not leak into the tests.
    """
    folder = Path(os.environ.get("TRIMCACHE_FINETUNES") or ROOT / "demo" / "finetunes").resolve()
    from finetunes.builder import is_complete

    if not is_complete(folder):
        subprocess.run([sys.executable, str(BUILDER), "-o", str(folder)], check=True)
    return folder
