"""Train the demo's models: real architectures at their true sizes, fine-tuned in the ways that make models share weights.

    python examples/build_finetunes.py -o demo/finetunes

ResNet-18, ResNet-34, MiniLM and a small decoder: a base each, fine-tunes with the bottom frozen at several depths, one full
fine-tune, LoRA adapters and merged ones, 22 models in all. Needs the extras `models` and `demo`. A second run re-uses what is
built; an interrupted one continues. What was trained, how far it was frozen and how well it does is written to manifest.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

# Everything is local or in a wheel. Set before transformers is imported, which reads it once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Waiting threads sleep instead of spinning: on a shared machine spinning steals the cores from whom they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from fetch_weights import FetchError
from finetunes.builder import BuildError, build
from finetunes.manifest import FILE_NAME, Entry, Manifest
from finetunes.recipes import FAMILIES, Recipe, select
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


class ProgressBar:
    """Shows the model in work and how many are done; off a terminal only a line for each finished model."""

    def __init__(self, console: Console, n_models: int) -> None:
        self.console = console
        self.n_built = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.models = self.progress.add_task("models", total=n_models)
        self.steps = self.progress.add_task("", total=None, visible=False)

    def started(self, recipe: Recipe) -> None:
        self.progress.reset(self.steps, description=recipe.path, total=None, visible=True)

    def stepped(self, done: int, total: int) -> None:
        self.progress.update(self.steps, completed=done, total=total)

    def finished(self, entry: Entry, reused: bool) -> None:
        self.progress.advance(self.models)
        self.progress.update(self.steps, visible=False)
        if not reused:
            self.n_built += 1
            self.console.print(f"built {entry.path:32} {_metric(entry):26} {entry.wall_s:5.1f} s", highlight=False, soft_wrap=True)


def main(argv: list[str] | None = None) -> int:
    """Build, and print what there is now."""
    options = _parser().parse_args(argv)
    families = tuple(name.strip() for name in options.only.split(",")) if options.only else FAMILIES
    if unknown := [name for name in families if name not in FAMILIES]:
        print(f"error: --only: no family {unknown[0]!r}; known: {', '.join(FAMILIES)}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    bar = ProgressBar(Console(stderr=True), len(select(families)))
    try:
        with bar.progress:
            manifest = build(
                options.output,
                bar,
                seed=options.seed,
                families=families,
                weights_cache=options.weights_cache,
                force=options.force,
            )
    except (FetchError, BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"error: {error.name or error} is missing; pip install -e '.[models,demo]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, run again to continue", file=sys.stderr)
        return 130
    n_models = len(select(families))
    Console().print(_table(manifest, families))
    how = f"{bar.n_built} models built" if bar.n_built else "nothing to build"
    print(f"{how}, {n_models - bar.n_built} of {n_models} re-used, in {time.perf_counter() - started:.0f} s")
    print(f"models:   {options.output}\nmanifest: {options.output / FILE_NAME}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train the demo's models: ResNets, MiniLM and a small decoder, fine-tuned so that they share weights."
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the models go (about 1.2 GB)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes on the same machine (default 0)")
    parser.add_argument("--only", metavar="FAMILY,...", help=f"only these of {', '.join(FAMILIES)}")
    parser.add_argument(
        "--weights-cache", type=Path, metavar="DIR", help="where downloaded weights are kept (default: $TRIMCACHE_WEIGHTS or ~/.cache)"
    )
    parser.add_argument("--force", action="store_true", help="build again what is already built")
    return parser


def _metric(entry: Entry) -> str:
    if entry.before is None or entry.after is None:
        return "as published"
    return f"{entry.metric} {entry.before:.3f} -> {entry.after:.3f}"


def _table(manifest: Manifest, families: tuple[str, ...]) -> Table:
    """One row a model: what it is, how much of it is frozen, how well it does on its task, how large it is."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)  # fits 80 columns
    for heading in ("model", "kind", "frozen", "held-out metric", "MB"):
        table.add_column(heading, justify="right" if heading in ("frozen", "MB") else "left", no_wrap=True)
    for entry in manifest.models:
        if entry.path.split("/")[0] in families:
            frozen = f"{entry.frozen_layers} of {entry.n_layers}" if entry.kind == "frozen" else ""
            megabytes = sum(entry.files.values()) / 1e6
            table.add_row(entry.path, entry.kind, frozen, _metric(entry), f"{megabytes:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
