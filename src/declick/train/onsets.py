"""How well onsets are found, and from which log odds on one counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from declick.detect.taught import pick_peaks
from declick.train.lessons import Lesson

COLLAR_S: Final = 0.05
"""An onset that is found so near to a label is right."""
# Thresholds in log odds: how far what was found at them is smoothed, and what suits most sounds;
# chosen on eight sounds of drum kits.
_SMOOTHED: Final = 0.5
_USUAL_LEAST: Final = 0.75
# Where F1 falls by more than this on the way, what suits most does not count.
_MUCH_WORSE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Onsets that were found, that were missed, and that are none."""

    hits: int = 0
    missed: int = 0
    false: int = 0

    @property
    def f1(self) -> float:
        """Twice the hits over all that was there and all that was found; 1 where nothing was."""
        every = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / every if every else 1.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            hits=self.hits + other.hits,
            missed=self.missed + other.missed,
            false=self.false + other.false,
        )


def count_onsets(true: Sequence[float], found: Sequence[float], collar: float) -> Counts:
    """Match onsets with those found, in their order, each at most once."""
    left, hits = sorted(found), 0
    for onset in sorted(true):
        while left and left[0] < onset - collar:
            left.pop(0)
        if left and left[0] <= onset + collar:
            left.pop(0)
            hits += 1
    return Counts(hits=hits, missed=len(true) - hits, false=len(found) - hits)


def choose_threshold(
    said: Sequence[NDArray[np.float32]], lessons: Sequence[Lesson], kind: int, apart_s: float
) -> tuple[float, Counts]:
    """Return the log odds from which a kind is found well, and how well.

    A few labels do not tell one threshold from the next: what was found is smoothed over them, and
    what suits most sounds counts as much.

    Parameters
    ----------
    said : sequence of ndarray, shape (kinds, columns)
        Log odds of each lesson.
    lessons : sequence of Lesson
        As many, none of which the networks that said so have learned from.
    kind : int
        Which row.
    apart_s : float
        Two of a kind are no nearer to each other.

    Returns
    -------
    (float, Counts)
    """

    def count(least: float) -> Counts:
        counts = Counts()
        for rows, lesson in zip(said, lessons, strict=True):
            found = pick_peaks(rows[kind], least, max(1, round(apart_s / lesson.hop_s)))
            counts += count_onsets(lesson.onsets[kind].tolist(), found, COLLAR_S / lesson.hop_s)
        return counts

    tried = np.arange(-4.0, 4.01, 0.25)
    found = np.array([(c.hits, c.missed + c.false) for c in map(count, tried)], dtype=np.float64)
    hits, wrong = gaussian_filter1d(found, _SMOOTHED / 0.25, axis=0, mode="nearest").T
    f1 = 2 * hits / np.maximum(2 * hits + wrong, 1e-9)
    if not f1.max() > 0.0:
        return _USUAL_LEAST, count(_USUAL_LEAST)
    # The middle of all that are equally good.
    good = np.flatnonzero(f1 >= f1.max() - 1e-6)
    best = float(tried[good[len(good) // 2]])
    least = 0.5 * (best + _USUAL_LEAST)
    if count(least).f1 < count(best).f1 - _MUCH_WORSE:
        least = best
    return least, count(least)
