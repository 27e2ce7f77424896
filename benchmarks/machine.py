"""What a measurement was taken on, for the heading of its table."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence


def describe() -> str:
    """One line: processor, cores, memory, Python."""
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{model}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB, Python {platform.python_version()}"


def wall_s(command: Sequence[str]) -> float:
    """Seconds that a command takes as a whole process; it must succeed."""
    began = time.perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return seconds


def in_turn(runs: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Measure several things ``runs`` times in alternation, so that a drift of the machine touches all alike."""
    results: list[list[float]] = [[] for _ in measured]
    for _ in range(runs):
        for index, measure in enumerate(measured):
            results[index].append(measure())
    return results


def resident_bytes(which: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process; the peak where the system does not say."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next((line for line in file if line.startswith(which)), None)
    return int(line.split()[1]) * 1024 if line else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
