"""The delay from window to window, to about a sample: correlation of the waveforms themselves.

Each window of A is correlated with B around the place where it is expected; the path through all
windows with the greatest sum, among those that no turntable is too sluggish for, is the delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from declick.align.listen import RATE, Float32Array, limited
from declick.align.walk import vertex
from declick.clicks import FloatArray

WINDOW: Final = 2048
HOP: Final = 1024
# How far from the expected place, in samples of the working rate; every other lag is looked at.
_REACH: Final = 880
_EVERY: Final = 2
_SIZE: Final = 4096
# Sound beside a piece, for the local level.
_BESIDE: Final = 2048
# What speed can change the delay from one window to the next, in steps of lags.
_JUMP: Final = 8
_STIFF: Final = 0.002
_LOW_HZ, _HIGH_HZ = 150.0, 3500.0
# B is heard around the window, too, and adds nothing there.
_SHARE: Final = ((WINDOW + 2 * _REACH) / WINDOW) ** 0.5
# How much of the spectra's differences in level is taken away (1: all, as in GCC-PHAT).
_WHITENING: Final = 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """The delay of each window.

    Parameters
    ----------
    place_a : ndarray, shape (n,)
        Middles of the windows, in samples of the working rate.
    place_b : ndarray, shape (n,)
        Where they are in B.
    score : ndarray, shape (n,)
        Correlation at that place.
    """

    place_a: FloatArray = field(repr=False)
    place_b: FloatArray = field(repr=False)
    score: FloatArray = field(repr=False)


def track(
    a: Float32Array, b: Float32Array, place_a: FloatArray, expected: FloatArray, ratio: float
) -> Track:
    """Follow the delay.

    Parameters
    ----------
    a, b : ndarray of float32
        Working channels, of the same polarity.
    place_a : ndarray, shape (n,)
        Middles of windows in A, `HOP` apart.
    expected : ndarray, shape (n,)
        Where they may be in B.
    ratio : float
        Samples of B for a sample of A.
    """
    return along(correlations(a, b, place_a, expected, ratio), place_a, expected, ratio)


def along(scores: Float32Array, place_a: FloatArray, expected: FloatArray, ratio: float) -> Track:
    """Follow the delay through what `correlations` found."""
    path = _best_path(scores)
    rows = np.arange(len(path))
    fine = np.array([vertex(scores[k], int(path[k])) for k in rows])
    lag = (path - scores.shape[1] // 2 + fine) * _EVERY
    return Track(
        place_a=place_a, place_b=expected + lag * ratio, score=scores[rows, path].astype(float)
    )


def correlations(
    a: Float32Array, b: Float32Array, place_a: FloatArray, expected: FloatArray, ratio: float
) -> Float32Array:
    """Return the correlation of each window at each lag, shape (n, lags)."""
    lags = 2 * (_REACH // _EVERY) + 1
    scores = np.zeros((len(place_a), lags), dtype=np.float32)
    taper = np.hanning(WINDOW).astype(np.float32)
    bins = np.arange(_SIZE // 2 + 1) * RATE / _SIZE
    band = ((bins > _LOW_HZ) & (bins < _HIGH_HZ)).astype(np.float32)
    # A smooth edge keeps the correlation from ringing over the lags.
    band *= np.clip((_HIGH_HZ - bins) / 1000.0, 0.0, 1.0).astype(np.float32)
    wide = np.arange(-WINDOW // 2 - _REACH, WINDOW // 2 + _REACH)
    for first in range(0, len(place_a), 64):
        here = slice(first, first + 64)
        rows = np.round(place_a[here]).astype(np.int64)[:, None] + np.arange(WINDOW) - WINDOW // 2
        mine = _at(*_held(a, int(rows.min()), int(rows.max())), rows) * taper
        places = expected[here][:, None] + wide * ratio
        theirs = _between(*_held(b, int(places.min()), int(places.max()) + 1), places)
        x, y = rfft(mine, _SIZE, axis=1), rfft(theirs, _SIZE, axis=1)
        x, y = _whitened(x) * band, _whitened(y) * band
        cross = irfft(y * x.conj(), _SIZE, axis=1)[:, : 2 * _REACH + 1 : _EVERY]
        power = np.sqrt((np.abs(x) ** 2).sum(axis=1) * (np.abs(y) ** 2).sum(axis=1)) + 1e-20
        scores[here] = cross * (_SIZE / 2 * _SHARE) / power[:, None]
    return scores


def _whitened(spectrum: NDArray[np.complex64]) -> NDArray[np.complex64]:
    level = np.abs(spectrum)
    floor = 1e-3 * level.max(axis=1, keepdims=True) + 1e-12
    white: NDArray[np.complex64] = spectrum / (level + floor) ** _WHITENING
    return white


def _held(sound: Float32Array, low: int, high: int) -> tuple[Float32Array, int]:
    """Return a piece of sound with its clicks held back, and where it begins."""
    low, high = max(0, low - _BESIDE), min(len(sound), high + _BESIDE)
    if low >= high:
        return np.zeros(1, dtype=np.float32), 0
    return limited(sound[low:high].astype(np.float64)).astype(np.float32), low


def _at(sound: Float32Array, start: int, place: NDArray[np.int64]) -> Float32Array:
    index = place - start
    inside = (index >= 0) & (index < len(sound))
    found: Float32Array = np.where(inside, sound[np.clip(index, 0, len(sound) - 1)], 0.0)
    return found.astype(np.float32)


def _between(sound: Float32Array, start: int, place: FloatArray) -> Float32Array:
    """Read between samples, by a cubic: enough for the low band that is compared."""
    base = np.floor(place).astype(np.int64)
    t = (place - base).astype(np.float32)
    p0, p1, p2, p3 = (_at(sound, start, base + k) for k in (-1, 0, 1, 2))
    read: Float32Array = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return read


def _best_path(scores: Float32Array) -> NDArray[np.int64]:
    """Return the lag of each window on the best path (Viterbi)."""
    count, lags = scores.shape
    total = scores[0].astype(np.float64)
    came = np.zeros((count, lags), dtype=np.int8)
    moves = np.arange(-_JUMP, _JUMP + 1)
    cost = _STIFF * moves.astype(np.float64) ** 2
    for k in range(1, count):
        padded = np.pad(total, _JUMP, constant_values=-np.inf)
        views = np.lib.stride_tricks.sliding_window_view(padded, 2 * _JUMP + 1) - cost
        best = np.argmax(views, axis=1)
        came[k] = best - _JUMP
        total = views[np.arange(lags), best] + scores[k]
    path = np.zeros(count, dtype=np.int64)
    path[-1] = int(np.argmax(total))
    for k in range(count - 1, 0, -1):
        path[k - 1] = path[k] + came[k, path[k]]
    return path
