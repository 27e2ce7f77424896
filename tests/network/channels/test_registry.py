"""Channels by name."""

from __future__ import annotations

import dataclasses
import json

import pytest

import trimcache.network.channels as channels
from trimcache.errors import NetworkError, UsageError
from trimcache.network.channels import PowerLaw, UrbanMacro, UrbanMicro, channel, channel_names


def test_names():
    assert channel_names() == ("power-law", "uma", "umi")
    assert channel("power-law", exponent=3) == PowerLaw(exponent=3.0)
    assert channel("uma") == UrbanMacro()
    assert channel("uma").server_height_m == 25
    assert channel("umi", los="never") == UrbanMicro(los="never")


@pytest.mark.parametrize("name", channel_names())
def test_plain_values_and_back(name):
    found = channel(name)
    assert channel(**json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name2 = 1
    other = channel("umi", carrier_hz=28e9, server_height_m=12, user_height_m=2, shadowing=False, los="always")
    assert channel(**other.to_dict()) == other


@pytest.mark.parametrize(
    ("name", "parameters", "error", "line"),
    [
        ("powerlaw", {}, UsageError, "channel 'powerlaw': is unknown; did you mean power-law?"),
        ("rma", {}, UsageError, "channel 'rma': is unknown; did you mean uma?"),
        ("?", {}, UsageError, "channel '?': is unknown; there are power-law, uma, umi"),
        ("umi", {"carier_hz": 1}, UsageError, "channel 'umi': parameter 'carier_hz': is unknown; did you mean carrier_hz?"),
        ("power-law", {"gain": 4}, UsageError, "channel 'power-law': parameter 'gain': is unknown; did you mean path_gain?"),
        ("umi", {"carrier_hz": -1}, NetworkError, "carrier_hz: -1 is out of range; give at least 5e+08, at most 1e+11"),
    ],
)  # fmt: skip
def test_unknown(name, parameters, error, line):
    with pytest.raises(error) as raised:
        channel(name, **parameters)
    assert str(raised.value) == line


def test_every_public_name_can_be_had():
    assert channels.__all__ == sorted(channels.__all__)
    assert all(getattr(channels, name) is not None for name in channels.__all__)
