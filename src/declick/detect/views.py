"""What the network is shown: the instants that stand out of a tile, and the views around each.

An instant stands out of the prediction error of the sound, or of the sound at a quarter of its
rate, where long dull pushes stand out better. Around each the network is shown, for left, right
and L-R: the sound over its local level, the prediction error forward and backward over its local
scale, the same at a quarter of the rate, and half a second to each side as energies of bands.
Everything here is a function of the tile alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import FEATURES, STEREO_FEATURES
from declick.detect.places import describe, side_score
from declick.detect.survey import FLOOR, Geometry, IntArray, Surroundings, survey

# Frames that are shown around an instant, and those in the middle that the network speaks of.
WINDOW: Final = 2048
MIDDLE: Final = 768
# The slow view: one sample for so many frames.
SLOW: Final = 4
# The coarse view: energies in bands, one column for so many frames, so many columns.
COARSE_HOP: Final = 128
COARSE: Final = 344
# Edges of its bands, in bins of a transform of 2 * COARSE_HOP frames.
BAND_EDGES: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 90, 129)
# An instant is looked at where the prediction error exceeds this many times its local scale,
# in one channel, or this many times if L-R exceeds the first.
STANDS_OUT: Final = 3.5
STANDS_OUT_WITH_SIDE: Final = 1.7
# Instants closer than this are one.
APART: Final = 40

FINE_ROWS: Final = 9
SLOW_ROWS: Final = 6
COARSE_ROWS: Final = len(BAND_EDGES) - 1 + 3
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


class Views(NamedTuple):
    """The views around some instants; float32, and float16 where many are kept.

    Shapes: fine (n, FINE_ROWS, WINDOW), slow (n, SLOW_ROWS, WINDOW // SLOW),
    coarse (n, COARSE_ROWS, COARSE), facts (n, FACTS).
    """

    fine: NDArray[np.floating]
    slow: NDArray[np.floating]
    coarse: NDArray[np.floating]
    facts: NDArray[np.floating]

    def halved(self) -> Views:
        """Return the views in half the memory; more digits tell the network nothing."""
        return Views(*(part.astype(np.float16) for part in self))


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


def view(sight: Sight, frames: IntArray) -> Views:
    """Return what the network is shown around some instants, shape (n,) of frames of the tile."""
    upright = np.zeros(len(frames), dtype=bool), np.ones(len(frames), dtype=np.float32)
    return _view(sight, frames, describe_instants(sight, frames), *upright)


def view_upright(
    sight: Sight, frames: IntArray, facts: Float32Array
) -> tuple[Views, NDArray[np.bool_], Float32Array]:
    """As `view`, with the channel with the higher peak first, and that peak upward.

    Which channel is left, and which way is up, means nothing to a click: so it cannot matter to
    the answer either.

    Parameters
    ----------
    sight : Sight
    frames : ndarray of int, shape (n,)
        Frames of the tile.
    facts : ndarray of float32, shape (n, FACTS)
        From `describe_instants`.

    Returns
    -------
    views : Views
    swapped : ndarray of bool, shape (n,)
        Where left and right changed places.
    sign : ndarray of float32, shape (n,)
        -1 where the sound was turned upside down.
    """
    around, rows = sight.around, np.arange(len(frames))
    near = np.empty((len(frames), 2, 2 * APART), dtype=np.float32)
    _cut(around.forward[:2], frames - APART, near)
    place = _cell_of(frames, sight.geometry.cell, around)
    near /= around.scale[:2, place].T.astype(np.float32)[:, :, None]
    height = np.abs(near)
    swapped = height[:, 1].max(axis=-1) > height[:, 0].max(axis=-1)
    first = swapped.astype(np.intp)
    summit = near[rows, first, height[rows, first].argmax(axis=-1)]
    sign = np.where(summit < 0.0, np.float32(-1.0), np.float32(1.0))
    facts = np.where(swapped[:, None], np.roll(facts, FACTS // 2, axis=1), facts)
    return _view(sight, frames, facts, swapped, sign), swapped, sign


def _view(
    sight: Sight,
    frames: IntArray,
    facts: Float32Array,
    swapped: NDArray[np.bool_],
    sign: Float32Array,
) -> Views:
    """Return the views; see `view_upright`, which `facts` have gone through already."""
    around, half, count = sight.around, WINDOW // 2, len(frames)
    # R-L is L-R upside down.
    signs = np.stack([sign, sign, np.where(swapped, -sign, sign)], axis=1)
    level = local_level(sight, frames)
    level = np.concatenate([level, level.max(axis=1, keepdims=True)], axis=1)
    fine = np.empty((count, 3, 3, WINDOW), dtype=np.float32)
    _cut(around.signals, frames - half, fine[:, 0], swapped)
    fine[:, 0] *= (_turned(signs / level, swapped))[:, :, None]
    _cut_errors(around, frames, swapped, signs, sight.geometry.cell, fine[:, 1:])
    np.arcsinh(fine, out=fine)
    slow = np.empty((count, 2, 3, WINDOW // SLOW), dtype=np.float32)
    _cut_errors(sight.slow, frames // SLOW, swapped, signs, SlowGeometry(1.0).cell, slow)
    np.arcsinh(slow, out=slow)
    if sight.mono:
        fine[:, :, 2] = 0.0
        slow[:, :, 2] = 0.0
    coarse = np.empty((count, COARSE_ROWS, COARSE), dtype=np.float32)
    start, bands = frames // COARSE_HOP - COARSE // 2, COARSE_ROWS - 3
    _cut(sight.coarse[:bands], start, coarse[:, :bands])
    _cut(sight.coarse[bands:], start, coarse[:, bands:], swapped)
    coarse -= coarse[:, :bands].mean(axis=(1, 2), keepdims=True)
    return Views(
        fine.reshape(count, FINE_ROWS, WINDOW),
        slow.reshape(count, SLOW_ROWS, WINDOW // SLOW),
        np.clip(coarse, -6.0, 6.0, out=coarse),
        facts,
    )


def local_level(sight: Sight, frames: IntArray) -> FloatArray:
    """Return the level that the sound of each channel is shown over, shape (n, 2).

    The median over cells of the window, which no click moves much; not far below the mean of the
    music beside it.
    """
    cell, cells = sight.geometry.cell, WINDOW // sight.geometry.cell
    power = np.empty((len(frames), 2, cells), dtype=np.float32)
    _cut(sight.around.power[:2], frames // cell - cells // 2, power)
    power = np.sort(power, axis=2)
    middle = 0.5 * (power[:, :, (cells - 1) // 2] + power[:, :, cells // 2])
    level = np.sqrt(middle + 1e-2 * power[:, :, round(0.9 * (cells - 1))])
    return np.asarray(np.maximum(level, FLOOR), dtype=np.float64)


def _cell_of(frames: IntArray, cell: int, around: Surroundings) -> IntArray:
    """Return the cells that frames lie in."""
    return np.clip(frames // cell, 0, around.peak.shape[1] - 1)


def _turned(values: NDArray[np.floating], swapped: NDArray[np.bool_]) -> Float32Array:
    """Return values of L, R and L-R (n, 3), those of L and R exchanged where they are swapped."""
    return np.where(swapped[:, None], values[:, [1, 0, 2]], values).astype(np.float32)


def _cut_errors(
    around: Surroundings,
    frames: IntArray,
    swapped: NDArray[np.bool_],
    signs: Float32Array,
    cell: int,
    into: Float32Array,
) -> None:
    """Cut prediction errors over their local scale, forward and backward: (n, 2, 3, length)."""
    start = frames - into.shape[-1] // 2
    _cut(around.forward, start, into[:, 0], swapped)
    _cut(around.backward, start, into[:, 1], swapped)
    scale = around.scale[:, _cell_of(frames, cell, around)].T
    into *= _turned(signs / scale, swapped)[:, None, :, None]


def _cut(
    rows: NDArray[np.floating],
    starts: IntArray,
    into: Float32Array,
    swapped: NDArray[np.bool_] | None = None,
) -> None:
    """Cut pieces of all rows, from `starts` on, into (n, rows, length); zeros beyond the ends.

    Where they are `swapped`, the first two rows change places.
    """
    length, end = into.shape[2], rows.shape[1]
    turned = np.zeros(len(into), dtype=bool) if swapped is None else swapped
    low = np.minimum(np.maximum(starts, 0), end)  # sooner done than numpy.clip
    edges = starts, low, np.minimum(np.maximum(starts + length, 0), end), turned
    for piece, start, low, high, turn in zip(into, *(x.tolist() for x in edges), strict=True):
        if high - low < length:
            piece[:] = 0.0
        inside = piece[:, low - start : high - start]
        if turn:
            inside[:2] = rows[1::-1, low:high]
            inside[2:] = rows[2:, low:high]
        else:
            inside[:] = rows[:, low:high]


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
