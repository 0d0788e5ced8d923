"""Autoregressive interpolation against whole-matrix solutions, and where it must not stumble."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from declick.dsp.linear_prediction import REGULARISATION
from declick.repair.ar import (
    PART_STEP,
    START_CONTEXT,
    START_ORDER,
    ModelSize,
    estimation_window,
    interpolate,
    model_sizes,
)
from declick.repair.solve import FEW_RUNS, Run, solve_missing
from reference import dense_interpolation as dense

FloatArray = NDArray[np.float64]


def some_filter(order: int, seed: int) -> FloatArray:
    noise = np.random.default_rng(seed).standard_normal(40 * order)
    sound = np.convolve(noise, np.random.default_rng(seed + 1).standard_normal(order), "same")
    correlation = dense.autocorrelation(np.asarray(sound, dtype=np.float64), order)
    return np.asarray(dense.prediction_filter(correlation, 1e-3))


@limits(deadline=None, max_examples=60)
@given(
    frames=st.integers(30, 160),
    order=st.integers(1, 14),
    cuts=st.lists(st.integers(0, 160), min_size=2, max_size=8, unique=True),
    seed=st.integers(0, 1000),
)
def test_joint_gaps_and_ends_equal_the_dense_solution(
    frames: int, order: int, cuts: list[int], seed: int
) -> None:
    edges = sorted({min(cut, frames) for cut in cuts})
    runs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    missing = np.zeros(frames, dtype=bool)
    for start, stop in runs:
        missing[start:stop] = True
    if not runs or missing.all() or missing.sum() > frames // 2:
        return
    samples = np.random.default_rng(seed).standard_normal(frames)
    coefficients = some_filter(order, seed)
    expected, covariance = dense.conditional_mean(samples, missing, coefficients)
    filled = samples.copy()
    traces = solve_missing(filled, runs, coefficients, errors_for=runs)
    np.testing.assert_allclose(filled, expected, atol=1e-7 * np.max(np.abs(expected)))
    index = np.flatnonzero(missing)
    for run in runs:
        inside = (index >= run[0]) & (index < run[1])
        assert traces[run] == pytest.approx(float(np.diag(covariance)[inside].sum()), rel=1e-6)


@pytest.mark.parametrize("count", [FEW_RUNS, FEW_RUNS + 4])
def test_many_gaps_equal_the_dense_solution(count: int) -> None:
    samples = np.random.default_rng(6).standard_normal(400)
    coefficients = some_filter(30, 6)
    runs = [(start, start + 3 + start % 4) for start in range(10, 10 + 20 * count, 20)]
    missing = np.zeros(400, dtype=bool)
    for start, stop in runs:
        missing[start:stop] = True
    expected, covariance = dense.conditional_mean(samples, missing, coefficients)
    traces = solve_missing(samples, runs, coefficients, errors_for=runs[3:5])
    np.testing.assert_allclose(samples, expected, atol=1e-8)
    index = np.flatnonzero(missing)
    for run in runs[3:5]:
        inside = (index >= run[0]) & (index < run[1])
        assert traces[run] == pytest.approx(float(np.diag(covariance)[inside].sum()), rel=1e-6)


def test_long_single_gap_equals_the_dense_solution() -> None:
    samples = np.random.default_rng(3).standard_normal(700)
    coefficients = some_filter(20, 3)
    missing = np.zeros(700, dtype=bool)
    missing[200:400] = True
    expected, covariance = dense.conditional_mean(samples, missing, coefficients)
    traces = solve_missing(samples, [(200, 400)], coefficients, errors_for=[(200, 400)])
    np.testing.assert_allclose(samples, expected, atol=1e-8)
    assert traces[(200, 400)] == pytest.approx(float(np.trace(covariance)), rel=1e-8)


def test_iteration_equals_the_dense_iteration() -> None:
    rng = np.random.default_rng(4)
    samples = np.convolve(rng.standard_normal(900), rng.standard_normal(30), "same")
    runs = [(300, 308), (440, 455), (470, 472)]
    size = ModelSize(order=40, context=1024)
    got = interpolate(samples, runs, runs, sizes=[size], sample_rate=16000)
    # None of the gaps is long enough to be filled twice by one model.
    middle, reach = (300 + 472) // 2, round(START_CONTEXT * 16000 / 44100) // 2
    half = -(-(472 - middle + reach) // PART_STEP) * PART_STEP
    near = np.zeros(900)
    near[: middle + half] = estimation_window(middle + half, middle, reach)
    models = [
        (round(START_ORDER * 16000 / 44100), near),
        (40, estimation_window(900, middle, 512)),
    ]
    expected = dense.janssen(samples, runs, models, REGULARISATION)
    np.testing.assert_allclose(got.samples, expected, atol=1e-5 * float(np.std(samples)))


@pytest.mark.parametrize("gap", [1, 11, 44, 220, 441])
def test_tones_come_back(gap: int) -> None:
    frames = np.arange(20000)
    samples = np.sin(0.031 * frames) + 0.5 * np.cos(0.2 * frames + 1) + 0.1 * np.sin(1.7 * frames)
    run = (9000, 9000 + gap)
    got = interpolate(samples, [run], [run], sizes=model_sizes(gap, 44100), sample_rate=44100)
    error = got.samples - samples
    assert np.sum(error**2) < 1e-4 * np.sum(samples[slice(*run)] ** 2)


def test_an_autoregressive_sound_is_as_far_off_as_expected() -> None:
    rng = np.random.default_rng(5)
    samples = lfilter([1.0], [1.0, -1.8, 0.95], rng.standard_normal(200_000))
    ratios = []
    for start in range(5000, 195_000, 2000):
        run = (start, start + 11)
        got = interpolate(samples, [run], [run], sizes=model_sizes(11, 44100), sample_rate=44100)
        error = (got.samples - samples)[slice(*run)]
        ratios.append(float(error @ error) / got.error_energy[0])
    assert 0.7 < np.mean(ratios) < 1.5


@pytest.mark.parametrize("where", ["start", "end", "near start", "near end"])
def test_ends_of_the_file(where: str) -> None:
    frames = np.arange(6000)
    samples = np.sin(0.05 * frames) + 0.3 * np.sin(0.31 * frames + 2)
    samples += 1e-4 * np.random.default_rng(0).standard_normal(6000)
    run: Run = {
        "start": (0, 11),
        "end": (5989, 6000),
        "near start": (20, 31),
        "near end": (5960, 5971),
    }[where]
    got = interpolate(samples, [run], [run], sizes=model_sizes(11, 44100), sample_rate=44100)
    error = (got.samples - samples)[slice(*run)]
    assert error @ error < 1e-3 * np.sum(samples[slice(*run)] ** 2)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_silence_stays_silent(rate: int) -> None:
    run = (500, 530)
    got = interpolate(np.zeros(3000), [run], [run], sizes=model_sizes(30, rate), sample_rate=rate)
    assert not got.samples.any()
    assert got.error_energy == (0.0,)


def test_a_constant_stays_constant() -> None:
    run = (2000, 2044)
    got = interpolate(
        np.full(5000, 0.25), [run], [run], sizes=model_sizes(44, 44100), sample_rate=44100
    )
    np.testing.assert_allclose(got.samples, 0.25, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 20, 100])
def test_tiny_files_give_finite_sound(frames: int) -> None:
    samples = np.random.default_rng(frames).standard_normal(frames)
    run = (frames // 2, frames // 2 + 1)
    got = interpolate(samples, [run], [run], sizes=model_sizes(1, 44100), sample_rate=44100)
    assert np.all(np.isfinite(got.samples))


def test_everything_missing_promises_nothing() -> None:
    got = interpolate(
        np.ones(300), [(0, 300)], [(0, 300)], sizes=model_sizes(300, 44100), sample_rate=44100
    )
    assert got.error_energy == (float("inf"),)
    assert not got.samples.any()


def test_a_gap_longer_than_the_joint_limit_is_filled() -> None:
    samples = np.sin(0.05 * np.arange(30_000))
    runs = [(10_000, 12_500), (12_520, 12_530)]
    got = interpolate(samples, runs, runs, sizes=model_sizes(2500, 44100), sample_rate=44100)
    assert np.all(np.isfinite(got.samples))
    assert np.sum((got.samples - samples) ** 2) < 0.1 * 1250


def test_a_gap_beyond_all_reach_takes_no_time() -> None:
    samples = np.random.default_rng(8).standard_normal(300_000)
    run = (50_000, 250_000)
    got = interpolate(samples, [run], [run], sizes=model_sizes(200_000, 44100), sample_rate=44100)
    assert np.all(np.isfinite(got.samples))
    assert got.error_energy[0] == pytest.approx(200_000, rel=0.5)


@limits(deadline=None, max_examples=10)
@given(gain=st.sampled_from([-1.0, 0.5, -0.125, 3.7]), shift=st.integers(0, 500))
def test_gain_polarity_and_time_carry_over(gain: float, shift: int) -> None:
    rng = np.random.default_rng(6)
    samples = np.convolve(rng.standard_normal(12_000), np.hanning(20), "same")
    runs = [(5000, 5011), (5100, 5120)]
    sizes = model_sizes(20, 44100)
    plain = interpolate(samples[: 5120 + 4500], runs, runs, sizes=sizes, sample_rate=44100)
    moved = interpolate(
        gain * np.concatenate([rng.standard_normal(shift), samples]),
        [(a + shift, b + shift) for a, b in runs],
        [(a + shift, b + shift) for a, b in runs],
        sizes=sizes,
        sample_rate=44100,
    )
    np.testing.assert_allclose(
        moved.samples[shift + 5000 : shift + 5120],
        gain * plain.samples[5000:5120],
        atol=1e-5 * abs(gain),
    )


def test_what_is_missing_has_no_influence() -> None:
    rng = np.random.default_rng(7)
    samples = np.convolve(rng.standard_normal(9000), np.hanning(20), "same")
    runs = [(4000, 4011), (4100, 4120), (6000, 6003)]
    sizes = model_sizes(20, 44100)
    plain = interpolate(samples, runs, runs[:1], sizes=sizes, sample_rate=44100)
    for start, stop in runs:
        samples[start:stop] = 1e3 * rng.standard_normal(stop - start)
    damaged = interpolate(samples, runs, runs[:1], sizes=sizes, sample_rate=44100)
    np.testing.assert_array_equal(plain.samples[4000:4011], damaged.samples[4000:4011])
