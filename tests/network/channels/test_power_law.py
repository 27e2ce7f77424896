"""The paper's path loss, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trimcache.errors import NetworkError
from trimcache.network.channels import PowerLaw

PAIR = np.zeros(3, dtype=np.int64)


def test_gains_by_hand():
    distance_m = np.array([1.0, 10.0, 200.0])
    assert PowerLaw().gain(distance_m, PAIR, PAIR, 0) == pytest.approx([1, 1e-4, 6.25e-10])
    assert PowerLaw(path_gain=1e-3, exponent=2).gain(distance_m, PAIR, PAIR, 5) == pytest.approx([1e-3, 1e-5, 2.5e-8])
    assert PowerLaw(exponent=0).gain(distance_m, PAIR, PAIR, 0).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"path_gain": 0}, "path_gain: 0 is out of range; give more than 0"),
        ({"path_gain": np.inf}, "path_gain: inf is not finite; give a finite number"),
        ({"exponent": -1}, "path-loss exponent: -1 is out of range; give at least 0"),
        ({"exponent": "4"}, "path-loss exponent: '4' is not a number; give a number"),
    ],
)
def test_bad_parameters(parameters, line):
    with pytest.raises(NetworkError) as error:
        PowerLaw(**parameters)
    assert str(error.value) == line
