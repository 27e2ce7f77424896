"""Walks stay inside, at the speeds of their class, where theory says they are; same seed, same walk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from trimcache.durations import parse_duration
from trimcache.errors import NetworkError, UsageError
from trimcache.network import EdgeNetwork
from trimcache.network.mobility import (
    SPEED_CLASSES,
    Area,
    RandomDirection,
    RandomWaypoint,
    SpeedClass,
    mean_distance_m,
    mobility,
    slot_times,
)

AREA = Area(-100.0, 50.0, 900.0, 650.0)
MODELS = [RandomWaypoint(), RandomWaypoint(steady_state=True, pause_s=20.0), RandomDirection(), RandomDirection(pause_s=20.0)]


def uniform(n_users: int, seed: int = 0, area: Area = AREA) -> np.ndarray:
    low, high = np.array(area[:2]), np.array(area[2:])
    return low + (high - low) * np.random.default_rng(seed).random((n_users, 2))


def walk(model, n_users=60, duration_s=600.0, slot_s=5.0, seed=0, start=None):
    start = uniform(n_users) if start is None else start
    return np.array([slot.positions_m for slot in model.slots(start, AREA, duration_s, slot_s, seed)])


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name}-{m.pause_s:g}")
def test_users_stay_inside_and_within_their_speeds(model):
    places = walk(model)
    assert places.shape == (120, 60, 2)
    assert places.min(axis=(0, 1)).tolist() >= [-100.0, 50.0]
    assert places[..., 0].max() <= 900.0
    assert places[..., 1].max() <= 650.0
    steps = np.hypot(*np.moveaxis(np.diff(places, axis=0), 2, 0)) / 5.0
    fastest = np.array([kind.high_mps for kind in model.classes])[model.class_of(60, 0)]
    assert (steps <= fastest * (1 + 1e-9)).all()  # a turn or reflection within the slot can only shorten the step
    assert steps.max() > 15.0
    if not model.pause_s:  # most slots have neither: those steps show the leg's speed itself
        slowest = np.array([kind.low_mps for kind in model.classes])[model.class_of(60, 0)]
        assert (steps >= slowest * (1 - 1e-9)).mean() > 0.85


def test_one_class_one_speed():
    places = walk(RandomWaypoint([SpeedClass("tram", 3.0, 3.0)]), slot_s=0.5, duration_s=100)
    steps = np.hypot(*np.moveaxis(np.diff(places, axis=0), 2, 0)) / 0.5
    assert np.isclose(steps, 3.0).mean() > 0.98


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name}-{m.pause_s:g}")
def test_a_walk_depends_on_seed_and_user_alone(model):
    few, many = walk(model), walk(model, start=np.concatenate([uniform(60), uniform(40, seed=9)]))
    assert np.array_equal(many[:, :60], few)
    assert np.array_equal(walk(model), few)
    assert np.array_equal(walk(model, slot_s=10.0), few[::2])  # the same walk, seen half as often
    assert not np.array_equal(walk(model, seed=1)[1:], few[1:])
    if not getattr(model, "steady_state", False):
        assert np.array_equal(few[0], uniform(60))


def test_classes_are_shared_out():
    model = RandomWaypoint([SpeedClass("a", 1, 2, share=1), SpeedClass("b", 1, 2, share=3), SpeedClass("c", 1, 2, share=0)])
    counts = np.bincount(model.class_of(40_000, 5), minlength=3)
    assert counts[2] == 0
    assert abs(counts[0] - 10_000) < 4 * np.sqrt(40_000 * 0.25 * 0.75)
    thirds = np.bincount(RandomWaypoint().class_of(30_000, 0)) / 30_000
    assert np.allclose(thirds, 1 / 3, atol=0.012)
    assert [(kind.low_mps, kind.high_mps) for kind in SPEED_CLASSES] == [(0.5, 1.8), (2.0, 8.0), (5.5, 20.0)]


def chi_square(places: np.ndarray, cells: int = 8) -> float:
    """Of a uniform distribution over the area; its degrees of freedom are cells ** 2 - 1."""
    counts = np.histogram2d(*places.T, bins=cells, range=[AREA[::2], AREA[1::2]])[0]
    expected = len(places) / cells**2
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("pause_s", [0.0, 40.0])
def test_random_direction_stays_uniform(pause_s):
    for places in walk(RandomDirection(pause_s=pause_s), n_users=6000, duration_s=1800, slot_s=450, seed=4):
        assert chi_square(places) < chi2.ppf(0.999, 63)


def test_random_direction_spreads_a_crowd():
    crowd = np.full((6000, 2), 300.0)
    vehicles = RandomDirection([SPEED_CLASSES[2]])
    first, *_, last = walk(vehicles, duration_s=3 * 7200, slot_s=1800, start=crowd)
    assert chi_square(first) > 1e5
    assert chi_square(last) < chi2.ppf(0.999, 63)


def radius(places: np.ndarray) -> np.ndarray:
    return np.hypot(*((places - np.mean([AREA[:2], AREA[2:]], axis=0)).T))


def mean_speeds(model, n_users=6000, seconds=(0, 2400)) -> list[float]:
    def at(time_s: float) -> np.ndarray:  # the same walk whatever the slot
        return walk(model, n_users, duration_s=2 * max(time_s, 1), slot_s=max(time_s, 1))[int(time_s > 0)]

    return [float(np.hypot(*(at(t + 1) - at(t)).T).mean()) for t in seconds]


def test_random_waypoint_gathers_and_slows_down_unless_it_starts_in_steady_state():
    plain = walk(RandomWaypoint(), n_users=6000, duration_s=6000, slot_s=3000)
    steady = walk(RandomWaypoint(steady_state=True), n_users=6000, duration_s=6000, slot_s=3000)
    assert chi_square(plain[0]) < chi2.ppf(0.999, 63) < 1000 < min(chi_square(plain[1]), chi_square(steady[0]))
    # Both end where the stationary one began: the distance to the middle has one distribution (two-sample test, fixed seeds).
    for late in (plain[1], steady[1]):
        assert kstest(radius(late), radius(steady[0])).pvalue > 0.001
    assert kstest(radius(plain[0]), radius(steady[0])).pvalue < 1e-9


def test_the_mean_speed_of_random_waypoint_decays_to_that_of_the_steady_state():
    harmonic = np.mean([(k.high_mps - k.low_mps) / np.log(k.high_mps / k.low_mps) for k in SPEED_CLASSES])
    arithmetic = np.mean([(k.high_mps + k.low_mps) / 2 for k in SPEED_CLASSES])
    first, last = mean_speeds(RandomWaypoint())
    assert abs(first - arithmetic) < 0.2
    assert abs(last - harmonic) < 0.2
    assert np.allclose(mean_speeds(RandomWaypoint(steady_state=True)), harmonic, atol=0.2)
    assert np.allclose(mean_speeds(RandomDirection()), arithmetic, atol=0.2)


def test_the_mean_distance_in_a_rectangle():
    assert abs(mean_distance_m(1, 1) - 0.5214054331647207) < 1e-12  # (2 + sqrt 2 + 5 ln(1 + sqrt 2)) / 15
    grid = (np.arange(60) + 0.5) / 60
    x, y = (np.abs(grid[:, None] - grid[None, :]).reshape(-1) * side for side in (3.0, 1.0))
    by_sum = np.mean([np.hypot(x, other).mean() for other in y])
    assert abs(mean_distance_m(3, 1) - by_sum) < 1e-3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_in_steady_state_some_users_pause(share):
    pause_s = 50.0 * share
    model = RandomWaypoint([SpeedClass("bus", 10.0, 10.0)], pause_s, steady_state=True)
    first, second = walk(model, n_users=20_000, duration_s=0.02, slot_s=0.01)
    still = (first == second).all(axis=1).mean()
    expected = pause_s / (pause_s + mean_distance_m(1000, 600) / 10.0)
    assert abs(still - expected) < 0.015


def test_slots_come_one_by_one():
    model = RandomDirection()
    endless = model.slots(uniform(3), AREA, 1e7, 1.0, 0)
    assert [slot.time_s for slot in itertools.islice(endless, 3)] == [0.0, 1.0, 2.0]
    assert len(slot_times(7200, 5)) == 1440
    assert len(slot_times(0.3, 0.1)) == 3


@pytest.mark.parametrize(("duration_s", "slot_s"), [(7200, 0), (1, 5), (np.inf, 5), (7200, np.nan), (1e12, 1)])
def test_no_slots(duration_s, slot_s):
    with pytest.raises(UsageError, match="slots"):
        RandomWaypoint().slots(uniform(1), AREA, duration_s, slot_s, 0)


def test_what_makes_no_walk():
    with pytest.raises(NetworkError, match="0 < low <= high"):
        SpeedClass("parked", 0.0, 1.0)
    with pytest.raises(NetworkError, match="share"):
        RandomWaypoint([SpeedClass("a", 1, 2, share=0)])
    for wrong in ({"pause_s": -1}, {"pause_s": np.nan}):
        with pytest.raises(NetworkError, match="pause_s"):
            RandomDirection(**wrong)
    with pytest.raises(NetworkError, match="leg_s"):
        RandomDirection(leg_s=0)
    with pytest.raises(NetworkError, match="user 1: starts at"):
        RandomWaypoint().slots(np.array([[0.0, 60.0], [0.0, 0.0]]), AREA, 10, 1, 0)
    with pytest.raises(NetworkError, match="no rectangle"):
        RandomWaypoint().slots(np.zeros((1, 2)), Area.square(0), 10, 1, 0)
    with pytest.raises(NetworkError, match="no rectangle"):
        Area.around(np.array([[0.0, 0.0], [5.0, 0.0]]))
    with pytest.raises(NetworkError, match="no server"):
        Area.around(np.zeros((0, 2)))


def test_models_by_name():
    assert mobility("random-waypoint") == RandomWaypoint()
    assert mobility("random-direction").name == "random-direction"
    with pytest.raises(UsageError, match="did you mean random-direction"):
        mobility("random-directions")
    with pytest.raises(NetworkError, match="does not exist"):
        mobility("nowhere/fcd.xml")


def test_the_presets_area_holds_its_users():
    network = EdgeNetwork.preset(n_users=40)
    places = [slot.positions_m for slot in RandomWaypoint().slots(network.user_positions_m, Area.square(1000), 60, 5, 0)]
    assert np.array_equal(places[0], network.user_positions_m)


def test_durations():
    assert [parse_duration(text) for text in ("90", "5s", "10min", "2h", "1.5 h", "1d")] == [90, 5, 600, 7200, 5400, 86400]
    for wrong in ("", "2 hours", "-5s", "h", "1:30"):
        with pytest.raises(UsageError, match="write it like"):
            parse_duration(wrong)
