"""The delay to hundredths of a sample: least squares on the waveforms.

Around a map that is nearly right, B on A's time line differs from A by its slope times the error.
So the error at anchors `HOP` apart, linear between them, follows from a linear least-squares
problem; samples that do not fit (clicks) weigh little, and where the sound says little, the delay
bends as little as possible (Lucas & Kanade 1981, with a smoothing spline of Whittaker's kind).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d
from scipy.signal import firwin, oaconvolve

from declick.align.bending import add_bending
from declick.align.listen import RATE, Float32Array
from declick.align.wow import turning
from declick.clicks import FloatArray

# Samples of the working rate between anchors: 20 ms.
HOP: Final = 441
# Anchors done at a time.
_PIECE: Final = 512
# Sound around a piece, for the filters.
_MARGIN: Final = 256
# Taps and phases of the short sinc that is read with.
_TAPS: Final = 16
_PHASES: Final = 2048
# Taps on each side of the filter that makes B sound like A.
_REACH: Final = 48
_LOW_HZ: Final = 180.0
# Of the sample rate; and the taps on each side of the filter for the band.
_HIGHEST: Final = 0.425
_TAPS_EACH: Final = 160
# The derivative, to the eighth order: good to 0.7 of half the sample rate.
_SLOPE: Final = np.array([-1 / 280, 4 / 105, -1 / 5, 4 / 5, 0, -4 / 5, 1 / 5, -4 / 105, 1 / 280])
# Upper end of the band and, for each step, whether a matching filter is made first.
_ROUNDS: Final = ((2500.0, (False, False, True, False)), (8500.0, (True, False) * 3))
# The filter is found from every so many samples.
_SPARE: Final = 5
# How far the delay usually bends, third difference over anchors, in samples: wow and flutter.
_BEND: Final = 0.08
# How far, in samples, the delay may stray from the swings of disc and motor: so many times the rms
# that it is seen to, within these limits.
_STRAY: Final = 3.0
_SWING: Final = (0.03, 1.0)
# A sample that is off by so many local levels weighs a quarter.
_TOLERANCE: Final = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A stretch of the map, in samples of the working rate.

    Parameters
    ----------
    place_a, place_b : ndarray, shape (n,)
        Anchors `HOP` apart and where they are in B.
    signal, residual : ndarray, shape (n,)
        Energy of A around each anchor, and of what is left of it after B; clicks left out.
    information : ndarray, shape (n,)
        1 over the variance of the delay that the sound around each anchor alone gives.
    """

    place_a: FloatArray = field(repr=False)
    place_b: FloatArray = field(repr=False)
    signal: FloatArray = field(repr=False)
    residual: FloatArray = field(repr=False)
    information: FloatArray = field(repr=False)


def refine(a: Float32Array, b: Float32Array, place_a: FloatArray, place_b: FloatArray) -> Curve:
    """Refine a map that is right to about 2 samples.

    Parameters
    ----------
    a, b : ndarray of float32
        Working channels, of the same polarity.
    place_a, place_b : ndarray, shape (n,)
        Anchors, `HOP` apart in A.
    """
    taps = np.zeros(2 * _REACH + 1)
    taps[_REACH] = 1.0
    curve = Curve(
        place_a=place_a,
        place_b=place_b,
        signal=np.zeros(len(place_a)),
        residual=np.zeros(len(place_a)),
        information=np.zeros(len(place_a)),
    )
    # The low end first, where the delay may still be off by a sample or two.
    ratio = float((place_b[-1] - place_b[0]) / (place_a[-1] - place_a[0]))
    for highest_hz, rounds in _ROUNDS:
        top_hz = min(highest_hz, _HIGHEST * RATE * ratio)
        low_a, low_b = _filtered(a, top_hz, 1.0), _filtered(b, top_hz, 1.0 / ratio)
        for fit in rounds:
            if fit:
                taps = _matching(low_a, low_b, curve, taps)
            curve = _improved(low_a, low_b, curve, taps)
        # Gone before the next ones come: each is as large as half an hour of sound.
        del low_a, low_b
    return curve


def _filtered(sound: Float32Array, top_hz: float, speed: float) -> Float32Array:
    """Keep a band of A; `speed` times as high in what runs so much faster."""
    count = 2 * round(_TAPS_EACH / speed) + 1
    taps = firwin(count, (_LOW_HZ * speed, top_hz * speed), fs=RATE, pass_zero=False)
    taps, half = taps.astype(np.float32), count // 2
    result = np.empty_like(sound)
    # In pieces: half an hour at once would take a gigabyte.
    for start in range(0, len(sound), 1 << 19):
        stop = min(start + (1 << 19), len(sound))
        part = _cut(sound, start - half, stop + half).astype(np.float32)
        result[start:stop] = oaconvolve(part, taps, "valid")
    return result


# --- one step -----------------------------------------------------------------------------------


