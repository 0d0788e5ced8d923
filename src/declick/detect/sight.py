"""What the network sees a tile by: its whitened sound, and the instants that stand out of it.

An instant stands out of the prediction error of the sound, or of the sound at a quarter of its
rate, where long dull pushes stand out better. Everything here is a function of the tile alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import FEATURES, STEREO_FEATURES
from declick.detect.places import describe, side_score
from declick.detect.survey import FLOOR, Geometry, IntArray, Surroundings, survey

# The slow view: one sample for so many frames.
SLOW: Final = 4
# The coarse view: energies in bands, one column for so many frames.
COARSE_HOP: Final = 128
# Edges of its bands, in bins of a transform of 2 * COARSE_HOP frames.
BAND_EDGES: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 90, 129)
COARSE_ROWS: Final = len(BAND_EDGES) - 1 + 3
# An instant is looked at where the prediction error exceeds this many times its local scale,
# in one channel, or this many times if L-R exceeds the first.
STANDS_OUT: Final = 3.5
STANDS_OUT_WITH_SIDE: Final = 1.7
# Instants closer than this are one.
APART: Final = 40
FACTS: Final = 2 * len(FEATURES)
# Samples of the slow view that are made by one multiplication ...
_AT_ONCE = 16
# ... and columns of the coarse view: as many as fit into the processor's cache.
_COLUMNS = 128

Float32Array = NDArray[np.float32]


class SlowGeometry(Geometry):
    """Lengths in samples of the slow view; its cells are two cells of the fine one."""

    @property
    def hop(self) -> int:
        """Samples for which one predictor holds (46 ms)."""
        return 2048 // SLOW

    @property
    def order(self) -> int:
        """Order of the predictor."""
        return 32

    @property
    def cell(self) -> int:
        """Samples of a cell of the local scale (1.5 ms)."""
        return 16


class ViewGeometry(Geometry):
    """As `Geometry`, but with the context that the coarse view needs; for 40 to 54 kHz."""

    @property
    def context(self) -> int:
        """Frames to each side of a tile: half a second and what whitening needs."""
        return 14 * self.hop

    @property
    def tile(self) -> int:
        """Frames that are looked at together."""
        return 96 * self.hop


def is_native(sample_rate: float) -> bool:
    """Return whether the views are made for this sample rate as it is."""
    return 40_000.0 <= sample_rate <= 54_000.0


@dataclass(frozen=True, eq=False)
class Sight:
    """A tile as the network sees it, before instants are chosen.

    Parameters
    ----------
    geometry : Geometry
    samples : ndarray, shape (frames, 2)
        A mono recording shows its channel twice.
    mono : bool
    around, slow : Surroundings
        The whitened tile, at its rate and at a quarter of it.
    coarse : ndarray of float32, shape (COARSE_ROWS, columns)
        Rows of one channel or the mean of both: bands, and the peaks of L, R and L-R.
    """

    geometry: Geometry
    samples: FloatArray
    mono: bool
    around: Surroundings
    slow: Surroundings
    coarse: Float32Array


def see(samples: FloatArray, geometry: Geometry, heard: FloatArray | None = None) -> Sight:
    """Whiten a tile at both rates and measure its bands.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
        One or two channels; `frames` a multiple of ``geometry.hop``.
    geometry : Geometry
    heard : ndarray, optional
        The same with all its bass, for the bands: what begins with a kick drum is music. By
        default `samples`.
    """
    mono = samples.shape[1] == 1
    heard = samples if heard is None else heard
    both, whole = (np.repeat(x, 2, axis=1) if mono else x for x in (samples, heard))
    around = survey(both, geometry)
    slow = survey(_slower(both), SlowGeometry(geometry.sample_rate / SLOW))
    return Sight(geometry, both, mono, around, slow, _coarse(whole, around))


@cache
def _low_pass() -> Float32Array:
    """Return the matrix that makes `_AT_ONCE` samples of the slow view of those around them."""
    reach = 8 * SLOW
    time = np.arange(-reach, reach) + 0.5
    taps = np.sinc(0.9 * time / SLOW) * np.hanning(2 * reach + 2)[1:-1]
    matrix = np.zeros((2 * reach + SLOW * (_AT_ONCE - 1), _AT_ONCE), dtype=np.float32)
    for column in range(_AT_ONCE):
        matrix[SLOW * column : SLOW * column + 2 * reach, column] = taps / taps.sum()
    return matrix


def _slower(samples: FloatArray) -> Float32Array:
    """Return every `SLOW`-th sample behind a low pass, shape (frames // SLOW, channels)."""
    low_pass = _low_pass()
    step = SLOW * _AT_ONCE
    before = 8 * SLOW - SLOW // 2
    padded = np.zeros((samples.shape[1], len(samples) + len(low_pass)), dtype=np.float32)
    padded[:, before : before + len(samples)] = samples.T
    windows = sliding_window_view(padded, len(low_pass), axis=1)[:, ::step]
    windows = np.ascontiguousarray(windows[:, : len(samples) // step])
    return np.asarray((windows @ low_pass).reshape(samples.shape[1], -1).T)


def _coarse(samples: FloatArray, around: Surroundings) -> Float32Array:
    """Return energies of bands and peaks of the prediction error, in units of 20 dB."""
    hop, columns = COARSE_HOP, len(samples) // COARSE_HOP
    padded = np.zeros((samples.shape[1], len(samples) + 2 * hop), dtype=np.float32)
    padded[:, hop // 2 : hop // 2 + len(samples)] = samples.T
    windows = sliding_window_view(padded, 2 * hop, axis=1)[:, : columns * hop : hop]
    taper = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    bands = np.empty((columns, len(BAND_EDGES) - 1), dtype=np.float32)
    for first in range(0, columns, _COLUMNS):
        some = slice(first, first + _COLUMNS)
        spectrum = scipy.fft.rfft(windows[:, some] * taper, axis=-1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        bands[some] = np.add.reduceat(power.sum(axis=0), BAND_EDGES[:-1], axis=-1)
    peak = around.peak.reshape(len(around.peak), -1, hop // 32).max(axis=-1)
    rows = [0.5 * np.log10(bands.T / hop + 1e-9), np.log10(peak + FLOOR)]
    return np.concatenate(rows).astype(np.float32)


def find_instants(sight: Sight) -> tuple[IntArray, FloatArray]:
    """Return the frames that stand out, ascending, and how far they do.

    Returns
    -------
    frames : ndarray of int, shape (instants,)
    scores : ndarray, shape (instants,)
        Prediction error over its local scale.
    """
    cell = sight.geometry.cell
    frames, scores = _stand_out(sight.around, cell, 1)
    more, weights = _stand_out(sight.slow, SlowGeometry(1.0).cell, SLOW)
    frames, scores = np.concatenate([frames, more]), np.concatenate([scores, weights])
    order = np.argsort(frames, kind="stable")
    frames, scores = frames[order], scores[order]
    # Neighbours stand for one another: the one that stands out most remains.
    kept: list[int] = []
    for index, frame in enumerate(frames.tolist()):
        if kept and frame - frames[kept[-1]] < APART:
            if scores[index] > scores[kept[-1]]:
                kept[-1] = index
        else:
            kept.append(index)
    return frames[kept], scores[kept]


def _stand_out(around: Surroundings, cell: int, factor: int) -> tuple[IntArray, FloatArray]:
    """Return frame and score of the peaks of the prediction error that stand out."""
    score = around.peak / around.scale
    own = score[:2]
    side = side_score(score, 2)
    stands = (own > STANDS_OUT) | ((side > STANDS_OUT) & (own > STANDS_OUT_WITH_SIDE))
    padded = np.pad(around.peak[:2], ((0, 0), (1, 1)))
    summit = (around.peak[:2] >= padded[:, :-2]) & (around.peak[:2] > padded[:, 2:])
    channel, index = np.nonzero(stands & summit)
    stress = around.stress[:2].reshape(2, -1, cell)[channel, index]
    frame = (index * cell + stress.argmax(axis=1)) * factor + factor // 2
    return frame.astype(np.intp), np.maximum(own, side[None])[channel, index]


def standing_channels(sight: Sight, frames: IntArray) -> NDArray[np.bool_]:
    """Return out of which channels something stands at instants, shape (n, 2)."""
    around = sight.around
    cell = np.clip(frames // sight.geometry.cell, 1, around.peak.shape[1] - 2)
    near = cell[:, None] + np.arange(-1, 2)
    score = around.peak[:2, near] / around.scale[:2, near]
    return np.asarray(score.max(axis=-1).T > STANDS_OUT)


def describe_instants(sight: Sight, frames: IntArray) -> Float32Array:
    """Return the classical description of each instant on both channels, shape (n, FACTS)."""
    cell = np.clip(frames // sight.geometry.cell, 1, sight.around.peak.shape[1] - 2)
    channel = np.repeat(np.arange(2), len(cell))
    with np.errstate(divide="ignore", invalid="ignore"):  # the other channel may be flat there
        facts = describe(sight.around, channel, np.tile(cell, 2), 2, sight.geometry)
    if sight.mono:
        facts[:, STEREO_FEATURES] = 0.0
    facts = np.clip(np.nan_to_num(facts), -12.0, 12.0).astype(np.float32)
    return np.concatenate(np.split(facts, 2), axis=1)
