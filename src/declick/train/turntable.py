"""What turntables and mains add to a record's music: rumble, warps and hum."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from declick.clicks import FloatArray

# Rumble is made at a rate close to this, in Hz, and resonates at so many frequencies.
_RUMBLE_RATE: Final = 700.0
_RESONANCES: Final = (1, 5)
_RESONANCES_HZ: Final = (4.0, 65.0)
_SHARPNESS: Final = (0.7, 20.0)
# What is noise without a resonance ends here, in Hz, in dB below what resonates.
_NOISE_ENDS_HZ: Final = (15.0, 120.0)
_NOISE_DB: Final = (-25.0, 6.0)
# It swells as the record turns: turns in a second, and how far.
_SWELLS_HZ: Final = (0.4, 4.0)
_SWELLS_LN: Final = 1.2
# Mains, in Hz, and up to where its harmonics are heard.
_MAINS_HZ: Final = (50.0, 60.0)
_HARMONICS_END_HZ: Final = (150.0, 3000.0)


def rumble(
    rng: np.random.Generator, frames: int, channels: int, sample_rate: float
) -> NDArray[np.float64]:
    """Return rumble with a power of 1: resonances of arm and motor, along and across the groove.

    Parameters
    ----------
    rng : numpy.random.Generator
    frames, channels : int
    sample_rate : float
        In Hz.

    Returns
    -------
    ndarray, shape (frames, channels)
    """
    step = max(1, round(sample_rate / _RUMBLE_RATE))
    rate = sample_rate / step
    # Filters come to rest in a second; the last frames are for interpolation.
    count, lead = -(-frames // step) + 8, round(rate)
    parts = np.zeros((count, 2))
    for number in range(1 + int(rng.integers(*_RESONANCES))):
        white = rng.standard_normal((lead + count, 2))
        if number:
            centre = _between(rng, *_RESONANCES_HZ)
            filtered = scipy.signal.lfilter(
                *scipy.signal.iirpeak(centre, _between(rng, *_SHARPNESS), fs=rate), white, axis=0
            )
            level = 1.0
        else:
            end = _between(rng, *_NOISE_ENDS_HZ)
            filtered = scipy.signal.lfilter(*scipy.signal.butter(3, end, fs=rate), white, axis=0)
            level = 10 ** (rng.uniform(*_NOISE_DB) / 20)
        part = np.asarray(filtered)[lead:]
        # Lateral rumble is alike on both channels, vertical opposite.
        ways = rng.normal(0.0, 1.0, 2) * level / (np.std(part) + 1e-12)
        parts += _swelling(rng, count, rate)[:, None] * part * ways
    middle, side = parts.T
    slow = np.stack([middle + side, middle - side], axis=1) if channels == 2 else middle[:, None]
    sound = scipy.signal.resample_poly(slow, step, 1, axis=0)[:frames]
    return np.asarray(sound / (np.sqrt(np.mean(sound**2)) + 1e-12))


def hum(
    rng: np.random.Generator, frames: int, channels: int, sample_rate: float
) -> NDArray[np.float64]:
    """Return hum with a power of 1: mains and its harmonics, which buzz where they are many.

    Parameters and result are those of `rumble`.
    """
    mains = float(rng.choice(_MAINS_HZ)) * rng.uniform(0.97, 1.03)
    end = min(_between(rng, *_HARMONICS_END_HZ), 0.45 * sample_rate)
    numbers = np.arange(1, 1 + max(1, int(end / mains)))
    levels = numbers ** -rng.uniform(0.3, 1.8) * np.exp(rng.normal(0.0, 0.8, numbers.size))
    # Rectifiers hum twice as high as the mains.
    levels[::2] *= rng.choice((1.0, 0.15))
    heard = levels > 1e-3 * levels.max()
    levels, numbers = levels[heard], numbers[heard]
    # One period, played over and over; harmonics are whole numbers of it.
    turns = np.arange(frames) * (mains / sample_rate) % 1.0
    size = 64 * int(numbers[-1])
    period = np.zeros(size // 2 + 1, dtype=complex)
    period[numbers] = levels * np.exp(2j * np.pi * rng.uniform(0.0, 1.0, numbers.size))
    wave = np.fft.irfft(period, size)
    once = np.interp(turns * size, np.arange(size + 1), np.append(wave, wave[0]))
    ways = rng.choice((-1.0, 1.0, 1.0), channels) * np.exp(rng.normal(0.0, 0.5, channels))
    sound = once[:, None] * ways
    return np.asarray(sound / (np.sqrt(np.mean(sound**2)) + 1e-12))


def _swelling(rng: np.random.Generator, count: int, rate: float) -> FloatArray:
    """Return a level that comes and goes as the record turns, more or less."""
    depth = rng.uniform(0.0, _SWELLS_LN)
    turns = np.arange(count) * (_between(rng, *_SWELLS_HZ) / rate) + rng.uniform()
    return np.asarray(np.exp(depth * np.sin(2.0 * np.pi * turns)))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number between two, as likely in every octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
