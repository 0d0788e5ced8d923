"""Make of one recording many: played at another speed, through another tone, with drier attacks.

What is most easily taken for damage is percussion, and no corpus has every drum. A drum that is
played faster, duller or drier than it was recorded is another drum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import scipy.signal
from numpy.typing import NDArray
from scipy import fft

from declick.clicks import FloatArray

# Lengths of what is played over lengths as recorded.
_STRETCHES: Final = ((2, 3), (3, 4), (4, 5), (5, 6), (7, 8), (8, 7), (6, 5), (5, 4), (4, 3), (3, 2))
# Where the tone bends, in Hz, and by how much, in dB.
_NODES_HZ: Final = (50.0, 150.0, 400.0, 1000.0, 2500.0, 6000.0, 12000.0, 20000.0)
_TONE_DB: Final = 5.0
# How fast a level is followed that attacks lead, and that they lead.
_FAST_S: Final = 0.003
_SLOW_S: Final = (0.03, 0.15)
_DRYNESS: Final = (-0.3, 0.9)
_GAIN: Final = (0.03, 3.0)


def vary(
    rng: np.random.Generator,
    sound: FloatArray,
    sample_rate: float,
    speed: float,
    tone: float,
    dryness: float,
) -> FloatArray:
    """Return the sound as another player might have played it.

    Parameters
    ----------
    rng : numpy.random.Generator
    sound : ndarray, shape (frames, channels)
    sample_rate : float
        In Hz.
    speed : float
        How likely it is played up to half faster or slower, pitch and all.
    tone : float
        ... through a smooth random equalizer.
    dryness : float
        ... with attacks that stand out more, or less, from what rings on.

    Returns
    -------
    ndarray, shape (frames or fewer, channels)
    """
    frames = len(sound)
    if rng.uniform() < speed:
        up, down = _STRETCHES[int(rng.integers(len(_STRETCHES)))]
        sound = np.asarray(scipy.signal.resample_poly(sound, up, down, axis=0))[:frames]
    if rng.uniform() < tone:
        sound = _toned(rng, sound, sample_rate)
    if rng.uniform() < dryness:
        sound = _dried(rng, sound, sample_rate)
    return sound


def _toned(rng: np.random.Generator, sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the sound through an equalizer without delay."""
    bends = rng.normal(0.0, _TONE_DB, len(_NODES_HZ))

    def gain(frequency: NDArray[np.floating]) -> NDArray[np.floating]:
        hertz = np.maximum(frequency * sample_rate, 1.0)
        return np.asarray(10.0 ** (np.interp(np.log(hertz), np.log(_NODES_HZ), bends) / 20.0))

    return equalized(sound, gain)


def equalized(
    sound: FloatArray, gain: Callable[[NDArray[np.floating]], NDArray[np.floating]]
) -> FloatArray:
    """Return the sound with a gain for each frequency, in cycles per frame, and no delay."""
    size = fft.next_fast_len(len(sound) + 4096, real=True)
    spectrum = fft.rfft(sound.T, size) * gain(fft.rfftfreq(size))
    return np.ascontiguousarray(fft.irfft(spectrum, size)[:, : len(sound)].T)


def _dried(rng: np.random.Generator, sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the sound with its attacks made to stand out, as a transient shaper does."""
    level = np.abs(sound).max(axis=1)
    fast, slow = (
        _followed(level, seconds * sample_rate) for seconds in (_FAST_S, rng.uniform(*_SLOW_S))
    )
    lead = (fast + 1e-6) / (slow + 1e-6)
    gain = np.clip(lead ** rng.uniform(*_DRYNESS), *_GAIN)
    return np.asarray(sound * gain[:, None])


def _followed(level: FloatArray, frames: float) -> FloatArray:
    """Return a level as it is followed with a time constant."""
    keep = np.exp(-1.0 / frames)
    return np.asarray(scipy.signal.lfilter([1.0 - keep], [1.0, -keep], level))
