"""The slow tail that de-emphasis leaves behind a click.

A phono stage lifts the bass by 20 dB (RIAA: time constants of 3180, 318 and 75 us), so behind the
push of a click the sound comes back to rest within milliseconds, not microseconds, and a low cut
makes it swing over a little. All that the stylus did happened in the core: whatever push explains
the damage there also foretells its slow tail, and the sound behind must agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs

from declick.dsp.whitening import MOST_LOST, FloatArray, WhitenedFit

LONGEST_S: Final = 0.025
"""Behind a core; little is left after that."""

REST_S: Final = 0.2e-3
"""So long behind a core there may be a little more of the push."""

PUSH_SPREAD: Final = 2.5
"""Root mean square of the push in a core, as the groove has it, over the click's peak ..."""

REST_SPREAD: Final = 1.0
"""... and in the rest; what the chain makes of it is a tenth (`Emphasis.at_once`) as high."""

SPREAD: Final = np.array([[0.0284, -0.0388], [-0.0388, 0.0564]])
"""Covariance of the heights of a slow tail's two shapes over the square of the click's peak.

Twice that of the ticks of synthetic records with low cuts of 20 to 80 Hz, since others differ.
"""

FREE_SHARE: Final = 0.2
"""Of that is not foretold by the push: no chain is quite as it should be."""

LONGEST_PUSH: Final = 200
"""Longer cores (in frames) foretell nothing, nor do clipped ones: their tails are free within the
spread."""

FLAT: Final = 3
"""So many samples are as high as the highest where a click is clipped."""

MOST_SHARE: Final = 0.5
"""Of the click's peak a slow tail begins with at most."""

MOST_TOLD: Final = 6.0
"""No single click tells more than this, in nepers of likelihood: what it was may be music."""

MOST_UNREST: Final = 4.0
"""Of the variance of the whitened music behind a click, over that before it."""


@dataclass(frozen=True, kw_only=True)
class Emphasis:
    """De-emphasis of a phono stage, as far as it is slow.

    Parameters
    ----------
    bass_s, turnover_s : float
        Time constants; RIAA: 3180 and 318 us (IEC 98).
    low_cut_hz : float
        Of the first order.
    """

    bass_s: float = 3180e-6
    turnover_s: float = 318e-6
    low_cut_hz: float = 50.0

    @property
    def at_once(self) -> float:
        """Share of a push that is heard while it lasts."""
        return self.turnover_s / self.bass_s

    def modes(self, sample_rate: float) -> tuple[FloatArray, FloatArray]:
        """Return what a push of one frame leaves behind it, as two exponentials.

        Returns
        -------
        heights : ndarray, shape (2,)
            In the frame of the push itself.
        falls : ndarray, shape (2,)
            Natural logarithms of how they fall, a frame.
        """
        fall, rise = 1.0 / self.bass_s, 1.0 / self.turnover_s
        cut = 2.0 * math.pi * self.low_cut_hz
        if abs(cut - fall) < 1e-3 * fall:
            # Two equal poles are one case more; these differ by less than any two amplifiers.
            cut = 1.001 * fall
        shelf = fall * (fall - rise) / (cut - fall)
        swing = cut * (cut - rise) / (fall - cut)
        heights = np.array([shelf, swing]) * self.at_once / sample_rate
        return heights, np.array([-fall, -cut]) / sample_rate

    def response(self, frames: int, sample_rate: float) -> FloatArray:
        """Return what a push of one frame sounds like, shape (frames,)."""
        heights, falls = self.modes(sample_rate)
        heard = heights @ np.exp(falls[:, None] * np.arange(frames))
        heard[0] = self.at_once + 0.5 * heard[0]
        return np.asarray(heard)


EMPHASES: Final = tuple(
    Emphasis(turnover_s=turnover_s, low_cut_hz=low_cut_hz)
    for turnover_s, low_cut_hz in product((318e-6, 450e-6), (25.0, 50.0, 80.0))
)
"""What records are tried with: RIAA, and electrical records before it (IASA TC-04, 5.2)."""


