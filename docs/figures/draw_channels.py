"""Draw docs/figures/channels.png and .svg: path loss and line-of-sight probability of every channel against distance.

python docs/figures/draw_channels.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trimcache.network.channels import PowerLaw, UrbanMacro, UrbanMicro
from trimcache.report.style import LINES, clean, save

DISTANCE_M = np.geomspace(10, 5000, 400)
MARKED_EVERY = 50  # points; each line at others, so that lines that coincide can be told apart, in grey too


def draw(folder: Path) -> list[Path]:
    """Both files, in ``folder``; the paths written."""
    figure = Figure(figsize=(10.0, 4.4), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    loss, sight = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    _path_loss(loss)
    _line_of_sight(sight)
    for axes in (loss, sight):
        axes.set_xscale("log")
        axes.set_xlim(10, 5000)
        axes.set_xticks([10, 30, 100, 300, 1000, 3000], ["10", "30", "100", "300", "1000", "3000"])
        axes.minorticks_off()
        axes.set_xlabel("Distance on the ground (m)")
        clean(axes)
    return [save(figure, folder / f"channels.{kind}") for kind in ("png", "svg")]


def _path_loss(axes: Any) -> None:
    micro, macro = UrbanMicro(), UrbanMacro()
    nobody = np.zeros(DISTANCE_M.size, dtype=np.int64)
    curves = {
        "power-law $d^{-4}$ (preset paper)": (-10 * np.log10(PowerLaw().gain(DISTANCE_M, nobody, nobody, 0)), None),
        "umi, in sight": (micro.path_loss_db(DISTANCE_M, True), micro.numbers.los_sigma_db),
        "umi, out of sight": (micro.path_loss_db(DISTANCE_M, False), micro.numbers.nlos_sigma_db),
        "uma, in sight": (macro.path_loss_db(DISTANCE_M, True), None),
        "uma, out of sight": (macro.path_loss_db(DISTANCE_M, False), None),
    }
    for n, (label, (loss_db, sigma_db)) in enumerate(curves.items()):
        _curve(axes, n, loss_db, label)
        if sigma_db is not None:
            axes.fill_between(DISTANCE_M, loss_db - sigma_db, loss_db + sigma_db, color=LINES[n]["color"], alpha=0.15, lw=0)
    axes.set_ylim(175, 30)  # less loss is better: up
    axes.set_ylabel("Path loss (dB), less is better")
    axes.set_title("Path loss at 3.5 GHz, users 1.5 m high", loc="left", fontsize="medium")
    title = "bands: umi with one standard\ndeviation of shadowing"
    axes.legend(frameon=False, loc="lower left", title=title, title_fontsize="small", fontsize="small", alignment="left")


def _line_of_sight(axes: Any) -> None:
    curves = {
        1: ("umi, any user height", UrbanMicro()),
        3: ("uma, user up to 13 m high", UrbanMacro()),
        5: ("uma, user 22.5 m high", UrbanMacro(user_height_m=22.5)),
    }
    for n, (label, scenario) in curves.items():
        _curve(axes, n, scenario.los_probability(DISTANCE_M), label)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Probability of line of sight")
    axes.set_title("Line of sight (power-law: none drawn)", loc="left", fontsize="medium")
    axes.legend(frameon=False, loc="upper right", fontsize="small")


def _curve(axes: Any, n: int, values: np.ndarray, label: str) -> None:
    axes.plot(
        DISTANCE_M,
        values,
        label=label,
        linewidth=1.8,
        markersize=5.5,
        markeredgecolor="white",
        markevery=(8 * n + 6, MARKED_EVERY),
        **LINES[n],
    )


if __name__ == "__main__":
    for path in draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(path)
