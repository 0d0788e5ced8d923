"""Sounds of machines: hard negatives that begin and end as suddenly as damage does.

Electronic music switches: pulses of a low pitch, tones and noise behind a gate, grains, a voice
that stutters. What tells them from clicks is that most come again alike, at even distances, or go
on. No corpus of played music has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import scipy.signal

from declick.clicks import FloatArray
from declick.damage.draw import log_uniform

# What lies under them, in dB against what it was: sometimes next to nothing.
_UNDER_DB: Final = (-60.0, 0.0)
_ALONE: Final = 0.5
_LEVEL_DB: Final = (0.0, 20.0)

_PITCH_HZ: Final = (10.0, 150.0)
_PULSE_S: Final = (3e-5, 2e-3)
_GLIDE: Final = 0.15
_RATE_HZ: Final = (2.0, 16.0)
_RAMP_S: Final = (1e-5, 4e-3)
_TONE_HZ: Final = (120.0, 6000.0)
_GATE_S: Final = (0.012, 0.25)
_GRAIN_S: Final = (0.003, 0.03)
_GRAINS_HZ: Final = (8.0, 80.0)
_LOOP_S: Final = (0.02, 0.25)


def switch(rng: np.random.Generator, sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the sound with one machine over it, or cut up by one.

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
    number = int(rng.integers(len(_MACHINES) + 1))
    if number == len(_MACHINES):
        return _stuttered(rng, sound, sample_rate)
    played = _MACHINES[number](rng, len(sound), sample_rate)
    played /= max(float(np.max(np.abs(played))), 1e-9)
    sides = _sides(rng, sound.shape[1])
    loudness = level * 10.0 ** (rng.uniform(*_LEVEL_DB) / 20.0)
    under = 10.0 ** (rng.uniform(*_UNDER_DB) / 20.0) if rng.uniform() < _ALONE else 1.0
    return np.asarray(sound * under + played[:, None] * sides * loudness)


def _sides(rng: np.random.Generator, channels: int) -> FloatArray:
    """Return how loud it is in each channel: half of the time in the middle."""
    if rng.uniform() < 0.5:
        return np.ones(channels)
    return rng.uniform(0.0, 1.0, channels)


def pulses(rng: np.random.Generator, frames: int, sample_rate: float) -> FloatArray:
    """Draw pulses of a low pitch: narrow ones, or the edges of a saw or a square wave.

    Returns
    -------
    ndarray, shape (frames,)
    """
    time_s = np.arange(frames) / sample_rate
    glide = 1.0 + rng.uniform(0.0, _GLIDE) * np.sin(2 * np.pi * rng.uniform(0.1, 4.0) * time_s)
    rough = rng.uniform(0.0, 0.02) * (rng.uniform() < 0.3)
    steps = np.concatenate([[0], np.flatnonzero(np.diff((time_s * 4.0).astype(int))) + 1])
    notes = np.exp2(rng.integers(-5, 6, len(steps)) / 12.0 * (rng.uniform() < 0.5))
    pitch = log_uniform(rng, _PITCH_HZ) * glide
    pitch *= np.repeat(notes, np.diff([*steps, frames]))
    pitch *= 1.0 + rough * rng.standard_normal(frames)
    phase = np.cumsum(pitch) / sample_rate + rng.uniform()
    turn = phase % 1.0
    form = int(rng.integers(4))
    if form == 0:
        wave = 2.0 * turn - 1.0
    elif form == 1:
        wave = np.where(turn < rng.uniform(0.05, 0.5), 1.0, -1.0)
    else:
        width = np.minimum(log_uniform(rng, _PULSE_S) * pitch, 0.3)
        wave = np.exp(-0.5 * ((turn - 0.5) / width) ** 2)
    wave = wave - wave.mean()
    if form == 3:
        hertz = log_uniform(rng, (200.0, 5000.0))
        wave = _resonant(wave, hertz, rng.uniform(1.0, 8.0), sample_rate)
    edge = log_uniform(rng, (2000.0, 0.45 * sample_rate))
    return np.asarray(scipy.signal.lfilter(*scipy.signal.butter(2, edge, fs=sample_rate), wave))


def gates(rng: np.random.Generator, frames: int, sample_rate: float) -> FloatArray:
    """Draw tones or noise that is switched on and off in a rhythm, hard or nearly so.

    Returns
    -------
    ndarray, shape (frames,)
    """
    played = np.zeros(frames)
    noisy = rng.uniform() < 0.35
    length_s, ramp_s = log_uniform(rng, _GATE_S), log_uniform(rng, _RAMP_S)
    beat_s = max(1.0 / log_uniform(rng, _RATE_HZ), 1.1 * length_s)
    hertz = log_uniform(rng, _TONE_HZ) * np.exp2(rng.integers(-7, 8, 6) / 12.0)
    color = scipy.signal.butter(1, log_uniform(rng, (500.0, 0.45 * sample_rate)), fs=sample_rate)
    decays = rng.uniform(0.2, 2.0) * length_s if rng.uniform() < 0.4 else math.inf
    time_s = float(rng.uniform(0.0, beat_s))
    while (start := round(time_s * sample_rate)) < frames:
        long_s = length_s * float(rng.choice((0.5, 1.0, 1.0, 3.0)))
        seconds = np.arange(min(round(long_s * sample_rate), frames - start)) / sample_rate
        if noisy:
            wave = scipy.signal.lfilter(*color, rng.standard_normal(len(seconds)))
        else:
            chosen = rng.choice(hertz, int(rng.integers(1, 3)))[:, None]
            wave = np.sin(2 * np.pi * (chosen * seconds + rng.uniform())).sum(axis=0)
        ramp = np.clip(np.minimum(seconds, long_s - seconds) / ramp_s, 0.0, 1.0)
        played[start : start + len(seconds)] += wave * ramp * np.exp(-seconds / decays)
        time_s += max(beat_s * float(rng.choice((0.5, 1.0, 1.0, 2.0))), 1.05 * long_s)
    return played


def grains(rng: np.random.Generator, frames: int, sample_rate: float) -> FloatArray:
    """Draw a cloud of short tones that swell and fade.

    Returns
    -------
    ndarray, shape (frames,)
    """
    played = np.zeros(frames)
    shortest = log_uniform(rng, _GRAIN_S)
    count = rng.poisson(log_uniform(rng, _GRAINS_HZ) * frames / sample_rate)
    even = rng.uniform() < 0.3
    places = np.linspace(0.0, 1.0, count, endpoint=False) if even else rng.uniform(0.0, 1.0, count)
    for place in places:
        long_s = shortest * rng.uniform(1.0, 3.0)
        start = int(place * frames)
        seconds = np.arange(min(round(long_s * sample_rate), frames - start)) / sample_rate
        swell = np.sin(np.pi * seconds / long_s) ** 2
        wave = np.sin(2 * np.pi * (log_uniform(rng, _TONE_HZ) * seconds + rng.uniform()))
        played[start : start + len(seconds)] += rng.uniform(0.2, 1.0) * swell * wave
    return played


def taps(rng: np.random.Generator, frames: int, sample_rate: float) -> FloatArray:
    """Draw short, high resonances in an even rhythm: metronomes, drum machines, iron on wood.

    Returns
    -------
    ndarray, shape (frames,)
    """
    played = np.zeros(frames)
    kinds = [_draw_tap(rng, sample_rate) for _ in range(int(rng.integers(1, 4)))]
    beat_s = 1.0 / log_uniform(rng, (1.0, 30.0))
    loose = float(rng.choice((0.0, 0.02, 0.3)))
    time_s = float(rng.uniform(0.0, beat_s))
    while (start := round(time_s * sample_rate)) < frames:
        tap = kinds[int(rng.integers(len(kinds)))] * 10.0 ** (rng.normal(0.0, 2.0) / 20.0)
        room = min(len(tap), frames - start)
        played[start : start + room] += tap[:room]
        time_s += beat_s * max(0.1, 1.0 + rng.normal(0.0, loose))
    return played


def _draw_tap(rng: np.random.Generator, sample_rate: float) -> FloatArray:
    """Return noise of less than a few milliseconds, a resonance, and sometimes a thud."""
    seconds = np.arange(round(0.08 * sample_rate)) / sample_rate
    noise = rng.standard_normal(len(seconds)) * np.exp(-seconds / log_uniform(rng, (4e-4, 4e-3)))
    tap = rng.uniform(0.0, 1.0) * noise
    for _ in range(int(rng.integers(1, 4))):
        hertz, fade_s = log_uniform(rng, (500.0, 8000.0)), log_uniform(rng, (1.2e-3, 0.012))
        phase = rng.uniform(0.0, 2.0 * math.pi)
        tap += (
            rng.uniform(0.3, 1.0)
            * np.exp(-seconds / fade_s)
            * np.sin(2 * np.pi * hertz * seconds + phase)
        )
    if rng.uniform() < 0.5:
        hertz = log_uniform(rng, (90.0, 500.0))
        tap += rng.uniform(0.2, 0.8) * np.exp(-seconds / 0.02) * np.sin(2 * np.pi * hertz * seconds)
    rise = np.minimum(1.0, seconds / log_uniform(rng, (2e-5, 1e-3)))
    return np.asarray(tap * rise * np.minimum(1.0, np.linspace(8.0, 0.0, len(seconds))))


def _stuttered(rng: np.random.Generator, sound: FloatArray, sample_rate: float) -> FloatArray:
    """Return the sound with pieces of it said again and again, or cut out, in a rhythm."""
    cut = sound.copy()
    length = round(log_uniform(rng, _LOOP_S) * sample_rate)
    ramp = min(round(log_uniform(rng, _RAMP_S) * sample_rate), length // 2)
    window = np.ones(length)
    if ramp > 0:
        window[:ramp] = np.linspace(0.0, 1.0, ramp, endpoint=False)
        window[length - ramp :] = window[:ramp][::-1]
    often = rng.uniform(0.1, 0.6)
    place = int(rng.integers(length))
    while place + length <= len(cut):
        if rng.uniform() >= often:
            place += length
            continue
        if rng.uniform() < 0.3:
            cut[place : place + length] *= 1.0 - window[:, None]
            place += length
            continue
        looped = cut[place : place + length] * window[:, None]
        for _ in range(int(rng.integers(2, 9))):
            if place + length > len(cut):
                break
            cut[place : place + length] = looped
            place += length
    return cut


def _resonant(wave: FloatArray, hertz: float, quality: float, sample_rate: float) -> FloatArray:
    numerator, denominator = scipy.signal.iirpeak(hertz, quality, fs=sample_rate)
    return np.asarray(scipy.signal.lfilter(numerator, denominator, wave))


_MACHINES: Final[tuple[Callable[[np.random.Generator, int, float], FloatArray], ...]] = (
    pulses,
    pulses,
    gates,
    gates,
    grains,
    taps,
    taps,
)
