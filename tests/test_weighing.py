"""What is known of the damage is used as far as it can be trusted, and no further."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from declick.clicks import Click, Estimate, disjoint_clicks, join_estimates
from declick.repair.ar import interpolate, model_sizes
from declick.repair.choose import repair_passage
from declick.repair.passage import Passage
from declick.repair.solve import Run, solve_missing
from declick.repair.weighing import (
    DISTRUST,
    Evidence,
    gather_evidence,
    interpolate_weighed,
    likeness_of_deviations,
)
from declick.settings import RepairSettings
from declick.tiles import BOAST, Patch, believed, with_patches
from reference import dense_interpolation as dense

FloatArray = NDArray[np.float64]
FILTER = np.array([1.0, -1.6, 0.9])
RATE = 44100


def estimate(start: int, damage: FloatArray, deviation: FloatArray | float) -> Estimate:
    told = np.broadcast_to(np.asarray(deviation, dtype=np.float32), damage.shape)
    return Estimate(start, damage.astype(np.float32), told)


def draw(rng: np.random.Generator) -> tuple[FloatArray, Run]:
    return lfilter([1.0], FILTER, rng.standard_normal(400))[200:], (80, 112)


def evidence(sound: FloatArray, run: Run, damage: FloatArray, told: Estimate) -> Evidence:
    observed = sound.copy()
    observed[slice(*run)] += damage
    gathered = gather_evidence(observed, 0, [Click(*run, run[1], 0, estimate=told)])
    assert gathered is not None
    return gathered


def posterior(sound: FloatArray, run: Run, known: Evidence) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the covariance over the prediction error's variance of 1, by Kalman."""
    missing = np.zeros(sound.size, dtype=bool)
    missing[slice(*run)] = True
    filled, covariance = dense.conditional_mean(sound, missing, FILTER)
    expected, cut = filled[missing], known.cut(*run)
    apart = np.abs(np.subtract.outer(np.arange(cut.deviation.size), np.arange(cut.deviation.size)))
    deviation = DISTRUST * cut.deviation
    noise = np.outer(deviation, deviation) * likeness_of_deviations(cut.damage) ** apart
    gain = covariance @ np.linalg.inv(covariance + noise)
    return expected + gain @ (cut.values - expected), covariance - gain @ covariance


def solve(sound: FloatArray, run: Run, known: Evidence) -> tuple[FloatArray, float]:
    samples = sound.copy()
    samples[slice(*run)] = np.nan  # not looked at
    prior = known.prior({run: 1.0})
    traces = solve_missing(samples, [run], FILTER, errors_for=[run], prior=prior)
    return samples[slice(*run)], traces[run]


def test_it_is_the_mean_of_the_posterior() -> None:
    rng = np.random.default_rng(0)
    sound, run = draw(rng)
    damage, deviation = rng.standard_normal(32) * 3.0, rng.uniform(0.1, 4.0, 32)
    added = damage + deviation * rng.standard_normal(32)
    known = evidence(sound, run, added, estimate(80, damage, deviation))
    samples, error = solve(sound, run, known)
    mean, covariance = posterior(sound, run, known)
    np.testing.assert_allclose(samples, mean, rtol=0, atol=1e-9)
    assert error == pytest.approx(np.trace(covariance), rel=1e-9)


def test_the_error_of_a_long_run_is_told_from_some_of_its_samples() -> None:
    rng = np.random.default_rng(4)
    sound = lfilter([1.0], FILTER, rng.standard_normal(900))
    run, slope = (200, 500), np.linspace(0.5, 2.0, 300)
    known = evidence(sound, run, np.zeros(300), estimate(200, np.zeros(300), slope))
    _, error = solve(sound, run, known)
    _, covariance = posterior(sound, run, known)
    assert error == pytest.approx(np.trace(covariance), rel=0.01)


def test_nothing_known_changes_nothing_and_certainty_everything() -> None:
    rng = np.random.default_rng(1)
    sound, run = draw(rng)
    damage = rng.standard_normal(32)
    blind = sound.copy()
    solve_missing(blind, [run], FILTER, errors_for=())
    samples, _ = solve(sound, run, evidence(sound, run, damage, estimate(80, damage, np.inf)))
    np.testing.assert_array_equal(samples, blind[slice(*run)])
    samples, error = solve(sound, run, evidence(sound, run, damage, estimate(80, damage, 1e-6)))
    np.testing.assert_allclose(samples, sound[slice(*run)], atol=1e-6)
    assert error < 1e-9


def test_an_honest_estimate_helps_as_much_as_is_promised() -> None:
    rng = np.random.default_rng(2)
    before = after = promised = 0.0
    for _ in range(200):
        sound, run = draw(rng)
        blind = sound.copy()
        solve_missing(blind, [run], FILTER, errors_for=())
        deviation = rng.uniform(0.2, 3.0, 32)
        damage = rng.standard_normal(32) * 5.0
        # As far off as estimates are taken to be, and as much alike.
        likeness = likeness_of_deviations(damage)
        fresh = np.sqrt(1.0 - likeness**2) * rng.standard_normal(32)
        fresh[0] = rng.standard_normal()
        added = damage + DISTRUST * deviation * lfilter([1.0], [1.0, -likeness], fresh)
        known = evidence(sound, run, added, estimate(80, damage, deviation))
        samples, error = solve(sound, run, known)
        before += float(np.sum((blind - sound) ** 2))
        after += float(np.sum((samples - sound[slice(*run)]) ** 2))
        promised += error
    assert after < 0.5 * before
    assert promised == pytest.approx(after, rel=0.1)


