"""``trimcache generate``."""

from __future__ import annotations

from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, print_table
from trimcache.errors import UsageError
from trimcache.sizes import format_size


@click.command
@click.option("--output", "-o", type=PATH, required=True, metavar="CATALOG", help="Write the catalog here; must not exist.")
@click.option("--models", type=int, required=True, metavar="N", help="How many models.")
@click.option("--preset", help="paper-special, paper-general, llm-lora, vision-frozen, hub-mixed.")
@click.option("--like", type=PATH, metavar="CATALOG", help="Models like those of a scanned catalog.")
@click.option("--seed", type=int, default=0, help="Same seed, same models.")
@click.option(
    "--popularity",
    metavar="FILE|LAW",
    help="CSV, Parquet or JSON by model; or zipf:0.8, zipf-mandelbrot:1,10, lognormal:1, uniform.",
)
@click.option("--digest", default="blake3-256", help="blake3-256 or xxh3-128.")
@click.option("--bases", metavar="NAME[,NAME]", help="Architectures instead of the preset's.")
@click.option("--depths", metavar="LOW-HIGH", help="Frozen layers instead of the preset's.")
@click.option("--ranks", metavar="R[,R]", help="Ranks of adapters instead of the preset's.")
@click.option("--architectures", type=PATH, metavar="FILE", help="More architectures (tools/build_architectures.py).")
@click.option(
    "--fit-table",
    type=PATH,
    metavar="FILE",
    help="With --like: write the goodness of fit here (JSON); CATALOG.fit.json if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="What was generated, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No talk on stderr.")
def generate(
    output: Path,
    models: int,
    preset: str | None,
    like: Path | None,
    seed: int,
    popularity: str | None,
    digest: str,
    bases: str | None,
    depths: str | None,
    ranks: str | None,
    architectures: Path | None,
    fit_table: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
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
