"""The headline figures in words, bytes first: for the page, for Markdown, for anybody's mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.report.content import ReportContent
    from trimcache.report.plan_content import PlanContent
    from trimcache.sharing.sizes import Sizes

__all__ = ["families_words", "headline", "plan_words", "sizes_words"]


def headline(content: ReportContent) -> list[str]:
    """One to four sentences, plain text."""
    return sizes_words(content.sizes)


def sizes_words(sizes: Sizes) -> list[str]:
    """The sizes of a catalog or a graph in sentences."""
    if not sizes.models:
        return ["The catalog is empty: it holds no models."]
    models = "The one model takes" if sizes.models == 1 else f"The {sizes.models:,} models together take"
    sentences = []
    if sizes.disk_bytes is not None and sizes.saved_on_disk_bytes is not None:
        sentences.append(
            f"On disk now: {format_size(sizes.disk_bytes)}. With each block stored once it would be {format_size(sizes.unique_bytes)}: "
            f"{_change(sizes.saved_on_disk_bytes, sizes.disk_bytes)}."
        )
    sentences.append(
        f"{models} {format_size(sizes.total_bytes)} when each is fetched whole; {format_size(sizes.unique_bytes)} of that is different: "
        f"{_change(sizes.saved_bytes, sizes.total_bytes)}."
    )
    shared, specific = format_size(sizes.shared_bytes), format_size(sizes.specific_bytes)
    sentences.append(f"Of the {format_size(sizes.unique_bytes)}, {shared} are held by two or more models and {specific} by exactly one.")
    if sizes.incomplete_models:
        n = sizes.incomplete_models
        sentences.append(f"{n:,} adapter{'s lack their' if n > 1 else ' lacks its'} base and cannot be served.")
    return sentences


def _change(saved: int, whole: int) -> str:
    if saved < 0:
        return f"{format_size(-saved)} more, because some files on disk belong to several models that add bytes of their own"
    return f"{format_size(saved)} saved" + (f" ({100 * saved / whole:.1f} %)" if whole else "")


def families_words(content: ReportContent) -> str:
    """How many families there are, and how many models are in none."""
    n, alone = len(content.forest.families), content.forest.alone
    tied = "No two models are tied." if not n else f"There {'is one family' if n == 1 else f'are {n:,} families'} of two or more models."
    return tied + (f" {alone:,} model{'s are' if alone != 1 else ' is'} tied to no other." if alone and n else "")


def plan_words(plan: PlanContent) -> str:
    """What the plan reaches, in a sentence or two."""
    users = "" if plan.n_users is None else f" for {plan.n_users:,} users"
    used, capacity = sum(row.used_bytes for row in plan.servers), sum(row.capacity_bytes for row in plan.servers)
    held, whole = sum(len(row.models) for row in plan.servers), sum(row.model_bytes for row in plan.servers)
    return (
        f"{format_size(used)} of {format_size(capacity)} on {len(plan.servers):,} edge servers{users} hold {held:,} copies of models that "
        f"would take {format_size(whole)} if nothing were shared. {100 * plan.hit_ratio:.1f} % of the demand is served in time; "
        f"{100 * plan.attainable:.1f} % would be if every server held everything, and no placement of this capacity passes "
        f"{100 * plan.upper_bound:.1f} %. Algorithm: {plan.algorithm}."
    )
