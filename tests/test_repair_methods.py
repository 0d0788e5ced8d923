"""Copy, the other channel, smoothing and splines, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.ar import ModelSize, interpolate, model_sizes
from declick.repair.copy import _known_power, _windowed, fill_by_copy
from declick.repair.smooth import fill_by_smoothing, fill_by_spline
from declick.repair.spectrum import fill_by_spectrum
from declick.repair.stereo import coherence, fill_from_channel, match_channel, merge_runs

FloatArray = NDArray[np.float64]
RATE = 44100


def noise(frames: int, seed: int) -> FloatArray:
    white = np.random.default_rng(seed).standard_normal(frames)
    return np.asarray(lfilter([1.0], [1.0, -0.9], white), dtype=np.float64)


def delayed(samples: FloatArray, delay: float) -> FloatArray:
    spectrum = np.fft.rfft(samples)
    turn = np.exp(-2j * np.pi * np.arange(spectrum.size) * delay / samples.size)
    return np.asarray(np.fft.irfft(spectrum * turn, samples.size))


@pytest.mark.parametrize(("delay", "gain"), [(0.0, 1.0), (0.37, 0.5), (-0.5, 1.5)])
def test_a_copy_is_aligned_to_a_fraction_and_levelled(delay: float, gain: float) -> None:
    smooth = np.convolve(noise(60_000, 0), np.hanning(12), "same")  # little near the top
    sound = smooth.copy()
    sound[30_000:36_000] = gain * delayed(smooth, delay)[10_000:16_000]
    truth = sound[33_000:33_400].copy()
    sound[33_000:33_400] = 0.0
    got = fill_by_copy(sound, [(33_000, 33_400)], (33_000, 33_400), sample_rate=RATE)
    assert got is not None
    error = got.samples[33_000:33_400] - truth
    assert error @ error < 1e-3 * (truth @ truth)
    np.testing.assert_array_equal(got.samples[:33_000], sound[:33_000])


def test_a_copy_is_never_taken_from_damage() -> None:
    loop = noise(12_000, 1)
    sound = np.tile(loop, 3)
    truth = sound[13_000:13_300].copy()
    runs = [(1000, 1300), (13_000, 13_300)]
    for run in runs:
        sound[slice(*run)] = 1e3
    got = fill_by_copy(sound, runs, runs[1], sample_rate=RATE)
    assert got is not None  # from the third turn: the first is damaged there
    np.testing.assert_allclose(got.samples[13_000:13_300], truth, atol=0.1)


def test_sums_over_every_shift_equal_the_correlations() -> None:
    rng = np.random.default_rng(5)
    row, template = rng.random(300), rng.random(40)
    known, mask = np.ones(300), np.ones(40)
    lost = [(0, 3), (90, 101), (280, 300)]
    for start, stop in lost:
        known[start:stop] = 0.0
    mask[5:9] = mask[30:] = 0.0
    spans = np.array([(0, 40), (5, 9), (30, 40)])
    np.testing.assert_allclose(_windowed(row, spans, 261), np.correlate(row, mask), atol=1e-10)
    power = _known_power(template, lost, 261)
    np.testing.assert_allclose(power, np.correlate(known, template), atol=1e-10)


@pytest.mark.parametrize("frames", [1, 30, 600])
def test_nothing_to_copy(frames: int) -> None:
    assert fill_by_copy(np.zeros(frames), [], (0, frames), sample_rate=RATE) is None
    sound = noise(frames, 2)
    assert fill_by_copy(sound, [(0, frames)], (0, frames), sample_rate=RATE) is None


def test_the_matching_filter_finds_delay_and_gain() -> None:
    other = noise(9000, 3)
    target = 0.6 * np.roll(other, 3) - 0.2 * np.roll(other, -2)
    whitener = prediction_filter(autocorrelation(target, 32))[0]
    guide = match_channel(target, other, (4000, 4010), whitener, context=6000, taps=16)
    np.testing.assert_allclose(guide[1500:6500], target[1500:6500], atol=0.02)
    assert coherence(target, other, (4000, 4010), whitener) > 0.5
    assert coherence(target, noise(9000, 4), (4000, 4010), whitener) < 0.1
    loud = 2.0**330  # as far as a recording of floats may go; a warning here is an error
    same = coherence(target * loud, other * loud, (4000, 4010), whitener)
    assert same == coherence(target, other, (4000, 4010), whitener)
    assert coherence(target * 0.0, other, (4000, 4010), whitener) == 0.0


def test_damage_on_the_other_channel_is_not_used() -> None:
    other = noise(9000, 5)
    runs = [(4000, 4020), (5000, 5020)]
    base = interpolate(other, runs, runs, sizes=model_sizes(20, RATE), sample_rate=RATE)
    found = fill_from_channel(
        base.samples,
        runs,
        runs,
        np.where(np.arange(9000) // 10 == 401, 1e3, other),
        [(4010, 4020)],
        base.coefficients,
        sizes=model_sizes(20, RATE),
        sample_rate=RATE,
    )
    assert found is not None
    usable, result = found
    assert usable == [(5000, 5020)]
    np.testing.assert_allclose(result.samples[5000:5020], other[5000:5020], atol=0.05)


def test_runs_are_merged_and_cut() -> None:
    assert merge_runs([(5, 9), (0, 3), (8, 12), (12, 13), (30, 40)], 2, 35) == [
        (0, 1),
        (3, 11),
        (28, 33),
    ]


def test_the_drawn_sound_meets_both_sides() -> None:
    tone = np.sin(0.05 * np.arange(20_000))
    sound = tone + 0.05 * noise(20_000, 6)
    run = (9000, 10_000)
    base = interpolate(
        sound, [run], [run], sizes=[ModelSize(order=512, context=8192)], sample_rate=RATE
    )
    drawn = fill_by_spectrum(sound, [run], run, base, base.error_energy[0])
    again = fill_by_spectrum(sound, [run], run, base, base.error_energy[0])
    np.testing.assert_array_equal(drawn, again)
    steps = np.abs(np.diff(np.concatenate([sound[8990:9000], drawn, sound[10_000:10_010]])))
    assert max(steps[9], steps[-10]) < 4 * np.std(np.diff(sound))
    added = drawn - base.samples[9000:10_000]
    assert added @ added == pytest.approx(base.error_energy[0])


def test_smoothing_takes_hiss_and_leaves_the_curve() -> None:
    curve = np.sin(0.02 * np.arange(2000))
    hiss = 0.05 * np.random.default_rng(7).standard_normal(2000)
    smooth = fill_by_smoothing(curve + hiss, (800, 1000), sample_rate=RATE)
    before, after = hiss[800:1000], smooth - curve[800:1000]
    assert after @ after < 0.5 * (before @ before)
    untouched = fill_by_smoothing(curve, (0, 2000), sample_rate=RATE)
    np.testing.assert_allclose(untouched, curve, atol=1e-3)


@pytest.mark.parametrize("run", [(0, 3), (1, 2), (50, 54), (97, 100)])
def test_a_spline_follows_a_curve(run: tuple[int, int]) -> None:
    curve = np.sin(0.1 * np.arange(100))
    hurt = curve.copy()
    hurt[slice(*run)] = 9.0
    filled = fill_by_spline(hurt, [run], run)
    inner = run[0] > 0 and run[1] < 100
    np.testing.assert_allclose(filled, curve[slice(*run)], atol=1e-2 if inner else 0.3)


def test_a_spline_over_a_long_gap_stays_in_bounds() -> None:
    sound = noise(5000, 8)
    filled = fill_by_spline(sound, [(1000, 4000)], (1000, 4000))
    assert np.max(np.abs(filled)) < 3 * np.max(np.abs(sound))
