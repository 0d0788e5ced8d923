from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.rotation import PERIODS_S, find_rotation


def scratched(
    period_s: float, *, turns: int, rate: float, duration_s: float, seed: int
) -> FloatArray:
    """Times of a scratch (0.3 ms jitter, drift of the belt, a wander over the disc) and dust."""
    rng = np.random.default_rng(seed)
    drift = 1 + 3e-4 * np.linspace(-1, 1, turns) * rng.choice([-1, 1])
    scratch = rng.uniform(5, 20) + np.cumsum(period_s * drift) + rng.normal(0, 3e-4, turns)
    dust = rng.uniform(0, duration_s, rng.poisson(rate * duration_s))
    return np.concatenate([scratch, scratch + 0.002, dust])


@pytest.mark.parametrize("nominal", PERIODS_S)
@pytest.mark.parametrize("off", [-0.005, 0.0, 0.005])
@pytest.mark.parametrize(("turns", "rate"), [(8, 0.2), (20, 2.0), (60, 8.0)])
def test_a_scratch_gives_the_period(nominal: float, off: float, turns: int, rate: float) -> None:
    period_s = nominal * (1 + off)
    times = scratched(period_s, turns=turns, rate=rate, duration_s=200, seed=turns)
    rotation = find_rotation(times)
    assert rotation is not None
    assert rotation.period_s == pytest.approx(period_s, rel=5e-4)
    assert rotation.rpm == pytest.approx(60 / rotation.period_s)
    assert rotation.evidence >= 3
    # The order of the clicks says nothing.
    assert find_rotation(times[::-1]) == rotation


def test_a_long_scratch_gives_it_finely() -> None:
    rng = np.random.default_rng(3)
    times = 3 + 1.8054 * np.arange(300) + rng.normal(0, 2e-4, 300)
    rotation = find_rotation(np.concatenate([times, rng.uniform(0, 560, 1000)]))
    assert rotation is not None
    assert rotation.period_s == pytest.approx(1.8054, rel=1e-5)


@pytest.mark.parametrize("rate", [0.05, 0.5, 5.0])
def test_random_clicks_have_no_period(rate: float) -> None:
    rng = np.random.default_rng(7)
    found = [find_rotation(rng.uniform(0, 30, rng.poisson(rate * 30))) for _ in range(100)]
    assert found.count(None) == len(found)


def test_bursts_have_no_period() -> None:
    rng = np.random.default_rng(8)
    for _ in range(6):
        middles = rng.uniform(0, 120, 60)
        bursts = [middle + rng.exponential(0.1, rng.poisson(5)) for middle in middles]
        assert find_rotation(np.concatenate(bursts)) is None


def test_many_small_clicks_that_return_for_a_few_turns() -> None:
    rng = np.random.default_rng(10)
    places = rng.uniform(0, 1.791, 20)
    turns = [places[rng.uniform(size=20) < 0.7] + 1.791 * turn for turn in range(4)]
    times = np.concatenate(turns)
    rotation = find_rotation(times + rng.normal(0, 3e-4, times.size))
    assert rotation is not None
    assert rotation.period_s == pytest.approx(1.791, rel=5e-4)


def test_strong_clicks_are_kept_in_dense_crackle() -> None:
    rng = np.random.default_rng(9)
    crackle = rng.uniform(0, 60, 60 * 150)
    scratch = 2 + 1.8 * np.arange(30)
    times = np.concatenate([crackle, scratch])
    strengths = np.concatenate([rng.uniform(0, 0.6, crackle.size), np.full(30, 0.9)])
    rotation = find_rotation(times, strengths)
    assert rotation is not None
    assert rotation.period_s == pytest.approx(1.8, rel=5e-4)


def test_few_or_no_clicks() -> None:
    assert find_rotation([]) is None
    assert find_rotation([1.0]) is None
    assert find_rotation(np.full(1000, 2.5)) is None
    assert find_rotation([1.0, 2.8, 4.6]) is None
