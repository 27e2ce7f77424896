"""A report without pictures: Markdown for people, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from trimcache._printable import printable
from trimcache.report.content import ReportContent
from trimcache.report.forest import tree_rows
from trimcache.report.headline import families_words, headline, plan_words
from trimcache.report.plan_content import PlanContent
from trimcache.sizes import format_size

__all__ = ["csv_table", "markdown"]

_MARKUP = re.compile(r"^[-+]|[\\`*_{}\[\]<>#!|~&$]")  # a dash is markup only at the start, a bracket only behind ]
_MOST_PAIRS = 50


def csv_table(content: ReportContent) -> str:
    """One line a model, sizes in bytes; names as they are, quoted where need be."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "family", "format", "architecture", "declared_base", "model_bytes", "exclusive_bytes", "shared_bytes",
                     "fair_share_bytes", "blocks", "missing"])  # fmt: skip
    families = content.forest.families
    for row in content.models:
        family = "" if row.family is None else families[row.family].name
        sizes = (row.model_bytes, row.exclusive_bytes, row.shared_bytes, row.fair_share_bytes, row.blocks)
        writer.writerow([row.name, family, row.format, row.architecture or "", row.declared_base or "", *sizes, row.missing or ""])
    return out.getvalue()


def markdown(content: ReportContent) -> str:
    """Headline and tables; names are escaped, so that none of them is markup."""
    lines = [f"# What the models of {_text(content.catalog)} share", ""]
    if content.sizes.synthetic:
        lines += ["**Synthetic catalog: these models were generated; no weights exist.**", ""]
    for sentence in headline(content):
        lines += [_text(sentence), ""]
    lines += ["## Families", "", families_words(content), ""]
    families = content.forest.families
    sizes = [[_text(f.name), f"{f.models:,}", *map(format_size, (f.total_bytes, f.unique_bytes, f.shared_bytes))] for f in families]
    lines += _table(("family", "models", "sum", "unique", "shared"), sizes)
    for family, rows in zip(families, tree_rows(content.forest), strict=True):
        lines += [f"### {_text(family.name)}", ""]
        for model, depth in rows:
            evidence = content.forest.evidence[model]
            lines.append(f"{'  ' * depth}- {_text(content.models[model].name)}" + (f" ({_text(evidence)})" if evidence else ""))
        lines.append("")
    if content.forest.disagreements:
        lines += ["### Declared and measured disagree", "", *(f"- {_text(text)}" for text in content.forest.disagreements), ""]
    lines += ["## How widely blocks are shared", ""]
    spectrum = [[f"{row.models:,}", format_size(row.nbytes), f"{row.blocks:,}"] for row in content.spectrum]
    lines += _table(("held by exactly so many models", "bytes", "blocks"), spectrum)
    lines += ["## Who shares most", ""]
    i, j, nbytes = (column[:_MOST_PAIRS].tolist() for column in content.heat_map.pairs())
    order = content.heat_map.models.tolist()
    name = [_text(row.name) for row in content.models]
    pairs = [[name[order[a]], name[order[b]], format_size(c)] for a, b, c in zip(i, j, nbytes, strict=True)]
    lines += _table(("model", "shares with", "bytes shared"), pairs, text_columns=2)
    if content.plan is not None:
        lines += _plan(content.plan)
    lines += ["## All models", ""]
    largest = sorted(content.models, key=lambda row: (-row.model_bytes, row.name))
    lines += _table(
        ("model", "format", "size", "only here", "shared", "fair share"),
        [
            [_text(r.name), _text(r.format), *map(format_size, (r.model_bytes, r.exclusive_bytes, r.shared_bytes, r.fair_share_bytes))]
            for r in largest
        ],
        text_columns=2,
    )
    return "\n".join(lines).rstrip() + "\n"


def _plan(plan: PlanContent) -> list[str]:
    lines = ["## The plan", "", _text(plan_words(plan)), ""]
    servers = [[_text(s.name), f"{len(s.models):,}", format_size(s.used_bytes), format_size(s.capacity_bytes)] for s in plan.servers]
    lines += _table(("server", "models", "used", "of capacity"), servers)
    lines += ["### Hit ratio against capacity", "", _text(plan.curve_note), ""]
    curve = [[p.algorithm, format_size(p.capacity_bytes), f"{p.hit_ratio:.4f}"] for p in plan.capacity_curve]
    return lines + _table(("algorithm", "capacity of a server", "hit ratio"), curve)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> list[str]:
    listed = [f"| {' | '.join(row)} |" for row in rows]
    if not listed:
        return []
    rule = ["---" if n < text_columns else "---:" for n in range(len(columns))]
    return [f"| {' | '.join(columns)} |", f"| {' | '.join(rule)} |", *listed, ""]


def _text(text: str) -> str:
    """``text`` as plain words in Markdown."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))
