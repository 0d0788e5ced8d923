"""B on A's time line: band-limited resampling along a time map."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from declick.align.model import Alignment
from declick.clicks import FloatArray
from declick.read import Recording

# Zero crossings of the sinc on each side, and what its Kaiser window lets through: -100 dB.
LOBES: Final = 40
_KAISER: Final = 10.0
# Entries of the table for each zero crossing; a straight line between them is off by -140 dB.
_FINE: Final = 4096
# Frames done at a time, so that they stay in the cache. What comes of it does not depend on it.
_PIECE: Final = 1 << 13


@lru_cache(maxsize=1)
def _kernel() -> FloatArray:
    """Return one side of the windowed sinc, `_FINE` entries for each zero crossing."""
    x = np.arange(LOBES * _FINE + 2) / _FINE
    window = np.i0(_KAISER * np.sqrt(np.maximum(0.0, 1.0 - (x / LOBES) ** 2))) / np.i0(_KAISER)
    table: FloatArray = np.sinc(x) * np.where(x < LOBES, window, 0.0)
    return table


def sample_at(sound: FloatArray, positions: FloatArray, cutoff: FloatArray) -> FloatArray:
    """Read sound between its samples.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames, channels)
        Silent outside.
    positions : ndarray of float64, shape (n,)
        In frames of `sound`.
    cutoff : ndarray of float64, shape (n,)
        Of the low-pass at each position, 0..1, 1 being half the sample rate.

    Returns
    -------
    ndarray of float64, shape (n, channels)
        Each depends, to the bit, on its own position and cutoff alone.
    """
    result = np.zeros((len(positions), sound.shape[1]))
    if not len(positions):
        return result
    table = _kernel()
    reach = int(np.ceil(LOBES / float(cutoff.min()))) + 1
    padded = np.zeros((len(sound) + 2, sound.shape[1]))
    padded[1:-1] = sound
    columns = [np.ascontiguousarray(column) for column in padded.T]
    for start in range(0, len(positions), _PIECE):
        here = slice(start, start + _PIECE)
        base = np.floor(positions[here]).astype(np.int64)
        fraction, width = positions[here] - base, cutoff[here]
        for offset in range(-reach, reach + 1):
            # Off the table's end it is 0.
            place = np.minimum(np.abs(fraction - offset) * width, LOBES) * _FINE
            entry = place.astype(np.int64)
            low = table[entry]
            weight = (low + (place - entry) * (table[entry + 1] - low)) * width
            index = np.clip(base + (offset + 1), 0, len(padded) - 1)
            for channel, column in enumerate(columns):
                result[here, channel] += weight * column[index]
    return result


def resample_along(b: Recording, alignment: Alignment, start: int, stop: int) -> FloatArray:
    """Return B on A's time line.

    The same frame comes out the same to the bit, however the range is cut. Neither gain nor
    polarity is changed: divide by `Alignment.gain_at` for A's.

    Parameters
    ----------
    b : Recording
    alignment : Alignment
        From A to `b`.
    start, stop : int
        Frames of A.

    Returns
    -------
    ndarray of float64, shape (stop - start, channels of A)
        Column c is what belongs to channel c of A: swapped channels are put right, a mono B
        stands for each channel, and for a mono A the channels of B are averaged. Silent where B
        has nothing.
    """
    result = np.zeros((max(0, stop - start), alignment.channels))
    # In pieces, since what is read of B may be long where it was cut.
    for first in range(start, stop, _PIECE):
        last = min(first + _PIECE, stop)
        frames = np.arange(first, last, dtype=np.float64)
        positions, speed = alignment.where(frames), alignment.speed_at(frames)
        cutoff = 1.0 / np.clip(speed, 1.0, 16.0)
        order = np.argsort(positions, kind="stable")
        gaps = np.flatnonzero(np.diff(positions[order]) > 4 * LOBES) + 1
        for part in np.split(order, gaps):
            reach = int(np.ceil(LOBES / cutoff[part].min())) + 2
            low = int(np.floor(positions[part].min())) - reach
            high = int(np.floor(positions[part].max())) + reach + 1
            low, high = max(low, -reach), min(high, b.frames + reach)
            if low >= high:
                continue
            sound = channels_of(b.read(low, high), alignment.channels, alignment.swapped)
            result[first - start + part] = sample_at(sound, positions[part] - low, cutoff[part])
    return result


def channels_of(sound: FloatArray, channels: int, swapped: bool) -> FloatArray:
    """Give each channel of A the one of B that belongs to it."""
    if swapped:
        sound = sound[:, ::-1]
    if sound.shape[1] == channels:
        return sound
    if channels == 1:
        mean: FloatArray = sound.mean(axis=1, keepdims=True)
        return mean
    return sound[:, np.minimum(np.arange(channels), sound.shape[1] - 1)]
