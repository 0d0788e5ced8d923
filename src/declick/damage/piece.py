"""A short piece of music, synthesized: something clean to lay damage on."""

from __future__ import annotations

import numpy as np

from declick.clicks import FloatArray

_BEAT_S = 0.5
# Chords as semitones from A3, one to a bar of four beats; the bass takes the first.
_CHORDS = ((0, 3, 7, 12), (-4, 0, 3, 8), (3, 7, 10, 15), (-2, 2, 5, 10))


def synthesize_piece(
    duration_s: float = 20.0, *, sample_rate: int = 44100, seed: int = 1
) -> FloatArray:
    """Return plucked strings, bass and a little percussion over quiet groove noise.

    Parameters
    ----------
    duration_s : float
    sample_rate : int
        In Hz.
    seed : int
        Varies the melody and the noise.

    Returns
    -------
    ndarray of float64, shape (frames, 2)
        Peak 0.5.
    """
    rng = np.random.default_rng(seed)
    frames = round(duration_s * sample_rate)
    sound = np.zeros((frames, 2))
    for beat in range(int(duration_s / _BEAT_S)):
        start_s = beat * _BEAT_S
        chord = _CHORDS[(beat // 4) % len(_CHORDS)]
        if beat % 4 == 0:
            _add(sound, sample_rate, start_s, _pluck(chord[0] - 24, 1.6, sample_rate, 0.9), 0.0)
        for half in range(2):
            note = int(rng.choice(chord)) + 12 * int(rng.integers(0, 2))
            strength = float(rng.uniform(0.3, 0.6))
            tone = _pluck(note, 0.9, sample_rate, strength)
            _add(sound, sample_rate, start_s + half * _BEAT_S / 2, tone, rng.uniform(-0.6, 0.6))
        if beat % 2:
            _add(sound, sample_rate, start_s, _brush(rng, sample_rate), 0.2)
    sound *= 0.5 / np.max(np.abs(sound))
    noise = rng.standard_normal((frames, 2)) * 10 ** (-62 / 20)
    return np.asarray(sound + noise)


def _add(sound: FloatArray, sample_rate: int, start_s: float, tone: FloatArray, pan: float) -> None:
    """Mix a tone in, `pan` from -1 (left) to 1 (right)."""
    start = round(start_s * sample_rate)
    stop = min(start + tone.size, len(sound))
    angle = (pan + 1.0) * np.pi / 4
    shares = np.array([np.cos(angle), np.sin(angle)])
    sound[start:stop] += tone[: max(0, stop - start), None] * shares


def _pluck(semitones: int, length_s: float, sample_rate: int, strength: float) -> FloatArray:
    """Return a plucked string: harmonics that die the sooner the higher they are."""
    time = np.arange(round(length_s * sample_rate)) / sample_rate
    pitch = 220.0 * 2.0 ** (semitones / 12)
    tone = np.zeros_like(time)
    for harmonic in range(1, 25):
        # A stiff string's partials lie a little sharp.
        frequency = pitch * harmonic * np.sqrt(1 + 2e-4 * harmonic**2)
        if frequency > 0.45 * sample_rate:
            break
        decay = 1.2 / (1 + 0.35 * harmonic)
        tone += np.exp(-time / decay) * np.sin(2 * np.pi * frequency * time) / harmonic**1.2
    fade = np.minimum(1.0, (length_s - time) / 0.05) * np.minimum(1.0, time / 0.002)
    return np.asarray(strength * tone * fade)


def _brush(rng: np.random.Generator, sample_rate: int) -> FloatArray:
    """Return the stroke of a brush on a drum."""
    time = np.arange(round(0.12 * sample_rate)) / sample_rate
    stroke = rng.standard_normal(time.size) * np.exp(-time / 0.03) * np.minimum(1.0, time / 0.004)
    return np.asarray(0.12 * stroke)
