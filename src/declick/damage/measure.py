"""Measure a clip of one click: its core, its balance, its spectrum, its ring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from declick.clicks import FloatArray
from declick.damage.bank import OCTAVES_HZ

CORE_SHARE = 0.25
CORE_OVER_NOISE = 3.0
CORE_JOINED_S = 0.2e-3
LOWEST_HZ, HIGHEST_SHARE = 1500.0, 0.45
DECAYS_S = (0.15e-3, 0.4e-3, 1e-3, 3e-3, 10e-3, 30e-3)
# Slow parts of a click behind its core: the time constants of the RIAA de-emphasis.
SLOW_S = (75e-6, 318e-6, 3180e-6)
FEWEST_CYCLES = 1.0
RING_EVIDENCE = 40.0
RING_SHARE = 0.5
RING_LEAST = 0.03
LONGEST_S = 0.06


@dataclass(frozen=True, kw_only=True)
class ClipRing:
    """A damped sinusoid in a clip.

    Parameters
    ----------
    frequency_hz, decay_s : float
    amplitudes : ndarray of complex, shape (channels,)
        ``Re(amplitude * exp((-1 / decay + 2j * pi * frequency) * t))``, t in s from `start`.
    start : int
        Frame of the clip.
    """

    frequency_hz: float
    decay_s: float
    amplitudes: np.ndarray[tuple[int], np.dtype[np.complex128]]
    start: int

    def samples(self, first: int, frames: int, sample_rate: float) -> FloatArray:
        """Return the ring in the frames from `first` on, shape (frames, channels)."""
        time = (np.arange(first, first + frames) - self.start) / sample_rate
        pole = complex(-1.0 / self.decay_s, 2.0 * math.pi * self.frequency_hz)
        wave = np.exp(pole * time)[:, None] * self.amplitudes
        return np.ascontiguousarray(wave.real)


def find_core(clip: FloatArray, noise: FloatArray, sample_rate: float) -> tuple[int, int]:
    """Return the core: where the clip exceeds a quarter of its peak, around the peak.

    Parameters
    ----------
    clip : ndarray, shape (frames, channels)
    noise : ndarray, shape (channels,)
        Rms of the noise that is still in it.
    sample_rate : float
        In Hz.
    """
    height = np.abs(clip)
    peak = float(height.max())
    loud = np.any(height >= np.maximum(CORE_SHARE * peak, CORE_OVER_NOISE * noise), axis=1)
    middle = int(np.argmax(height.max(axis=1)))
    loud[middle] = True
    places = np.flatnonzero(loud)
    joined = max(1, round(CORE_JOINED_S * sample_rate))
    far = np.flatnonzero(np.diff(places) > joined)
    index = int(np.searchsorted(places, middle))
    first = int(places[far[far < index][-1] + 1]) if (far < index).any() else int(places[0])
    last = int(places[far[far >= index][0]]) if (far >= index).any() else int(places[-1])
    return first, last + 1


def without_ring(
    clip: FloatArray, core: tuple[int, int], ring: ClipRing, sample_rate: float
) -> FloatArray:
    """Return a clip less its ring, which is there under the core, too, and lengthens it.

    Parameters
    ----------
    clip : ndarray, shape (frames, channels)
    core : tuple of int
        As `find_core` finds it: the ring begins at the peak.
    ring : ClipRing
    sample_rate : float
        In Hz.
    """
    first, last = core
    middle = first + int(np.argmax(np.max(np.abs(clip[first:last]), axis=1)))
    struck = clip.copy()
    struck[middle:] -= ring.samples(middle, len(clip) - middle, sample_rate)
    return struck


def find_balance(clip: FloatArray) -> tuple[float, float]:
    """Return how the main part of a clip is shared by its channels; the greater share is 1."""
    if clip.shape[1] == 1:
        return 1.0, 1.0
    _, vectors = np.linalg.eigh(clip.T @ clip)
    left, right = (float(value) for value in vectors[:, -1])
    greatest = left if abs(left) >= abs(right) else right
    return left / greatest, right / greatest


def octave_spectrum(clip: FloatArray, sample_rate: float) -> tuple[float, ...]:
    """Return the energy in each octave over the whole, in dB."""
    size = max(4096, len(clip))
    power = np.sum(np.abs(np.fft.rfft(clip, size, axis=0)) ** 2, axis=1)
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    total = float(power.sum()) + 1e-300
    levels = []
    for centre in OCTAVES_HZ:
        inside = (hertz >= centre / math.sqrt(2.0)) & (hertz < centre * math.sqrt(2.0))
        share = float(power[inside].sum()) / total
        levels.append(round(10.0 * math.log10(max(share, 10**-9.9)), 2))
    return tuple(levels)


def fit_clip_ring(
    clip: FloatArray, start: int, density: FloatArray, sample_rate: float
) -> ClipRing | None:
    """Fit one damped sinusoid, common to the channels, to the end of a clip.

    Beside it there may be a slow decay, which every pulse has after RIAA de-emphasis.

    Parameters
    ----------
    clip : ndarray, shape (frames, channels)
    start : int
        Where the ring is alone: the end of the core.
    density : ndarray, shape (bins, channels)
        Power of the noise, from 0 Hz to half the sample rate, as `Shocks.density` gives it.
    sample_rate : float
        In Hz.

    Returns
    -------
    ClipRing or None
        None unless one stands out clearly.
    """
    tail = clip[start : start + round(LONGEST_S * sample_rate)]
    if len(tail) < 24:
        return None
    time = np.arange(len(tail)) / sample_rate
    slow = np.exp(-time[:, None] / np.array(SLOW_S))
    basis, _ = np.linalg.qr(np.column_stack((np.ones_like(time), slow)))
    rest = tail - basis @ (basis.T @ tail)
    bins = np.linspace(0.0, 0.5 * sample_rate, len(density))
    guess = _guess(rest, density, time, sample_rate)
    if guess is None:
        return None
    # A hump of the noise is no ring: the yardstick is the noise at the frequency of the ring.
    rest = rest / np.array([np.sqrt(np.interp(guess[0], bins, column)) for column in density.T])
    whole = float(np.sum(rest**2))

    def columns(hertz: float, decay: float) -> FloatArray:
        wave = np.exp((-1.0 / decay + 2j * math.pi * hertz) * time)
        pair = np.column_stack((wave.real, -wave.imag))
        return np.asarray(pair - basis @ (basis.T @ pair))

    def misfit(vector: FloatArray) -> FloatArray:
        pair, _ = np.linalg.qr(columns(*np.exp(vector)))
        return np.asarray((rest - pair @ (pair.T @ rest)).ravel())

    low = np.log([LOWEST_HZ, 0.05e-3])
    high = np.log([HIGHEST_SHARE * sample_rate, LONGEST_S])
    vector = np.clip(np.log(guess), low + 1e-6, high - 1e-6)
    found = least_squares(misfit, vector, bounds=(low, high), x_scale=[0.02, 0.3], max_nfev=30)
    hertz, decay = (float(value) for value in np.exp(found.x))
    left = 2.0 * float(found.cost)
    freedom = max(1, rest.size - 2 - 2 * rest.shape[1])
    evidence = (whole - left) / max(left / freedom, 1.0)
    noise = sum(
        float(np.mean(column)) / float(np.interp(hertz, bins, column)) for column in density.T
    )
    pair = columns(hertz, decay)
    amplitudes = np.linalg.lstsq(pair, tail - basis @ (basis.T @ tail), rcond=None)[0]
    level = float(np.max(np.hypot(*amplitudes)))
    if (
        evidence < RING_EVIDENCE
        or whole - left < RING_SHARE * (whole - noise * len(tail))
        or hertz * decay < FEWEST_CYCLES
        or decay > 0.95 * LONGEST_S
        or level < RING_LEAST * float(np.max(np.abs(clip)))
    ):
        return None
    return ClipRing(
        frequency_hz=hertz,
        decay_s=decay,
        amplitudes=amplitudes[0] + 1j * amplitudes[1],
        start=start,
    )


def _guess(
    rest: FloatArray, density: FloatArray, time: FloatArray, sample_rate: float
) -> tuple[float, float] | None:
    """Return the frequency and decay whose matched filter answers most above the noise."""
    best, guess = 0.0, None
    bins = np.linspace(0.0, 0.5 * sample_rate, len(density))
    for decay in DECAYS_S:
        if decay > 2.0 * time[-1]:
            break
        reach = min(time.size, max(24, round(5.0 * decay * sample_rate)))
        level = np.exp(-time[:reach] / decay)
        size = 1 << max(9, (4 * reach - 1).bit_length())
        hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
        power = np.abs(np.fft.rfft(rest[:reach] * level[:, None], size, axis=0)) ** 2
        noise = np.stack([np.interp(hertz, bins, column) for column in density.T], axis=1)
        answer = np.sum(power / noise, axis=1) / (0.5 * np.sum(level**2))
        allowed = (hertz >= max(LOWEST_HZ, FEWEST_CYCLES / decay)) & (
            hertz <= HIGHEST_SHARE * sample_rate
        )
        answer[~allowed] = 0.0
        place = int(np.argmax(answer))
        # Refining a guess seldom doubles what it explains.
        if answer[place] > max(best, 0.4 * RING_EVIDENCE):
            best, guess = float(answer[place]), (float(hertz[place]), decay)
    return guess
