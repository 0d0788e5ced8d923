"""The classical detector: what a short linear predictor can foretell neither forward nor backward.

Each channel, and L-R of a stereo record, is whitened by an autoregressive model that changes every
2048 frames (at 44.1 kHz). A click stands out of the prediction error on both sides at once; an
attack is followed by sound that goes on. Places that stand out are described by a few numbers, and
a logistic model turns these into the probability of damage (Godsill & Rayner 1998, ch. 5, gives
the forward detector; the rest is ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import ConfidenceModels, load_confidence
from declick.detect.spans import MOST_PRIOR, PLAIN
from declick.detect.whitening import whiten

IntArray = NDArray[np.intp]

# A place is looked at where the prediction error exceeds this many times the local scale.
PROPOSAL: Final = 4.5
# ... or this many times, where L-R exceeds PROPOSAL there.
PROPOSAL_WITH_SIDE: Final = 2.0
# Amplitude below which nothing is told apart: dither and rounding of a 16-bit source.
FLOOR: Final = 2e-5
# L-R weaker than this share of the louder channel, in power: both channels are the same.
SAME_SHARE: Final = 1e-4
# A core reaches out to where the prediction error stays below this many times the local scale ...
EDGE: Final = 3.0
# ... or below this share of the click's own peak, whichever is higher.
EDGE_SHARE: Final = 0.05

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

    Rows of the cell arrays are the channels and, on a stereo record, L-R behind them.
    """

    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
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
    forward, backward = whiten(signals, order=geometry.order, hop=geometry.hop, floor=FLOOR)
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
    return np.asarray(ordered[..., (size - 1) // 2 : size // 2 + 1].mean(axis=-1))


def _running_mean(values: FloatArray, low: int, high: int) -> FloatArray:
    """Return the mean of ``values[:, i + low : i + high]`` for every i; edges count as 0 beyond."""
    reach = max(abs(low), abs(high))
    padded = np.pad(values, ((0, 0), (reach, reach)))
    windows = sliding_window_view(padded, high - low, axis=1)[:, reach + low :]
    mean: FloatArray = windows.mean(axis=-1)[:, : values.shape[1]]
    return mean


def propose(around: Surroundings, channels: int, geometry: Geometry) -> tuple[IntArray, IntArray]:
    """Return channel and cell of every place that stands out.

    A peak of the channel's own prediction error, or a weaker one where L-R stands out: on a mono
    record L-R holds no music at all.
    """
    score = around.peak / around.scale
    side = _side_score(score, channels)
    peak = around.peak[:channels]
    # The filter answers to a click over its whole order: that is no second click.
    reach = -(-geometry.order // geometry.cell)
    around_peak = np.pad(peak, ((0, 0), (reach, reach)))
    earlier = sliding_window_view(around_peak, reach, axis=1)[:, : peak.shape[1]].max(axis=-1)
    later = sliding_window_view(around_peak, reach, axis=1)[:, reach + 1 :].max(axis=-1)
    own = score[:channels]
    stands_out = (own > PROPOSAL) | ((side > PROPOSAL) & (own > PROPOSAL_WITH_SIDE))
    channel, cell = np.nonzero((peak >= earlier) & (peak > later) & stands_out)
    return channel, cell


def _side_score(score: FloatArray, channels: int) -> FloatArray:
    """Return the score of L-R within a cell to each side; zeros where there is no L-R."""
    if len(score) == channels:
        return np.zeros(score.shape[1])
    side = np.pad(score[channels], 1)
    return np.asarray(sliding_window_view(side, 3).max(axis=-1))


def _gather(values: NDArray[np.floating], row: IntArray, index: IntArray) -> FloatArray:
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
    side = _side_score(score, channels)[cell]
    other = np.ones(len(cell))
    if channels == 2:
        other = _gather(score, 1 - channel, cell[:, None] + np.arange(-1, 2)).max(axis=1)
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


class ArDetector:
    """Probability of damage from the prediction error of a short linear model.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    model : ConfidenceModels, optional
        By default the one that ships with the package.
    """

    finds_whole_cores: Final = False
    """It finds the corners of a push, between which the sound is smooth."""
    most_prior: Final = MOST_PRIOR
    plain: Final = PLAIN

    def __init__(self, sample_rate: float, model: ConfidenceModels | None = None) -> None:
        self.geometry = Geometry(sample_rate)
        self.model = model or load_confidence()

    @property
    def context_ms(self) -> float:
        """Reach to each side, in ms."""
        return 1000.0 * self.geometry.context / self.geometry.sample_rate

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability that each sample of a tile is lost to damage.

        Parameters
        ----------
        samples : ndarray, shape (geometry.tile + 2 * geometry.context, channels)
            A tile on the grid of tiles, with its context.

        Returns
        -------
        ndarray of float32, shape (geometry.tile, channels)
        """
        geometry = self.geometry
        context, channels = geometry.context, samples.shape[1]
        probability = np.zeros(samples.shape, dtype=np.float32)
        if np.any(samples[context:-context] != samples[context]):
            around = survey(samples, geometry)
            channel, cell = propose(around, channels, geometry)
            margin = geometry.hop // 4
            first = (context - margin) // geometry.cell
            last = (len(samples) - context + margin) // geometry.cell
            inside = (cell >= first) & (cell < last)
            channel, cell = channel[inside], cell[inside]
            if len(cell):
                described = describe(around, channel, cell, channels, geometry)
                second = _has_second_opinion(around, cell, channels)
                confidence = self.model(described, second)
                start, stop = find_edges(around, channel, cell, geometry)
                digital, alone = digital_places(samples, channel, start, stop, geometry)
                confidence[digital] = 0.0
                confidence[alone] = 1.0
                for index in np.argsort(confidence, kind="stable"):
                    row = slice(start[index], stop[index])
                    probability[row, channel[index]] = confidence[index]
        return probability[context:-context]


def _has_second_opinion(around: Surroundings, cell: IntArray, channels: int) -> NDArray[np.bool_]:
    """Return where the two channels differ enough for L-R to tell anything."""
    if channels != 2:
        return np.zeros(len(cell), dtype=bool)
    near = cell[:, None] + np.arange(-32, 33)
    row = np.zeros(len(cell), dtype=np.intp)
    left, right, side = (_gather(around.power, row + i, near).sum(axis=1) for i in range(3))
    return np.asarray(side > SAME_SHARE * np.maximum(left, right))


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
    earlier = np.abs(_gather(around.forward, channel, summit[:, None] - reach)) > level
    later = np.abs(_gather(around.backward, channel, summit[:, None] + reach)) > level
    start = summit - reach_out(earlier, patience=patience)
    stop = summit + reach_out(later, patience=patience) + 1
    return start, stop


def digital_places(
    samples: FloatArray, channel: IntArray, start: IntArray, stop: IntArray, geometry: Geometry
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which places are digital rather than damage, and which can be nothing but damage.

    The border of digital silence and a clipped peak of the music are digital; a pulse with digital
    silence on both sides is no music.
    """
    still = np.ones(samples.shape[::-1], dtype=bool)
    still[:, 1:] = (samples[1:] == samples[:-1]).T
    flat = still.copy()
    flat[still] = np.abs(samples.T[still]) > 0.25
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
    return (silent_before != silent_after) | clipped, silent_before & silent_after & ~clipped


def _counts(
    marked: NDArray[np.bool_], channel: IntArray, low: IntArray, high: IntArray
) -> IntArray:
    """Return how many frames of each stretch of a channel are marked."""
    stretches = zip(channel.tolist(), low.tolist(), high.tolist(), strict=True)
    return np.array([np.count_nonzero(marked[c, a:b]) for c, a, b in stretches], dtype=np.intp)
