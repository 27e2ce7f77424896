"""Demand as an operator knows it: a table of who asks for what, by site or by user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError
from trimcache.network._columns import read_columns
from trimcache.network.links import association
from trimcache.placement.demand import Demand
from trimcache.placement.named_pairs import model_named

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["demand_from_table"]


def demand_from_table(path: str | os.PathLike[str], network: EdgeNetwork, graph: ModelBlockGraph) -> Demand:
    """Demand from CSV or Parquet with the columns ``user`` or ``site``, ``model``, and ``weight`` (requests, on any scale).

    Rows of one pair add up; a pair without a row is never asked for. A ``site`` is a server by name: its requests are those of the users
    whose fastest direct link it is, each as many as its ``user_weight`` says. A table by ``user`` says itself how much a user asks for.

    Args:
        graph: its models are named whole or by any unambiguous ending.

    Raises:
        NetworkError: the table cannot be read, an unknown user or site (with the nearest), a weight that is missing, negative, infinite or
            no number, no weight above 0, a site that no user is nearest to.
        UsageError: an unknown model (with the nearest), or an ending of several.
    """
    columns = read_columns(Path(path), ("user", "site", "model"), ("weight",))
    if columns.has("user") == columns.has("site"):
        both = "both columns user and site" if columns.has("user") else "neither a column user nor a column site"
        raise NetworkError(columns.subject, f"has {both}", "give one of them, for who asks")
    weight = columns.numbers("weight")
    if not (weight > 0).any():
        raise NetworkError(columns.subject, "gives nothing a weight above 0", "give the number of requests of each row")
    place, names = columns.places("model")
    index = {name: i for i, name in enumerate(graph.model_names)}
    model_of = np.empty(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        if name in index:
            model_of[i] = index[name]
            continue
        row = int(np.flatnonzero(place == i)[0]) + 1
        model_of[i] = model_named(name, graph.model_names, f"{columns.subject}: row {row}: {name!r}")
    model = model_of[place]
    if columns.has("user"):
        user, _ = columns.places("user", network.user_names)
        return Demand.from_requests(network.n_users, graph.n_models, user, model, weight)
    site, _ = columns.places("site", network.server_names)
    return _spread(network, graph.n_models, site, model, weight, columns.subject)


def _spread(
    network: EdgeNetwork, n_models: int, site: NDArray[np.int64], model: NDArray[np.int64], weight: NDArray[np.float64], subject: str
) -> Demand:
    """Each site's requests among its users."""
    home = association(network)
    share = np.where(home >= 0, network.user_weight, 0.0)
    total = np.bincount(home[home >= 0], weights=share[home >= 0], minlength=network.n_servers)
    lost = np.flatnonzero((total[site] == 0) & (weight > 0))
    if lost.size:
        name = network.server_names[site[lost[0]]]
        problem = f"row {lost[0] + 1} is demand of site {name!r}, and no user has its fastest link there"
        raise NetworkError(subject, problem, "give demand by user, or to the site that serves them")
    order = np.argsort(home, kind="stable")
    first, last = np.searchsorted(home[order], (site, site + 1))
    count = last - first
    row = np.repeat(np.arange(site.size), count)
    user = order[np.arange(row.size) - np.repeat(np.cumsum(count) - count, count) + first[row]]
    return Demand.from_requests(
        network.n_users, n_models, user, model[row], weight[row] * share[user] / np.maximum(total[site[row]], np.finfo(np.float64).tiny)
    )