def _improved(a: Float32Array, b: Float32Array, curve: Curve, taps: FloatArray) -> Curve:
    """Return the curve after one step of least squares."""
    count = len(curve.place_a)
    diagonal, beside, right = np.zeros(count), np.zeros(count), np.zeros(count)
    signal, residual = np.zeros(count), np.zeros(count)
    for first, last, wanted, theirs in _pieces(a, b, curve):
        heard = _compared(wanted, theirs, taps)
        power = heard.trust * heard.slope**2
        diagonal[first : last + 1] += _at_anchors(power, 2)
        beside[first:last] += _between_anchors(power)
        right[first : last + 1] += _at_anchors(heard.trust * heard.slope * heard.error)
        heavy = heard.weight * np.stack([heard.wanted**2, heard.error**2])
        heavy = heavy.reshape(2, -1, HOP)
        signal[first:last] += heavy[0].sum(axis=1)
        residual[first:last] += heavy[1].sum(axis=1)
    speed = np.gradient(curve.place_b) / HOP
    delay = curve.place_b - np.polyval(np.polyfit(curve.place_a, curve.place_b, 1), curve.place_a)
    # The slope is that of B on A's time line: errors are found in samples of A.
    delay = delay / speed
    steady = turning(HOP / RATE, delay, curve.information)
    # What noise alone pretends to know is not in common.
    common = np.clip(1.0 - residual / np.maximum(signal, 1e-30), 0.0, 1.0) ** 2
    common = np.minimum(common, np.append(common[0], common[:-1]))
    both = np.minimum(common, np.append(common[1:], common[-1]))
    diagonal, right, beside = diagonal * common, right * common, beside * both
    stray = delay - steady
    step = _smoothed(diagonal, beside, right, stray, _far(stray, diagonal) if steady.any() else 1e4)
    return Curve(
        place_a=curve.place_a,
        place_b=curve.place_b + np.clip(step, -3.0, 3.0) * speed,
        signal=signal,
        residual=residual,
        information=diagonal,
    )


@dataclass(frozen=True, eq=False)
class _Compared:
    """A and B between anchors: what B leaves, and how far each sample tells of the delay."""

    wanted: FloatArray
    gain: FloatArray
    error: FloatArray
    slope: FloatArray
    weight: FloatArray
    trust: FloatArray


def _compared(wanted: FloatArray, theirs: FloatArray, taps: FloatArray) -> _Compared:
    played = np.convolve(theirs, taps, "same")
    gain = _local(wanted * played) / (_local(played * played) + 1e-16)
    gain = np.clip(gain, 0.0, 20.0)
    played = played * gain
    error = wanted - played
    level = uniform_filter1d(np.sqrt(np.abs(error)), 2205) ** 2 + 1e-9
    weight = 1.0 / (1.0 + (error / (_TOLERANCE * level)) ** 2) ** 2
    slope = np.convolve(played, _SLOPE, "same")
    # 1.25 turns the mean root level of Gaussian noise into its standard deviation.
    trust = weight / (1.5 * level) ** 2
    inner = slice(_MARGIN, len(wanted) - _MARGIN)
    return _Compared(*(part[inner] for part in (wanted, gain, error, slope, weight, trust)))


def _at_anchors(values: FloatArray, power: int = 1) -> FloatArray:
    """Return the sums of samples at the anchors that they lie between, each its share."""
    rising = np.arange(HOP) / HOP
    hops = values.reshape(-1, HOP)
    result: FloatArray = np.zeros(len(hops) + 1)
    result[:-1] += hops @ (1.0 - rising) ** power
    result[1:] += hops @ rising**power
    return result


def _between_anchors(values: FloatArray) -> FloatArray:
    """Return the sums of samples that two anchors share."""
    rising = np.arange(HOP) / HOP
    shared: FloatArray = values.reshape(-1, HOP) @ (rising * (1.0 - rising))
    return shared


def _far(stray: FloatArray, information: FloatArray) -> float:
    """Return how far the delay strays from the swing, by the places where it is well known."""
    known = information > np.median(information)
    if not known.any():
        return _SWING[1]
    return float(np.clip(_STRAY * np.sqrt(np.mean(stray[known] ** 2)), *_SWING))


def _smoothed(
    diagonal: FloatArray, beside: FloatArray, right: FloatArray, delay: FloatArray, far: float
) -> FloatArray:
    """Return the step that fits the sound and leaves the delay bending little, and near 0."""
    bands, stencil = _equations(diagonal, beside, far)
    bent = np.convolve(delay, stencil[::-1], "valid")
    pull = np.convolve(bent, stencil)
    step: FloatArray = solveh_banded(bands, right - pull - delay * far**-2)
    return step


def _equations(
    diagonal: FloatArray, beside: FloatArray, far: float
) -> tuple[FloatArray, FloatArray]:
    """Return the equations for the step, and the third difference in them."""
    bands = np.zeros((4, len(diagonal)))
    bands[3] = diagonal + far**-2
    bands[2, 1:] = beside[: len(diagonal) - 1]
    return bands, add_bending(bands, _BEND)