@dataclass(frozen=True, eq=False)
class SlowTail:
    """What a click leaves behind.

    Parameters
    ----------
    wave : ndarray, shape (frames,)
        From the end of the core on, as far as the sound was heard.
    likelihood : float
        Logarithm of the likelihood of such a tail over that of none.
    """

    wave: FloatArray
    likelihood: float


class Behind:
    """The core of a click and the sound behind it, whitened: what slow tails are compared with.

    Parameters
    ----------
    sound : ndarray, shape (frames,)
        With the cores filled or bridged.
    observed : ndarray, shape (stop - start,)
        The core as it was.
    core : (int, int)
        Half-open frames of `sound`.
    error_filter : ndarray, shape (order + 1,)
        Whitens the music.
    sample_rate : float
        In Hz.
    """

    def __init__(
        self,
        sound: FloatArray,
        observed: FloatArray,
        core: tuple[int, int],
        error_filter: FloatArray,
        sample_rate: float,
    ) -> None:
        self.peak = float(np.abs(observed - sound[slice(*core)]).max(initial=0.0))
        self._rate = sample_rate
        # More lost samples than these are no unknowns of a fit; the filled core is history then.
        rest = core[1] + round(REST_S * sample_rate)
        start = max(core[0], rest - MOST_LOST)
        end = min(core[1] + round(LONGEST_S * sample_rate), sound.size)
        self._core, self._lost, self._frames = core[1] - start, rest - start, end - start
        self._fit: WhitenedFit | None = None
        if end - rest < 16 or not self.peak > 0.0:
            return
        self._free = self._lost > LONGEST_PUSH or is_clipped(observed)
        hidden = np.arange(self._frames) < self._lost
        fit = WhitenedFit(error_filter, sound[:start], sound[start:end], hidden)
        self._variance = fit.sound_energy / max(self._frames - self._lost - 2, 1)
        if not self._variance > 0.0:
            return
        self._fit = fit
        self._energy = fit.sound_energy
        if not self._free:
            self._factor, self._touch = fit.lost_equations()
            known = np.concatenate((observed[start - core[0] :], sound[core[1] : rest]))
            self._known = self._factor.T @ known
            known = np.concatenate((known, np.zeros(self._frames - self._lost)))
            error = fit.error + fit.whiten(known[None, :])[0]
            self._energy = float(error @ error)

    def tail(self, emphasis: Emphasis) -> SlowTail | None:
        """Return the likely slow tail under a de-emphasis.

        Returns
        -------
        SlowTail or None
            None where there is too little sound, no click, or where the music changes.
        """
        if self._fit is None:
            return None
        fit, core, frames = self._fit, self._core, self._frames
        spread = np.linalg.cholesky((1.0 if self._free else FREE_SHARE) * SPREAD) * self.peak
        shapes = np.zeros((2, frames))
        shapes[:, core:] = spread.T @ tail_shapes(frames - core, self._rate, emphasis)
        if self._free:
            gram, right = fit.normal_equations(fit.whiten(shapes))
            numbers, told, volume = _weigh(gram / self._variance, right / self._variance)
            wave, likelihood = (numbers @ shapes)[core:], 0.5 * (told - volume)
        else:
            wave, told, likelihood = self._foretell(fit, emphasis, shapes)
        # Where the music has changed meanwhile, it may do what a slow tail does.
        left = self._energy - told * self._variance
        if left > MOST_UNREST * fit.calm_variance * max(frames - self._lost, 1):
            return None
        return SlowTail(wave, likelihood) if abs(wave[0]) <= MOST_SHARE * self.peak else None

    def _foretell(
        self, fit: WhitenedFit, emphasis: Emphasis, shapes: FloatArray
    ) -> tuple[FloatArray, float, float]:
        """Return the tail of the likely push, what it explains, and its likelihood.

        A push sounds like something within the lost samples and like two exponentials behind them,
        so all that depends on it is small: the equations are those of the lost samples.
        """
        lost, core = self._lost, self._core
        scale = np.full(lost, PUSH_SPREAD * self.peak)
        scale[core:] = REST_SPREAD * self.peak
        heights, falls = emphasis.modes(self._rate)
        heard = emphasis.response(lost, self._rate)
        ages = np.arange(lost)[:, None] - np.arange(lost)
        within = np.where(ages >= 0, heard[ages], 0.0) * scale
        carried = heights[:, None] * np.exp(falls[:, None] * np.arange(lost, 0, -1)) * scale
        behind = np.zeros((4, self._frames))
        behind[:2, lost:] = np.exp(falls[:, None] * np.arange(self._frames - lost))
        behind[2:] = shapes
        white = fit.whiten(behind)
        seen = fit.see(white)
        # In the coordinates of the lost samples' own equations, and those of what is behind.
        pushes, known = self._factor.T @ within, self._touch + self._known
        mixed = np.eye(lost + 2)[lost:]
        mixed = np.concatenate((np.pad(carried, ((0, 0), (0, 2))), mixed))
        inside = np.pad(pushes, ((0, 0), (0, 2)))
        cross = inside.T @ seen.T @ mixed
        gram = inside.T @ inside + cross + cross.T + mixed.T @ (white @ white.T) @ mixed
        right = inside.T @ known + mixed.T @ (white @ fit.error + seen @ self._known)
        numbers, told, volume = _weigh(gram / self._variance, right / self._variance)
        # The same pushes, silent behind the core.
        _, without, volume_without = _weigh(
            pushes.T @ pushes / self._variance, pushes.T @ known / self._variance
        )
        wave = (mixed @ numbers) @ behind
        wave[:lost] += within @ numbers[:lost]
        return wave[core:], told, 0.5 * (told - without - volume + volume_without)


