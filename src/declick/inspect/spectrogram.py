"""Spectrograms and wave envelopes as arrays, ready to be drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from declick.clicks import FloatArray
from declick.inspect.figure import style

LEAST_RANGE_DB, RANGE_DB = 50.0, 85.0
HIGHEST_HZ = 22_050.0


def spectrogram_db(
    samples: FloatArray,
    sample_rate: int,
    *,
    window_ms: float,
    columns: int,
    span: tuple[int, int] | None = None,
) -> tuple[FloatArray, float]:
    """Return the power over frequency and time, and its highest frequency.

    Parameters
    ----------
    samples : ndarray, shape (frames,) or (frames, channels)
        Several channels are averaged as power, so that what is in anti-phase stays.
    sample_rate : int
    window_ms : float
        Length of the Hann window, ms; zeros are taken outside the samples.
    columns : int
        Columns of the result; each lies in the middle of its share of the time.
    span : tuple of int, optional
        Frames to show; the windows at its ends look beyond it. All by default.

    Returns
    -------
    power_db : ndarray, shape (frequencies, columns)
        0 dB is a full-scale sine.
    highest_hz : float
        The frequencies run evenly from 0 to it.
    """
    sound = samples[:, None] if samples.ndim == 1 else samples
    size = max(16, round(window_ms * 1e-3 * sample_rate))
    transform = 1 << (size - 1).bit_length() + 1
    window = np.hanning(size + 2)[1:-1]
    first, stop = span or (0, sound.shape[0])
    columns = max(1, min(columns, stop - first))
    starts = first + np.floor((np.arange(columns) + 0.5) * (stop - first) / columns).astype(int)
    last = min(transform // 2, math.floor(HIGHEST_HZ * transform / sample_rate))
    power = np.zeros((last + 1, columns))
    for channel in sound.T:
        padded = np.pad(channel, (size // 2, size))
        for chunk in np.array_split(np.arange(columns), math.ceil(columns / 256)):
            frames = sliding_window_view(padded, size)[starts[chunk]] * window
            spectrum = np.fft.rfft(frames, transform)[:, : last + 1]
            power[:, chunk] += np.abs(spectrum.T) ** 2
    power *= (2.0 / window.sum()) ** 2 / sound.shape[1]
    return 10.0 * np.log10(power + 1e-15), last * sample_rate / transform


def draw_spectrogram(
    axes: Any,
    power_db: FloatArray,
    highest_hz: float,
    span: tuple[float, float],
    scale_db: tuple[float, float],
) -> Any:
    """Draw `power_db` over ``span`` of the x axis; return the image for a colour bar."""
    half = highest_hz / (power_db.shape[0] - 1) / 2
    image = axes.imshow(
        power_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        interpolation="bilinear",
        vmin=scale_db[0],
        vmax=scale_db[1],
        extent=(*span, -half / 1e3, (highest_hz + half) / 1e3),
    )
    axes.set_ylim(0, highest_hz / 1e3)
    style(axes, grid=False)
    axes.set_ylabel("kHz", fontsize=9)
    return image


def common_scale(*powers_db: FloatArray) -> tuple[float, float]:
    """Return the ends of a colour scale (dB): just below and above nearly all of the sound."""
    low, high = np.percentile(np.concatenate([power.ravel() for power in powers_db]), (1, 99.9))
    top = 5.0 * math.ceil(float(high) / 5.0)
    bottom = 5.0 * math.floor(float(low) / 5.0)
    return min(max(bottom, top - RANGE_DB), top - LEAST_RANGE_DB), top


def envelope(samples: FloatArray, columns: int) -> tuple[FloatArray, FloatArray]:
    """Return the least and greatest sample of each of at most `columns` shares of the time."""
    columns = max(1, min(columns, samples.shape[0]))
    edges = np.arange(columns) * samples.shape[0] // columns
    return np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
