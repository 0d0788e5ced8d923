"""The cheap look at what follows cores: whether it is louder than what is before and later.

A narrow band that is may be a ring, the lowest octaves a thump.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

FloatArray = NDArray[np.float64]

# An attack: these bands, in Hz, rise by so much over what was before, right behind the core and
# still a little later.
_ATTACK_HZ, _ATTACK_DB = (1500.0, 8000.0), (12.0, 10.0)
# A drum: the bass has risen so much just before, to no less than this under what is behind.
_BASS_HZ, _BASS_RISE_DB, _BASS_LEAST_DB = (30.0, 170.0), 15.0, -30.0
_RING_WINDOW_S = 0.011
_THUMP_WINDOW_S = 0.07
_CORES_AT_ONCE = 256


def levels_before(sound: FloatArray, edges: NDArray[np.int64], sample_rate: float) -> FloatArray:
    """Return the level of the sound before each core."""
    reach = max(1, round(0.025 * sample_rate))
    power = np.concatenate(([0.0], np.cumsum(sound**2)))
    low = np.maximum(edges[:, 0] - reach, 0)
    high = edges[:, 0]
    level = np.sqrt(np.maximum(power[high] - power[low], 0.0) / np.maximum(high - low, 1))
    return np.asarray(level + 1e-9)


def rises_behind(
    sound: FloatArray, edges: NDArray[np.int64], sample_rate: float, expected: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return how many dB the most risen high band, and the bass, exceed before and later.

    Where rings are expected, only bands near their frequencies count, and only what was before:
    later the next click may ring.
    """
    short = _decaying(_RING_WINDOW_S, sample_rate)
    long = _decaying(_THUMP_WINDOW_S, sample_rate)
    hertz = np.arange(short.size // 2 + 1) * (sample_rate / short.size)
    high = (hertz >= 1200.0) & (hertz <= 0.45 * sample_rate)
    near = np.array([any(abs(f - ring) < 0.08 * ring for ring in expected) for f in hertz[high]])
    near = near if near.any() else np.ones_like(near)
    bass = slice(1, max(2, math.ceil(120.0 * long.size / sample_rate)))
    rings, thumps = [], []
    for begin in range(0, len(edges), _CORES_AT_ONCE):
        start, stop = edges[begin : begin + _CORES_AT_ONCE].T
        after = _windows(sound, stop, short)[:, high]
        quiet = np.maximum(
            _windows(sound, start - short.size, short)[:, high],
            _windows(sound, start - 2 * short.size, short)[:, high],
        )
        if not expected:
            later = _windows(sound, stop + round(0.055 * sample_rate), short)[:, high]
            quiet = np.maximum(quiet, later)
        floor = 1e-4 * quiet.mean(axis=1, keepdims=True) + 1e-30
        rise = 10.0 * np.log10((after + floor) / (quiet + floor))
        # An attack lifts all bands, a ring one.
        rings.append(rise[:, near].max(axis=1) - np.maximum(np.median(rise, axis=1), 0.0))
        loud = _windows(sound, stop, long)[:, bass].sum(axis=1)
        still = np.maximum(
            _windows(sound, start - long.size, long)[:, bass].sum(axis=1),
            _windows(sound, stop + 2 * long.size, long)[:, bass].sum(axis=1),
        )
        thumps.append(10.0 * np.log10((loud + 1e-30) / (still + 1e-30)))
    return np.concatenate(rings), np.concatenate(thumps)


def attacks_behind(sound: FloatArray, start: int, stop: int, sample_rate: float) -> bool:
    """Return whether a note or a drum begins at a core: its attack lifts the high bands, and stays.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames,)
        Bridged over the cores.
    start, stop : int
        The core.
    sample_rate : float
        In Hz.
    """
    before = _power(sound, start, (-30.0, -0.5), _ATTACK_HZ, sample_rate)
    return all(
        _over(_power(sound, stop, window_ms, _ATTACK_HZ, sample_rate), before) > least_db
        for window_ms, least_db in zip(((3.0, 30.0), (20.0, 60.0)), _ATTACK_DB, strict=True)
    )


def swings_before(sound: FloatArray, start: int, stop: int, sample_rate: float) -> bool:
    """Return whether a drum swings just before a core already; what an arm does begins with it.

    The parameters are those of `attacks_behind`.
    """
    before, earlier, behind = (
        _power(sound, origin, window_ms, _BASS_HZ, sample_rate)
        for origin, window_ms in (
            (start, (-25.0, 0.0)),
            (start, (-100.0, -35.0)),
            (stop, (0.0, 25.0)),
        )
    )
    return _over(before, earlier) > _BASS_RISE_DB and _over(before, behind) > _BASS_LEAST_DB


def _power(
    sound: FloatArray,
    origin: int,
    window_ms: tuple[float, float],
    band_hz: tuple[float, float],
    sample_rate: float,
) -> float:
    """Return the power of a band in a window, from and to so long after `origin`.

    0 where the sound does not go so far.
    """
    low, high = (origin + round(ms * 1e-3 * sample_rate) for ms in window_ms)
    if low < 0 or high > sound.size:
        return 0.0
    frames = high - low
    (power,) = _windows(sound, np.array([low]), np.hanning(frames + 2)[1:-1])
    bins = slice(*(round(hertz * frames / sample_rate) for hertz in band_hz))
    return float(power[bins].sum() / frames**2) + 1e-30


def _over(one: float, other: float) -> float:
    """Return how many dB one power exceeds another; -inf where one of them is not known."""
    return 10.0 * math.log10(one / other) if one and other else -math.inf


def _windows(sound: FloatArray, starts: NDArray[np.int64], window: FloatArray) -> FloatArray:
    """Return the power spectra of windows; those beyond the ends see zeros."""
    size = window.size
    outside = (starts < 0) | (starts + size > sound.size)
    cut = np.empty((starts.size, size))
    if sound.size >= size:
        cut[:] = sliding_window_view(sound, size)[np.where(outside, 0, starts)]
    for index in np.flatnonzero(outside):
        start = int(starts[index])
        low, high = max(start, 0), min(start + size, sound.size)
        cut[index] = 0.0
        if low < high:
            cut[index, low - start : high - start] = sound[low:high]
    cut -= cut.mean(axis=1, keepdims=True)
    cut *= window
    spectrum = rfft(cut, axis=1, overwrite_x=True)
    power: FloatArray = spectrum.real**2 + spectrum.imag**2
    return power


def _decaying(seconds: float, sample_rate: float) -> FloatArray:
    """Return a window that rises within an eighth and then falls, like a tail."""
    size = max(32, round(seconds * sample_rate))
    rise = size // 8
    up = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise)
    down = 0.5 + 0.5 * np.cos(np.pi * (np.arange(size - rise) + 0.5) / (size - rise))
    return np.concatenate((up, down))
