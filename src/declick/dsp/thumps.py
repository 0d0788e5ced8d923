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
from scipy.fft import rfft

from declick.dsp.whitening import FloatArray, WhitenedFit, solve_fit

LOW_RATE_HZ = 1500.0
_PASS_HZ, _STOP_HZ = 300.0, 1200.0
_FEW_STEPS, _STEPS = 4, 10
_STARTS = 3
_BENDS = 2
_BEND_SHARE = 0.3


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
# How far the numbers of a swing may lie, as a ratio, from those of one known to be alike.
_NEAR = math.log(1.25)


@dataclass(frozen=True, kw_only=True)
class FittedThump:
    """A thump with its amplitudes, its evidence and unrest (see `FittedRing`).

    `amplitudes` are those of `bent_columns`.
    """

    swing: Swing
    amplitudes: FloatArray
    evidence: float
    unrest: float = 1.0

    def samples(self, seconds: FloatArray) -> FloatArray:
        """Return the thump at times from the onset."""
        wave: FloatArray = self.amplitudes @ bent_columns(self.swing, seconds)
        return wave


def bent_columns(swing: Swing, seconds: FloatArray) -> FloatArray:
    """Return a swing's quadratures times powers of time: no arm follows the formula exactly."""
    rows = swing_columns(swing.as_vector()[None, :], seconds)[0]
    time = np.maximum(seconds, 0.0) / swing.decay_s
    return np.concatenate([rows * time**power for power in range(_BENDS + 1)])


def swing_columns(vectors: FloatArray, seconds: FloatArray) -> FloatArray:
    """Return both quadratures of each swing, shape ``(swings, 2, times)``, zero before 0 s."""
    decay, first, last, fall = np.exp(vectors.T)[:, :, None]
    time = np.maximum(seconds, 0.0)
    phase = (-2.0 * math.pi * (first - last) * fall) * np.expm1(time * (-1.0 / fall))
    phase += (2.0 * math.pi * last) * time
    level = np.exp(time * (-1.0 / decay))
    level *= seconds >= 0.0
    columns = np.empty((len(vectors), 2, seconds.size))
    np.multiply(level, np.cos(phase), out=columns[:, 0])
    np.multiply(level, np.sin(phase), out=columns[:, 1])
    return columns


def swing_slopes(
    vector: FloatArray, pair: FloatArray, columns: FloatArray, time: FloatArray
) -> FloatArray:
    """Return how a swing with the amplitudes `pair` changes with each entry of its vector.

    Parameters
    ----------
    vector : ndarray, shape (4,)
    pair : ndarray, shape (2,)
    columns : ndarray, shape (2, times)
        The swing's quadratures, from `swing_columns`.
    time : ndarray, shape (times,)
        In s from the onset; 0 before it.

    Returns
    -------
    ndarray, shape (4, times)
    """
    decay, first, last, fall = np.exp(vector)
    gone = np.expm1(time * (-1.0 / fall))
    sunk = fall * gone
    slopes = np.empty((4, time.size))
    turned = (2.0 * math.pi * pair[1]) * columns[0] - (2.0 * math.pi * pair[0]) * columns[1]
    np.multiply(pair @ columns, time * (1.0 / decay), out=slopes[0])
    np.multiply(turned, -first * sunk, out=slopes[1])
    np.multiply(turned, last * (time + sunk), out=slopes[2])
    np.multiply(turned, (last - first) * (sunk + time * (gone + 1.0)), out=slopes[3])
    return slopes


# Where the search starts. A frequency, or its fall, that is further off turns the phase by half a
# cycle before the swing has died away: then the fit ends in another minimum, far from this one.
_DECAYS_S, _LAST_HZ = (0.04,), (7.0, 18.0)
_FIRST_HZ, _FALLS_S = np.geomspace(42.0, 180.0, 9), np.geomspace(0.02, 0.16, 8)


@lru_cache(maxsize=1)
def _grid() -> FloatArray:
    """Return starting points for the search."""
    return np.array(
        [
            Swing(decay_s=decay, first_hz=first, last_hz=last, fall_s=fall).as_vector()
            for decay, first, last, fall in product(_DECAYS_S, _FIRST_HZ, _LAST_HZ, _FALLS_S)
        ]
    )


