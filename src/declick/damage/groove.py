"""Find the silent groove of a rip: lead-in, the gaps between tracks, run-out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter, minimum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from declick.clicks import FloatArray
from declick.read import Recording

CELL_S = 0.25
CELLS_PER_BLOCK = 120
CONTEXT_S = 0.1
WINDOW_S = 0.046
MIDDLE_HZ, BASS_HZ = (300.0, 6000.0), (80.0, 300.0)
TONES_HZ = (500.0, 6000.0)
AROUND_CELLS = 5
# A partial stands out of the smoothed spectrum of a second by this; hiss does so by 3 dB.
TONE_DB, TONE_SHARE = 6.0, 0.15
SMOOTH_HZ = 400.0
LOUDEST_DB, FAINTEST_DB = -30.0, -100.0
RESTLESS_DB = 5.0
# Less than this may be the needle going down.
MUSIC_SHARE = 0.25
BELOW_MUSIC_DB = 12.0
BASS_ABOVE_DB = 10.0
NEEDLE_UP_DB = 15.0
SHORTEST_S = 1.0

BoolArray = NDArray[np.bool_]
Progress = Callable[[float], None]


def find_groove(recording: Recording, *, progress: Progress | None = None) -> list[tuple[int, int]]:
    """Find the stretches of a rip in which the needle was in a groove without music.

    Such a stretch lasts a second or more, is quiet and steady between its clicks (medians over a
    quarter of a second), has no partials, is 12 dB below the music if there is any, and is no
    quieter than the rest of the silent groove (a needle that is up).

    Parameters
    ----------
    recording : Recording
        Read block by block.
    progress : callable, optional
        Gets the share that is done.

    Returns
    -------
    list of (start, stop)
        Half-open frames, ascending; empty where there is none.
    """
    cell = max(1, round(CELL_S * recording.sample_rate))
    count = recording.frames // cell
    if count < 2:
        return []
    levels, bass, loud, tonal = _measure(recording, cell, count, progress)
    wide = min(AROUND_CELLS, count)
    steady = (maximum_filter1d(levels, wide) - levels <= RESTLESS_DB) & (
        levels - minimum_filter1d(levels, wide) <= RESTLESS_DB
    )
    silent = steady & ~tonal & (levels <= LOUDEST_DB) & (levels >= FAINTEST_DB)
    if not silent.any():
        return []
    others = ~silent & (levels >= FAINTEST_DB)
    if np.count_nonzero(others) > MUSIC_SHARE * count:
        silent &= levels <= float(np.median(loud[others])) - BELOW_MUSIC_DB
    if silent.any():
        silent &= bass <= float(np.median(bass[silent])) + BASS_ABOVE_DB
    if silent.any():
        silent &= levels >= float(np.quantile(levels[silent], 0.9)) - NEEDLE_UP_DB
    return _stretches(silent, cell, recording)


def _stretches(silent: BoolArray, cell: int, recording: Recording) -> list[tuple[int, int]]:
    """Return the runs that are long enough, without the cell that may hold the music's end."""
    steps = np.diff(silent.astype(np.int8), prepend=0, append=0)
    found = []
    shortest = math.ceil(SHORTEST_S * recording.sample_rate / cell)
    for first, last in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        first += int(first > 0)
        at_end = last == silent.size
        last -= int(not at_end)
        if last - first >= shortest:
            found.append((int(first) * cell, recording.frames if at_end else int(last) * cell))
    return found


def _measure(
    recording: Recording, cell: int, count: int, progress: Progress | None
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return each cell's robust level, bass level and rms in dB, and where partials stand out."""
    rate = recording.sample_rate
    bands = [_band(*edges, rate) for edges in (MIDDLE_HZ, BASS_HZ)]
    levels, bass, loud = np.zeros(count), np.zeros(count), np.zeros(count)
    spectra: list[NDArray[np.float32]] = []
    context = round(CONTEXT_S * rate)
    for block in recording.blocks(CELLS_PER_BLOCK * cell, context):
        first = block.start // cell
        cells = min(block.core // cell, count - first)
        if cells < 1:
            break
        core = slice(context, context + cells * cell)
        span = slice(first, first + cells)
        for sos, result in zip(bands, (levels, bass), strict=True):
            banded = sosfiltfilt(sos, block.samples, axis=0)[core].reshape(cells, cell, -1)
            scale = 1.4826 * np.median(np.abs(banded), axis=1)
            result[span] = _decibels(np.mean(scale**2, axis=1))
            if result is levels:
                loud[span] = _decibels(np.mean(banded**2, axis=(1, 2)))
        sound = block.samples[core].reshape(cells, cell, -1)
        spectra += [_log_spectrum(samples, rate) for samples in sound]
        if progress is not None:
            progress((first + cells) / count)
    return levels, bass, loud, _partials(np.stack(spectra), rate)


def _decibels(power: FloatArray) -> FloatArray:
    return 10.0 * np.log10(np.maximum(power, 1e-20))


def _band(low: float, high: float, rate: int) -> FloatArray:
    sos: FloatArray = butter(2, (low, min(high, 0.45 * rate)), "bandpass", fs=rate, output="sos")
    return sos


def _log_spectrum(samples: FloatArray, rate: int) -> NDArray[np.float32]:
    """Return the mean logarithmic spectrum of a cell, dB, in the band that is looked at."""
    size = round(WINDOW_S * rate)
    starts = np.arange(0, max(1, len(samples) - size + 1), max(1, size // 2))
    window = np.hanning(size + 2)[1:-1, None]
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    inside = (hertz >= TONES_HZ[0] - SMOOTH_HZ / 2) & (hertz <= TONES_HZ[1] + SMOOTH_HZ / 2)
    total = np.zeros(np.count_nonzero(inside))
    for start in starts:
        piece = samples[start : start + size]
        spectrum = np.fft.rfft(piece * window[: len(piece)], size, axis=0)[inside]
        power = np.sum(spectrum.real**2 + spectrum.imag**2, axis=1)
        total += 10.0 * np.log10(np.maximum(power, 1e-20))
    return (total / len(starts)).astype(np.float32)


def _partials(spectra: NDArray[np.float32], rate: int) -> BoolArray:
    """Return the cells around which partials hold much of the energy."""
    size = round(WINDOW_S * rate)
    bins = max(3, round(SMOOTH_HZ * size / rate) | 1)
    edge = bins // 2
    tonal = np.zeros(len(spectra), dtype=bool)
    for start in range(0, len(spectra), 1024):
        low, high = max(0, start - 2), min(len(spectra), start + 1024 + 2)
        # A second around each cell; a single one shows too little.
        smooth = uniform_filter1d(spectra[low:high].astype(np.float64), 4, axis=0)
        smooth = smooth[start - low : start - low + 1024]
        floor = median_filter(smooth, size=(1, bins), mode="nearest")
        inner = slice(edge, max(edge + 1, smooth.shape[1] - edge))
        power = 10.0 ** (smooth[:, inner] / 10.0)
        stands = smooth[:, inner] - floor[:, inner] > TONE_DB
        share = np.sum(power * stands, axis=1) / np.maximum(np.sum(power, axis=1), 1e-300)
        tonal[start : start + 1024] = share > TONE_SHARE
    return tonal
