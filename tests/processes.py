"""Looking at processes of others, as /proc shows them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

_PATIENCE_S = 10


def children(pid: int, n: int) -> list[int]:
    """The processes that ``pid`` forked, once there are ``n``."""
    end = time.monotonic() + _PATIENCE_S
    while len(found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) < n:
        assert time.monotonic() < end
        time.sleep(0.01)
    return list(map(int, found))


def is_running(pid: int) -> bool:
    """Zombies count as ended: whoever took them over collects them when it likes."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def wait_for_end(pids: Iterable[int]) -> None:
    """Fails unless all have ended soon."""
    end = time.monotonic() + _PATIENCE_S
    while any(map(is_running, pids)):
        assert time.monotonic() < end
        time.sleep(0.01)
