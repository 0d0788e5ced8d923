"""A ring: the damped sinusoid that a click leaves in a playback chain."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len, rfft

from declick.dsp.whitening import FloatArray, WhitenedFit, solve_fit

ComplexArray = NDArray[np.complex128]

LOWEST_HZ = 1500.0
HIGHEST_SHARE = 0.46  # of the sample rate
SHORTEST_S, LONGEST_S = 0.0001, 0.03
_SEARCH_S = (0.0003, 0.001, 0.0035, 0.012)
_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A damped sinusoid ``exp(-t / decay) * cos(2 pi f t + phase)``.

    Parameters
    ----------
    frequency_hz : float
    decay_s : float
        Time constant: the level falls by 8.7 dB in it.
    """

    frequency_hz: float
    decay_s: float

    def log_pole(self, sample_rate: float) -> complex:
        """Return what one sample adds to the logarithm of the ring."""
        return complex(-1.0 / self.decay_s, 2.0 * math.pi * self.frequency_hz) / sample_rate


@dataclass(frozen=True, kw_only=True)
class FittedRing:
    """A ring with its amplitude: ``Re(amplitude * exp(log_pole * n))``, n from the onset.

    `evidence` is the whitened energy that it explains over the variance of what is left: four
    for a ring fitted to white noise. `unrest` is that variance over the one before the click: an
    attack of the music makes it large.
    """

    ring: Ring
    amplitude: complex
    log_pole: complex
    evidence: float
    unrest: float = 1.0

    def samples(self, frames: int) -> FloatArray:
        """Return the first `frames` samples from the onset."""
        wave = self.amplitude * np.exp(self.log_pole * np.arange(frames))
        return np.ascontiguousarray(wave.real)


def _white_rows(
    fit: WhitenedFit, log_poles: list[complex], onset: int, *, slopes: bool = False
) -> FloatArray:
    """Return both quadratures of each ring, whitened; then their slopes with the pole."""
    white = fit.whiten_powers(np.array(log_poles), onset)[: 2 if slopes else 1]
    rows = np.stack((white.real, -white.imag), axis=2)
    return np.ascontiguousarray(rows.reshape(-1, fit.frames))


def search_rings(
    fit: WhitenedFit, onset: int, *, sample_rate: float, least: float = 0.0
) -> list[tuple[Ring, float]]:
    """Find the rings that explain most of the whitened sound from `onset` on.

    A matched filter for every frequency and a few decays proposes; the exact fit ranks.

    Returns
    -------
    list of (Ring, float)
        Those of at least the amplitude `least`, the best first, with the whitened energy that
        each explains.
    """
    matched = fit.matched()[onset:]
    size = next_fast_len(max(matched.size, 2 * (fit.order + 1)) * 5 // 4, real=True)
    lags = fit.filter_lags(size // 2)
    hertz = np.arange(size // 2 + 1) * (sample_rate / size)
    allowed = (hertz >= LOWEST_HZ) & (hertz <= HIGHEST_SHARE * sample_rate)
    proposed: list[Ring] = []
    for decay in _SEARCH_S:
        rate = 1.0 / (decay * sample_rate)
        power = np.abs(rfft(matched * np.exp(-rate * np.arange(matched.size)), size)) ** 2
        # The filter answers the sudden start of a ring with a burst. Lost samples before the
        # start explain that burst away, known ones do not: rank by the energy with it and without.
        damped = lags * np.exp(-rate * np.arange(lags.size))
        damped[0] *= 0.5
        ways = [(2.0 * rfft(damped, size).real, 1)]
        if rate * fit.order < 4.0:
            grown = fit.error_filter * np.exp(rate * np.arange(fit.order + 1))
            ways.append((np.abs(rfft(grown, size)) ** 2, 2))
        for energy, best_of in ways:
            ratio = np.where(allowed, power / np.maximum(energy, 1e-300), 0.0)
            for _ in range(best_of):
                best = int(np.argmax(ratio))
                if not ratio[best] > 0.0:
                    break
                proposed.append(Ring(frequency_hz=float(hertz[best]), decay_s=decay))
                width = max(2, math.ceil(0.5 / decay * size / sample_rate))
                ratio[max(0, best - width) : best + width + 1] = 0.0
    if not proposed:
        return []
    rows = _white_rows(fit, [ring.log_pole(sample_rate) for ring in proposed], onset)
    gram, right = fit.normal_equations(rows)
    found: list[tuple[Ring, float]] = []
    for index, ring in enumerate(proposed):
        pick = slice(2 * index, 2 * index + 2)
        pair, explained = solve_fit(gram[pick, pick], right[pick])
        if math.hypot(*pair) >= least:
            found.append((ring, explained))
    return sorted(found, key=lambda item: -item[1])


def fit_ring(
    fit: WhitenedFit, onset: int, guess: Ring, *, sample_rate: float, freedom: float = math.inf
) -> FittedRing | None:
    """Fit amplitude, phase, frequency and decay of one ring, starting from `guess`.

    Parameters
    ----------
    fit : WhitenedFit
    onset : int
        First frame of the tail within the fit.
    guess : Ring
    sample_rate : float
        In Hz.
    freedom : float
        How far the decay may move from the guess, as a factor, and the frequency, in units of
        the ring's bandwidth.

    Returns
    -------
    FittedRing or None
        None where nothing can be fitted.
    """
    start = guess.log_pole(sample_rate)
    pole = start
    low = max(-(sample_rate**-1) / SHORTEST_S, start.real * freedom)
    high = min(-(sample_rate**-1) / LONGEST_S, start.real / freedom)
    reach = max(-start.real * freedom, 2.0 * math.pi / fit.frames)
    bottom = max(2.0 * math.pi * LOWEST_HZ / sample_rate, start.imag - reach)
    top = min(2.0 * math.pi * HIGHEST_SHARE, start.imag + reach)

    def bounded(value: complex) -> complex:
        return complex(min(max(value.real, low), high), min(max(value.imag, bottom), top))

    pole = bounded(pole)
    best_amplitude, best_energy, best_pole = 0j, 0.0, pole
    step = 0j
    for _ in range(_STEPS):
        gram, right = fit.normal_equations(_white_rows(fit, [pole], onset, slopes=True))
        pair, energy = solve_fit(gram[:2, :2], right[:2])
        if energy > best_energy:
            gained = energy - best_energy
            best_amplitude, best_energy, best_pole = complex(*pair), energy, pole
            if gained < 1e-3 * energy:
                break
            scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
            four, _ = solve_fit(gram / np.outer(scale, scale), right / scale)
            four = four / scale
            level = complex(four[0], four[1])
            step = complex(four[2], four[3]) / level if abs(level) > 0.0 else 0j
            # Far from the optimum the linear step overshoots: hold it within the bandwidth.
            reach = 1.0 * max(-pole.real, 1.0 / fit.frames)
            step *= min(1.0, reach / max(abs(step), 1e-300))
        else:
            step *= 0.3
        pole = bounded(best_pole + step)
        if abs(step) < 1e-3 * max(-best_pole.real, 1.0 / fit.frames):
            break
    if best_energy <= 0.0 or not cmath.isfinite(best_amplitude):
        return None
    evidence, unrest = fit.judge(best_energy, 4)
    ring = Ring(
        frequency_hz=best_pole.imag * sample_rate / (2.0 * math.pi),
        decay_s=-1.0 / (best_pole.real * sample_rate),
    )
    return FittedRing(
        ring=ring,
        amplitude=best_amplitude,
        log_pole=best_pole,
        evidence=evidence,
        unrest=unrest,
    )
