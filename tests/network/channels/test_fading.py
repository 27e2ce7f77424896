"""Rayleigh fading: the drawn gains, and outage in closed form against them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from trimcache.errors import NetworkError
from trimcache.network.channels import rayleigh_gains, rayleigh_outage


def test_gains_are_exponential_with_mean_1():
    gains = rayleigh_gains((400, 500), np.random.default_rng(0))
    assert gains.shape == (400, 500)
    assert kstest(gains.ravel(), "expon").pvalue > 1e-3
    # |h|^2 of a circular complex normal h of power 1 is the same thing
    rng = np.random.default_rng(1)
    h = (rng.standard_normal(200_000) + 1j * rng.standard_normal(200_000)) / math.sqrt(2)
    assert kstest(gains.ravel(), abs(h) ** 2).pvalue > 1e-3
    assert np.array_equal(gains, rayleigh_gains((400, 500), np.random.default_rng(0)))


@pytest.mark.parametrize("snr_db", [-10, 0, 7, 20])
@pytest.mark.parametrize("bits_per_hz", [0.05, 1, 3, 6])
def test_outage_is_how_often_a_drawn_link_is_too_slow(snr_db, bits_per_hz):
    bandwidth_hz, snr, n = 5e6, 10 ** (snr_db / 10), 200_000
    rates = bandwidth_hz * np.log2(1 + snr * rayleigh_gains(n, np.random.default_rng([snr_db + 100, int(100 * bits_per_hz)])))
    slow = int((rates < bits_per_hz * bandwidth_hz).sum())
    low, high = binomtest(slow, n).proportion_ci(0.9999)  # exact, over 16 cases
    assert low <= float(rayleigh_outage(bits_per_hz * bandwidth_hz, bandwidth_hz, snr)) <= high


def test_outage_by_hand_and_at_the_ends():
    assert float(rayleigh_outage(1e6, 1e6, 1.0)) == pytest.approx(1 - math.exp(-1))
    assert rayleigh_outage([2e6, 3e6], 1e6, [[3.0], [7.0]]) == pytest.approx(1 - np.exp([[-1.0, -7 / 3], [-3 / 7, -1.0]]))
    assert rayleigh_outage([-1, 0, 1, 1e300, np.inf], 1e6, 0.0).tolist() == [0, 0, 1, 1, 1]
    assert rayleigh_outage([0, 1e12, np.inf], 1e6, 1e9).tolist() == [0, 1, 1]
    assert rayleigh_outage([1.0, 1e9], 1e6, np.inf).tolist() == [0, 0]
    # far below the bandwidth the naive form loses every digit
    assert float(rayleigh_outage(1e-9, 1e6, 1.0)) == pytest.approx(1e-15 * math.log(2), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "what"), [((1, 0, 1), "bandwidth_hz"), ((1, 1, -1), "snr"), ((1, 1, math.nan), "snr"), ((math.nan, 1, 1), "rate_bps")]
)
def test_bad_arguments(arguments, what):
    with pytest.raises(NetworkError) as error:
        rayleigh_outage(*arguments)
    assert error.value.subject == what
