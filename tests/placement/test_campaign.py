"""Thousands of random tiny placement problems against their optimum: the long campaigns, and a short one to keep them honest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from placement import campaign

_TESTS = Path(__file__).resolve().parents[1]


def _check(result: dict[str, Any], n: int) -> None:
    assert not result["broken"], "\n\n".join(result["broken"])
    assert result["problems"] == n
    assert result["placements"] == n * len(campaign.ALGORITHMS)
    kinds = ("reach dense", "reach list", "reach prefix", "laminar", "crossing", "pins or forbidden pairs", "free")
    assert all(result["kinds"][kind] > n / 20 for kind in kinds), result["kinds"]  # a kind that never comes is never tested
    assert result["optimal_confirmed"] > n / 2


@pytest.mark.slow
def test_a_short_campaign():
    _check(campaign.run(60, seed=1).__dict__, 60)


def test_a_campaign_notices_a_wrong_bound(monkeypatch):
    monkeypatch.setattr(campaign, "upper_bound", lambda problem, **_: -1.0)
    result = campaign.run(3, seed=1)
    assert len(result.broken) == result.problems == 3


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_long_campaign(seed):
    command = [sys.executable, "-m", "placement.campaign", "2500", str(seed)]
    done = subprocess.run(command, cwd=_TESTS, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"the campaign died with {done.returncode}: {done.stderr[-2000:]}"
    line = next(line for line in done.stdout.splitlines() if line.startswith("{"))  # the MIP solver prints, too
    _check(json.loads(line), 2500)
