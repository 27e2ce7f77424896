"""The figure of docs/channels.md can be drawn again from the channels as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from matplotlib.image import imread

SCRIPT = Path(__file__).parents[3] / "docs" / "figures" / "draw_channels.py"


def test_the_figure_is_drawn(tmp_path):
    spec = importlib.util.spec_from_file_location("draw_channels", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    picture, drawing = script.draw(tmp_path)
    assert imread(picture)[..., :3].std() > 0.05
    text = drawing.read_text(encoding="utf-8")
    for label in ("Path loss (dB)", "Probability of line of sight", "uma, out of sight"):
        assert label in text
