"""How far up a copy holds what the recording holds: a tape or a small file ends sooner.

What is above is no difference to learn from: every cymbal would be damage of the recording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.copies.guide import Run
from declick.read import Recording

_PROBES: Final = 48
_WINDOW: Final = 1024
_WINDOWS: Final = 24
# Bins that are told from one another together.
_BAND: Final = 8
# A copy does not hold a band where it has less than this share of the recording's power, beside
# that of the middle, and little that goes with it.
_LESS: Final = 0.25
_COHERENT: Final = 0.5
_MIDDLE_HZ: Final = (300.0, 5000.0)
# Lower than this it is another fault than dullness; above this share of the band it is none.
_LEAST_HZ: Final = 2000.0
_MOST: Final = 0.88
_REACH_S: Final = 0.002


def treble_end(recording: Recording, copy: Recording, held: Sequence[Run]) -> float:
    """Return the frequency above which a copy lacks what the recording has; or infinity.

    Parameters
    ----------
    recording, copy : Recording
        On one time line.
    held : sequence of (start, stop)
        Where they are the same music.
    """
    rate, size = recording.sample_rate, _WINDOW * (_WINDOWS + 1) // 2
    places = [at for low, high in held for at in range(low, high - size + 1, size)]
    if not places:
        return math.inf
    step = max(1, len(places) // _PROBES)
    taper = np.hanning(_WINDOW)
    own, other = (np.zeros(_WINDOW // 2 + 1) for _ in range(2))
    cross = np.zeros(_WINDOW // 2 + 1, dtype=np.complex128)
    for start in places[::step]:
        sounds = (sound.read(start, start + size) for sound in (recording, copy))
        first, second = (_spectra(sound, taper) for sound in sounds)
        own += np.sum(np.abs(first) ** 2, axis=(0, 1))
        other += np.sum(np.abs(second) ** 2, axis=(0, 1))
        cross += np.sum(first * second.conj(), axis=(0, 1))
    hertz = np.arange(own.size) * rate / _WINDOW
    middle = (hertz >= _MIDDLE_HZ[0]) & (hertz < _MIDDLE_HZ[1])
    if not (own[middle].any() and other[middle].any()):
        return math.inf
    gain = float(other[middle].sum() / own[middle].sum())
    bands = range(0, own.size - _BAND + 1, _BAND)
    top = math.inf
    for low in reversed(bands):
        band = slice(low, low + _BAND)
        powers = float(own[band].sum()), float(other[band].sum())
        shared = (
            float(np.sum(np.abs(cross[band]) ** 2 / (own[band] * other[band] + 1e-300))) / _BAND
        )
        if powers[1] >= _LESS * gain * powers[0] or shared >= _COHERENT:
            break
        top = float(hertz[low])
    return top if _LEAST_HZ <= top <= _MOST * rate / 2.0 else math.inf


def _spectra(sound: FloatArray, taper: FloatArray) -> NDArray[np.complex128]:
    """Return the spectra of overlapping windows, shape (channels, windows, bins)."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW, axis=0)[:: _WINDOW // 2]
    return np.asarray(np.fft.rfft(np.moveaxis(windows, 0, 1) * taper))


@lru_cache(maxsize=4)
def _low_pass(top_hz: float, sample_rate: float) -> FloatArray:
    half = round(_REACH_S * sample_rate)
    # The filter has fallen where the copy ends.
    cutoff = 2.0 * (top_hz - 2.5 / _REACH_S / 2.0) / sample_rate
    taps = np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, 6.0)
    return np.asarray(taps / taps.sum())


def without_treble(signals: FloatArray, top_hz: float, sample_rate: float) -> FloatArray:
    """Return signals (n, frames) without what is above a frequency, and without delay."""
    if not top_hz < 0.5 * sample_rate:
        return signals
    taps = _low_pass(top_hz, sample_rate)
    import scipy.signal  # slow to import, and seldom needed

    return np.asarray(scipy.signal.fftconvolve(signals, taps[None, :], mode="same", axes=1))
