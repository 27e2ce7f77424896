"""The compiled loops that divide the bytes of a crossing atom among the groups of models that hold it.

Any division that adds up to the atom counts too few bytes, so it gives a bound; equal shares give a poor one, for most groups never pay
theirs. Let a byte cost ``price``: a group can pay as much as its branch gains, no more, and what all groups together cannot pay is
why the atom is not worth taking. Giving each group what it can pay, atom after atom, descends on the bound (the dual of a maximum closure:
Picard, 1976), and the shares are good long after the price has moved.
"""

from __future__ import annotations

from trimcache.placement._jit import helper
from trimcache.placement._kernels_reduce import best_price

__all__ = ["divide"]


@helper
def _raise(n, more, above, gain):  # type: ignore[no-untyped-def]
    """The branch ``n`` gains ``more`` (or less); so do the branches above, by what counts of it."""
    while n >= 0:
        old = max(0.0, gain[n])
        gain[n] += more
        more = max(0.0, gain[n]) - old
        if more == 0.0:
            break
        n = above[n]


@helper
def _can_pay(n, above, gain):  # type: ignore[no-untyped-def]
    """By how much the gain of branch ``n`` may fall until the forest gains no less any more."""
    least = gain[n]
    while n >= 0 and least > 0.0:
        least = min(least, gain[n])
        n = above[n]
    return max(0.0, least)


@helper
def divide(free, sweeps, above, base, worth, ptr, group, nbytes, decided, share, weight, rest, gain, inside):  # type: ignore[no-untyped-def]
    """Improve ``share`` float64[E], the bytes of each atom and group, for one server's values and ``free`` bytes; the bound by a price.

    ``above``, ``base``, ``worth`` [N]: the forest, the bytes of a node without crossing atoms, what it is worth; ``ptr``, ``group``,
    ``nbytes``: CSR crossing atom -> nodes that hold it, and its size; atoms that are ``decided`` stay out. ``weight`` float64[N] and
    the others are scratch; ``inside`` is left marking the nodes that gain at the best price. O(sweeps x (N + E x depth)).
    """
    n_nodes = above.size
    n_atoms = nbytes.size
    price = 0.0
    for sweep in range(sweeps + 1):
        for n in range(n_nodes):
            weight[n] = base[n]
        for c in range(n_atoms):
            if decided[c] == 0:
                for e in range(ptr[c], ptr[c + 1]):
                    weight[group[e]] += share[e]
        price = best_price(n_nodes, free, above, weight, worth, rest, gain, inside)[0]
        if price <= 0.0 or sweep == sweeps:
            break
        for c in range(n_atoms):
            if decided[c] != 0:
                continue
            begin = ptr[c]
            end = ptr[c + 1]
            for e in range(begin, end):
                _raise(group[e], price * share[e], above, gain)
            whole = price * nbytes[c]
            can = 0.0
            for e in range(begin, end):
                share[e] = _can_pay(group[e], above, gain)
                can += share[e]
            for e in range(begin, end):
                pays = share[e] * whole / can if can > whole else share[e] + (whole - can) / (end - begin)
                share[e] = pays / price
                _raise(group[e], -pays, above, gain)
    bound = price * free
    for n in range(n_nodes):
        if above[n] < 0 and gain[n] > 0:
            bound += gain[n]
    return bound
