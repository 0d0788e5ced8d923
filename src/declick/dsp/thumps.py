"""A thump: the swing of the tone arm after a click, a sine of falling frequency that dies away.

Source: the parametric tail of Esquef, Biscainho and Valimaki, "An efficient algorithm for the
restoration of audio signals corrupted with low-frequency pulses", J. AES 51 (2003), with the phase
taken as the integral of the frequency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.signal import firwin

from declick.dsp.whitening import FloatArray, WhitenedFit, solve_fit

LOW_RATE_HZ = 1500.0
_PASS_HZ, _STOP_HZ = 300.0, 1200.0
_STEPS = 12


@dataclass(frozen=True, kw_only=True)
class Swing:
    """How a thump goes: ``exp(-t / decay) * sin(phase)``, from `first_hz` towards `last_hz`.

    The frequency is ``last + (first - last) * exp(-t / fall)``.
    """

    decay_s: float
    first_hz: float
    last_hz: float
    fall_s: float

    def as_vector(self) -> FloatArray:
        """Return the logarithms of the four numbers, in order."""
        return np.log([self.decay_s, self.first_hz, self.last_hz, self.fall_s])

    @staticmethod
    def from_vector(vector: FloatArray) -> Swing:
        """Undo `as_vector`."""
        decay, first, last, fall = (float(value) for value in np.exp(vector))
        return Swing(decay_s=decay, first_hz=first, last_hz=last, fall_s=fall)


_LOWEST = Swing(decay_s=0.008, first_hz=20.0, last_hz=3.0, fall_s=0.006).as_vector()
_HIGHEST = Swing(decay_s=0.25, first_hz=220.0, last_hz=45.0, fall_s=0.4).as_vector()


@dataclass(frozen=True, kw_only=True)
class FittedThump:
    """A thump with its two amplitudes, its evidence and unrest (see `FittedRing`)."""

    swing: Swing
    amplitudes: tuple[float, float]
    evidence: float
    unrest: float = 1.0

    def samples(self, seconds: FloatArray) -> FloatArray:
        """Return the thump at times from the onset."""
        rows = swing_columns(self.swing.as_vector()[None, :], seconds)
        wave: FloatArray = self.amplitudes[0] * rows[0, 0] + self.amplitudes[1] * rows[0, 1]
        return wave


def swing_columns(vectors: FloatArray, seconds: FloatArray) -> FloatArray:
    """Return both quadratures of each swing, shape ``(swings, 2, times)``, zero before 0 s."""
    decay, first, last, fall = (np.exp(vectors[:, k, None]) for k in range(4))
    time = np.maximum(seconds, 0.0)[None, :]
    phase = 2.0 * math.pi * (last * time - (first - last) * fall * np.expm1(-time / fall))
    level = np.exp(-time / decay) * (seconds >= 0.0)
    return np.stack((level * np.cos(phase), level * np.sin(phase)), axis=1)


@lru_cache(maxsize=8)
def _grid() -> FloatArray:
    """Return starting points for the search."""
    return np.array(
        [
            Swing(decay_s=decay, first_hz=first, last_hz=last, fall_s=fall).as_vector()
            for decay, first, last, fall in product(
                (0.02, 0.05, 0.1), (45.0, 70.0, 100.0, 140.0), (8.0, 18.0), (0.02, 0.05, 0.12)
            )
        ]
    )


@lru_cache(maxsize=16)
def low_pass(sample_rate: float) -> tuple[int, FloatArray]:
    """Return how many samples make one at the low rate, and the filter before the thinning."""
    factor = max(1, round(sample_rate / LOW_RATE_HZ))
    width = (_STOP_HZ - _PASS_HZ) / sample_rate
    if factor == 1:
        return 1, np.ones(1)
    half = math.ceil(52.0 / (2.285 * 2.0 * math.pi * width) / 2.0)
    taps = firwin(
        2 * half + 1, (_STOP_HZ + _PASS_HZ) / 2.0, window=("kaiser", 5.65), fs=sample_rate
    )
    return factor, taps


def fit_thump(
    fit: WhitenedFit, seconds: FloatArray, guess: Swing | None = None
) -> FittedThump | None:
    """Fit a thump to a stretch of sound at the low rate.

    Parameters
    ----------
    fit : WhitenedFit
    seconds : ndarray, shape (fit.frames,)
        Times of the samples from the onset of the tail.
    guess : Swing, optional
        Where to start; searched for otherwise.

    Returns
    -------
    FittedThump or None
    """
    starts = _grid() if guess is None else guess.as_vector()[None, :]
    rows = swing_columns(starts, seconds)
    gram, right = fit.normal_equations(fit.whiten(rows.reshape(-1, fit.frames)))
    energies = np.empty(starts.shape[0])
    for index in range(starts.shape[0]):
        pick = slice(2 * index, 2 * index + 2)
        energies[index] = solve_fit(gram[pick, pick], right[pick])[1]
    best: FittedThump | None = None
    for index in np.argsort(-energies)[: 2 if guess is None else 1]:
        fitted = _refine(fit, seconds, starts[index])
        if fitted is not None and (best is None or fitted.evidence > best.evidence):
            best = fitted
    return best


def _refine(fit: WhitenedFit, seconds: FloatArray, vector: FloatArray) -> FittedThump | None:
    """Levenberg-Marquardt over the swing, the amplitudes solved for at every step."""
    damping = 1e-2
    energy, pair, best = 0.0, np.zeros(2), vector
    trial = np.clip(vector, _LOWEST, _HIGHEST)
    gram, right = np.zeros((6, 6)), np.zeros(6)
    for _ in range(_STEPS):
        nearby = np.concatenate((trial[None, :], trial + 1e-4 * np.eye(4)))
        shapes = swing_columns(nearby, seconds)
        gram2, right2 = fit.normal_equations(fit.whiten(shapes[0]))
        trial_pair, trial_energy = solve_fit(gram2, right2)
        if trial_energy > energy:
            gained = trial_energy - energy
            energy, pair, best = trial_energy, trial_pair, trial
            if gained < 1e-4 * energy:
                break
            slopes = np.tensordot(pair, (shapes[1:] - shapes[0]) / 1e-4, axes=(0, 1))
            gram, right = fit.normal_equations(fit.whiten(np.concatenate((shapes[0], slopes))))
            damping = max(damping * 0.2, 1e-6)
        else:
            damping *= 6.0
            if damping > 1e4:
                break
        system = gram.copy()
        system[2:, 2:] += damping * np.diag(np.diag(gram)[2:]) + 1e-9 * energy * np.eye(4)
        step, _ = solve_fit(system, right)
        trial = np.clip(best + np.clip(step[2:], -0.5, 0.5), _LOWEST, _HIGHEST)
    if energy <= 0.0 or not np.isfinite(pair).all():
        return None
    evidence, unrest = fit.judge(energy, 6)
    return FittedThump(
        swing=Swing.from_vector(best),
        amplitudes=(float(pair[0]), float(pair[1])),
        evidence=evidence,
        unrest=unrest,
    )
