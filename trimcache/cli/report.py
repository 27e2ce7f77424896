"""``trimcache report``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trimcache.cli.options import PATH
from trimcache.cli.output import note_line, print_json, printable, warning_line
from trimcache.errors import UsageError

_FORMATS = ("html", "md", "json", "csv")


@click.command
@click.argument("catalog", type=PATH)
@click.option("--plan", "plan_path", type=PATH, metavar="PLAN", help="Show this plan, too: its servers, its map, its hit ratio.")
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write here. Without it md, json and csv go to stdout.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="html is one page that opens offline; else by the ending of -o.")
@click.option("--figures", type=PATH, metavar="FOLDER", help="Write the charts here, too, as PNG and SVG.")
@click.option("--json", "as_json", is_flag=True, help="Everything the report says, as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No talk on stderr.")
def report(
    catalog: Path, plan_path: Path | None, output: Path | None, form: str | None, figures: Path | None, as_json: bool, quiet: bool
) -> int:
    """One page about a CATALOG: what its models share, who descends from whom, and what a plan makes of it."""
    from trimcache.catalog.reader import open_catalog
    from trimcache.plan import read_plan
    from trimcache.report.content import gather
    from trimcache.report.files import write_report

    chosen = _format(form, output)
    if output is None and figures is None and not as_json and chosen == "html":
        raise UsageError("report", "does not know where to write the page", "name it with -o report.html, or take --format md")
    opened = open_catalog(catalog)
    content = gather(opened, None if plan_path is None else read_plan(plan_path))
    if not quiet:
        for model in opened.models:
            if model.missing is not None:
                warning_line(f"{model.name}: {model.missing}; it is left out of plans")
    if output is not None:
        write_report(content, output, chosen)
        note_line(f"report written to {output}", quiet=quiet)
    if figures is not None:
        from trimcache.report.report_figures import write_figures

        written = write_figures(content, figures)
        note_line(f"{len(written)} figures written to {figures}", quiet=quiet)
    if as_json or (output is None and chosen == "json"):
        print_json(content.to_dict())
    elif output is None and chosen in ("md", "csv"):
        from trimcache.report.text_report import csv_table, markdown

        # The data are the names as they are; a terminal must not obey them.
        text = markdown(content) if chosen == "md" else csv_table(content)
        print("\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text, end="")
    return 0


def _format(form: str | None, output: Path | None) -> str:
    if form is not None:
        return form
    ending = "html" if output is None else {"htm": "html", "markdown": "md"}.get(output.suffix[1:].lower(), output.suffix[1:].lower())
    if ending not in _FORMATS:
        raise UsageError(
            str(output), "does not say its format by its ending", f"name it like report.html, or add --format {'|'.join(_FORMATS)}"
        )
    return ending
