"""The views around instants, which the network is shown.

For left, right and L-R: the sound over its local level, the prediction error forward and backward
over its local scale, the same at a quarter of the rate, and half a second to each side as energies
of bands; and the classical description of the instant.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.sight import (
    APART,
    COARSE_HOP,
    COARSE_ROWS,
    FACTS,
    SLOW,
    Float32Array,
    Sight,
    SlowGeometry,
    describe_instants,
)
from declick.detect.survey import FLOOR, IntArray, Surroundings

# Frames that are shown around an instant, and those in the middle that the network speaks of.
WINDOW: Final = 2048
MIDDLE: Final = 768
# Columns of the coarse view.
COARSE: Final = 344

FINE_ROWS: Final = 9
SLOW_ROWS: Final = 6


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
