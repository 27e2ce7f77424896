"""Who asks for what: Zipf demand, sparse from the start."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache._atoms import mix64
from trimcache.errors import ProblemError
from trimcache.placement.demand import Demand

__all__ = ["RANKINGS", "user_permutations", "weighted_demand", "zipf_demand"]

RANKINGS = ("user", "global", "popularity")

_ROUNDS = 8  # of the Feistel network: four already make it a pseudo-random permutation, the rest is margin
_SORTED_MODELS = 256
_SORTED_USERS = 10_000  # at once, to bound memory


def zipf_demand(
    n_users: int,
    n_models: int,
    exponent: float = 0.8,
    *,
    seed: int = 0,
    ranking: str = "user",
    popularity: ArrayLike | None = None,
    requests_per_user: int | None = None,
    user_weight: ArrayLike = 1.0,
) -> Demand:
    """Each user asks for the model of rank r with probability proportional to ``r ** -exponent``.

    Args:
        exponent: 0 is uniform; the paper's setting is read as 0.8 (assumption).
        ranking: ``"user"`` ranks models in an order of each user's own (the default of the preset `paper`),
            ``"global"`` in catalog order for everybody, ``"popularity"`` by falling ``popularity`` for everybody.
        popularity: floats [I], for that ranking only; ties in catalog order.
        requests_per_user: only the first so many ranks are asked for; None: all models.
        user_weight: how much each user asks for, one or floats [K] >= 0 on any scale.

    A user's order depends on (seed, user, n_models) alone, so more users leave the first ones as they were.

    Raises:
        ProblemError: a negative or non-finite exponent, an unknown ranking, popularity missing, no request at all.
    """
    if not (np.isfinite(exponent) and exponent >= 0):
        raise ProblemError("zipf", f"exponent {exponent} is not a number >= 0", "give for example 0.8")
    if ranking not in RANKINGS:
        raise ProblemError(f"ranking {ranking!r}", "is unknown", f"there are {', '.join(RANKINGS)}")
    if requests_per_user is not None and requests_per_user < 1:
        raise ProblemError("requests per user", f"{requests_per_user} is not positive", "give at least 1")
    depth = n_models if requests_per_user is None else min(requests_per_user, n_models)
    if ranking == "user":
        model = user_permutations(n_users, n_models, depth, seed)
    else:
        order = np.arange(n_models, dtype=np.int64)
        if ranking == "popularity":
            if popularity is None:
                raise ProblemError("ranking 'popularity'", "needs popularities, the graph has none", "use 'global'")
            order = np.argsort(-np.asarray(popularity, dtype=np.float64), kind="stable")
        model = np.broadcast_to(order[:depth], (n_users, depth))
    probability = np.arange(1, depth + 1, dtype=np.float64) ** -exponent
    user = np.repeat(np.arange(n_users), depth)
    weight = np.multiply.outer(_each(user_weight, n_users), probability).reshape(-1)
    return Demand.from_requests(n_users, n_models, user, model.reshape(-1), weight)


def weighted_demand(n_users: int, popularity: ArrayLike, user_weight: ArrayLike = 1.0) -> Demand:
    """Every user asks for a model with probability proportional to its ``popularity`` (floats [I]); 0 is never asked for.

    ``user_weight`` says how much each user asks for, one or floats [K].

    Raises:
        ProblemError: negative or non-finite popularity, no request at all.
    """
    weights = np.asarray(popularity, dtype=np.float64)
    wanted = np.flatnonzero(weights)
    user, model = np.repeat(np.arange(n_users), wanted.size), np.tile(wanted, n_users)
    return Demand.from_requests(n_users, weights.size, user, model, weights[model] * _each(user_weight, n_users)[user])


def _each(user_weight: ArrayLike, n_users: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(user_weight, dtype=np.float64), (n_users,))


def user_permutations(n_users: int, n_models: int, depth: int, seed: int) -> NDArray[np.int64]:
    """int64[n_users, depth]: the first ``depth`` models in each user's own pseudo-random order of ``n_models``.

    Up to 256 models each user sorts hashed keys. Beyond, a Feistel network keyed by (seed, user) permutes
    0 .. 4**b - 1 >= n_models and walks on while it is outside (Black, Rogaway 2002), so a prefix costs no more than its
    length, whatever the number of models; on fewer values such a network is visibly uneven.
    """
    keys = mix64(np.arange(n_users, dtype=np.uint64), seed)
    if n_models <= _SORTED_MODELS:
        orders = np.empty((n_users, depth), dtype=np.int64)
        models = np.arange(n_models, dtype=np.uint64) << np.uint64(32)
        for start in range(0, n_users, _SORTED_USERS):
            drawn = mix64(keys[start : start + _SORTED_USERS, None] ^ models, 0)
            orders[start : start + _SORTED_USERS] = np.argsort(drawn, axis=1, kind="stable")[:, :depth]
        return orders
    half = 1
    while 4**half < n_models:
        half += 1
    key = np.repeat(keys, depth)
    value = np.tile(np.arange(depth, dtype=np.uint64), n_users)
    outside = np.arange(value.size)
    while outside.size:
        value[outside] = _feistel(value[outside], key[outside], half)
        outside = outside[value[outside] >= n_models]
    return value.reshape(n_users, depth).astype(np.int64)


def _feistel(value: NDArray[np.uint64], key: NDArray[np.uint64], half: int) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = value >> bits, value & mask
    for turn in range(_ROUNDS):
        left, right = right, left ^ (mix64(key ^ right, turn + 1) >> np.uint64(64 - half))
    return (left << bits) | right
