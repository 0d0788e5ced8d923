"""What can be told of a place that stands out: numbers, edges, and whether it is digital."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.survey import FLOOR, Geometry, IntArray, Surroundings

# A core reaches out to where the prediction error stays below this many times the local scale ...
EDGE: Final = 3.0
# ... or below this share of the click's own peak, whichever is higher.
EDGE_SHARE: Final = 0.05

# A pulse in digital silence is damage from so many steps of the file on.
FEW_STEPS: Final = 4.0

# Equal samples above this level are a flat top.
FLAT_LEVEL: Final = 0.25

# Music that is clipped has, on both sides of a flat top, more than this share of cells ...
LOUD_SHARE: Final = 0.01
# ... whose peak is over this share of the flat top's height.
LOUD_ELSEWHERE: Final = 0.7

# Stretches of the prediction error's envelope before and after the peak: a click dies at once.
ENVELOPE_MS: Final = (
    (-9.0, -3.4),
    (-3.4, -1.36),
    (-1.36, -0.54),
    (-0.54, -0.14),
    (-0.14, 0.16),
    (0.16, 0.57),
    (0.57, 1.38),
    (1.38, 3.4),
    (3.4, 9.0),
    (9.0, 22.7),
)


def side_score(score: FloatArray, channels: int) -> FloatArray:
    """Return the score of L-R within a cell to each side; zeros where there is no L-R."""
    if len(score) == channels:
        return np.zeros(score.shape[1])
    side = np.pad(score[channels], 1)
    return np.asarray(sliding_window_view(side, 3).max(axis=-1))


def gather(values: NDArray[np.floating], row: IntArray, index: IntArray) -> FloatArray:
    """Return ``values[row, index]`` for a table of indices, 0 beyond the ends."""
    inside = (index >= 0) & (index < values.shape[1])
    taken = values[row[:, None], np.clip(index, 0, values.shape[1] - 1)]
    return np.where(inside, taken, 0.0).astype(np.float64)


def _pieces(
    values: NDArray[np.floating], row: IntArray, start: IntArray, length: int
) -> NDArray[Any]:
    """Return ``values[row, start : start + length]`` for each row and start, 0 beyond the ends."""
    low = max(0, -int(start.min(initial=0)))
    high = max(0, int(start.max(initial=0)) + length - values.shape[1])
    if low or high:
        values = np.pad(values, ((0, 0), (low, high)))
    return sliding_window_view(values, length, axis=1)[row, start + low]


def describe(
    around: Surroundings, channel: IntArray, cell: IntArray, channels: int, geometry: Geometry
) -> FloatArray:
    """Describe each proposed place by the numbers that `ConfidenceModels` weighs.

    Returns
    -------
    ndarray, shape (places, features)
        In the order of `declick.detect.confidence.FEATURES`.
    """
    log = np.log
    height = around.peak[channel, cell]
    reach = 34
    peak, typical, power = (
        _pieces(values, channel, cell - reach, 2 * reach + 1)
        for values in (around.peak, around.typical, around.power)
    )

    def cells(values: FloatArray, low: int, high: int) -> FloatArray:
        return values[:, reach + low : reach + high]

    rivals = np.sort(np.concatenate([cells(peak, -34, -2), cells(peak, 3, 35)], axis=1), axis=1)
    earlier, later = cells(peak, -27, -2)[:, ::-1], cells(peak, 3, 28)
    periodicity = np.minimum(earlier, later).max(axis=1) / height
    score = around.peak / around.scale
    side = side_score(score, channels)[cell]
    other = np.ones(len(cell))
    if channels == 2:
        other = gather(score, 1 - channel, cell[:, None] + np.arange(-1, 2)).max(axis=1)
    level = 0.5 * (cells(power, -16, -2).mean(axis=1) + cells(power, 3, 17).mean(axis=1))
    level = np.sqrt(level + 1e-10)
    near = 0.5 * (cells(peak, -6, -2).mean(axis=1) + cells(peak, 3, 7).mean(axis=1))
    local = np.sqrt((cells(peak, -2, 3) ** 2).sum(axis=1))
    ahead = cells(typical, 2, 7).mean(axis=1)
    behind = cells(typical, -6, -1).mean(axis=1)
    width = geometry.cell
    # Of the sound itself: the height of a prediction error depends on the bandwidth, too.
    loudest, forward, backward = (
        np.abs(_pieces(values, channel, (cell - 1) * width, 3 * width)).max(axis=1)
        for values in (around.signals, around.forward, around.backward)
    )
    columns = [
        log(height / around.scale[channel, cell]),
        log(height / around.before[channel, cell]),
        log(height / around.after[channel, cell]),
        log(height / (rivals[:, -1] + FLOOR)),
        log(height / (rivals[:, -3] + FLOOR)),
        periodicity,
        log((ahead + FLOOR) / (behind + FLOOR)),
        log(np.maximum(side, 1.0)),
        log(np.maximum(other, 1.0)),
        log((loudest + FLOOR) / level),
        log(height / (near + FLOOR)),
        log(height / local),
        log((forward + FLOOR) / (backward + FLOOR)),
    ]
    summit = _summits(around.stress, channel, cell, width)
    edges = [[round(ms * width / 0.7256) for ms in stretch] for stretch in ENVELOPE_MS]
    first, last = edges[0][0], edges[-1][1]
    envelope = _pieces(around.stress, channel, summit + first, last - first)
    for start, stop in edges:
        stretch = envelope[:, start - first : stop - first]
        energy = np.einsum("ij,ij->i", stretch, stretch) / (stop - start)
        columns.append(log(np.sqrt(energy.astype(np.float64)) / height + 1e-4))
    return np.stack(columns, axis=1)


def _summits(
    stress: NDArray[np.float32], channel: IntArray, cell: IntArray, width: int
) -> IntArray:
    """Return the frame of the highest prediction error within each cell."""
    start = cell * width
    values = stress[channel[:, None], start[:, None] + np.arange(width)]
    return np.asarray(start + values.argmax(axis=1))


def reach_out(hot: NDArray[np.bool_], *, patience: int) -> IntArray:
    """Return how many frames each row reaches from its first, over rests of at most `patience`.

    Parameters
    ----------
    hot : ndarray of bool, shape (rows, frames)
    patience : int
        A longer rest ends the reach.

    Returns
    -------
    ndarray of int, shape (rows,)
        Index of the last hot frame before that rest; 0 where only the first frame counts.
    """
    rows, frames = hot.shape
    busy = np.zeros((rows, frames - 1 + patience), dtype=bool)
    busy[:, : frames - 1] = hot[:, 1:]
    width = 1  # of the window in which something is hot
    while width < patience:
        step = min(width, patience - width)
        busy[:, :-step] |= busy[:, step:]
        width += step
    rests = ~busy[:, :frames]
    return np.asarray(np.where(rests.any(axis=1), rests.argmax(axis=1), frames - 1))


def find_edges(
    around: Surroundings, channel: IntArray, cell: IntArray, geometry: Geometry
) -> tuple[IntArray, IntArray]:
    """Return where each core starts and stops.

    The forward error is quiet up to the first damaged sample, the backward error from behind the
    last; each is followed outward from the peak.
    """
    summit = _summits(around.stress, channel, cell, geometry.cell)
    height = around.peak[channel, cell]
    level = np.maximum(EDGE * around.scale[channel, cell], EDGE_SHARE * height)[:, None]
    reach = np.arange(16 * geometry.cell)
    patience = max(2, geometry.cell // 5)
    earlier = np.abs(gather(around.forward, channel, summit[:, None] - reach)) > level
    later = np.abs(gather(around.backward, channel, summit[:, None] + reach)) > level
    start = summit - reach_out(earlier, patience=patience)
    stop = summit + reach_out(later, patience=patience) + 1
    return start, stop


def digital_places(
    samples: FloatArray,
    channel: IntArray,
    start: IntArray,
    stop: IntArray,
    geometry: Geometry,
    *,
    sure: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which places are digital rather than damage, and which can be nothing but damage.

    The border of digital silence and a clipped peak of the music are digital; a pulse with the same
    digital silence on both sides is no music. A flat top is the music's own if there are more of
    them nearby, and if the sound is as loud farther away on both sides: a clipped click stands
    alone. Where one is `sure` of damage, flat tops do not count.
    """
    still = np.ones(samples.shape[::-1], dtype=bool)
    still[:, 1:] = (samples[1:] == samples[:-1]).T
    flat = still.copy()
    flat[still] = np.abs(samples.T[still]) > FLAT_LEVEL
    still &= ~flat
    run = 3 * geometry.cell

    def is_still(low: IntArray, high: IntArray) -> NDArray[np.bool_]:
        low, high = (np.clip(edge, 0, samples.shape[0]) for edge in (low, high))
        return np.asarray(_counts(still, channel, low, high) == np.maximum(high - low, 1))

    def flats(low: IntArray, high: IntArray) -> IntArray:
        low, high = (np.clip(edge, 0, samples.shape[0]) for edge in (low, high))
        return _counts(flat, channel, low, high)

    silent_before = is_still(start - run, start - 1)
    silent_after = is_still(stop + 1, stop + run)
    own = flats(start - geometry.cell, stop + geometry.cell)
    nearby = flats(start - geometry.hop, stop + geometry.hop) - own
    clipped = (own > 0) & (nearby >= 4)
    if sure is not None:
        clipped &= ~sure
    if clipped.any():
        clipped[clipped] = _loud_elsewhere(
            samples, channel[clipped], start[clipped], stop[clipped], geometry
        )
    low, high = (np.clip(edge, 0, len(samples) - 1) for edge in (start - 2, stop + 1))
    step = samples[low, channel] != samples[high, channel]
    alone = silent_before & silent_after & ~step & ~clipped
    if alone.any():
        alone &= ~within_steps(samples, channel, start, stop)
    return ((silent_before | silent_after) & ~alone) | clipped, alone