def _pieces(
    a: Float32Array, b: Float32Array, curve: Curve, every: int = 1
) -> Iterator[tuple[int, int, FloatArray, FloatArray]]:
    """Yield anchors ``[first, last]`` and, with a margin, A and B on A's time line between them."""
    spline = CubicSpline(curve.place_a, curve.place_b, bc_type="natural")
    start = int(curve.place_a[0])
    for first in range(0, len(curve.place_a) - 1, every * _PIECE):
        last = min(first + _PIECE, len(curve.place_a) - 1)
        index = np.arange(first * HOP - _MARGIN, last * HOP + _MARGIN)
        mine = _cut(a, start + int(index[0]), start + int(index[-1]) + 1)
        yield first, last, mine, read_at(b, spline((start + index).astype(np.float64)))


def _cut(sound: Float32Array, start: int, stop: int) -> FloatArray:
    """Return ``[start, stop)`` with silence outside."""
    cut = np.zeros(stop - start)
    low, high = max(0, start), min(len(sound), stop)
    if low < high:
        cut[low - start : high - start] = sound[low:high]
    return cut


@lru_cache(maxsize=1)
def _phases() -> Float32Array:
    """Return the taps of the sinc for each fraction of a sample, shape (phases, taps)."""
    fraction = np.arange(_PHASES) / _PHASES
    x = np.arange(_TAPS)[None, :] - (_TAPS // 2 - 1) - fraction[:, None]
    half = _TAPS / 2
    window = np.i0(7.0 * np.sqrt(np.maximum(0.0, 1.0 - (x / half) ** 2))) / np.i0(7.0)
    taps = np.sinc(x) * window
    taps /= taps.sum(axis=1, keepdims=True)
    result: Float32Array = taps.astype(np.float32)
    return result


def read_at(sound: Float32Array, place: FloatArray) -> FloatArray:
    """Read between samples, good to 0.8 of half the sample rate."""
    nearest = np.round(place * _PHASES).astype(np.int64)
    base, phase = nearest // _PHASES - (_TAPS // 2 - 1), nearest % _PHASES
    low, high = int(base.min()), int(base.max()) + _TAPS
    near = _cut(sound, low, high).astype(np.float32) if high - low < 1 << 26 else sound
    views = np.lib.stride_tricks.sliding_window_view(near, _TAPS)
    read: FloatArray = np.einsum("ij,ij->i", views[base - low], _phases()[phase])
    return read.astype(np.float64)


def _local(values: FloatArray) -> FloatArray:
    """Return the mean around each sample, half a second wide."""
    mean: FloatArray = uniform_filter1d(values, RATE // 2, mode="nearest")
    # A running sum of squares ends a little below 0 in silence.
    return np.maximum(mean, 0.0) if values.min() >= 0 else mean


# --- the filter between them --------------------------------------------------------------------


def _matching(a: Float32Array, b: Float32Array, curve: Curve, taps: FloatArray) -> FloatArray:
    """Return a better filter that makes B sound like A, the same over the whole stretch.

    To each filter belongs a delay, and where a note is alone either can stand for the other: found
    in turns they would hardly move. So the delay is eliminated from the equations first (Golub &
    Pereyra 1973); the next step finds it.
    """
    size = 2 * _REACH + 1
    normal, right = np.zeros((size, size)), np.zeros(size)
    # A minute, spread over the whole, says enough, and of it every fifth sample.
    every = max(1, len(curve.place_a) // _PIECE // 6)
    for _, _, wanted, theirs in _pieces(a, b, curve, every):
        heard = _compared(wanted, theirs, taps)
        trust = np.zeros(len(heard.trust))
        trust[::_SPARE] = _SPARE * heard.trust[::_SPARE]
        power = trust * heard.slope**2
        bands, _ = _equations(_at_anchors(power, 2), _between_anchors(power), 1e4)
        views = np.lib.stride_tricks.sliding_window_view(np.pad(theirs, _REACH), size)
        views = views[_MARGIN : len(wanted) - _MARGIN, ::-1]
        crossed = np.zeros((bands.shape[1], size))
        told = np.arange(0, len(trust), _SPARE)
        for rows in np.array_split(told, -(-len(trust) // (64 * HOP))):
            around = views[rows]
            weighted = around * (trust * heard.gain)[rows, None]
            normal += (weighted * heard.gain[rows, None]).T @ around
            right += weighted.T @ heard.error[rows]
            weighted *= heard.slope[rows, None]
            hops, place = np.divmod(rows, HOP)
            at, firsts = np.unique(hops, return_index=True)
            rising = np.add.reduceat(weighted * (place / HOP)[:, None], firsts)
            crossed[at] += np.add.reduceat(weighted, firsts) - rising
            crossed[at + 1] += rising
        push = _at_anchors(trust * heard.slope * heard.error)
        solved = solveh_banded(bands, np.column_stack([crossed, push]))
        normal -= crossed.T @ solved[:, :-1]
        right -= crossed.T @ solved[:, -1]
    normal[np.diag_indices(size)] += 1e-4 * np.trace(normal) / size
    better: FloatArray = taps + np.linalg.solve(normal, right)
    return better
