"""What a tile looks like through a short linear predictor: its errors, and their local scale.

Each channel, and L-R of a stereo record, is whitened by an autoregressive model that changes every
2048 frames (at 44.1 kHz). Both detectors see the sound through this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.whitening import whiten

IntArray = NDArray[np.intp]

# Amplitude below which nothing is told apart: dither and rounding of a 16-bit source.
FLOOR: Final = 2e-5


@dataclass(frozen=True)
class Geometry:
    """Lengths in frames for a sample rate; all on a grid that is anchored at frame 0."""

    sample_rate: float

    @cached_property
    def octave(self) -> float:
        """Power of two that follows the sample rate; 1 at 44.1 and 48 kHz."""
        return float(2.0 ** round(np.log2(self.sample_rate / 44100.0)))

    @property
    def hop(self) -> int:
        """Frames for which one predictor holds (46 ms)."""
        return max(256, int(2048 * self.octave))

    @property
    def order(self) -> int:
        """Order of the predictor."""
        return int(np.clip(round(32 * self.octave**0.5), 12, 72))

    @property
    def cell(self) -> int:
        """Frames of a cell of the local scale (0.73 ms)."""
        return max(4, int(32 * self.octave))

    @property
    def context(self) -> int:
        """Frames that the detector looks to each side of a tile."""
        return 3 * self.hop

    @property
    def tile(self) -> int:
        """Frames whose probability is computed at once."""
        return self.hop * max(16, int(32 / self.octave))


@dataclass(frozen=True)
class Surroundings:
    """The whitened view of a tile: per sample, and per cell of it.

    Rows of the cell arrays are the channels and, on a stereo record, L-R behind them. Of each hop
    there are `predictors`, the prediction error filters.
    """

    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    predictors: NDArray[np.float32]
    stress: NDArray[np.float32]
    peak: FloatArray
    typical: FloatArray
    before: FloatArray
    after: FloatArray
    power: NDArray[np.float32]
    signals: NDArray[np.float32]

    @cached_property
    def scale(self) -> FloatArray:
        """The larger of the scales before and after, so that an attack hides its own onset."""
        return np.maximum(self.before, self.after)


def survey(samples: NDArray[np.floating], geometry: Geometry) -> Surroundings:
    """Whiten a tile and measure the local scale around each cell.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
        `frames` a multiple of ``geometry.hop``.
    geometry : Geometry
    """
    frames, channels = samples.shape
    signals = np.empty((3 if channels == 2 else channels, frames), dtype=np.float32)
    signals[:channels] = samples.T
    if channels == 2:
        signals[2] = samples[:, 0] - samples[:, 1]
    forward, backward, predictors = whiten(
        signals, order=geometry.order, hop=geometry.hop, floor=FLOOR
    )
    stress = np.square(forward)
    stress += np.square(backward)
    stress *= np.float32(0.5)
    np.sqrt(stress, out=stress)
    cells = stress.reshape(len(signals), -1, geometry.cell)
    # The median of a Rayleigh-like magnitude, made comparable to an rms value; every other sample
    # tells as much, since their prediction errors are hardly related.
    typical = _medians(cells[..., ::2]).astype(np.float64) / 0.77 + FLOOR
    parts = signals.reshape(len(signals), -1, geometry.cell)
    power = np.einsum("ijk,ijk->ij", parts, parts) / geometry.cell
    return Surroundings(
        forward=forward,
        backward=backward,
        predictors=predictors,
        stress=stress,
        peak=_highest(cells).astype(np.float64),
        typical=typical,
        before=np.maximum(_running_mean(typical, -15, -1), FLOOR),
        after=np.maximum(_running_mean(typical, 2, 16), FLOOR),
        power=power,
        signals=signals,
    )


def _highest(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maximum over the last axis: for short rows, halving beats `numpy.max`."""
    while (size := cells.shape[-1]) > 1:
        cells = np.maximum(cells[..., : (size + 1) // 2], cells[..., size // 2 :])
    return cells[..., 0]


def _medians(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median over the last axis: for short rows, sorting beats `numpy.median`."""
    ordered = np.sort(cells, axis=-1)
    size = cells.shape[-1]
    middle = ordered[..., (size - 1) // 2] + ordered[..., size // 2]
    return np.asarray(middle * np.float32(0.5))


def _running_mean(values: FloatArray, low: int, high: int) -> FloatArray:
    """Return the mean of ``values[:, i + low : i + high]`` for every i; edges count as 0 beyond."""
    reach = max(abs(low), abs(high))
    padded = np.pad(values, ((0, 0), (reach, reach)))
    windows = sliding_window_view(padded, high - low, axis=1)[:, reach + low :]
    mean: FloatArray = windows.mean(axis=-1)[:, : values.shape[1]]
    return mean
