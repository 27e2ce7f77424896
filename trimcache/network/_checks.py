"""Every rule that an ``EdgeNetwork`` obeys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError, UsageError
from trimcache.network._values import array, capacity, names_of, nearest, number, one_or_each, refuse, whole
from trimcache.network.backhaul import RELAYS
from trimcache.network.channels import channel

__all__ = ["checked"]

_OF_SERVERS = ("coverage_radius_m", "bandwidth_hz", "power_dbm")
_OF_USERS = ("deadline_low_s", "deadline_high_s", "deadline_bps", "inference_s", "user_weight")
_MOST_DBM = 500  # beyond any power, short of what a float holds in watts
_POSITIVE = ("bandwidth_hz", "deadline_bps")
_NOT_NEGATIVE = ("coverage_radius_m", "deadline_low_s", "deadline_high_s", "inference_s", "user_weight")


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an ``EdgeNetwork`` in their final form: read-only arrays, floats, tuples, a channel.

    Raises:
        NetworkError: the first rule that is broken, in one line.
    """
    values = dict(fields)
    servers = values["server_names"] = names_of(values["server_names"], "server")
    users = values["user_names"] = names_of(values["user_names"], "user")
    for name, names, owner in (*((name, servers, "server") for name in _OF_SERVERS), *((name, users, "user") for name in _OF_USERS)):
        if name == "deadline_bps" and values[name] is None:
            continue
        given = values[name] = one_or_each(values[name], name, names, owner)
        if name in _POSITIVE:
            fix = "give a number > 0" + (", or coverage_radius_m 0 where there is no radio" if name == "bandwidth_hz" else "")
            refuse(given <= 0, given, name, names, owner, "is not positive", fix)
        if name in _NOT_NEGATIVE:
            refuse(given < 0, given, name, names, owner, "is negative", "give a number >= 0")
    power = values["power_dbm"]
    refuse(np.abs(power) > _MOST_DBM, power, "power_dbm", servers, "server", "is no power in dBm", f"give {-_MOST_DBM} to {_MOST_DBM}")
    low, high = np.broadcast_arrays(values["deadline_low_s"], values["deadline_high_s"])
    refuse(high < low, high, "deadline_high_s", users, "user", "is below deadline_low_s", "give low <= high")
    values["user_weight"] = _frozen(np.broadcast_to(values["user_weight"], (len(users),)).copy())
    for name in ("noise_dbm_per_hz", "active_probability"):
        values[name] = number(values[name], name)
    if abs(values["noise_dbm_per_hz"]) > _MOST_DBM:
        raise NetworkError("noise_dbm_per_hz", f"{values['noise_dbm_per_hz']} is no power in dBm", f"give {-_MOST_DBM} to {_MOST_DBM}")
    if not 0 <= values["active_probability"] <= 1:
        raise NetworkError("active_probability", f"{values['active_probability']} is no probability", "give 0 to 1")
    for name, unit in (("backhaul_bps", "rate"), ("backhaul_latency_s", "latency")):
        values[name] = _matrix(values[name], name, unit, len(servers))
    if values["relays"] not in RELAYS:
        raise NetworkError(f"relays {values['relays']!r}", "is unknown", nearest(str(values["relays"]), RELAYS))
    if values["capacity_bytes"] is not None:
        values["capacity_bytes"] = _capacities(values["capacity_bytes"], servers)
    _check_places(values, len(servers), len(users))
    if not hasattr(values["channel"], "gain"):
        values["channel"] = _channel(values["channel"])
    values["seed"] = whole(values["seed"], "seed")
    return values


def _check_places(values: dict[str, Any], n_servers: int, n_users: int) -> None:
    places = {"server_positions_m": n_servers, "user_positions_m": n_users}
    missing = [name for name in places if values[name] is None]
    if missing and (values["links"] is None or len(missing) == 1):
        raise NetworkError(missing[0], "is missing", "give one [x, y] a row, in metres")
    for name, count in places.items():
        if values[name] is None:
            continue
        made = array(values[name], name)
        made = made.reshape(0, 2) if made.size == 0 else made
        if made.shape != (count, 2):
            raise NetworkError(name, f"has shape {made.shape}, not {(count, 2)}", "give [x, y] a row")
        values[name] = made
    table = values["links"]
    if table is not None and (table.server_names != values["server_names"] or table.user_names != values["user_names"]):
        raise NetworkError("links", "are of other servers or users", "give the names of the network when the table is made")


def _matrix(value: Any, what: str, unit: str, n_servers: int) -> NDArray[np.float64]:
    made = array(value, what)
    if made.shape not in ((), (n_servers, n_servers)):
        raise NetworkError(what, f"has shape {made.shape}", "give one number, or servers x servers")
    if made.size and made.min() < 0:
        raise NetworkError(what, f"holds a negative {unit}", "give numbers >= 0")
    return made


def _capacities(value: Any, servers: tuple[str, ...]) -> NDArray[np.int64]:
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) != len(servers):
            raise NetworkError("capacity", f"holds {len(value)} sizes for {len(servers)} servers", "give one size, or one a server")
        sizes = [capacity(one, f"capacity of server {name!r}") for one, name in zip(value, servers, strict=True)]
    else:
        sizes = [capacity(value, "capacity")] * len(servers)
    return _frozen(np.array(sizes, dtype=np.int64))


def _channel(parameters: Any) -> Any:
    if isinstance(parameters, str):
        parameters = {"name": parameters}
    if not isinstance(parameters, Mapping) or not isinstance(parameters.get("name"), str):
        raise NetworkError("channel", "has no name", 'give for example name = "umi"')
    try:
        return channel(**parameters)
    except UsageError as error:
        raise NetworkError(error.subject, error.problem, error.fix) from error


def _frozen(made: NDArray[Any]) -> NDArray[Any]:
    made.flags.writeable = False
    return made
