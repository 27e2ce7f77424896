"""The network file: readable TOML in, a validated ``EdgeNetwork`` out, and back to plain values. Its schema is docs/networks.md."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimcache.errors import NetworkError, UsageError
from trimcache.network._values import array, capacity, names_of, refuse_unknown
from trimcache.network.edge_network import EdgeNetwork, with_channel
from trimcache.network.presets import preset as preset_numbers
from trimcache.network.tables import backhaul_table, link_table

__all__ = ["network_from", "plain_values", "read_network"]

_GEOMETRY = ("coverage_radius_m", "bandwidth_hz", "power_dbm", "noise_dbm_per_hz", "path_gain", "path_loss_exponent", "active_probability")
_DEADLINES = ("deadline_low_s", "deadline_high_s", "deadline_bps", "inference_s")
_ANY = (
    "preset_name", "seed", *_DEADLINES, "deadline_s", "backhaul_bps", "backhaul_latency_s", "backhaul", "relays", "capacity",
    "capacity_bytes",
)  # fmt: skip
_OWN = ("servers", "users", "server_names", "user_names", "server_positions_m", "user_positions_m", "user_weight", "rates")
_RANDOM = ("n_servers", "n_users", "area_m")
KEYS = (*_ANY, *_GEOMETRY, "channel", *_OWN, *_RANDOM)
# Keys of a [[servers]] or [[users]] row, and where each goes.
SERVER_KEYS = {
    "name": "server_names", "position_m": "server_positions_m", "capacity": "capacity_bytes", "coverage_radius_m": "coverage_radius_m",
    "bandwidth_hz": "bandwidth_hz", "power_dbm": "power_dbm",
}  # fmt: skip
USER_KEYS = {"name": "user_names", "position_m": "user_positions_m", "weight": "user_weight", **{name: name for name in _DEADLINES}}


def read_network(path: str | os.PathLike[str]) -> EdgeNetwork:
    """The network of a TOML file; tables that it names are looked for in its folder.

    Raises:
        NetworkError: the file or a table cannot be read, or breaks a rule; one line naming the file and the fix.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NetworkError(str(path), "does not exist", "check the path, or use a preset") from error
    except OSError as error:
        raise NetworkError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
    except ValueError as error:  # TOML and UTF-8 errors
        raise NetworkError(str(path), f"is not TOML ({error})", "see docs/networks.md") from error
    return network_from(document, str(path), Path(path).parent)


def network_from(document: Mapping[str, Any], subject: str, folder: Path | None = None) -> EdgeNetwork:
    """The network of the keys of a network file; ``subject`` names it in errors, ``folder`` is where tables are (None: nowhere)."""
    try:
        # None is a table or a place that is not there; for deadline_bps it says that there is no such part.
        values = {key: value for key, value in document.items() if value is not None or key == "deadline_bps"}
        refuse_unknown(values, KEYS)
        name = str(values.pop("preset_name", None) or "paper")
        numbers = preset_numbers(name)
        _one_of_two(values)
        if any(key in values for key in _OWN):
            return _own(values, document.get("preset_name"), numbers, folder)
        if "backhaul" in values:
            raise NetworkError("backhaul", "is a table between servers, and there are none", "give [[servers]], or backhaul_bps")
        values |= {"capacity_bytes": values.pop("capacity")} if "capacity" in values else {}
        refuse_unknown(values, [*numbers, *_RANDOM, "seed"])
        return EdgeNetwork.preset(name, **values)
    except (NetworkError, UsageError) as error:
        if error.subject == subject:
            raise
        raise NetworkError(subject, f"{error.subject} {error.problem}", error.fix) from error


def plain_values(network: EdgeNetwork) -> dict[str, Any]:
    """What ``network_from`` reads back to an equal network."""
    values = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    table, channel = values.pop("links"), values.pop("channel")
    if table is None:
        values["channel"] = channel.to_dict()
    else:
        values = {key: value for key, value in values.items() if key not in _GEOMETRY} | {"rates": table.to_dict()}
    values |= {name: list(values[name]) for name in ("server_names", "user_names")}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def _one_of_two(values: dict[str, Any]) -> None:
    """Short forms in a place where the long one may stand instead."""
    for short, long in (("deadline_s", ("deadline_low_s", "deadline_high_s")), ("capacity", ("capacity_bytes",))):
        for other in long:
            if short in values and other in values:
                raise NetworkError(short, f"stands beside {other}", "give one of them")
    if "deadline_s" in values:
        values |= dict.fromkeys(("deadline_low_s", "deadline_high_s"), values.pop("deadline_s"))


