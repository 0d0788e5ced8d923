"""Rhythms of recorded hits, and recorded words in a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal

from declick.clicks import FloatArray
from declick.train.figures import draw_bar

_DRY = re.compile(
    r"clap|snap|clave|castan|wood|block|rim|stick|slap|cowbell|bell|hhc|closed|tab|tas|_ke|_te|tick",
    re.IGNORECASE,
)
_EDGE_S = 0.004
_FADE_S = 0.05
_LOUDNESS_DB = (-16.0, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """One recorded hit or word.

    Parameters
    ----------
    path : Path
    samples : ndarray, shape (frames, channels)
    """

    path: Path
    samples: FloatArray

    @property
    def dry(self) -> bool:
        """Short by nature: what is clapped, snapped, or struck on wood."""
        return bool(_DRY.search(self.path.stem))


def trim(samples: FloatArray, sample_rate: int) -> FloatArray:
    """Cut silence around a recording and fade its end; the attack stays as it is."""
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > 1e-4)
    if not loud.size:
        return samples[:0]
    edge = round(_EDGE_S * sample_rate)
    start, stop = max(0, int(loud[0]) - edge), min(samples.shape[0], int(loud[-1]) + edge)
    part = samples[start:stop].copy()
    if part.shape[0] < 4 * edge:
        return samples[:0]
    fade = min(round(_FADE_S * sample_rate), part.shape[0] // 4)
    part[-fade:] *= np.linspace(1.0, 0.0, fade)[:, None]
    # A recording that begins in mid-swing would make a step of its own.
    short = edge // 4
    part[:short] *= np.linspace(0.0, 1.0, short)[:, None]
    return part


def draw_rhythm(
    rng: np.random.Generator, hits: Sequence[Hit], seconds: float, sample_rate: int
) -> FloatArray:
    """Draw a rhythm: bars of a groove, single hits in silence, rolls, and layered claps.

    Parameters
    ----------
    rng : numpy.random.Generator
    hits : sequence of Hit
    seconds : float
    sample_rate : int

    Returns
    -------
    ndarray, shape (frames, 2)
        Peaks at a drawn level below full scale.
    """
    frames = round(seconds * sample_rate)
    total = np.zeros((frames, 2))
    dry = [place for place, hit in enumerate(hits) if hit.dry] or list(range(len(hits)))
    pans = {place: float(rng.uniform(-0.8, 0.8)) for place in range(len(hits))}
    step = float(rng.uniform(0.08, 0.22))
    at = 0.15
    while at < seconds - 0.5:
        manner = rng.random()
        if manner < 0.5:
            at = _bar(rng, hits, pans, total, at, step, sample_rate)
        elif manner < 0.7:
            for _ in range(int(rng.integers(1, 5))):
                place = int(rng.integers(len(hits)))
                _strike(rng, total, hits[place], at, pans[place], sample_rate)
                at += float(rng.uniform(0.25, 1.2))
        else:
            place = dry[int(rng.integers(len(dry)))]
            apart = float(rng.uniform(0.04, 0.13))
            layers = int(rng.integers(1, 5)) if manner < 0.85 else 1
            for _ in range(int(rng.integers(3, 17))):
                for _ in range(layers):
                    late, pan = float(rng.exponential(0.012)), float(rng.uniform(-0.9, 0.9))
                    _strike(rng, total, hits[place], at + late, pan, sample_rate)
                at += apart * layers * float(rng.uniform(0.9, 1.1))
            at += float(rng.uniform(0.1, 0.6))
    if rng.random() < 0.6:
        total = _room(rng, total, sample_rate)
    peak = float(np.abs(total).max())
    level = 10 ** (float(rng.uniform(-12.0, -1.0)) / 20)
    return total * (level / peak) if peak > 0.0 else total


def draw_words(
    rng: np.random.Generator, words: Sequence[Hit], seconds: float, sample_rate: int
) -> FloatArray:
    """Draw recorded words in a row, with pauses, over the quietest of room noise.

    Returns
    -------
    ndarray, shape (frames, channels)
        As many channels as the most that a word has.
    """
    channels = max(word.samples.shape[1] for word in words)
    frames = round(seconds * sample_rate)
    total = rng.normal(0.0, 10 ** (float(rng.uniform(-90.0, -75.0)) / 20), (frames, channels))
    at = round(0.1 * sample_rate)
    order = rng.permutation(len(words))
    turn = 0
    while turn < 4 * len(words):
        part = words[int(order[turn % len(words)])].samples
        turn += 1
        if at + part.shape[0] > frames:
            break
        total[at : at + part.shape[0]] += part
        at += part.shape[0] + round(float(rng.uniform(0.05, 0.5)) * sample_rate)
    return total[:at]


def _bar(
    rng: np.random.Generator,
    hits: Sequence[Hit],
    pans: dict[int, float],
    total: FloatArray,
    at: float,
    step: float,
    sample_rate: int,
) -> float:
    """Lay a bar, two to four times; return where it ends."""
    count = min(len(hits), int(rng.integers(2, 7)))
    playing = [int(place) for place in rng.choice(len(hits), count, replace=False)]
    patterns = [draw_bar(rng, 16) for _ in playing]
    for _ in range(int(rng.integers(2, 5))):
        for beat in range(16):
            for place, pattern in zip(playing, patterns, strict=True):
                if pattern[beat]:
                    late = max(0.0, float(rng.normal(0.003, 0.004)))
                    _strike(rng, total, hits[place], at + late, pans[place], sample_rate)
            at += step
    return at


def _strike(
    rng: np.random.Generator,
    total: FloatArray,
    hit: Hit,
    at_s: float,
    pan: float,
    sample_rate: int,
) -> None:
    """Add one hit at a drawn loudness."""
    start = round(at_s * sample_rate)
    part = hit.samples[: max(0, total.shape[0] - start), :2]
    gain = 10 ** (float(rng.uniform(*_LOUDNESS_DB)) / 20)
    if part.shape[1] == 1:
        # Constant power.
        angle = (pan + 1.0) * np.pi / 4
        total[start : start + part.shape[0]] += gain * part * (np.cos(angle), np.sin(angle))
    else:
        total[start : start + part.shape[0]] += gain * part


def _room(rng: np.random.Generator, dry: FloatArray, sample_rate: int) -> FloatArray:
    """Add reverberation: noise that dies away, duller as it does, different on either side."""
    decay, share = float(rng.uniform(0.15, 1.2)), 10 ** (float(rng.uniform(-24.0, -9.0)) / 20)
    time = np.arange(round(decay * sample_rate)) / sample_rate
    noise = rng.normal(size=(time.size, 2)) * np.exp(-6.9 * time / decay)[:, None]
    noise[: round(0.005 * sample_rate)] = 0.0
    smoothing = float(rng.uniform(0.3, 0.8))
    noise = scipy.signal.lfilter([1.0 - smoothing], [1.0, -smoothing], noise, axis=0)
    noise *= share / np.sqrt(np.square(noise).sum(axis=0))
    wet: FloatArray = scipy.signal.fftconvolve(dry, noise, axes=0)[: dry.shape[0]]
    return dry + wet
