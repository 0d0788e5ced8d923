"""Find every shock in a stretch of silent groove, where there is no music to mistake for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.signal import butter, sosfilt, sosfiltfilt
from scipy.stats import chi2

from declick.clicks import FloatArray
from declick.dsp.linear_prediction import prediction_filter

ORDER_S = 0.75e-3
WINDOW_S = 0.006
QUANTILE = 0.3
SCALE_S = 0.1
SMOOTHED = 5
LENGTHS_S = (0.0, 0.1e-3, 0.4e-3, 1.5e-3)
LOW_RATE_HZ, PUSH_HZ = 5512.0, 150.0
LOW_ORDER_S, LOW_WINDOW_S = 2e-3, 0.05
LOW_LENGTHS_S = (0.0, 0.4e-3, 1.5e-3)
SLOW_RATE_HZ, SLOW_HZ, SLOW_AFTER_S = 1500.0, 300.0, 15e-3
SLOW_ORDER_S, SLOW_WINDOW_S = 0.02, 0.25
SHORT = 2  # of the windows say where a shock begins and ends
# What is so unlikely in Gaussian noise begins a shock; groove noise has longer tails than that.
BEGINS, GOES_ON = 1e-10, 1e-3
LEAST_PEAK = 5.0
JOINED_S = 0.5e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Shocks:
    """Shocks in a stretch, ascending, and the noise in which they were found.

    Parameters
    ----------
    starts, stops : ndarray of int, shape (shocks,)
        Half-open frames, of all channels together.
    peaks : ndarray, shape (shocks,)
        Of the whitened sound, over the robust scale of the noise.
    slow : ndarray, shape (shocks,)
        The same below 300 Hz, at the shock and shortly after it.
    filters : ndarray, shape (channels, order + 1)
        Whitening filter of each channel's noise.
    scale : ndarray, shape (frames, channels)
        Robust rms of the whitened noise.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    peaks: FloatArray
    slow: FloatArray
    filters: FloatArray
    scale: FloatArray

    def density(self, frame: int, *, size: int = 512) -> FloatArray:
        """Return the power of the noise at a frame, as the variance of white noise as strong.

        Returns
        -------
        ndarray, shape (size // 2 + 1, channels)
            From 0 Hz to half the sample rate.
        """
        answer = np.abs(fft.rfft(self.filters, size, axis=1)) ** 2
        noise: FloatArray = (self.scale[frame][:, None] ** 2 / np.maximum(answer, 1e-30)).T
        return noise


def whitening_filter(
    samples: FloatArray, sample_rate: float, *, order_s: float = ORDER_S, window_s: float = WINDOW_S
) -> FloatArray:
    """Return the prediction error filter of noise among clicks.

    The power in each bin is taken from a low quantile over many short windows, which clicks in
    most of them do not move.
    """
    size = fft.next_fast_len(max(64, round(window_s * sample_rate)), real=True)
    order = max(8, round(order_s * sample_rate))
    if samples.size < 2 * size:
        return np.append(1.0, np.zeros(order))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    window = np.hanning(size + 2)[1:-1]
    power = np.abs(fft.rfft(frames * window, axis=1)) ** 2
    floor = np.quantile(power, QUANTILE, axis=0) / -np.log(1.0 - QUANTILE)
    correlation = fft.irfft(floor, size)[: order + 1]
    # White noise at -90 dB would hide the treble of a rumbling groove.
    return prediction_filter(correlation, regularisation=1e-12)[0]


