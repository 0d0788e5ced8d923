"""The slow tail that de-emphasis leaves behind a click.

A phono stage lifts the bass by 20 dB (RIAA: time constants of 3180, 318 and 75 us), so behind the
push of a click the sound comes back to rest within milliseconds, not microseconds, and a low cut
makes it swing over a little. Unlike a ring or a thump, this tail is known but for two heights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from declick.dsp.whitening import MOST_LOST, FloatArray, WhitenedFit

BASS_S = 3180e-6
"""Time constant of the bass (IEC 98, and of most electrical records before it)."""

LONGEST_S = 0.025
"""Behind a core; little is left after that."""

REST_S = 0.2e-3
"""So long behind a core there may be more than its slow tail."""

SPREAD = np.array([[0.0284, -0.0388], [-0.0388, 0.0564]])
"""Covariance of the two heights over the square of the click's peak.

Twice that of the ticks of synthetic records with low cuts of 20 to 80 Hz, since others differ.
"""

SPREAD_SCALES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Of the spread, one as likely as the other: a click may be balanced, or all push."""

MOST_TOLD = 6.0
"""No single click tells more than this, in nepers of likelihood: what it was may be music."""

MOST_UNREST = 4.0
"""Of the variance of the whitened music behind a click, over that before it."""


@dataclass(frozen=True, eq=False)
class TailFit:
    """What the sound behind one core says of its slow tail.

    Parameters
    ----------
    gram : ndarray, shape (2, 2)
    right : ndarray, shape (2,)
        Normal equations of the heights for a click with a peak of 1, over the variance of the
        whitened music.
    """

    gram: FloatArray
    right: FloatArray

    def heights(self, scale: float = 1.0) -> tuple[FloatArray, float]:
        """Return the likely heights, for a click with a peak of 1, and the evidence for them.

        Parameters
        ----------
        scale : float
            Of the spread of the heights.

        Returns
        -------
        heights : ndarray, shape (2,)
        evidence : float
            Energy that they explain, over the variance of the whitened music.
        """
        precision = self.gram + np.linalg.inv(scale * SPREAD)
        heights: FloatArray = np.asarray(np.linalg.solve(precision, self.right), dtype=np.float64)
        return heights, float(self.right @ heights)

    def likelihood(self) -> float:
        """Return the logarithm of the likelihood of a slow tail over that of none."""
        told = [
            0.5 * (self.heights(scale)[1] - _log_volume(np.eye(2) + scale * SPREAD @ self.gram))
            for scale in SPREAD_SCALES
        ]
        return float(np.logaddexp.reduce(told)) - math.log(len(SPREAD_SCALES))


def _log_volume(matrix: FloatArray) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def tail_shapes(frames: int, sample_rate: float) -> FloatArray:
    """Return the two shapes that a slow tail is made of, shape (2, frames)."""
    time = np.arange(frames) / (BASS_S * sample_rate)
    fall = np.exp(-time)
    return np.stack([fall, time * fall])


def look_behind(
    sound: FloatArray,
    core: tuple[int, int],
    push: float,
    error_filter: FloatArray,
    sample_rate: float,
) -> TailFit | None:
    """Compare the sound behind a core with slow tails.

    Parameters
    ----------
    sound : ndarray, shape (frames,)
        With the cores filled or bridged.
    core : (int, int)
        Half-open frames of `sound`.
    push : float
        Peak of the click over the music.
    error_filter : ndarray, shape (order + 1,)
        Whitens the music.
    sample_rate : float
        In Hz.

    Returns
    -------
    TailFit or None
        None where there is too little sound, no click, or where the music changes.
    """
    start, stop = core
    end = min(stop + round(LONGEST_S * sample_rate), sound.size)
    rest = stop + round(REST_S * sample_rate)
    if end - rest < 16 or not push > 0.0:
        return None
    # More lost samples than these are no unknowns of a fit; the filled core is history then.
    start = max(start, rest - MOST_LOST)
    hidden = np.arange(start, end) < rest
    fit = WhitenedFit(error_filter, sound[:start], sound[start:end], hidden)
    degrees = max(end - start - fit.lost.size - 2, 1)
    variance = fit.sound_energy / degrees
    if not variance > 0.0:
        return None
    shapes = np.zeros((2, end - start))
    shapes[:, stop - start :] = push * tail_shapes(end - stop, sample_rate)
    gram, right = fit.normal_equations(fit.whiten(shapes))
    found = TailFit(gram / variance, right / variance)
    left = variance * (1.0 - found.heights()[1] / degrees)
    # Where the music has changed meanwhile, it may do what a slow tail does.
    return found if left <= MOST_UNREST * fit.calm_variance else None


def has_slow_tails(fits: Sequence[TailFit]) -> bool:
    """Return whether the clicks of a record leave slow tails; so long as none tells, they do."""
    return sum(min(fit.likelihood(), MOST_TOLD) for fit in fits) >= 0.0
