"""``trimcache forget``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimcache.cli.output import print_json, warning_line


def forget(
    catalog: Annotated[Path, typer.Argument(metavar="CATALOG", help="A catalog made by scan.")],
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names, or endings of names that fit one model.")],
    as_json: Annotated[bool, typer.Option("--json", help="What was forgotten, as JSON on stdout.")] = False,
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
