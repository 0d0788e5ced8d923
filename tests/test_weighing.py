"""What is known of the damage is used as far as it can be trusted, and no further."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from declick.clicks import Click, Estimate, disjoint_clicks, join_estimates
from declick.repair.choose import repair_passage
from declick.repair.passage import Passage
from declick.repair.weighing import DISTRUST, weigh
from declick.settings import RepairSettings
from declick.tiles import Patch, with_patches

FloatArray = NDArray[np.float64]
FILTER = np.array([1.0, -1.6, 0.9])
RATE = 44100


def estimate(start: int, damage: FloatArray, deviation: FloatArray | float) -> Estimate:
    told = np.broadcast_to(np.asarray(deviation, dtype=np.float32), damage.shape)
    return Estimate(start, damage.astype(np.float32), told)


def interpolation(sound: FloatArray, gap: slice) -> tuple[FloatArray, FloatArray]:
    """Return the exact expectation of an autoregressive gap, and its covariance over variance."""
    frames = len(sound)
    order = len(FILTER) - 1
    rows = np.zeros((frames - order, frames))
    for row in range(frames - order):
        rows[row, row : row + order + 1] = FILTER[::-1]
    lost = rows[:, gap]
    rest = sound.copy()
    rest[gap] = 0.0
    inverse = np.linalg.inv(lost.T @ lost)
    return -inverse @ lost.T @ (rows @ rest), np.asarray(inverse)


def draw(rng: np.random.Generator) -> tuple[FloatArray, slice]:
    return lfilter([1.0], FILTER, rng.standard_normal(400))[200:], slice(80, 112)


def test_it_is_the_mean_of_the_posterior() -> None:
    rng = np.random.default_rng(0)
    sound, gap = draw(rng)
    expected, covariance = interpolation(sound, gap)
    damage, deviation = rng.standard_normal(32) * 3.0, rng.uniform(0.1, 4.0, 32)
    observed = sound[gap] + damage + deviation * rng.standard_normal(32)
    told = estimate(80, damage, deviation)
    samples, error = weigh(expected, FILTER, 1.0, observed, told)
    # Kalman's form of the same, without any inverse that the code has.
    noise = np.diag(np.square(DISTRUST * told.deviation.astype(np.float64)))
    gain = covariance @ np.linalg.inv(covariance + noise)
    wanted = expected + gain @ (observed - told.damage - expected)
    np.testing.assert_allclose(samples, wanted, rtol=0, atol=1e-9)
    assert error == pytest.approx(np.trace(covariance - gain @ covariance), rel=1e-9)


def test_nothing_known_changes_nothing_and_certainty_everything() -> None:
    rng = np.random.default_rng(1)
    sound, gap = draw(rng)
    expected, _ = interpolation(sound, gap)
    damage = rng.standard_normal(32)
    observed = sound[gap] + damage
    samples, _ = weigh(expected, FILTER, 1.0, observed, estimate(80, damage, np.inf))
    np.testing.assert_array_equal(samples, expected)
    samples, error = weigh(expected, FILTER, 1.0, observed, estimate(80, damage, 1e-6))
    np.testing.assert_allclose(samples, sound[gap], atol=1e-6)
    assert error < 1e-9


def test_an_honest_estimate_helps_as_much_as_is_promised() -> None:
    rng = np.random.default_rng(2)
    before = after = promised = 0.0
    for _ in range(200):
        sound, gap = draw(rng)
        expected, _ = interpolation(sound, gap)
        deviation = rng.uniform(0.2, 3.0, 32)
        damage = rng.standard_normal(32) * 5.0
        # As far off as `weigh` takes it to be.
        off = DISTRUST * deviation * rng.standard_normal(32)
        observed = sound[gap] + damage + off
        samples, error = weigh(expected, FILTER, 1.0, observed, estimate(80, damage, deviation))
        before += float(np.sum((expected - sound[gap]) ** 2))
        after += float(np.sum((samples - sound[gap]) ** 2))
        promised += error
    assert after < 0.5 * before
    assert promised == pytest.approx(after, rel=0.1)


def test_a_passage_is_mended_with_what_is_known() -> None:
    rng = np.random.default_rng(3)
    music = lfilter([1.0], FILTER, rng.standard_normal(20_000)) * 1e-2
    damage = 0.5 * np.sin(np.arange(60) / 3.0) * np.hanning(60)
    worn = music.copy()
    worn[10_000:10_060] += damage
    errors = []
    for known in (None, estimate(10_000, 0.999 * damage, 1e-3)):
        click = Click(10_000, 10_060, 10_060, 0, estimate=known)
        passage = Passage(
            start=0,
            sample_rate=RATE,
            samples=worn[:, None],
            valid=(0, len(worn)),
            clicks=(click,),
            own=(click,),
        )
        (done,) = repair_passage(passage, settings=RepairSettings())
        errors.append(float(np.sum((done.samples - music[10_000:10_060]) ** 2)))
    assert errors[1] < 0.05 * errors[0]


def test_estimates_are_cut_and_joined_by_frame() -> None:
    first = estimate(10, np.arange(5.0), 1.0)
    second = estimate(13, np.arange(5.0) + 10, np.array([0.5, 2.0, 3.0, 3.0, 3.0]))
    joined = join_estimates(first, second)
    assert joined is not None
    assert (joined.start, joined.stop) == (10, 18)
    # Where both know something the surer counts.
    assert joined.damage.tolist() == [0, 1, 2, 10, 4, 12, 13, 14]
    cut = joined.cut(8, 12)
    assert cut.damage.tolist() == [0, 0, 0, 1]
    assert np.isinf(cut.deviation[:2]).all()
    assert np.isfinite(cut.deviation[2:]).all()


def test_clicks_that_become_one_know_what_both_knew() -> None:
    one = Click(10, 20, 20, 0, estimate=estimate(10, np.ones(10), 1.0))
    other = Click(15, 30, 30, 0, estimate=estimate(15, np.full(15, 2.0), 0.5))
    (click,) = disjoint_clicks([one, other])
    assert click.estimate is not None
    assert click.estimate.damage.tolist() == [1.0] * 5 + [2.0] * 15


def test_patches_of_two_tiles_meet_in_a_click() -> None:
    patches = [
        Patch(1, estimate(90, np.ones(10), 1.0)),
        Patch(0, estimate(80, np.ones(10), 1.0)),
        Patch(0, estimate(100, np.full(5, 2.0), 1.0)),
        Patch(0, estimate(95, np.full(5, 3.0), 1.0)),
    ]
    clicks = [Click(93, 103, 103, 0), Click(200, 210, 210, 0)]
    near, far = with_patches(clicks, patches)
    assert near.estimate is not None
    assert near.estimate.damage.tolist() == [0, 0, 3, 3, 3, 3, 3, 2, 2, 2]
    assert np.isinf(near.estimate.deviation[:2]).all()
    assert far.estimate is None
