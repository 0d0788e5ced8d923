"""How sure a map is, anchor by anchor."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import uniform_filter1d

from declick.align.listen import RATE
from declick.align.refine import HOP, Curve
from declick.clicks import FloatArray

# What is looked at around each anchor.
_WINDOW_S: Final = 1.0
# Share of the energy that both have in common: nothing is sure below the first, all from the second
# on. Half of it is -3 dB.
_NOTHING, _ALL = 0.2, 0.8
# A gap that is bridged where the map goes on behind it: any, and one in which A is quiet.
_BRIDGE_S: Final = 3.0
_QUIET_BRIDGE_S: Final = 20.0
_QUIET_DB: Final = -40.0
_BRIDGED: Final = 0.6


def confidence_of(curve: Curve) -> FloatArray:
    """Return 0..1 for each anchor."""
    signal, residual = _around(curve.signal), _around(curve.residual)
    common = np.where(signal > 0, 1.0 - residual / np.maximum(signal, 1e-30), 0.0)
    sure = np.clip((common - _NOTHING) / (_ALL - _NOTHING), 0.0, 1.0)
    return _bridged(sure, signal)


def null_of(curve: Curve) -> FloatArray:
    """Return how much of A is left around each anchor, in dB."""
    signal, residual = _around(curve.signal, 0.25), _around(curve.residual, 0.25)
    null: FloatArray = 10 * np.log10(np.clip(residual / np.maximum(signal, 1e-30), 1e-9, 10.0))
    return null


def _around(values: FloatArray, seconds: float = _WINDOW_S) -> FloatArray:
    mean: FloatArray = uniform_filter1d(values, max(1, round(seconds * RATE / HOP)), mode="nearest")
    return np.maximum(mean, 0.0)


def _bridged(sure: FloatArray, signal: FloatArray) -> FloatArray:
    """Hold on to the map in short gaps and in pauses."""
    sure = sure.copy()
    loud = float(np.quantile(signal, 0.9)) * 10 ** (0.1 * _QUIET_DB)
    holds = np.concatenate([[True], sure >= 0.5, [True]])
    edges = np.flatnonzero(np.diff(holds.astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if start == 0 or stop == len(sure):
            continue
        length_s = (stop - start) * HOP / RATE
        quiet = bool((signal[start:stop] < loud).mean() > 0.8)
        if length_s <= (_QUIET_BRIDGE_S if quiet else _BRIDGE_S):
            sure[start:stop] = np.maximum(sure[start:stop], _BRIDGED)
    return sure
