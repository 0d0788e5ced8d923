"""Excerpts that a sound is taught by: drawn around its labels and anywhere, and varied.

Labels are few, and takes differ: in new recordings the sound is softer, duller, a little higher or
longer, and heard among others that nobody has marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.detect.taught import BANDS, REACH, Columns, band_powers, hop_of, to_levels
from declick.read import Recording
from declick.train.lessons import Lesson
from declick.train.strokes import draw_stroke

# Columns of an excerpt that is learned from, beside what it needs to each side.
_EXCERPT: Final = 128
# Half the width of the target around an onset, in columns.
_WIDTH: Final = 1.7
# By how many bands a take is higher or lower.
_SHIFT: Final = 1.2
# Spread of the tone of takes and of playback: decimal logarithms of amplitudes, at so many bands.
_TAKE_TONE: Final = 0.15
_PLAYBACK_TONE: Final = 0.15
_NODES: Final = 5
# Share of excerpts with strokes over them, and their sample rate.
_STRUCK: Final = 0.4
_STROKE_RATE_HZ: Final = 44100.0


def draw_excerpts(
    rng: np.random.Generator,
    lessons: Sequence[Lesson],
    kinds: int,
    batch: int,
    strokes: Sequence[Columns] = (),
) -> tuple[Columns, NDArray[np.float32]]:
    """Draw excerpts, every other one around the sound.

    Parameters
    ----------
    rng : numpy.random.Generator
    lessons : sequence of Lesson
    kinds, batch : int
        Sounds, and excerpts.
    strokes : sequence of ndarray
        Powers of sounds that are none of those taught; see `draw_strokes`.

    Returns
    -------
    levels : ndarray of float32, shape (batch, BANDS, columns)
    targets : ndarray of float32, shape (batch, kinds, columns - 2 * REACH)
        1 where the sound begins, falling to 0 beside it.
    """
    size = _EXCERPT + 2 * REACH
    levels = np.zeros((batch, BANDS, size), dtype=np.float32)
    targets = np.zeros((batch, kinds, _EXCERPT), dtype=np.float32)
    every = [
        (number, float(onset))
        for number, lesson in enumerate(lessons)
        for onsets in lesson.onsets
        for onset in onsets
    ]
    shares = np.array([lesson.columns for lesson in lessons], dtype=np.float64)
    shares /= shares.sum()
    for row in range(batch):
        number, start = int(rng.choice(len(lessons), p=shares)), None
        if row % 2 == 0:
            number, onset = every[int(rng.integers(len(every)))]
            start = round(onset) - int(rng.integers(8, _EXCERPT - 8))
        powers, target = _excerpt(rng, lessons[number], start, size)
        # Another take: higher or lower, duller or brighter.
        powers = _shifted(powers, float(rng.uniform(-_SHIFT, _SHIFT)))
        powers = powers * _tone(rng, _TAKE_TONE)
        # Laid over something else, and played back through something else.
        if rng.uniform() < 0.5:
            other = int(rng.choice(len(lessons), p=shares))
            more, further = _excerpt(rng, lessons[other], None, size)
            gain = 10.0 ** rng.uniform(-2.0, 0.3)
            powers = powers + gain * more
            # A faint one that was laid over is neither there nor not: it is not asked for.
            target = np.maximum(target, further if gain > 0.3 else 0.0 * further)
        if strokes and rng.uniform() < _STRUCK:
            powers = _struck(rng, powers, strokes)
        level = to_levels(powers * _tone(rng, _PLAYBACK_TONE))
        levels[row], targets[row] = level + np.float32(rng.uniform(-0.5, 0.3)), target
    return levels, targets


def draw_strokes(rng: np.random.Generator, count: int) -> list[Columns]:
    """Draw the powers of strokes, each of shape (BANDS, columns), its greatest 1."""
    drawn = []
    for _ in range(count):
        stroke = draw_stroke(rng, _STROKE_RATE_HZ, 1)
        recording = Recording.from_array(stroke, round(_STROKE_RATE_HZ))
        powers = band_powers(recording, -2, len(stroke) // hop_of(_STROKE_RATE_HZ))
        drawn.append(powers / powers.max())
    return drawn


def _struck(rng: np.random.Generator, powers: Columns, strokes: Sequence[Columns]) -> Columns:
    """Return powers with strokes over them, about as loud as what is there."""
    powers = powers.copy()
    loud = float(np.quantile(powers[:, REACH:-REACH].max(axis=0), 0.9))
    for _ in range(int(rng.integers(1, 4))):
        stroke = strokes[int(rng.integers(len(strokes)))]
        start = int(rng.integers(REACH - 8, powers.shape[1] - REACH - stroke.shape[1]))
        gain = loud * 10.0 ** rng.uniform(-1.0, 1.5)
        powers[:, start : start + stroke.shape[1]] += np.float32(gain) * stroke
    return powers


def _tone(rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """Return factors of powers, shape (BANDS, 1), smooth over the bands."""
    nodes = rng.normal(0.0, spread, _NODES)
    bends = np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, _NODES), nodes)
    return (10.0 ** (2.0 * bends[:, None])).astype(np.float32)


def _shifted(powers: Columns, bands: float) -> Columns:
    """Return powers moved up by so many bands: a take that sounds higher."""
    place = np.clip(np.arange(BANDS) - bands, 0, BANDS - 1)
    low = np.minimum(place.astype(int), BANDS - 2)
    share = (place - low)[:, None].astype(np.float32)
    return np.asarray(powers[low] * (1 - share) + powers[low + 1] * share)


def _excerpt(
    rng: np.random.Generator, lesson: Lesson, start: int | None, size: int
) -> tuple[Columns, NDArray[np.float32]]:
    """Return powers and targets of an excerpt; one at random where no start is given."""
    last = max(0, lesson.columns - _EXCERPT)
    begin = int(rng.integers(last + 1)) if start is None else min(max(start, 0), last)
    powers = np.zeros((BANDS, size), dtype=np.float32)
    piece = lesson.powers[:, begin : begin + size]
    powers[:, : piece.shape[1]] = piece
    column = np.arange(_EXCERPT)
    target = np.zeros((len(lesson.onsets), _EXCERPT), dtype=np.float32)
    for kind, onsets in enumerate(lesson.onsets):
        for onset in onsets[(onsets > begin - 8) & (onsets < begin + _EXCERPT + 8)]:
            bell = np.exp(-0.5 * ((column - (onset - begin)) / _WIDTH) ** 2)
            target[kind] = np.maximum(target[kind], bell)
    return powers, target