def is_clipped(core: FloatArray) -> bool:
    """Return whether a core ran into the end of the scale, so that its push is not known."""
    height = np.abs(core)
    return bool(np.count_nonzero(height == height.max(initial=0.0)) >= FLAT)


def _weigh(gram: FloatArray, right: FloatArray) -> tuple[FloatArray, float, float]:
    """Solve normal equations of numbers that are about 1, or less.

    Returns
    -------
    numbers : ndarray
    told : float
        By how much they and what they explain are better than zeros.
    volume : float
        Logarithm of how much narrower the numbers are known now, squared.
    """
    gram[np.diag_indices_from(gram)] += 1.0
    factor, _ = dpotrf(gram, lower=1, clean=0)
    half = dtrtrs(factor, right, lower=1)[0]
    numbers = dtrtrs(factor, half, lower=1, trans=1)[0]
    return numbers, float(half @ half), 2.0 * float(np.log(np.diag(factor)).sum())


def tail_shapes(frames: int, sample_rate: float, emphasis: Emphasis | None = None) -> FloatArray:
    """Return the two shapes that a slow tail is made of, shape (2, frames)."""
    bass_s = (emphasis or Emphasis()).bass_s
    time = np.arange(frames) / (bass_s * sample_rate)
    fall = np.exp(-time)
    return np.stack([fall, time * fall])


def choose_emphasis(told: Iterable[Sequence[float]]) -> Emphasis | None:
    """Return the de-emphasis by which a record's clicks leave their tails; None: they leave none.

    Parameters
    ----------
    told : iterable of sequence of float
        Of each click, the likelihoods under each of `EMPHASES`. So long as none tells, it is RIAA.
    """
    sums = np.zeros(len(EMPHASES))
    for likelihoods in told:
        sums += np.clip(likelihoods, -MOST_TOLD, MOST_TOLD)
    best = int(np.argmax(sums))
    if not sums.any():
        return Emphasis()
    return EMPHASES[best] if sums[best] > 0.0 else None