def robust_scale(samples: FloatArray, sample_rate: float) -> FloatArray:
    """Return the local rms of noise among clicks, shape of `samples`, always above 0."""
    window = max(16, round(SCALE_S * sample_rate))
    frames, channels = samples.shape
    count = max(1, frames // window)
    edges = np.linspace(0, frames, count + 1).astype(int)
    levels = np.array(
        [1.4826 * np.median(np.abs(samples[low:high]), axis=0) for low, high in pairwise(edges)]
    )
    levels = median_filter(levels, size=(SMOOTHED, 1), mode="nearest")
    floor = np.maximum(np.median(levels, axis=0), 1e-12) * 0.1
    centres = 0.5 * (edges[:-1] + edges[1:])
    return np.stack(
        [
            np.interp(np.arange(frames), centres, np.maximum(levels[:, k], floor[k]))
            for k in range(channels)
        ],
        axis=1,
    )


def find_shocks(samples: FloatArray, sample_rate: float) -> Shocks:
    """Find every shock in a stretch without music.

    The noise is whitened, and its energy over short windows and all channels is compared with
    that of Gaussian noise of the same robust level; once as it is, and once at an eighth of the
    sample rate, since a long smooth push leaves nothing but its two ends in the treble.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
    sample_rate : float
        In Hz.
    """
    frames, channels = samples.shape
    treble = _measure(samples, sample_rate, LENGTHS_S, ORDER_S, WINDOW_S)
    begins, goes_on, height = treble.begins, treble.goes_on, treble.height
    step = max(1, round(sample_rate / LOW_RATE_HZ))
    if step > 1 and frames >= 64 * step:
        # What swings more slowly is a thump: no push, but what follows one.
        pushes = sosfilt(
            butter(1, PUSH_HZ, "highpass", fs=sample_rate, output="sos"), samples, axis=0
        )
        slow = pushes[: frames // step * step].reshape(-1, step, channels).mean(axis=1)
        bass = _measure(slow, sample_rate / step, LOW_LENGTHS_S, LOW_ORDER_S, LOW_WINDOW_S)
        reach = len(slow) * step
        begins[:reach] |= np.repeat(bass.begins, step)
        goes_on[:reach] |= np.repeat(bass.goes_on, step)
        height[:reach] = np.maximum(height[:reach], np.repeat(bass.height, step))
    starts, stops = _runs(goes_on, round(JOINED_S * sample_rate))
    counts = np.concatenate(([0], np.cumsum(begins)))
    seeded = counts[stops] > counts[starts]
    starts, stops = starts[seeded], stops[seeded]
    peaks = np.array([height[a:b].max() for a, b in zip(starts, stops, strict=True)])
    tall = peaks >= LEAST_PEAK if peaks.size else np.zeros(0, bool)
    starts, stops = starts[tall], stops[tall]
    return Shocks(
        starts=starts,
        stops=stops,
        peaks=peaks[tall],
        slow=_slow_heights(samples, starts, stops, sample_rate),
        filters=treble.filters,
        scale=treble.scale,
    )


def _slow_heights(
    samples: FloatArray,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    sample_rate: float,
) -> FloatArray:
    """Return how far each shock stands out of the rumble."""
    step = max(1, round(sample_rate / SLOW_RATE_HZ))
    if len(samples) < 64 * step or not starts.size:
        return np.zeros(starts.size)
    low = sosfiltfilt(butter(4, SLOW_HZ, fs=sample_rate, output="sos"), samples, axis=0)[::step]
    height = _measure(low, sample_rate / step, (0.0,), SLOW_ORDER_S, SLOW_WINDOW_S).height
    after = round(SLOW_AFTER_S * sample_rate)
    return np.array(
        [
            height[max(0, a // step - 2) : (b + after) // step + 1].max(initial=0.0)
            for a, b in zip(starts, stops, strict=True)
        ]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measured:
    """Where the whitened sound is above its noise, and how far."""

    begins: NDArray[np.bool_]
    goes_on: NDArray[np.bool_]
    height: FloatArray
    filters: FloatArray
    scale: FloatArray


def _measure(
    samples: FloatArray,
    sample_rate: float,
    lengths_s: Sequence[float],
    order_s: float,
    window_s: float,
) -> _Measured:
    frames, channels = samples.shape
    filters = np.stack(
        [
            whitening_filter(samples[:, k], sample_rate, order_s=order_s, window_s=window_s)
            for k in range(channels)
        ]
    )
    white = np.stack(
        [np.convolve(samples[:, k], filters[k])[:frames] for k in range(channels)], axis=1
    )
    # The filter starts from nothing: its first answers are no shocks.
    white[: filters.shape[1]] = 0.0
    scale = robust_scale(white, sample_rate)
    white /= scale
    energy = np.sum(white**2, axis=1)
    begins, goes_on = np.zeros(frames, bool), np.zeros(frames, bool)
    for number, length_s in enumerate(lengths_s):
        length = max(1, round(length_s * sample_rate))
        total = uniform_filter1d(energy, length, mode="constant") * length
        begins |= total > chi2.isf(BEGINS, length * channels)
        # A long window sees a shock before it begins: only short ones say where it does.
        if number < SHORT:
            goes_on |= total > chi2.isf(GOES_ON, length * channels)
    height = np.max(np.abs(white), axis=1)
    return _Measured(begins=begins, goes_on=goes_on, height=height, filters=filters, scale=scale)


def _runs(marked: NDArray[np.bool_], gap: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs of marked frames, joined across gaps of up to `gap`."""
    steps = np.diff(marked.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if not starts.size:
        return starts, stops
    apart = starts[1:] - stops[:-1] > gap
    return starts[np.append(True, apart)], stops[np.append(apart, True)]