def within_steps(
    samples: FloatArray, channel: IntArray, start: IntArray, stop: IntArray
) -> NDArray[np.bool_]:
    """Return which places differ from the sound before them by a few steps of the file at most."""
    finest = [finest_step(row) for row in samples.T]
    within = []
    for side, first, last in zip(channel.tolist(), start.tolist(), stop.tolist(), strict=True):
        place = samples[max(first, 0) : max(last, 0), side]
        height = np.abs(place - samples[max(first - 1, 0), side]).max(initial=0.0)
        within.append(height < FEW_STEPS * finest[side])
    return np.array(within, dtype=bool)


def finest_step(samples: FloatArray) -> float:
    """Return the smallest step from one sample of a channel to the next; infinite if none steps."""
    steps = np.abs(np.diff(samples))
    return float(steps.min(initial=np.inf, where=steps > 0.0))


def _loud_elsewhere(
    samples: FloatArray, channel: IntArray, start: IntArray, stop: IntArray, geometry: Geometry
) -> NDArray[np.bool_]:
    """Return whether the sound is nearly as loud as each place somewhat before and behind it."""
    cell, near, far = geometry.cell, geometry.context // 7, geometry.context
    peaks = np.abs(samples.T).reshape(samples.shape[1], -1, cell).max(axis=-1)
    loud = []
    for side, first, last in zip(
        channel.tolist(), (start // cell).tolist(), (-(-stop // cell)).tolist(), strict=True
    ):
        row = peaks[side]
        top = row[max(first, 0) : last].max(initial=0.0)
        before = row[max(first - far // cell, 0) : max(first - near // cell, 0)]
        behind = row[last + near // cell : last + far // cell]
        shares = [np.mean(part > LOUD_ELSEWHERE * top) for part in (before, behind)]
        loud.append(min(shares) > LOUD_SHARE)
    return np.array(loud, dtype=bool)


def _counts(
    marked: NDArray[np.bool_], channel: IntArray, low: IntArray, high: IntArray
) -> IntArray:
    """Return how many frames of each stretch of a channel are marked."""
    stretches = zip(channel.tolist(), low.tolist(), high.tolist(), strict=True)
    return np.array([np.count_nonzero(marked[c, a:b]) for c, a, b in stretches], dtype=np.intp)
