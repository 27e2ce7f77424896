"""The plan: a placement with its network, its proven bound, and the blocks that each server must hold.

    document.py     Plan and its JSON part, and every rule that a plan obeys
    build.py        make_plan: from placements to a plan
    files.py        write_plan, read_plan
    diff.py         diff: what each server fetches and drops from one plan to the next
    constraints.py  carried_over: what a plan pinned and forbade, for the next one

The file format is in docs/formats.md, section "Plan".
"""

from __future__ import annotations

from trimcache.plan.build import make_plan
from trimcache.plan.constraints import CarriedOver, carried_over
from trimcache.plan.diff import PlanDiff, ServerDiff, diff
from trimcache.plan.document import Comparison, Plan, PlanDocument, ServerPlan, validate_against
from trimcache.plan.files import read_plan, write_plan

__all__ = [
    "CarriedOver",
    "Comparison",
    "Plan",
    "PlanDiff",
    "PlanDocument",
    "ServerDiff",
    "ServerPlan",
    "carried_over",
    "diff",
    "make_plan",
    "read_plan",
    "validate_against",
    "write_plan",
]
