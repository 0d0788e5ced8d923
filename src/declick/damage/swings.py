"""Find the swing of the tone arm behind a click in silent groove, and tell it from rumble."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from declick.clicks import FloatArray
from declick.damage.shocks import Shocks
from declick.dsp.tailfit import bridge, fit_tail_thump

SLOW_HEIGHT = 8.0
CONTEXT_S, TAIL_S = 0.8, 0.2
LEAST_SHARE = 0.1  # of the peak of the click
SHORTEST_S = 8e-3
FADE_S = 20e-3
LONGEST_CORE_S = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmSwing:
    """A thump: what it adds to the sound from the end of its click on.

    Parameters
    ----------
    waves : ndarray, shape (frames, channels)
    frequency_hz : float
        With which it begins; it falls from there.
    decay_s : float
        Time in which it falls to 1/e.
    """

    waves: FloatArray
    frequency_hz: float
    decay_s: float


def find_swing(
    sound: FloatArray, shocks: Shocks, index: int, peak: float, rate: int
) -> ArmSwing | None:
    """Fit a thump behind one shock, channel by channel.

    Parameters
    ----------
    sound : ndarray, shape (frames, channels)
        A stretch of silent groove.
    shocks : Shocks
        Of this stretch; all others are bridged.
    index : int
        Which one.
    peak : float
        Of the click; a swing below a tenth of it is left to the rumble.
    rate : int
        In Hz.

    Returns
    -------
    ArmSwing or None
    """
    if shocks.slow[index] < SLOW_HEIGHT:
        return None
    stop = int(shocks.stops[index])
    stop = min(stop, int(shocks.starts[index]) + round(LONGEST_CORE_S * rate))
    low = max(0, stop - round(CONTEXT_S * rate))
    high = min(len(sound), stop + round((TAIL_S + CONTEXT_S) * rate))
    tail = min(stop + round(TAIL_S * rate), high)
    missing = np.zeros(high - low, dtype=bool)
    first, last = np.searchsorted(shocks.starts, (low - rate // 50, high))
    for other in range(int(first), int(last)):
        missing[
            max(0, int(shocks.starts[other]) - low) : max(0, int(shocks.stops[other]) - low)
        ] = True
    missing[stop - low] = False
    seconds = np.arange(tail - stop) / rate
    waves = np.zeros((tail - stop, sound.shape[1]))
    strongest, values = 0.0, (0.0, 0.0)
    for channel in range(sound.shape[1]):
        fitted = fit_tail_thump(
            bridge(sound[low:high, channel], missing),
            missing,
            stop - low,
            tail - low,
            sample_rate=rate,
        )
        if fitted is None or fitted.swing.decay_s < SHORTEST_S:
            continue
        wave = fitted.samples(seconds)
        height = float(np.max(np.abs(wave)))
        if not LEAST_SHARE * peak <= height <= 4.0 * peak:
            continue
        waves[:, channel] = wave
        if height > strongest:
            strongest, values = height, (fitted.swing.first_hz, fitted.swing.decay_s)
    if not strongest:
        return None
    heard = np.flatnonzero(np.max(np.abs(waves), axis=1) > 0.02 * strongest)
    waves = waves[: int(heard[-1]) + 1]
    fade = min(len(waves) // 2, round(FADE_S * rate))
    if fade:
        waves[-fade:] *= (0.5 + 0.5 * np.cos(math.pi * (np.arange(fade) + 1) / fade))[:, None]
    return ArmSwing(waves=waves, frequency_hz=values[0], decay_s=values[1])
