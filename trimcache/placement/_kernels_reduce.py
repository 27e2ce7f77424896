"""The compiled loops that decide most of one server's knapsack beforehand, so that little is left for the dynamic program.

With a price for a byte the knapsack falls apart: a branch of the tree is worth taking if what its models pay exceeds what its bytes cost.
The best such price gives a bound, and what it takes, filled up, a set that fits. A node is left out, or taken, for good where the opposite
would bring the bound below the value of that set (Ingargiola, Korsh, 1973; for precedence trees by sums and minima along
the path from the root).
"""

from __future__ import annotations

import numpy as np

from trimcache.placement._jit import helper

__all__ = ["best_price", "reduce_nodes"]

_MOST_PRICES = 40
_MOST_FILLED = 12
_ROUNDING = 1e-9  # of the bound: far above the rounding of its sums, far below what matters


@helper
def _priced(size, price, above, weight, worth, rest, gain):  # type: ignore[no-untyped-def]
    """``gain[j]`` of each branch if a byte costs ``price``: its own and that of the branches below that gain. The sum over the forest."""
    total = 0.0
    for j in range(size):
        rest[j] = 0.0
    for j in range(size - 1, -1, -1):
        g = worth[j] - price * weight[j] + rest[j]
        gain[j] = g
        if g > 0:
            if above[j] >= 0:
                rest[above[j]] += g
            else:
                total += g
    return total


@helper
def _taken(size, above, weight, worth, gain, inside):  # type: ignore[no-untyped-def]
    """Mark the nodes ``inside`` branches that gain; their bytes and their worth."""
    nbytes = weight[0] * 0
    value = 0.0
    for j in range(size):
        inside[j] = 0
        if gain[j] > 0 and (above[j] < 0 or inside[above[j]] != 0):
            inside[j] = 1
            nbytes += weight[j]
            value += worth[j]
    return nbytes, value


@helper
def best_price(size, free, above, weight, worth, rest, gain, inside):  # type: ignore[no-untyped-def]
    """The price of a byte with the least bound, and the last price tried whose set fits ``free`` (0: all do, or none).

    ``gain`` is left as it is at that price. O(size) for each of a few prices.
    """
    price = 0.0
    _priced(size, price, above, weight, worth, rest, gain)
    heavy, much = _taken(size, above, weight, worth, gain, inside)
    light = weight[0] * 0
    little = 0.0
    last = 0.0
    if heavy <= free:
        return price, last
    for _ in range(_MOST_PRICES):
        price = (much - little) / (heavy - light)  # where the bounds by the two sets meet
        _priced(size, price, above, weight, worth, rest, gain)
        nbytes, value = _taken(size, above, weight, worth, gain, inside)
        if nbytes > free:
            if nbytes >= heavy:
                break
            heavy = nbytes
            much = value
        else:
            last = price
            if nbytes <= light:
                break
            light = nbytes
            little = value
    return price, last


@helper
def _fill(size, left, above, weight, worth, inside, path):  # type: ignore[no-untyped-def]
    """Add the most valuable node that fits with its path, again and again; what that is worth."""
    value = 0.0
    for _ in range(_MOST_FILLED):
        best = -1
        for j in range(size):
            if inside[j] != 0:
                path[j] = 0
                continue
            path[j] = weight[j]
            if above[j] >= 0:
                path[j] += path[above[j]]
            if worth[j] > 0 and path[j] <= left and (best < 0 or worth[j] > worth[best]):
                best = j
        if best < 0:
            break
        left -= path[best]
        while best >= 0 and inside[best] == 0:
            inside[best] = 1
            value += worth[best]
            best = above[best]
    return value


@helper
def reduce_nodes(size, free, node, close, weight, worth, leaf, above, inside, path, table, take):  # type: ignore[no-untyped-def]
    """Drop decided nodes from the lists; how many are left, the bytes left, the value taken, and that of a set that fits.

    ``node``, ``close``, ``weight``, ``worth`` as ``_branches`` makes them. Bit 1 of ``take`` marks the models taken for good, bit 2
    those of the set that fits. ``above``, ``inside``, ``path`` and the first 3 ``size`` of ``table`` are scratch. Exact: some best
    set stays within reach. O(size) for each of a few prices.
    """
    for j in range(size):
        up = j - 1
        while up >= 0 and close[up] <= j:
            up = above[up]
        above[j] = up
    gain = table[0:size]
    rest = table[size : 2 * size]
    price, last = best_price(size, free, above, weight, worth, rest, gain, inside)
    light = np.int64(0)
    little = 0.0
    if price == 0 or last > 0:
        if last != price:
            _priced(size, last, above, weight, worth, rest, gain)
        light, little = _taken(size, above, weight, worth, gain, inside)
    else:
        for j in range(size):
            inside[j] = 0
    little += _fill(size, free - light, above, weight, worth, inside, path)
    bound = _priced(size, price, above, weight, worth, rest, gain) + price * free
    slack = bound - little + _ROUNDING * abs(bound)
    for j in range(size):
        if inside[j] != 0 and leaf[node[j]] >= 0:
            take[leaf[node[j]]] |= 2
    kept = 0
    taken = 0.0
    out = table[size : 2 * size]  # in place of ``rest``
    into = table[2 * size : 3 * size]
    for j in range(size):
        g = gain[j]
        into[j] = max(0.0, -g)
        out[j] = max(0.0, g)
        if above[j] >= 0:
            into[j] += into[above[j]]
            out[j] = min(out[j], out[above[j]])
        if into[j] > slack:
            path[j] = 0
        elif out[j] > slack:
            path[j] = 2
        else:
            path[j] = 1
    for j in range(size):  # how many are kept before each
        above[j] = kept
        if path[j] == 1:
            kept += 1
    done = 0
    for j in range(size):
        if path[j] == 2:
            free -= weight[j]
            taken += worth[j]
            if leaf[node[j]] >= 0:
                take[leaf[node[j]]] |= 1
        elif path[j] == 1:
            end = close[j]
            node[done] = node[j]
            weight[done] = weight[j]
            worth[done] = worth[j]
            close[done] = above[end] if end < size else kept
            done += 1
    return kept, free, taken, little
