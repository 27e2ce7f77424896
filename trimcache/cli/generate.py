"""``trimcache generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimcache.cli.output import note_line, print_json, print_table
from trimcache.errors import UsageError
from trimcache.sizes import format_size


def generate(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CATALOG", help="Write the catalog here; must not exist.")],
    models: Annotated[int, typer.Option(metavar="N", help="How many models.")],
    preset: Annotated[str | None, typer.Option(help="paper-special, paper-general, llm-lora, vision-frozen, hub-mixed.")] = None,
    like: Annotated[Path | None, typer.Option(metavar="CATALOG", help="Models like those of a scanned catalog.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same models.")] = 0,
    popularity: Annotated[str | None, typer.Option(metavar="FILE|LAW", help="CSV, Parquet or JSON by model; or zipf:0.8, "
                                                   "zipf-mandelbrot:1,10, lognormal:1, uniform.")] = None,
    digest: Annotated[str, typer.Option(help="blake3-256 or xxh3-128.")] = "blake3-256",
    bases: Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Architectures instead of the preset's.")] = None,
    depths: Annotated[str | None, typer.Option(metavar="LOW-HIGH", help="Frozen layers instead of the preset's.")] = None,
    ranks: Annotated[str | None, typer.Option(metavar="R[,R]", help="Ranks of adapters instead of the preset's.")] = None,
    architectures: Annotated[Path | None, typer.Option(metavar="FILE", help="More architectures (tools/build_architectures.py).")] = None,
    fit_table: Annotated[Path | None, typer.Option("--fit-table", metavar="FILE", help="With --like: write the goodness of fit here "
                                                   "(JSON); CATALOG.fit.json if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was generated, as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> int:  # fmt: skip
    """Make a synthetic CATALOG: true sizes and believable sharing, without weights."""
    from trimcache.synthesis.library import generate_like, generate_preset
    from trimcache.synthesis.options import parse_options

    if (preset is None) == (like is None):
        raise UsageError("generate", "needs either --preset NAME or --like CATALOG", "see trimcache generate --help")
    output = output.expanduser()
    if preset is not None:
        options = parse_options(bases, depths, ranks, architectures)
        made = generate_preset(preset, models, output, seed=seed, popularity=popularity, digest=digest, options=options)
        fit = None
    else:
        assert like is not None
        if bases or depths or ranks or architectures:
            raise UsageError("--like", "takes architectures, depths and ranks from the catalog", "leave those options out")
        made, fit = generate_like(like, models, output, seed=seed, popularity=popularity, digest=digest)
        saved = fit_table or output.with_name(f"{output.name}.fit.json")
        fit.save(saved)
        note_line(f"goodness of fit written to {saved}", quiet=quiet)
    if as_json:
        print_json({**made.to_dict(), **({"fit": fit.to_dict()} if fit is not None else {})})
        return 0
    print(f"synthetic catalog {output}: {made.models} models in {made.families} families ({made.source}, seed {seed})")
    rows = [(name, str(count), f"{100 * count / made.models:.1f} %") for name, count in made.regimes.items()]
    print_table("", ("regime", "models", "share"), rows)
    print(f"sum of all models: {format_size(made.total_bytes)} ({made.total_bytes:,} bytes)")
    if fit is not None:
        print_table("goodness of fit: real against generated", ("measure", "real", "generated", "difference"), fit.rows())
        print_table("Kolmogorov-Smirnov distances", ("distribution", "distance"), [(name, f"{d:.3f}") for name, d in fit.distances.items()])
    return 0
