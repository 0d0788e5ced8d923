"""Two plain methods: smooth what is there, or draw a curve across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from declick.repair.solve import Run

FloatArray = NDArray[np.float64]

SMOOTHING_MS = 0.3
"""Length of the smoothing window."""

KNOTS = 4
"""Known samples that the spline rests on, on either side."""


def fill_by_smoothing(samples: FloatArray, run: Run, *, sample_rate: int) -> FloatArray:
    """Smooth the sound within a run (Savitzky and Golay, cubic): for weak, broad damage.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Existing sound; what the run holds is used.
    run : (start, stop)
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of float64, shape (stop - start,)
        Smoothed sound, cross-faded with the sound at the ends of the run.
    """
    start, stop = run
    half = max(3, round(0.5e-3 * SMOOTHING_MS * sample_rate))
    lo, hi = max(start - 2 * half, 0), min(stop + 2 * half, samples.size)
    window = min(2 * half + 1, (hi - lo) - 1 + (hi - lo) % 2)
    part = samples[start:stop].copy()
    if window < 5:
        return part
    from scipy.signal import savgol_filter  # half a second to import, and seldom needed

    smooth = savgol_filter(samples[lo:hi], window, 3, mode="interp")[start - lo : stop - lo]
    fade = max(1, min(half, (stop - start) // 4))
    weight = np.ones(stop - start)
    if start > 0:
        ramp = (np.arange(fade) + 1) / (fade + 1)
        weight[:fade] = np.sin(0.5 * np.pi * ramp) ** 2
    if stop < samples.size:
        ramp = (np.arange(fade) + 1) / (fade + 1)
        weight[stop - start - fade :] *= np.sin(0.5 * np.pi * ramp[::-1]) ** 2
    return np.asarray(part + weight * (smooth - part), dtype=np.float64)


def fill_by_spline(samples: FloatArray, runs: Sequence[Run], run: Run) -> FloatArray:
    """Draw a cubic spline across a run: for 1 to 4 samples.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Existing sound.
    runs : sequence of (start, stop)
        All missing runs; none of them serves as support.
    run : (start, stop)
        The one to fill.

    Returns
    -------
    ndarray of float64, shape (stop - start,)
        Held at the nearest known sample where one side has none; zeros where both have none.
    """
    start, stop = run
    reach = KNOTS + sum(b - a for a, b in runs if b > start - 64 and a < stop + 64)
    lo, hi = max(start - reach, 0), min(stop + reach, samples.size)
    known = np.ones(hi - lo, dtype=bool)
    for a, b in runs:
        if b > lo and a < hi:
            known[max(a, lo) - lo : min(b, hi) - lo] = False
    support = np.flatnonzero(known) + lo
    before = support[support < start][-KNOTS:]
    behind = support[support >= stop][:KNOTS]
    if before.size == 0 and behind.size == 0:
        return np.zeros(stop - start)
    if before.size == 0:
        return np.full(stop - start, samples[behind[0]])
    if behind.size == 0:
        return np.full(stop - start, samples[before[-1]])
    knots = np.concatenate([before, behind])
    if knots.size < 4:
        line = np.interp(np.arange(start, stop), knots, samples[knots])
        return np.asarray(line, dtype=np.float64)
    from scipy.interpolate import CubicSpline  # slow to import, and seldom needed

    curve = CubicSpline(knots, samples[knots])(np.arange(start, stop))
    low, high = float(np.min(samples[knots])), float(np.max(samples[knots]))
    curve = np.clip(curve, 2 * low - high, 2 * high - low)  # far gaps would let it swing wildly
    return np.asarray(curve, dtype=np.float64)