# Length of their columns at the low rate, long enough for all of them to die away.
_GRID_FRAMES = 1024
# A swing that the lost samples nearly explain explains no more than its energy, less this share.
_GRID_RIDGE = 0.01


@lru_cache(maxsize=4)
def _grid_columns(low_rate: float) -> tuple[FloatArray, FloatArray]:
    """Return `swing_columns` of the starting points, and the products of their spectra.

    Returns
    -------
    columns : ndarray, shape (swings, 2, _GRID_FRAMES)
    products : ndarray, shape (4 * swings, _GRID_FRAMES // 2 + 1)
        Multiplied by the power response of a filter, the Gram matrices of the filtered columns.
    """
    columns = swing_columns(_grid(), np.arange(_GRID_FRAMES) / low_rate)
    spectra = rfft(columns)
    double = np.full(spectra.shape[-1], 2.0 / _GRID_FRAMES)
    double[0] = double[-1] = 1.0 / _GRID_FRAMES
    products = (spectra[:, :, None] * spectra[:, None].conj()).real * double
    return columns, products.reshape(-1, double.size)


def _try_grid(fit: WhitenedFit, onset: int, low_rate: float) -> tuple[FloatArray, FloatArray]:
    """Return what each starting point explains, and its amplitudes.

    The end of the stretch, where the swings have nearly died away, is let alone: so none of them
    need be whitened.
    """
    columns, products = _grid_columns(low_rate)
    response = np.abs(rfft(fit.error_filter, _GRID_FRAMES)) ** 2
    gram = (products @ response).reshape(-1, 2, 2)
    gram[:, (0, 1), (0, 1)] *= 1.0 + _GRID_RIDGE
    matched = fit.matched()[onset:]
    right = columns[:, :, : matched.size] @ matched
    if fit.lost.size:
        hidden = fit.hide(columns.reshape(-1, _GRID_FRAMES), onset).reshape(-1, 2, fit.lost.size)
        gram -= hidden @ hidden.transpose(0, 2, 1)
    gram += 1e-300 * np.eye(2)
    pairs = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
    return np.sum(right * pairs, axis=1), pairs


# Refining seldom more than doubles what the best start explains ...
_HOPELESS = 0.35
# ... or makes the energy of its samples more than a few times larger.
_QUIET = 0.15


@lru_cache(maxsize=16)
def low_pass(sample_rate: float) -> tuple[int, FloatArray]:
    """Return how many samples make one at the low rate, and the filter before the thinning."""
    factor = max(1, round(sample_rate / LOW_RATE_HZ))
    width = (_STOP_HZ - _PASS_HZ) / sample_rate
    if factor == 1:
        return 1, np.ones(1)
    half = math.ceil(52.0 / (2.285 * 2.0 * math.pi * width) / 2.0)
    cutoff = (_STOP_HZ + _PASS_HZ) / sample_rate
    taps = np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, 5.65)
    return factor, taps / taps.sum()


