"""What a detector hears before the first frame and behind the last: as if the sound went on.

Silence there would be the border of a cliff, and hide whatever lies near it. The sound is foretold
by linear prediction, so that nothing stands out at the border, and fades into its own mirror image,
which is as loud and as dense as the sound itself. Where the first or the last frame is silent (a
fade, or digital silence), so is what lies beyond.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from declick.clicks import FloatArray
from declick.detect.places import finest_step
from declick.detect.survey import Geometry
from declick.dsp.whitening import prediction_error_filter

# What is foretold gives way to the mirror image within so many cells (3 ms).
FADE_CELLS: Final = 4
# Finer steps than of 24 bits are none of a file's.
LEAST_STEP: Final = 2.0**-24


def continued(samples: FloatArray, start: int, frames: int, geometry: Geometry) -> FloatArray:
    """Return a tile with its context, continued beyond the ends of the recording.

    Parameters
    ----------
    samples : ndarray, shape (frames of the tile and its context, channels)
    start : int
        Frame of the recording that the first row stands for.
    frames : int
        Length of the recording.
    geometry : Geometry
        It is continued by ``geometry.context`` frames; there is silence beyond.
    """
    low, high = (min(max(edge - start, 0), len(samples)) for edge in (0, frames))
    before, after = (min(count, geometry.context) for count in (low, len(samples) - high))
    if low >= high or not (before or after):
        return samples
    inside, result = samples[low:high], np.zeros_like(samples)
    result[low:high] = inside
    result[low - before : low] = _beyond(inside[::-1], before, geometry)[::-1]
    result[high : high + after] = _beyond(inside, after, geometry)
    return result


def _beyond(inside: FloatArray, count: int, geometry: Geometry) -> FloatArray:
    """Return what follows the last frame, shape (count, channels)."""
    if not inside[-1].any():
        return np.zeros((count, inside.shape[1]))
    beyond = np.pad(inside, ((0, count), (0, 0)), mode="reflect")[len(inside) :]
    near = inside[-geometry.hop :]
    length = min(FADE_CELLS * geometry.cell, count)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / (length + 1))
    for channel in range(inside.shape[1]):
        foretold = _foretold(near[:, channel], length, geometry.order)
        if foretold is not None:
            row, last = beyond[:length, channel], near[-1, channel]
            row += fade * (foretold - row)
            step = finest_step(near[:, channel])
            if LEAST_STEP < step < np.inf:
                # In the file's own steps, which tell what is too low to be told from rounding.
                row[:] = last + step * np.round((row - last) / step)
    return beyond


def _foretold(near: FloatArray, length: int, order: int) -> FloatArray | None:
    """Return what linear prediction expects to follow; None where it cannot tell."""
    height = np.abs(near).max()
    if not height > 0.0:
        return None
    predictor = -prediction_error_filter([near / height], order)[:0:-1]
    reach = len(predictor)
    if not reach:
        return None
    row = np.concatenate([near[-reach:], np.zeros(length)])
    for frame in range(length):
        row[reach + frame] = predictor @ row[frame : frame + reach]
    return row[reach:]
