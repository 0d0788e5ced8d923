"""Cut a click out of groove noise: take away the rumble under it and the hiss behind it."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import lstsq

from declick.clicks import FloatArray
from declick.dsp.linear_prediction import autocorrelation, prediction_filter

LOW_RATE_HZ = 2756.0
BED_ORDER = 40
REGULARISATION = 1e-6
CONTEXT_S = 0.15
HISS_WINDOW_S = 1.5e-3
OVERSUBTRACTION = 3.0
BASS_HZ = 700.0


def bed_under(
    samples: FloatArray, low: int, high: int, sample_rate: float, *, lead: int = 0
) -> FloatArray:
    """Estimate the rumble under a click from the sound on both sides of it.

    The sound is thinned out by medians, which single ticks do not move, and interpolated over
    ``[low, high)`` by linear prediction.

    Parameters
    ----------
    samples : ndarray, shape (frames,)
        One channel.
    low, high : int
        Half-open frames.
    sample_rate : float
        In Hz.
    lead : int
        Frames before the click for which the rumble is wanted, too.

    Returns
    -------
    ndarray, shape (lead + high - low,)
    """
    step = max(1, round(sample_rate / LOW_RATE_HZ))
    gap = -(-(high - low) // step)
    context = round(CONTEXT_S * sample_rate / step)
    before = min(context, low // step)
    after = max(0, min(context, (samples.size - low) // step - gap))
    if before + after < 4:
        return np.zeros(lead + high - low)
    first = low - before * step
    blocks = samples[first : first + (before + gap + after) * step]
    coarse = np.zeros(before + gap + after)
    whole = blocks[: blocks.size // step * step].reshape(-1, step)
    coarse[: len(whole)] = np.median(whole, axis=1)
    _interpolate(coarse, before, gap)
    centres = first + (np.arange(coarse.size) + 0.5) * step - 0.5
    near = slice(max(0, before - 4 - lead // step), before + gap + 4)
    if coarse[near].size < 2:
        return np.full(lead + high - low, coarse[near].mean())
    line: FloatArray = CubicSpline(centres[near], coarse[near])(np.arange(low - lead, high))
    return line


def _interpolate(coarse: FloatArray, before: int, gap: int) -> None:
    """Fill ``coarse[before : before + gap]`` by linear prediction from both sides."""
    sides = [coarse[:before], coarse[before + gap :]]
    order = min(BED_ORDER, max(side.size for side in sides) // 3)
    ends = coarse[[before - 1 if before else before + gap]]
    if before and before + gap < coarse.size:
        ends = np.array([coarse[before - 1], coarse[before + gap]])
    if order < 2:
        coarse[before : before + gap] = np.linspace(ends[0], ends[-1], gap)
        return
    # By the autocorrelation method the model is a possible spectrum, and cannot explode.
    correlation = np.zeros(order + 1)
    for side in sides:
        correlation += autocorrelation(side * np.hanning(side.size + 2)[1:-1], order)
    error_filter = prediction_filter(correlation, regularisation=REGULARISATION)[0][::-1]
    low, high = max(0, before - order), min(coarse.size, before + gap + order)
    count = high - low - order
    matrix = np.zeros((count, high - low))
    for lag in range(order + 1):
        matrix[np.arange(count), np.arange(count) + lag] = error_filter[lag]
    inside = np.zeros(high - low, bool)
    inside[before - low : before + gap - low] = True
    right = -matrix[:, ~inside] @ coarse[low:high][~inside]
    coarse[before : before + gap] = lstsq(matrix[:, inside], right, check_finite=False)[0]


def without_hiss(
    clip: FloatArray,
    filters: FloatArray,
    scale: FloatArray,
    slack: FloatArray,
    sample_rate: float,
) -> tuple[FloatArray, FloatArray]:
    """Take out the hiss, and what the rumble may have left, by spectral subtraction.

    Parameters
    ----------
    clip : ndarray, shape (frames, channels)
    filters : ndarray, shape (channels, order + 1)
        Whitening filter of each channel's noise.
    scale : ndarray, shape (channels,)
        Rms of the whitened noise.
    slack : ndarray, shape (channels,)
        Rms error of the rumble that was taken away.
    sample_rate : float
        In Hz.

    Returns
    -------
    quiet, dry : ndarray, shape (frames, channels)
        The clip without both; the clip without rumble, but with its hiss.
    """
    hop = max(4, round(HISS_WINDOW_S * sample_rate / 4))
    size = 4 * hop
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    frames, channels = clip.shape
    count = -(-(frames + size) // hop)
    padded = np.zeros((count * hop + size, channels))
    padded[size : size + frames] = clip
    quiet, dry = np.zeros_like(padded), np.zeros_like(padded)
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    for channel in range(channels):
        answer = np.abs(np.fft.rfft(filters[channel], 8 * size)) ** 2
        noise = scale[channel] ** 2 / np.maximum(answer[::8], 1e-30)
        noise *= np.sum(window**2)
        bass = max(1, min(int(np.searchsorted(hertz, BASS_HZ)), noise.size - 1))
        noise[:bass] = noise[bass] + np.sum(window) ** 2 * slack[channel] ** 2
        for start in range(0, count * hop, hop):
            spectrum = np.fft.rfft(padded[start : start + size, channel] * window)
            power = np.abs(spectrum) ** 2
            # Neighbouring bins are judged together: single ones would twitter.
            smooth = np.convolve(power, [0.25, 0.5, 0.25], mode="same")
            smooth[:bass] = power[:bass]
            gain = np.maximum(0.0, 1.0 - OVERSUBTRACTION * noise / np.maximum(smooth, 1e-300))
            span = slice(start, start + size)
            quiet[span, channel] += np.fft.irfft(spectrum * gain, size) * window / 2.0
            gain[bass:] = 1.0
            dry[span, channel] += np.fft.irfft(spectrum * gain, size) * window / 2.0
    return quiet[size : size + frames], dry[size : size + frames]


def fade_ends(clip: FloatArray, rise: int, fall: int) -> FloatArray:
    """Return the clip with its first `rise` and last `fall` frames faded to zero."""
    frames = len(clip)
    level = np.ones(frames)
    rise, fall = min(rise, frames // 2), min(fall, frames // 2)
    if rise:
        level[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    if fall:
        level[frames - fall :] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 1) / fall)
    faded: FloatArray = clip * level[:, None]
    return faded
