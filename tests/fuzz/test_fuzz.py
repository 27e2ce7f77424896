"""Damaged files of every format: only trimcache's own errors, no hang, no memory.

The campaigns are long enough together: 20,000 inputs and more, at least a fifth of which get past the header.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz.campaign import FILE_NAMES, MAX_MEMORY_NBYTES

_TESTS = Path(__file__).resolve().parents[1]
_INPUTS = 4500  # of each of the five formats


def _campaign(file_format: str, inputs: int, seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.campaign", file_format, str(inputs), str(seed)],
        cwd=_TESTS,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"the campaign died with {done.returncode}: {done.stderr[-2000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _check(result: dict[str, Any], inputs: int) -> None:
    assert not result["broken"], "\n\n".join(result["broken"])
    assert result["inputs"] == inputs
    assert result["peak_anonymous_nbytes"] < MAX_MEMORY_NBYTES
    assert result["past_header"] >= inputs / 5, result
    assert result["accepted"] < inputs  # a campaign in which nothing is refused damages nothing


@pytest.mark.slow
@pytest.mark.parametrize("file_format", sorted(FILE_NAMES))
def test_damaged_files_are_refused_in_one_line_or_read(file_format: str) -> None:
    _check(_campaign(file_format, _INPUTS, seed=1), _INPUTS)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("file_format", sorted(FILE_NAMES))
@pytest.mark.parametrize("seed", range(2, 6))
def test_longer(file_format: str, seed: int) -> None:
    _check(_campaign(file_format, 25_000, seed), 25_000)
