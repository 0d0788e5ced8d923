"""How sure a map is, anchor by anchor."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from declick.align.listen import RATE
from declick.align.model import HOLDS
from declick.align.refine import HOP, Curve
from declick.clicks import FloatArray

# What is looked at around each anchor.
_WINDOW_S: Final = 1.0
# Share of the energy that both have in common: nothing is sure below the first, all from the second
# on. Half way, what is left is -6 dB.
_NOTHING, _ALL = 0.55, 0.95
# No turntable is off its mean speed by more: where the delay runs away, notes of another
# performance were matched one by one.
_RUNAWAY: Final = 0.025
_BESIDE_S: Final = 0.3
# What holds for less than this by itself was a chance.
_SHORTEST_S: Final = 1.5
# A gap that is bridged where the map goes on behind it: any, and one in which A is quiet.
_BRIDGE_S: Final = 3.0
_QUIET_BRIDGE_S: Final = 20.0
_QUIET_DB: Final = -40.0
_BRIDGED: Final = 0.6
_ROUNDING: Final = 1e-13


def confidence_of(curve: Curve) -> FloatArray:
    """Return 0..1 for each anchor."""
    signal, residual = _around(curve.signal), _around(curve.residual)
    common = np.where(signal > 0, 1.0 - residual / np.maximum(signal, 1e-30), 0.0)
    sure = np.clip((common - _NOTHING) / (_ALL - _NOTHING), 0.0, 1.0)
    speed = np.diff(curve.place_b) / np.diff(curve.place_a)
    off = np.abs(speed / np.median(speed) - 1.0) > _RUNAWAY
    # In a pause the delay means nothing.
    known = _around(curve.signal, 0.1) > _loud(signal)
    off = np.append(off, off[-1]) & known
    sure[maximum_filter1d(off, 2 * _anchors(_BESIDE_S) + 1)] = 0.0
    for start, stop in _runs(sure >= HOLDS):
        if stop - start < _anchors(_SHORTEST_S):
            sure[start:stop] = np.minimum(sure[start:stop], 0.9 * HOLDS)
    return _bridged(sure, signal)


def longest_held_s(confidence: FloatArray) -> float:
    """Return the seconds of the longest stretch that holds."""
    return max((stop - start for start, stop in _runs(confidence >= HOLDS)), default=0) * HOP / RATE


def null_of(curve: Curve) -> FloatArray:
    """Return how much of A is left around each anchor, in dB."""
    signal, residual = _around(curve.signal, 0.25), _around(curve.residual, 0.25)
    null: FloatArray = 10 * np.log10(np.clip(residual / np.maximum(signal, 1e-30), 1e-9, 10.0))
    return null


def _anchors(seconds: float) -> int:
    return max(1, round(seconds * RATE / HOP))


def _around(values: FloatArray, seconds: float = _WINDOW_S) -> FloatArray:
    mean: FloatArray = uniform_filter1d(values, _anchors(seconds), mode="nearest")
    # A running mean keeps a little of what is over, of either sign: in silence there is nothing.
    mean[mean < _ROUNDING * values.max(initial=0.0)] = 0.0
    return mean


def _loud(signal: FloatArray) -> float:
    """Return the energy under which A is quiet."""
    level: float = float(np.quantile(signal, 0.9)) * 10.0 ** (0.1 * _QUIET_DB)
    return level


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(i), int(k)) for i, k in zip(edges[::2], edges[1::2], strict=True)]


def _bridged(sure: FloatArray, signal: FloatArray) -> FloatArray:
    """Hold on to the map in short gaps and in pauses, between longer stretches that hold."""
    sure = sure.copy()
    loud = _loud(signal)
    runs = _runs(sure >= HOLDS)
    for (begin, start), (stop, end) in pairwise(runs):
        length = stop - start
        quiet = bool((signal[start:stop] < loud).mean() > 0.8)
        longest = _anchors(_QUIET_BRIDGE_S if quiet else _BRIDGE_S)
        firm = min(start - begin, end - stop) >= min(length, _anchors(4.0))
        if length <= longest and firm:
            sure[start:stop] = np.maximum(sure[start:stop], _BRIDGED)
    return sure