def _own(values: dict[str, Any], preset_name: str | None, numbers: dict[str, Any], folder: Path | None) -> EdgeNetwork:
    for key in _RANDOM:
        if key in values:
            raise NetworkError(key, "is for servers and users that are drawn, and these are given", "leave it out")
    if "capacity" in values:
        values["capacity_bytes"] = values.pop("capacity")
    given = dict(values)
    for key, columns, what in (("servers", SERVER_KEYS, "server"), ("users", USER_KEYS, "user")):
        if key in given:
            _spread(given, given.pop(key), key, columns, what, numbers)
        if f"{what}_names" in given:
            given[f"{what}_names"] = names_of(given[f"{what}_names"], what)
    rates = given.pop("rates", None)
    if rates is not None:
        for key in (*_GEOMETRY, "channel"):
            if key in values:
                raise NetworkError(key, "plays no part beside rates", "leave out one of them")
        numbers = numbers | {"backhaul_bps": 0.0}  # an operator's links are those of the tables
        table = given["links"] = link_table(rates, folder, given.get("server_names"), given.get("user_names"))
        given |= {"server_names": table.server_names, "user_names": table.user_names}
    for what in ("server", "user"):
        if f"{what}_names" not in given:
            if f"{what}_positions_m" not in given:
                raise NetworkError(f"{what}_positions_m", "is missing", f"give [[{what}s]] with position_m, or rates")
            places = array(given[f"{what}_positions_m"], f"{what}_positions_m")
            given[f"{what}_names"] = [f"{what}-{n}" for n in range(places.shape[0] if places.ndim else 0)]
        given.setdefault(f"{what}_positions_m", None)
    if "backhaul" in given:
        if "backhaul_bps" in given or "backhaul_latency_s" in given:
            raise NetworkError("backhaul", "stands beside backhaul_bps or backhaul_latency_s", "give one of them")
        backhaul = backhaul_table(given.pop("backhaul"), folder, tuple(given["server_names"]))
        given |= {"backhaul_bps": backhaul.rate_bps, "backhaul_latency_s": backhaul.latency_s}
        given.setdefault("relays", "one-hop" if backhaul.complete else "shortest-path")
    numbers = {key: value for key, value in numbers.items() if key != "area_m"}
    return EdgeNetwork(**with_channel(numbers, given), preset_name=preset_name)


def _spread(given: dict[str, Any], rows: Any, key: str, columns: Mapping[str, str], what: str, numbers: Mapping[str, Any]) -> None:
    """Turn the rows of ``[[servers]]`` or ``[[users]]`` into one list for each field.

    What a row leaves out stands above the rows, or in the preset.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not all(isinstance(row, Mapping) for row in rows):
        raise NetworkError(key, "is no list of tables", f"write one [[{key}]] for each {what}")
    copies = [dict(row) for row in rows]
    known = [*columns, *(["deadline_s"] if what == "user" else [])]
    for number, row in enumerate(copies, 1):
        label = f"{what} {row['name']!r}" if "name" in row else f"{what} {number}"
        refuse_unknown(row, known, f"{label} key")
        if not isinstance(row.get("name"), str):
            raise NetworkError(label, "has no name" if "name" not in row else "has a name that is not text", f"give each {what} a name")
        if what == "user":
            _one_of_two(row)
        if "capacity" in row:
            row["capacity"] = capacity(row["capacity"], f"capacity of {label}")
    for name, field in columns.items():
        if not any(name in row for row in copies):
            continue
        above = given.get(field, numbers.get(field, 1.0 if name == "weight" else None))
        if field in given and name in ("name", "position_m", "weight"):
            raise NetworkError(field, f"stands beside the {name} of [[{key}]]", "give one of them")
        if isinstance(above, list | tuple | np.ndarray):
            raise NetworkError(field, f"is a list beside [[{key}]] that have their own", f"give one value above, or one in every [[{key}]]")
        lacking = next((row["name"] for row in copies if name not in row), None)
        if lacking is not None and above is None:
            raise NetworkError(f"{what} {lacking!r}", f"has no {name}, others have", "give it to all or to none")
        given[field] = [row.get(name, above) for row in copies]
        if name == "capacity":
            given[field] = [capacity(size, "capacity") for size in given[field]]
