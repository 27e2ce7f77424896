"""How long does it take to tell which servers can serve which request in time?

    python benchmarks/reach.py [--sizes 1000,100000,100000]

Servers as dense as in the preset `paper` (10 a square kilometre), and as many active users a server as there (3.6); models of the
paper's three sizes, 20 requested models a user, Zipf 0.8 ranked anew for each user. Without a backhaul only covering servers count;
with 10 Gbit/s nearly every server reaches nearly every user by relay.
Each row is measured in a process of its own; memory is the peak added by ``reach()``, its result included.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time

import numpy as np
from machine import describe, resident_bytes

from trimcache.network import EdgeNetwork
from trimcache.network.demand import zipf_demand
from trimcache.network.latency import reach

SIZES = ("30,1000,1000", "100,10000,10000", "300,30000,30000", "1000,100000,100000")
MODEL_BYTES = (44_949_808, 85_412_272, 95_064_632)  # ResNet-18, 34 and 50 with 100 classes


def one(size: str, backhaul_bps: float) -> None:
    """Print one row."""
    n_servers, n_users, n_models = map(int, size.split(","))
    network = EdgeNetwork.preset(
        "paper",
        n_servers=n_servers,
        n_users=n_users,
        area_m=1000 * math.sqrt(n_servers / 10),
        active_probability=min(1.0, 1.5 * n_servers / n_users),  # 15 active users for 10 servers
        backhaul_bps=backhaul_bps,
    )
    demand = zipf_demand(n_users, n_models, 0.8, seed=0, requests_per_user=20)
    sizes = np.resize(MODEL_BYTES, n_models)
    reach(EdgeNetwork.preset("paper", n_servers=500, n_users=300), zipf_demand(300, 1, 0.8, seed=0), sizes)  # what is imported is
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # the peak is counted from here
        file.write("5")
    before, begin = resident_bytes("VmRSS"), time.perf_counter()
    found = reach(network, demand, sizes)
    seconds, added = time.perf_counter() - begin, (resident_bytes("VmHWM") - before) / 1e9
    start, stop, pool = found.lists()
    row = [
        f"{n_servers} x {n_users} x {n_models}",
        f"{backhaul_bps / 1e9:g} Gbit/s",
        demand.n_requests,
        int((stop - start).sum()),
        pool.size,
    ]
    print("| " + " | ".join([*map(str, row), f"{seconds:.2f}", f"{added:.2f}"]) + " |")


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    options = parser.parse_args()
    print(f"{describe()}\n")
    print("| servers x users x models | backhaul | requests | pairs in time | numbers kept | seconds | GB added |")
    print("| --- " * 7 + "|")
    for size in options.sizes:
        for backhaul_bps in ("0", "1e10"):
            done = subprocess.run([sys.executable, __file__, "one", size, backhaul_bps], check=True, capture_output=True, text=True)
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
