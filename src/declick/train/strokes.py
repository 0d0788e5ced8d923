"""Strokes that no corpus has: hard negatives of every make.

A clap, a castanet or a snap begins as suddenly as a click. What tells them apart is that they ring
on: noise and many resonances fade over milliseconds, and a room answers. Strokes drawn from what
strokes have in common teach that, whatever hands and rooms a record has.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import scipy.signal

from declick.clicks import FloatArray
from declick.damage.draw import log_uniform

_RATE_HZ: Final = (1.0, 7.0)
_LEVEL_DB: Final = (0.0, 26.0)
_LENGTH_S: Final = 0.25
# Its noise fades at least so slowly that it cannot be the core of a click.
_FADE_S: Final = (0.0025, 0.03)
_RISE_S: Final = (2e-5, 2e-3)
_HANDS: Final = 5
_MODES: Final = 7
_MODE_HZ: Final = (250.0, 9000.0)
_MODE_FADE_S: Final = (0.002, 0.04)
_TAPS: Final = (10, 60)
_ROOM_S: Final = (0.01, 0.12)


def strike(rng: np.random.Generator, sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the sound with strokes of one player over it, in a rough rhythm.

    Parameters
    ----------
    rng : numpy.random.Generator
    sound : ndarray, shape (frames, channels)
        Not changed.
    sample_rate : float
        In Hz.

    Returns
    -------
    ndarray, shape (frames, channels)
    """
    level = math.sqrt(float(np.mean(sound**2)))
    if level == 0.0:
        return sound
    struck = sound.copy()
    # Some of one kind, which differ as the strokes of one player do.
    kinds = [draw_stroke(rng, sample_rate, sound.shape[1]) for _ in range(int(rng.integers(1, 4)))]
    loudest = level * 10.0 ** (rng.uniform(*_LEVEL_DB) / 20.0)
    beat_s = 1.0 / rng.uniform(*_RATE_HZ)
    time_s = float(rng.uniform(0.0, beat_s))
    while (start := round(time_s * sample_rate)) < len(sound):
        stroke = kinds[int(rng.integers(len(kinds)))] * loudest * 10.0 ** (rng.normal(0, 3.0) / 20)
        room = min(len(stroke), len(sound) - start)
        struck[start : start + room] += stroke[:room]
        time_s += beat_s * float(rng.choice((0.5, 1.0, 1.0, 2.0)) + rng.normal(0.0, 0.02))
    return struck


def draw_stroke(rng: np.random.Generator, sample_rate: float, channels: int) -> FloatArray:
    """Draw one stroke.

    Returns
    -------
    ndarray, shape (frames, channels)
        A quarter of a second; its peak is 1.
    """
    frames = round(_LENGTH_S * sample_rate)
    hands = np.zeros(frames)
    for _ in range(int(rng.integers(1, _HANDS + 1))):
        late = int(rng.exponential(0.006) * sample_rate) if hands.any() else 0
        if late < frames:
            hand = rng.uniform(0.3, 1.0) * _draw_hand(rng, frames - late, sample_rate)
            hands[late:] += hand
    dry = np.tile(hands[:, None], (1, channels))
    wet = np.stack([_echoed(rng, hands, sample_rate) for _ in range(channels)], axis=1)
    stroke = dry * rng.uniform(0.2, 1.0, channels) + wet * (rng.uniform() * (rng.uniform() < 0.7))
    if rng.uniform() < 0.3:
        delay = int(rng.integers(0, 25))
        stroke[:, 0] = np.concatenate([np.zeros(delay), stroke[: frames - delay, 0]])
    # Its end is faded: a cut would be a click.
    stroke *= np.minimum(1.0, np.linspace(8.0, 0.0, frames))[:, None]
    return np.asarray(stroke / np.max(np.abs(stroke)))


def _draw_hand(rng: np.random.Generator, frames: int, sample_rate: float) -> FloatArray:
    """Return one blow: noise that fades, alone and through resonances."""
    time_s = np.arange(frames) / sample_rate
    noise = rng.standard_normal(frames) * np.exp(-time_s / log_uniform(rng, _FADE_S))
    noise *= 1.0 - np.exp(-time_s / log_uniform(rng, _RISE_S))
    edge_hz = log_uniform(rng, (800.0, 0.45 * sample_rate))
    wide = scipy.signal.lfilter(*scipy.signal.butter(1, edge_hz, fs=sample_rate), noise)
    blow = np.asarray(wide) / np.max(np.abs(wide))
    for _ in range(int(rng.integers(0, _MODES + 1))):
        hertz, fade_s = log_uniform(rng, _MODE_HZ), log_uniform(rng, _MODE_FADE_S)
        phase = rng.uniform(0.0, 2.0 * math.pi)
        mode = np.exp(-time_s / fade_s) * np.sin(2.0 * math.pi * hertz * time_s + phase)
        blow += rng.uniform(0.0, 0.7) * mode * (1.0 - np.exp(-time_s / 1e-4))
    return np.asarray(blow)


def _echoed(rng: np.random.Generator, dry: FloatArray, sample_rate: float) -> FloatArray:
    """Return what a room answers: single reflections that fade."""
    count = int(rng.integers(*_TAPS))
    decay_s = log_uniform(rng, _ROOM_S)
    delays_s = rng.uniform(0.001, min(3.0 * decay_s, 0.8 * _LENGTH_S), count)
    taps = np.zeros(len(dry))
    gains = rng.standard_normal(count) * np.exp(-delays_s / decay_s)
    np.add.at(taps, (delays_s * sample_rate).astype(int), gains)
    wet = scipy.signal.fftconvolve(dry, taps)[: len(dry)]
    return np.asarray(wet / max(float(np.max(np.abs(wet))), 1e-9))
