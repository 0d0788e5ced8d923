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

LOWEST_HZ = 1000.0
HIGHEST_SHARE = 0.46  # of the sample rate
SHORTEST_S, LONGEST_S = 0.0001, 0.04
_SEARCH_S = (0.00025, 0.0007, 0.002, 0.006, 0.015)
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


def _columns(log_pole: complex, onset: int, frames: int, slopes: bool) -> FloatArray:
    """Return the ring's two quadratures, and how they change with the pole."""
    steps = np.arange(frames - onset)
    wave = np.exp(log_pole * steps)
    rows = np.zeros((4 if slopes else 2, frames))
    rows[0, onset:], rows[1, onset:] = wave.real, -wave.imag
    if slopes:
        slope = steps * wave
        rows[2, onset:], rows[3, onset:] = slope.real, -slope.imag
    return rows


def search_rings(
    fit: WhitenedFit, onset: int, *, sample_rate: float, count: int = 2
) -> list[tuple[Ring, float]]:
    """Find the rings that explain most of the whitened sound from `onset` on.

    A matched filter for every frequency and a few decays.

    Returns
    -------
    list of (Ring, float)
        The best `count`, at most one per decay, with the energy that each may explain.
    """
    matched = fit.matched()[onset:]
    size = next_fast_len(2 * max(matched.size, fit.order + 1), real=True)
    lags = fit.filter_lags(size // 2)
    hertz = np.arange(size // 2 + 1) * (sample_rate / size)
    allowed = (hertz >= LOWEST_HZ) & (hertz <= HIGHEST_SHARE * sample_rate)
    found = []
    for decay in _SEARCH_S:
        rate = 1.0 / (decay * sample_rate)
        product = rfft(matched * np.exp(-rate * np.arange(matched.size)), size)
        damped = lags * np.exp(-rate * np.arange(lags.size))
        damped[0] *= 0.5
        energy = 2.0 * rfft(damped, size).real / -math.expm1(-2.0 * rate)
        explained = np.where(allowed, 2.0 * np.abs(product) ** 2 / np.maximum(energy, 1e-300), 0.0)
        best = int(np.argmax(explained))
        if explained[best] > 0.0:
            ring = Ring(frequency_hz=float(hertz[best]), decay_s=decay)
            found.append((ring, float(explained[best])))
    return sorted(found, key=lambda item: -item[1])[:count]


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
        gram, right = fit.normal_equations(_columns(pole, onset, fit.frames, slopes=True))
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