def test_the_model_is_learned_from_what_is_known_and_from_around() -> None:
    rng = np.random.default_rng(5)
    music = lfilter([1.0], FILTER, rng.standard_normal(12_000))
    runs = [(5000, 5060), (5400, 5640), (6500, 6510)]
    damage = rng.standard_normal(240) * 20.0
    worn = music.copy()
    for start, stop in runs:
        worn[start:stop] += damage[: stop - start]
    clicks = [
        Click(a, b, b, 0, estimate=estimate(a, damage[: b - a] + rng.standard_normal(b - a), 1.0))
        for a, b in runs
    ]
    known = gather_evidence(worn, 0, clicks)
    assert known is not None
    got = interpolate_weighed(worn, runs, runs[:2], known, sample_rate=RATE)
    outside = np.ones(music.size, dtype=bool)
    for start, stop in runs:
        outside[start:stop] = False
    np.testing.assert_array_equal(got.samples[outside], worn[outside])
    blind = interpolate(worn, runs, runs[:2], sizes=model_sizes(240, RATE), sample_rate=RATE)
    for run, promised in zip(runs[:2], got.error_energy, strict=True):
        error, without = (
            float(np.sum((filled[slice(*run)] - music[slice(*run)]) ** 2))
            for filled in (got.samples, blind.samples)
        )
        assert error < 0.7 * without
        assert 0.3 < error / promised < 3.0


def test_sound_that_is_silent_or_short_is_no_trouble() -> None:
    told = estimate(10, np.ones(20), 0.1)
    for frames in (30, 31, 64, 4000):
        worn = np.zeros(frames)
        worn[10:30] = 1.0
        known = gather_evidence(worn, 0, [Click(10, 30, 30, 0, estimate=told)])
        assert known is not None
        got = interpolate_weighed(worn, [(10, 30)], [(10, 30)], known, sample_rate=RATE)
        np.testing.assert_allclose(got.samples, 0.0, atol=1e-6)


def test_less_is_believed_of_what_is_hardly_more_than_it_may_be_off() -> None:
    damage, deviation = np.array([0.0, 0.01, -1.0, 3.0, 50.0]), np.ones(5)
    share = believed(estimate(0, damage, deviation)).damage[1:] / damage[1:]
    assert share[0] == pytest.approx(1.0 - BOAST, abs=0.01)
    assert np.all(np.diff(share) > 0.05)
    assert share[-1] == pytest.approx(1.0)
    unknown = believed(estimate(0, damage, np.full(5, np.inf)))
    assert unknown.damage == pytest.approx(damage * (1 - BOAST))


def test_unknown_samples_part_what_is_known_in_two() -> None:
    rng = np.random.default_rng(6)
    sound, run = draw(rng)
    damage = np.cumsum(rng.standard_normal(32))  # smooth: deviations are much alike
    deviation = rng.uniform(0.1, 4.0, 32)
    deviation[[4, 5, 20]] = np.inf
    known = evidence(sound, run, damage + 0.5, estimate(80, damage, deviation))
    samples, error = solve(sound, run, known)
    missing = np.zeros(sound.size, dtype=bool)
    missing[slice(*run)] = True
    filled, covariance = dense.conditional_mean(sound, missing, FILTER)
    seen = np.isfinite(known.deviation[slice(*run)])
    parts = np.cumsum(~seen)
    apart = np.abs(np.subtract.outer(np.arange(32), np.arange(32)))
    together = np.equal.outer(parts, parts)
    likeness = likeness_of_deviations(known.damage[slice(*run)][seen])
    assert likeness > 0.5
    off = DISTRUST * known.deviation[slice(*run)][seen]
    noise = np.outer(off, off) * (likeness**apart * together)[np.ix_(seen, seen)]
    gain = covariance[:, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)] + noise)
    mean = filled[missing] + gain @ (known.values[slice(*run)] - filled[missing])[seen]
    np.testing.assert_allclose(samples, mean, rtol=0, atol=1e-8)
    left = covariance - gain @ covariance[seen]
    assert error == pytest.approx(np.trace(left), rel=1e-8)


def test_where_two_clicks_know_something_the_surer_counts() -> None:
    clicks = [
        Click(2, 6, 6, 0, estimate=estimate(2, np.ones(4), np.array([1.0, 1.0, 3.0, 3.0]))),
        Click(4, 9, 9, 0, estimate=estimate(4, np.full(5, 2.0), 2.0)),
        Click(9, 10, 10, 0),
    ]
    known = gather_evidence(np.zeros(8), 1, clicks)
    assert known is not None
    assert known.values.tolist() == [0, -1, -1, -2, -2, -2, -2, -2]
    assert known.damage.tolist() == [0, 1, 1, 2, 2, 2, 2, 2]
    assert known.deviation.tolist() == [np.inf, 1, 1, 2, 2, 2, 2, 2]
    assert gather_evidence(np.zeros(8), 1, clicks[2:]) is None


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
    near, far = with_patches(clicks, patches, own=False)
    assert near.estimate is not None
    ours, _ = with_patches(clicks, patches)
    assert ours.estimate is not None
    assert np.array_equal(ours.estimate.damage, believed(near.estimate).damage)
    assert near.estimate.damage.tolist() == [0, 0, 3, 3, 3, 3, 3, 2, 2, 2]
    assert np.isinf(near.estimate.deviation[:2]).all()
    assert far.estimate is None
