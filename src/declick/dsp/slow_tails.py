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
from typing import Final, NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf

from declick.dsp.whitening import MOST_LOST, FloatArray, WhitenedFit, solve_lower

LONGEST_S: Final = 0.025
"""Behind a core; little is left after that."""

REST_S: Final = 0.2e-3
"""So long behind a core there may be a little more of the push."""

PUSH_SPREAD: Final = 0.25
"""Root mean square of what is heard at once of the push in a core, over the click's peak."""

REST_SPREAD: Final = 0.1
"""Likewise, in the rest behind the core."""

SPREAD: Final = np.array([[0.0284, -0.0388], [-0.0388, 0.0564]])
"""Covariance of the heights of a slow tail's two shapes over the square of the click's peak.

Twice that of the ticks of synthetic records with low cuts of 20 to 80 Hz, since others differ.
"""

FREE_SHARE: Final = 0.2
"""This share of that covariance is left to what no push foretells: no chain is as it should be."""

LONGEST_PUSH: Final = 400
"""Frames of core and rest up to which a push foretells its tail; the time that it takes grows with
their third power. Behind longer cores, and clipped ones, the tail is free within the spread."""

MOST_TOLD: Final = 6.0
"""No single click tells more than this, in nepers of likelihood: what it was may be music."""

_LEAST_VARIANCE: Final = 1e-14
"""Of whitened music over the square of a click's peak; below that it is rounding errors."""

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
    evidence : float
        Logarithm of the likelihood of all that was heard, but for a constant: to compare
        de-emphases by.
    """

    wave: FloatArray
    likelihood: float
    evidence: float


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
    clipped : bool
        Whether the click was, so that its push is not known.

    Attributes
    ----------
    peak : float
        Of the click over what its core is filled with.
    """

    def __init__(
        self,
        sound: FloatArray,
        observed: FloatArray,
        core: tuple[int, int],
        error_filter: FloatArray,
        sample_rate: float,
        *,
        clipped: bool = False,
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
        self._free = clipped or self._lost > LONGEST_PUSH
        share = 1.0 if self._free else FREE_SHARE
        self._spread = np.linalg.cholesky(share * SPREAD) * self.peak
        hidden = np.arange(self._frames) < self._lost
        fit = WhitenedFit(error_filter, sound[:start], sound[start:end], hidden)
        self._variance = fit.sound_energy / max(self._frames - self._lost - 2, 1)
        if not self._variance > _LEAST_VARIANCE * self.peak**2:
            return
        self._fit = fit
        self._energy = fit.sound_energy
        if not self._free:
            self._factor, self._touch = fit.lost_equations()
            known = np.concatenate((observed, sound[core[1] : rest]))
            self._known = self._factor.T @ known
            known = np.concatenate((known, np.zeros(self._frames - self._lost)))
            error = fit.error + fit.whiten(known[None, :])[0]
            self._energy = float(error @ error)

    def tail(self, emphasis: Emphasis) -> SlowTail | None:
        """Return the likely slow tail under a de-emphasis.

        Parameters
        ----------
        emphasis : Emphasis

        Returns
        -------
        SlowTail or None
            None where there is too little sound, no click, or where the music changes.
        """
        if self._fit is None:
            return None
        fit, core, frames = self._fit, self._core, self._frames
        shapes = np.zeros((2, frames))
        shapes[:, core:] = self._spread.T @ tail_shapes(frames - core, self._rate, emphasis)
        if self._free:
            gram, right = fit.normal_equations(fit.whiten(shapes))
            weighed = _weigh(gram / self._variance, right / self._variance)
            wave, none = weighed.numbers @ shapes, 0.0
        else:
            weighed, wave, none = self._foretell(fit, emphasis, shapes)
        # Where the music has changed meanwhile, it may do what a slow tail does.
        left = self._energy - weighed.told * self._variance
        if not left <= MOST_UNREST * fit.calm_variance * max(frames - self._lost, 1):
            return None
        return SlowTail(wave[core:], weighed.evidence - none, weighed.evidence)

    def _foretell(
        self, fit: WhitenedFit, emphasis: Emphasis, shapes: FloatArray
    ) -> tuple[_Weighed, FloatArray, float]:
        """Weigh the push and its tail; return them as they sound, and the evidence of no tail.

        A push sounds like something within the lost samples and like two exponentials behind them,
        so all that depends on it is small: the equations are those of the lost samples.
        """
        lost, core = self._lost, self._core
        scale = np.full(lost, PUSH_SPREAD * self.peak / emphasis.at_once)
        scale[core:] *= REST_SPREAD / PUSH_SPREAD
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
        weighed = _weigh(gram / self._variance, right / self._variance)
        # The same pushes, silent behind the core.
        none = _weigh(pushes.T @ pushes / self._variance, pushes.T @ known / self._variance)
        # What is heard at once of a push in the rest is too uncertain to be taken out.
        slow = within - np.diag(emphasis.at_once * scale)
        wave = (mixed @ weighed.numbers) @ behind
        wave[:lost] += slow @ weighed.numbers[:lost]
        return weighed, wave, none.evidence


def is_clipped(core: FloatArray) -> bool:
    """Return whether a core ran into the end of the scale.

    Parameters
    ----------
    core : ndarray, shape (frames,)
        As it was recorded.
    """
    highest = np.abs(core) == np.abs(core).max(initial=0.0)
    flat = (core[1:] == core[:-1]) & highest[1:] & (core[1:] != 0.0)
    return bool(np.any(flat[1:] & flat[:-1]))


class _Weighed(NamedTuple):
    """The solution of normal equations, what it explains, and the evidence for the model."""

    numbers: FloatArray
    told: float
    evidence: float


def _weigh(gram: FloatArray, right: FloatArray) -> _Weighed:
    """Solve the normal equations of numbers that are about 1, or less."""
    gram[np.diag_indices_from(gram)] += 1.0
    factor, failed = dpotrf(gram, lower=1, clean=0)
    if failed:
        return _Weighed(np.zeros_like(right), 0.0, -math.inf)
    half = solve_lower(factor, right)
    numbers = solve_lower(factor, half, transposed=True)
    told = float(half @ half)
    return _Weighed(numbers, told, 0.5 * told - float(np.log(np.diag(factor)).sum()))


def tail_shapes(frames: int, sample_rate: float, emphasis: Emphasis) -> FloatArray:
    """Return the two shapes that a slow tail is made of, shape (2, frames)."""
    time = np.arange(frames) / (emphasis.bass_s * sample_rate)
    fall = np.exp(-time)
    return np.stack([fall, time * fall])


def choose_emphasis(told: Iterable[Sequence[SlowTail]]) -> Emphasis | None:
    """Return the de-emphasis by which a record's clicks leave their tails.

    Parameters
    ----------
    told : iterable of sequence of SlowTail
        Of each click that tells, the tails under each of `EMPHASES`.

    Returns
    -------
    Emphasis or None
        None where they leave none; RIAA so long as no click tells.
    """
    clicks = list(told)
    if not clicks:
        return Emphasis()
    evidence = np.array([[tail.evidence for tail in tails] for tails in clicks])
    # A loud click tells nothing more of the others than a plain one does.
    behind = np.maximum(evidence - evidence.max(axis=1, keepdims=True), -MOST_TOLD)
    best = int(np.argmax(np.nan_to_num(behind, nan=-MOST_TOLD).sum(axis=0)))
    likelihood = np.nan_to_num([tails[best].likelihood for tails in clicks])
    in_all = float(np.clip(likelihood, -MOST_TOLD, MOST_TOLD).sum())
    return EMPHASES[best] if in_all > 0.0 else None
