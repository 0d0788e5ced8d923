"""Fill a gap from another channel that holds the same music.

A short matching filter predicts this channel from the other; what it cannot predict is
interpolated autoregressively across the gap, and the prediction is added back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import solve_toeplitz

from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.ar import (
    Interpolation,
    ModelSize,
    estimation_window,
    farthest_look,
    interpolate,
)
from declick.repair.solve import Run, solve_missing
from declick.repair.weighing import Evidence, interpolate_weighed, weighed_size

FloatArray = NDArray[np.float64]

TAPS = 16
"""Length of the matching filter at 44.1 kHz, half of it before the present."""

TEST_SAMPLES = 256
"""How much whitened sound on either side is compared to see whether the channels agree."""

LEAST_COHERENCE = 0.02
"""For short gaps, channels whose whitened sound has less squared correlation are not matched.

Chance alone gives about half of this. For long gaps a match is always worth the trial.
"""


def coherence(
    target: FloatArray, other: FloatArray, span: tuple[int, int], coefficients: FloatArray
) -> float:
    """Return the largest squared correlation of two channels around a span, whitened.

    Parameters
    ----------
    target, other : ndarray of float64, shape (frames,)
        Both filled where they were missing.
    span : (start, stop)
        Frames of the damage; `TEST_SAMPLES` on either side are compared too.
    coefficients : ndarray of float64
        Prediction error filter that whitens both.

    Returns
    -------
    float
        0..1, over delays of up to 8 frames.
    """
    order = coefficients.size - 1
    lo = max(span[0] - TEST_SAMPLES - order, 0)
    hi = min(span[1] + TEST_SAMPLES, target.size)
    if hi - lo < order + 64:
        return 0.0
    first = _at_unit_peak(np.convolve(target[lo:hi], coefficients, "valid"))
    second = _at_unit_peak(np.convolve(other[lo:hi], coefficients, "valid"))
    powers = np.dot(first[8:-8], first[8:-8]) * np.dot(second, second)
    if not powers > 0.0:
        return 0.0
    return float(min(np.max(np.correlate(second, first[8:-8], "valid") ** 2) / powers, 1.0))


def _at_unit_peak(samples: FloatArray) -> FloatArray:
    """Return samples times the power of 2, which rounds nothing, that leaves their peak below 1.

    Floats may be so loud that the product of two powers is too large for a number.
    """
    peak = max(samples.max(), -samples.min())
    return np.ldexp(samples, -int(np.frexp(peak)[1]))


def match_channel(
    target: FloatArray,
    other: FloatArray,
    span: tuple[int, int],
    coefficients: FloatArray,
    *,
    context: int,
    taps: int,
) -> FloatArray:
    """Predict one channel from another by a short least-squares filter.

    Parameters
    ----------
    target, other : ndarray of float64, shape (frames,)
        Both filled where they were missing.
    span : (start, stop)
        Frames of the damage, in the middle of the estimation window.
    coefficients : ndarray of float64
        Prediction error filter; the match is made on whitened sound, so that every frequency
        counts as much as it adds to the interpolation error.
    context : int
        Length of the estimation window beyond the span, in frames.
    taps : int
        Length of the filter.

    Returns
    -------
    ndarray of float64, shape (frames,)
        The prediction; zeros outside the estimation window.
    """
    lo = max(span[0] - context // 2, 0)
    hi = min(span[1] + context // 2, target.size)
    ahead = taps // 2
    whitener = coefficients[: min(coefficients.size, (hi - lo) // 4 + 1)]
    size = fft.next_fast_len(hi - lo + whitener.size, real=True)
    spectra = fft.rfft(np.stack([target[lo:hi], other[lo:hi]]), size) * fft.rfft(whitener, size)
    window = estimation_window(hi - lo, (span[0] + span[1]) / 2 - lo, context / 2)
    first, second = fft.irfft(spectra, size)[:, : hi - lo] * window
    auto = autocorrelation(second, taps - 1)
    guide = np.zeros(target.size)
    if not auto[0] > 0.0:
        return guide
    padded = np.concatenate([np.zeros(taps - 1 - ahead), second, np.zeros(ahead)])
    cross = np.correlate(padded, first, "valid")[::-1]
    auto[0] *= 1 + 1e-6
    matching = solve_toeplitz(auto, cross, check_finite=False)
    guide[lo:hi] = np.convolve(other[lo:hi], matching)[ahead : ahead + hi - lo]
    return guide


def fill_roughly(samples: FloatArray, runs: Sequence[Run], order: int = 64) -> FloatArray:
    """Return a copy with the missing runs filled by a small model: good enough to match by."""
    filled = samples.copy()
    for start, stop in runs:
        filled[start:stop] = 0.0
    order = min(order, filled.size // 4)
    if runs and order:
        coefficients = prediction_filter(autocorrelation(filled, order))[0]
        solve_missing(filled, runs, coefficients, errors_for=())
    return filled


def fill_from_channel(
    target: FloatArray,
    runs: Sequence[Run],
    wanted: Sequence[Run],
    other: FloatArray,
    other_runs: Sequence[Run],
    coefficients: FloatArray,
    *,
    sizes: Sequence[ModelSize],
    sample_rate: int,
    least_coherence: float = 0.0,
    evidence: Evidence | None = None,
) -> tuple[list[Run], Interpolation] | None:
    """Fill the wanted runs from `other` where it is sound and coherent.

    Parameters
    ----------
    target : ndarray of float64, shape (frames,)
        The damaged channel, filled by another method already.
    runs, wanted : sequences of (start, stop)
        Its missing runs, and those to fill.
    other : ndarray of float64, shape (frames,)
        The other channel.
    other_runs : sequence of (start, stop)
        What is missing of it.
    coefficients : ndarray of float64
        Prediction error filter of `target`.
    sizes : sequence of ModelSize
    sample_rate : int
        In Hz.
    least_coherence : float
        0..1; below it, nothing is tried.
    evidence : Evidence, optional
        What is known of the target; `sizes` are not asked for then.

    Returns
    -------
    tuple or None
        The runs that could be filled and their interpolation; None where there are none.
    """
    taps = max(8, 2 * round(TAPS / 2 * sample_rate / 44100))
    damaged = [(max(a - taps, 0), min(b + taps, target.size)) for a, b in other_runs]
    usable = [run for run in wanted if not any(a <= run[1] and run[0] <= b for a, b in damaged)]
    if not usable:
        return None
    span = (usable[0][0], usable[-1][1])
    if least_coherence:
        reach = TEST_SAMPLES + coefficients.size
        near, lo = _filled_around(other, other_runs, span, reach)
        part, here = target[lo : lo + near.size], (span[0] - lo, span[1] - lo)
        if coherence(part, near, here, coefficients) < least_coherence:
            return None
    if evidence is not None:
        sizes = (weighed_size(max(b - a for a, b in usable), sample_rate),)
    context = max(size.context for size in sizes)
    filled = np.zeros(target.size)
    near, lo = _filled_around(other, other_runs, span, context)
    filled[lo : lo + near.size] = near
    reach = farthest_look(sizes)
    lo, hi = max(span[0] - reach, 0), min(span[1] + reach, target.size)
    missing = merge_runs(runs, lo, hi)
    estimate = target.copy()
    for final in (False, True):
        # What the gap was filled with spoils the match a little, so match again when it is better.
        guide = match_channel(estimate, filled, span, coefficients, context=context, taps=taps)
        difference = target[lo:hi] - guide[lo:hi]
        if not final:
            estimate[lo:hi] = fill_roughly(difference, missing) + guide[lo:hi]
    gaps = [(a - lo, b - lo) for a, b in usable]
    if evidence is None:
        result = interpolate(difference, missing, gaps, sizes=sizes, sample_rate=sample_rate)
    else:
        left = evidence.cut(lo, hi).less(guide[lo:hi])
        result = interpolate_weighed(difference, missing, gaps, left, sample_rate=sample_rate)
    samples = target.copy()
    samples[lo:hi] = result.samples + guide[lo:hi]
    return usable, replace(result, samples=samples)


def _filled_around(
    samples: FloatArray, runs: Sequence[Run], span: Run, reach: int
) -> tuple[FloatArray, int]:
    """Return a roughly filled cut around a span, and where it begins."""
    lo, hi = max(span[0] - reach, 0), min(span[1] + reach, samples.size)
    return fill_roughly(samples[lo:hi], merge_runs(runs, lo, hi)), lo


def merge_runs(runs: Sequence[Run], lo: int, hi: int) -> list[Run]:
    """Return the union of runs within ``[lo, hi)``, ascending and relative to `lo`."""
    merged: list[Run] = []
    for start, stop in sorted(runs):
        start, stop = max(start, lo) - lo, min(stop, hi) - lo
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
