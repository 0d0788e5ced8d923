"""Fill a gap with the most similar sound before or behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from declick.repair.ar import Interpolation, ModelSize, interpolate
from declick.repair.solve import Run
from declick.repair.stereo import merge_runs

FloatArray = NDArray[np.float64]

SURROUNDINGS_S = 0.012
"""Least sound compared on either side of the gap."""

SEARCH_S = 1.0
"""How far away the copy may lie."""

JOIN_ORDER = 64
"""Order of the model that leads from the sound over into the copy and back, at 44.1 kHz."""

KERNEL = 16
"""Half length of the windowed sinc that shifts a copy by a fraction of a sample."""


def fill_by_copy(
    samples: FloatArray,
    runs: Sequence[Run],
    run: Run,
    *,
    sample_rate: int,
    most_missed: float = math.inf,
) -> Interpolation | None:
    """Fill one run by the most similar sound within `SEARCH_S`.

    Its surroundings are searched for by normalised correlation; the copy is aligned to a fraction
    of a sample and matched in level. The difference between sound and copy is then interpolated
    across the gap, which fades the one into the other without a step.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Existing sound only.
    runs : sequence of (start, stop)
        All missing runs, ascending and disjoint.
    run : (start, stop)
        The one to fill.
    sample_rate : int
        In Hz.
    most_missed : float
        A copy is given up whose surroundings differ from the gap's by more than this share of
        their energy.

    Returns
    -------
    Interpolation or None
        None where there is nothing to copy.
    """
    start, stop = run
    side = max(stop - start, round(SURROUNDINGS_S * sample_rate))
    lo, hi = max(start - side, 0), min(stop + side, samples.size)
    known = np.ones(samples.size)
    for a, b in runs:
        known[a:b] = 0.0
    found = _most_similar(samples, known, run, (lo, hi), round(SEARCH_S * sample_rate))
    if found is None or found.missed > most_missed:
        return None
    shift, gain, _ = found
    copy, held = _shifted(samples, known, lo, hi, shift)
    missing = merge_runs([*runs, *((lo + a, lo + b) for a, b in _zero_runs(held))], lo, hi)
    if (start - lo, stop - lo) not in missing:
        return None
    order = max(16, round(JOIN_ORDER * min(sample_rate / 44100, 4)))
    result = interpolate(
        samples[lo:hi] - gain * copy,
        missing,
        [(start - lo, stop - lo)],
        sizes=(ModelSize(order=order, context=2 * side),),
        sample_rate=sample_rate,
    )
    filled = samples.copy()
    filled[start:stop] = (result.samples + gain * copy)[start - lo : stop - lo]
    return replace(result, samples=filled)


class _Match(NamedTuple):
    """Shift in samples (with a fraction), gain, and the share of the energy that is missed."""

    shift: float
    gain: float
    missed: float


def _most_similar(
    samples: FloatArray, known: FloatArray, run: Run, frame: tuple[int, int], reach: int
) -> _Match | None:
    """Return the best copy."""
    (start, stop), (lo, hi) = run, frame
    first, last = max(lo - reach, 0), min(hi + reach, samples.size)
    sound = samples[first:last] * known[first:last]
    mask = known[lo:hi]
    template = samples[lo:hi] * mask
    peak = float(np.max(np.abs(template), initial=0.0))
    if peak == 0.0:
        return None
    template, sound = template / peak, sound / peak  # so that powers neither vanish nor overflow
    count = sound.size - template.size + 1
    if count < 2:
        return None
    size = fft.next_fast_len(sound.size, real=True)
    spectrum = fft.rfft(sound, size) * fft.rfft(template, size).conj()
    product = fft.irfft(spectrum, size)[:count]
    lost = _zero_runs(known[first:last])
    held = np.array([(0, template.size), *_zero_runs(mask)])
    power, overlap = (_windowed(row, held, count) for row in (sound**2, known[first:last]))
    clean = _windowed(known[first:last], np.array([(start - lo, stop - lo)]), count)
    own_power = _known_power(template**2, lost, count)
    usable = (clean > stop - start - 0.5) & (product > 0) & (own_power > 1e-12)
    usable &= (overlap > 0.7 * np.sum(mask)) & (power > 1e-6 * own_power)
    if not np.any(usable):
        return None
    score = np.where(usable, product, 0.0) / np.sqrt(np.where(usable, power * own_power, 1.0))
    best = int(np.argmax(score))
    gain = float(np.clip(np.sqrt(own_power[best] / power[best]), 0.25, 4.0))
    fraction = 0.0
    if 0 < best < count - 1 and usable[best - 1] and usable[best + 1]:
        before, here, behind = score[best - 1 : best + 2]
        bend = before - 2 * here + behind
        if bend < 0:
            fraction = float(np.clip(0.5 * (before - behind) / bend, -0.5, 0.5))
    return _Match(best + first - lo + fraction, gain, max(0.0, 1.0 - float(score[best]) ** 2))


def _windowed(row: FloatArray, spans: NDArray[np.intp], count: int) -> FloatArray:
    """Return the sums of a row over the first span, moved by 0 to `count - 1`, less the others."""
    total = np.concatenate(([0.0], np.cumsum(row)))
    (start, stop), *holes = spans.tolist()
    result = total[stop : stop + count] - total[start : start + count]
    for low, high in holes:
        result -= total[high : high + count] - total[low : low + count]
    return np.asarray(result)


def _known_power(power: FloatArray, lost: Sequence[Run], count: int) -> FloatArray:
    """Return the sum of the template's powers that meet known sound, for each shift."""
    total = np.concatenate(([0.0], np.cumsum(power)))
    result = np.full(count, total[-1])
    for start, stop in lost:
        low, high = max(start - power.size, 0), min(stop, count)
        shift = np.arange(low, high)
        begin, end = (np.clip(edge - shift, 0, power.size) for edge in (start, stop))
        result[low:high] -= total[end] - total[begin]
    return result


def _shifted(
    samples: FloatArray, known: FloatArray, lo: int, hi: int, shift: float
) -> tuple[FloatArray, FloatArray]:
    """Return ``samples(t + shift)`` for t in ``[lo, hi)``, and where it rests on known sound."""
    whole = round(shift)
    fraction = shift - whole
    taps = np.arange(-KERNEL, KERNEL + 1)
    kernel = np.sinc(taps - fraction) * np.cos(0.5 * np.pi * (taps - fraction) / (KERNEL + 1)) ** 2
    if fraction == 0.0:
        kernel = (taps == 0).astype(np.float64)
    kernel /= np.sum(kernel)
    index = np.arange(lo + whole - KERNEL, hi + whole + KERNEL)
    inside = (index >= 0) & (index < samples.size)
    index = np.clip(index, 0, samples.size - 1)
    copy = np.correlate(samples[index] * known[index] * inside, kernel, "valid")
    held = (known[index] * inside)[KERNEL : KERNEL + hi - lo]
    return copy, held


def _zero_runs(held: FloatArray) -> list[Run]:
    edges = np.flatnonzero(np.diff(np.concatenate([[1.0], held, [1.0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