def fit_thump(
    fit: WhitenedFit,
    onset: int,
    low_rate: float,
    guess: Swing | None = None,
    *,
    near: bool = False,
    least: float = 0.0,
    least_energy: float = 0.0,
) -> FittedThump | None:
    """Fit a thump to a stretch of sound at the low rate.

    Parameters
    ----------
    fit : WhitenedFit
        Without weights, unless there is a `guess`.
    onset : int
        First sample of the tail within the fit.
    low_rate : float
        In Hz.
    guess : Swing, optional
        Where to start; searched for otherwise.
    near : bool
        Whether the swing is known to be about as guessed.
    least : float
        Evidence that is asked for: where the best start is far from it, nothing is refined.
    least_energy : float
        Likewise the energy of the thump's samples.

    Returns
    -------
    FittedThump or None
    """
    seconds = (np.arange(fit.frames) - onset) / low_rate
    bounds = _LOWEST, _HIGHEST
    if guess is not None:
        vector = guess.as_vector()
        if near:
            bounds = np.maximum(_LOWEST, vector - _NEAR), np.minimum(_HIGHEST, vector + _NEAR)
            white = fit.whiten(swing_columns(vector[None, :], seconds)[0])
            _, best = solve_fit(*fit.normal_equations(white))
            if not _hopeful(fit, best, least):
                return None
    else:
        energies, pairs = _try_grid(fit, onset, low_rate)
        if not _hopeful(fit, float(energies.max()), least):
            return None
        chosen = np.argsort(-energies)[:_STARTS]
        columns = _grid_columns(low_rate)[0][chosen, :, : fit.frames - onset]
        waves = np.einsum("ij,ijk->ik", pairs[chosen], columns)
        if np.square(waves).sum(axis=1).max() < _QUIET * least_energy:
            return None
        tried = [_refine(fit, seconds, _grid()[index], _FEW_STEPS) for index in chosen]
        vector, _ = max(tried, key=lambda item: item[1])
    vector, energy = _refine(fit, seconds, vector, _STEPS, bounds)
    return _bend(fit, seconds, vector, energy) if energy > 0.0 else None


def _hopeful(fit: WhitenedFit, energy: float, least: float) -> bool:
    """Return whether a start that explains an energy may be refined to the evidence asked for."""
    variance = max(fit.sound_energy - energy, 0.0) / max(fit.frames - fit.lost.size, 1)
    return energy >= _HOPELESS * least * variance


def _refine(
    fit: WhitenedFit,
    seconds: FloatArray,
    vector: FloatArray,
    steps: int,
    bounds: tuple[FloatArray, FloatArray] = (_LOWEST, _HIGHEST),
) -> tuple[FloatArray, float]:
    """Levenberg-Marquardt over the swing, the amplitudes solved for at every step."""
    damping = 1e-2
    energy, best = 0.0, vector
    trial = _bounded(vector, bounds)
    time = np.maximum(seconds, 0.0)
    gram, right = np.zeros((6, 6)), np.zeros(6)
    for _ in range(steps):
        columns = swing_columns(trial[None, :], seconds)[0]
        white = fit.whiten(columns)
        gram2, right2 = fit.normal_equations(white)
        pair, trial_energy = solve_fit(gram2, right2)
        if trial_energy > energy:
            gained = trial_energy - energy
            energy, best = trial_energy, trial
            if gained < 1e-4 * energy:
                break
            slopes = fit.whiten(swing_slopes(trial, pair, columns, time))
            gram, right = fit.normal_equations(np.concatenate((white, slopes)))
            damping = max(damping * 0.2, 1e-6)
        else:
            damping *= 6.0
            if damping > 1e4:
                break
        system = gram.copy()
        corner = system.reshape(-1)[14::7]  # the diagonal, from the third row on
        corner += damping * corner + 1e-9 * energy
        step, _ = solve_fit(system, right)
        trial = _bounded(best + np.minimum(np.maximum(step[2:], -0.5), 0.5), bounds)
    return best, energy


def _bounded(vector: FloatArray, bounds: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the nearest swing within bounds."""
    return np.minimum(np.maximum(vector, bounds[0]), bounds[1])


def _bend(fit: WhitenedFit, seconds: FloatArray, vector: FloatArray, energy: float) -> FittedThump:
    """Let the amplitudes of a fitted swing change slowly, as far as the sound asks for it."""
    swing = Swing.from_vector(vector)
    gram, right = fit.normal_equations(fit.whiten(bent_columns(swing, seconds)))
    pair, _ = solve_fit(gram[:2, :2], right[:2])
    spread = (_BEND_SHARE * math.hypot(*pair)) ** 2 + 1e-300
    variance = max(fit.sound_energy - energy, 0.0) / max(fit.frames - fit.lost.size - 6, 1)
    gram[2:, 2:] += variance / spread * np.eye(2 * _BENDS)
    amplitudes, energy = solve_fit(gram, right)
    evidence, unrest = fit.judge(energy, 6 + 2 * _BENDS)
    return FittedThump(swing=swing, amplitudes=amplitudes, evidence=evidence, unrest=unrest)
