"""``trimcache forget``."""

from __future__ import annotations

from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import print_json, warning_line


@click.command
@click.argument("catalog", type=PATH)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="What was forgotten, as JSON on stdout.")
def forget(
    catalog: Path,
    models: tuple[str, ...],
    as_json: bool,
) -> int:
    """Take models out of CATALOG. Their files are not touched."""
    from trimcache.catalog.forget import forget as forget_models
    from trimcache.catalog.reader import open_catalog

    opened = open_catalog(catalog)
    names = list(dict.fromkeys(opened.find_model(model).name for model in models))
    left = forget_models(opened, names)
    incomplete_before = {model.name for model in opened.models if model.missing is not None}
    for model in left.models:
        if model.missing is not None and model.name not in incomplete_before:
            warning_line(f"{model.name}: {model.missing}; it is left out of plans")
    if as_json:
        print_json({"catalog": str(catalog), "forgotten": names, "models": len(left.models)})
    else:
        print(f"{catalog}: forgot {', '.join(names)}; {len(left.models)} models are left")
    return 0
