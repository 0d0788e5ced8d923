"""What is heard of the turntable below the music: the network has hardly learned from any."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from declick.clicks import FloatArray

# Rumble and warps lie below this (Hz); so does the lowest of a bass ...
BELOW_HZ: Final = 40.0
# ... and is taken off what the network is shown from this share of the power above on: less hides
# hardly a click. Chosen on tuning music with the rumble of an LP.
LEAST_SHARE: Final = 0.01
# It goes on all the time: this quantile of its power, window by window, is no less than a share of
# the mean. What strikes (a kick drum, a plosive) does not, and tells music from clicks.
STEADY_QUANTILE: Final = 0.2
STEADY_SHARE: Final = 0.5
# It may swell, down to this share, if it does so without regard to the music above it: so far do
# their levels go together at most (correlation).
SWELLING_SHARE: Final = 0.2
APART: Final = 0.3
_WINDOW_S: Final = 0.2
# The low pass reaches so far to each side.
_REACH_S: Final = 0.08
# It sees the mean of so many frames.
_STEP: Final = 32


def without_rumble(samples: FloatArray, sample_rate: float) -> FloatArray:
    """Return a tile as the network is to see it: without its rumble where there is much.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
    sample_rate : float
        In Hz.
    """
    frames = len(samples)
    whole = np.pad(samples, ((0, -frames % _STEP), (0, 0)), mode="edge")
    means = whole.reshape(-1, _STEP, samples.shape[1]).mean(axis=1)
    taps = _low_pass(sample_rate / _STEP)
    reach = min(taps.size // 2, len(means) - 1)
    taps = taps[taps.size // 2 - reach : taps.size // 2 + reach + 1]
    beside = ((reach, reach), (0, 0))
    around = np.pad(means, beside, mode="reflect", reflect_type="odd")
    slow = np.stack([np.convolve(row, taps, "valid") for row in around.T])
    powers = _powers(slow.T, sample_rate / _STEP)[: frames // round(_WINDOW_S * sample_rate)]
    heard = powers > 0.0
    always = float(np.quantile(powers[heard], STEADY_QUANTILE)) if heard.any() else 0.0
    steady = always / powers[heard].mean() if always > 0.0 else 0.0
    if steady < SWELLING_SHARE:
        return samples
    at = (np.arange(frames) - 0.5 * (_STEP - 1)) / _STEP
    rest = samples - np.stack([np.interp(at, np.arange(row.size), row) for row in slow], axis=1)
    if always < LEAST_SHARE * np.mean(rest**2):
        return samples
    if steady < STEADY_SHARE:
        above = _powers(rest, sample_rate)[: powers.size]
        if _likeness(powers[heard], above[heard]) > APART:
            return samples
    return np.asarray(rest)


def _powers(sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the power of a sound, window by window."""
    size = round(_WINDOW_S * sample_rate)
    whole = sound[: len(sound) // size * size]
    return np.asarray(np.mean(whole.reshape(-1, size, sound.shape[1]) ** 2, axis=(1, 2)))


def _likeness(one: FloatArray, other: FloatArray) -> float:
    """Return how far two levels go together (correlation), of powers window by window."""
    levels = np.log(np.stack((one, other + 1e-12)))
    levels -= levels.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.prod((levels**2).sum(axis=1)))
    return float(levels[0] @ levels[1] / (spread + 1e-12))


@cache
def _low_pass(sample_rate: float) -> FloatArray:
    """Return the low pass for the means."""
    half = round(_REACH_S * sample_rate)
    times = np.arange(-half, half + 1) / sample_rate
    taps = np.sinc(2.0 * BELOW_HZ * times) * np.kaiser(times.size, 4.0)
    return np.asarray(taps / taps.sum())
