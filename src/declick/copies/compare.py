"""Where a recording and its copies disagree, and which of them is damaged there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.copies.guide import Guide, Matching, Run, runs_of
from declick.copies.guide import reach as guide_reach
from declick.copies.judge import Side, View, is_missing, judge
from declick.copies.losses import split_losses
from declick.copies.treble import without_treble
from declick.detect.survey import FLOOR, Geometry
from declick.detect.whitening import whiten

BoolArray = NDArray[np.bool_]

# A difference is exceptional from this many times the usual one; it is followed out to EDGE times.
EXCEPTIONAL: Final = 6.0
EDGE: Final = 3.0
# The usual difference is this quantile of those within so many seconds: a second may be lost.
USUAL: Final = 0.35
AROUND_S: Final = 1.0
# A Rayleigh-like magnitude has this quantile, relative to its rms.
_RAYLEIGH: Final = 0.66
# ... and, where it is not sharp, at least this share of the music, in amplitude.
AUDIBLE: Final = 0.2
# Of what is this much quieter than the music around, or as this, a bad match tells nothing.
QUIET: Final = 0.03
QUIETEST: Final = 10**-3.0
# Differences this close are one.
JOIN_MS: Final = 1.5
# Slow swings of a difference are followed so far beyond where it is sharp.
SWING_MS: Final = 4.0
# A null that leaves more than this of the music tells nothing, in power.
MOST_RESIDUAL: Final = 10**-1.5
# Losses of two channels are one where they share so much of their length.
TOGETHER: Final = 0.6
# So far beside the end of a copy there is nothing to compare.
RINGING_MS: Final = 9.0


@dataclass(frozen=True, order=True, slots=True)
class Difference:
    """A place where a copy does not say what the recording says; frames of the recording."""

    start: int
    stop: int
    channel: int
    copy: int
    side: Side
    strength: float
    lost: bool = False


def tile_context(sample_rate: float) -> int:
    """Return how many frames beside a tile the comparison depends on."""
    geometry = Geometry(sample_rate)
    around = -(-round(AROUND_S * sample_rate) // geometry.hop) * geometry.hop
    inner = around + 3 * geometry.hop
    return inner + -(-guide_reach(sample_rate) // geometry.hop) * geometry.hop


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendition:
    """A copy beside a tile of the recording, on its time line.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames, channels)
    lost : ndarray of bool, as `samples`
        What is known to be damaged.
    absent : ndarray of bool, shape (frames,)
        Where it is not the same music, or there is none of one of them.
    cleaned : ndarray of bool, as `samples`
        Where nothing was lost of what was damaged: what was added has been taken out.
    clipped : ndarray of bool, as `samples`
        Where its peaks are cut off: nothing differs there.
    top_hz : float
        Where it ends: nothing differs above.
    """

    samples: FloatArray
    lost: BoolArray
    absent: BoolArray
    cleaned: BoolArray
    clipped: BoolArray
    top_hz: float = math.inf

    def channel(self, number: int) -> Rendition:
        """Return one channel, all of shape (frames,)."""
        return Rendition(
            samples=np.ascontiguousarray(self.samples[:, number]),
            lost=self.lost[:, number],
            absent=self.absent,
            cleaned=self.cleaned[:, number],
            clipped=self.clipped[:, number],
            top_hz=self.top_hz,
        )


def compare(
    sound: FloatArray,
    lost: BoolArray,
    copies: Sequence[Rendition],
    *,
    start: int,
    sample_rate: float,
) -> tuple[list[Difference], FloatArray]:
    """Find where a tile differs from its copies.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames, channels)
        The recording: a tile on the grid of `Geometry.hop`, with `tile_context` on either side.
    lost : ndarray of bool, as `sound`
        What is known to be damaged.
    copies : sequence of Rendition
    start : int
        Frame of the recording that index 0 is.
    sample_rate : float
        In Hz.

    Returns
    -------
    differences : list of Difference
        Those that begin within the tile, ascending; the copies are counted from 0.
    residual : ndarray of float64, shape (copies, hops)
        What is left of the recording after each copy is matched, in power and relative to it, for
        every `Geometry.hop` of the tile; NaN where nothing could be matched.
    """
    context = tile_context(sample_rate)
    tile = start + context, start + len(sound) - context
    found: list[Difference] = []
    silent: set[Difference] = set()
    hop = Geometry(sample_rate).hop
    residual = np.full((sound.shape[1], len(copies), (tile[1] - tile[0]) // hop), np.nan)
    for channel in range(sound.shape[1]):
        target = np.ascontiguousarray(sound[:, channel])
        if not target.any():
            continue
        own_lost = lost[:, channel]
        views = [
            _view(target, own_lost, copy.channel(channel), start=start, sample_rate=sample_rate)
            for copy in copies
        ]
        for number, view in enumerate(views):
            inner = slice(tile[0] - view.start, tile[1] - view.start)
            left = np.where(view.guide.held, view.guide.residual, np.nan)[inner]
            loud = _is_loud(target, hop)[context // hop :][: residual.shape[2]]
            residual[channel, number] = np.where(loud, left.reshape(-1, hop).mean(axis=1), np.nan)
            rivals = [other for index, other in enumerate(views) if index != number]
            for low, high, gone in _parts(view, tile, sample_rate):
                side, is_lost = judge(view, rivals, (low, high), sample_rate, gone=gone)
                if side is Side.RECORDING and not is_lost:
                    low, high = _without_neighbours(view, (low, high))
                item = Difference(
                    view.start + low,
                    view.start + high,
                    channel,
                    number,
                    side,
                    float(view.score[low:high].max()),
                    is_lost,
                )
                found.append(item)
                if is_missing(view.target, view.guide.samples, (low, high)):
                    silent.add(item)
    # The better channel counts: of the other one there may be little music.
    return sorted(_lost_together(found, silent)), np.fmin.reduce(residual, axis=0)


def _parts(view: View, tile: Run, sample_rate: float) -> Iterator[tuple[int, int, int | None]]:
    """Yield the places that begin within a tile, losses by themselves; with who has lost."""
    for place in view.places:
        if tile[0] <= view.start + place[0] < tile[1]:
            sounds = view.target, view.guide.samples
            known = view.known[0], view.known[1] & ~view.cleaned
            for part, gone in split_losses(*sounds, place, known, sample_rate):
                yield *part, gone


def _without_neighbours(view: View, place: Run) -> Run:
    """Return a damaged place without the clicks of the copy before and behind those in it."""
    low, high = place
    own, other = (np.flatnonzero(known[low:high]) for known in view.known)
    if not own.size:
        return place
    before, behind = other[other < own[0]], other[other > own[-1]]
    first = low + int(before[-1]) + 1 if before.size else low
    return first, low + int(behind[0]) if behind.size else high


def _lost_together(found: Sequence[Difference], silent: set[Difference]) -> list[Difference]:
    """Where one channel has lost its sound, another that is as silent just there has, too."""
    losses = [item for item in found if item.lost and item.side is Side.RECORDING]

    def shared(item: Difference) -> bool:
        for loss in losses:
            common = min(item.stop, loss.stop) - max(item.start, loss.start)
            longer = max(item.stop - item.start, loss.stop - loss.start)
            if item.copy == loss.copy and common > TOGETHER * longer:
                return True
        return False

    return [
        replace(item, side=Side.RECORDING, lost=True) if item in silent and shared(item) else item
        for item in found
    ]


def _is_loud(sound: FloatArray, hop: int) -> BoolArray:
    """Return in which hops there is music, and not the noise of the groove alone."""
    level = np.sqrt((sound.reshape(-1, hop) ** 2).mean(axis=1))
    return np.asarray(level > max(QUIET * float(np.quantile(level, 0.9)), QUIETEST))


def _view(
    target: FloatArray,
    lost: BoolArray,
    copy: Rendition,
    *,
    start: int,
    sample_rate: float,
) -> View:
    """Match a copy, twice: the second time without what the first has shown to be damaged."""
    hop = Geometry(sample_rate).hop
    skip = -(-guide_reach(sample_rate) // hop) * hop
    span = skip, target.size - skip
    inner = slice(*span)
    known = lost[inner], copy.lost[inner]
    lost, other_lost = lost | copy.absent, copy.lost | copy.absent
    nothing = (_beside(copy.absent, sample_rate) | copy.clipped)[inner]
    cleaned = copy.cleaned[inner]
    view: View | None = None
    for last in (False, True):
        matching = Matching(
            target, copy.samples, lost, other_lost, start=start, sample_rate=sample_rate
        )
        guide = matching.guide(span)
        here = target[inner]
        usable = ~(lost | other_lost)[inner]
        trusted = guide.held & ~nothing
        if last:
            trusted &= guide.residual < MOST_RESIDUAL
        score, places = _places(here, guide, usable, trusted, copy.top_hz, sample_rate)
        view = View(start + span[0], here, guide, score, places, known, cleaned)
        if not places:
            break
        lost, other_lost = lost.copy(), other_lost.copy()
        for low, high in places:
            lost[span[0] + low : span[0] + high] = True
            other_lost[span[0] + low : span[0] + high] = True
    assert view is not None
    return view


def _beside(absent: BoolArray, sample_rate: float) -> BoolArray:
    """Return where there is nothing to compare, and just beside it: filters ring."""
    beside = round(RINGING_MS * 1e-3 * sample_rate)
    wide = absent.copy()
    for low, high in runs_of(absent):
        wide[max(low - beside, 0) : high + beside] = True
    return wide


def _places(
    target: FloatArray,
    guide: Guide,
    usable: BoolArray,
    trusted: BoolArray,
    top: float,
    sample_rate: float,
) -> tuple[FloatArray, list[Run]]:
    """Return how exceptional the difference is at every frame, and the places where it is."""
    geometry = Geometry(sample_rate)
    cell = geometry.cell
    difference = np.where(guide.held, target - guide.samples, 0.0)
    signals = np.stack([difference, target, np.where(guide.held, guide.samples, target)])
    signals = without_treble(signals, top, sample_rate)
    difference = signals[0]
    forward, backward, _ = whiten(signals, order=geometry.order, hop=geometry.hop, floor=FLOOR)
    stress = np.sqrt(0.5 * (forward**2 + backward**2)).astype(np.float64)
    known = np.asarray((usable & guide.held).reshape(-1, cell).all(axis=1))
    around = round(AROUND_S * sample_rate) // cell
    sharp = np.repeat(_usual(stress, known, cell, around), cell)
    slow = np.repeat(_usual(np.abs(signals), known, cell, around), cell)
    score = stress[0] / sharp
    swing = np.abs(difference) / slow
    score[~trusted] = 0.0
    swing[~trusted] = 0.0
    loud = np.repeat(_rms(difference, cell) > AUDIBLE * np.maximum(*_rms(signals[1:], cell)), cell)
    level = np.repeat(_rms(difference, cell) / slow[::cell], cell)
    level[~trusted] = 0.0
    seeds, swung = score > EXCEPTIONAL, (level > EXCEPTIONAL) & loud
    if not (seeds.any() or swung.any()):
        return score, []
    join = round(JOIN_MS * 1e-3 * sample_rate)
    sharp_runs = _join(runs_of(score > EDGE), seeds, join)
    swings = _join(runs_of((swing > EDGE) | (score > EDGE)), seeds | swung, join)
    most = round(SWING_MS * 1e-3 * sample_rate)
    found = []
    for low, high in sharp_runs:
        wide = next((run for run in swings if run[0] <= low and high <= run[1]), (low, high))
        found.append((max(wide[0], low - most), min(wide[1], high + most)))
    # What is plain in the sound itself is followed as far as it goes.
    found += _join(runs_of(swing > EDGE), swung, join)
    places: list[Run] = []
    for run in sorted(found):
        if places and run[0] <= places[-1][1]:
            places[-1] = places[-1][0], max(places[-1][1], run[1])
        else:
            places.append(run)
    return np.maximum(score, level), places


def _rms(values: FloatArray, cell: int) -> FloatArray:
    """Return the rms of every cell of the last axis."""
    return np.asarray(np.sqrt((values.reshape(*values.shape[:-1], -1, cell) ** 2).mean(axis=-1)))


def _join(runs: Sequence[Run], seeds: BoolArray, join: int) -> list[Run]:
    """Join runs that are near each other, and keep those with a seed."""
    joined: list[Run] = []
    for low, high in runs:
        if joined and low - joined[-1][1] <= join:
            joined[-1] = joined[-1][0], high
        else:
            joined.append((low, high))
    counts = np.concatenate([[0], np.cumsum(seeds)])
    return [run for run in joined if counts[run[1]] > counts[run[0]]]


def _usual(values: FloatArray, known: BoolArray, cell: int, around: int) -> FloatArray:
    """Return the usual difference of each cell: what it is around, or what the music makes it.

    Parameters
    ----------
    values : ndarray, shape (3, frames)
        Magnitudes of the difference, of the recording and of the guide.
    known : ndarray of bool, shape (cells,)
        Whether a cell counts.
    cell, around : int
        Frames of a cell; cells to either side.
    """
    rms = np.sqrt((values.reshape(3, -1, cell) ** 2).mean(axis=2))
    typical = np.median(values.reshape(3, -1, cell), axis=2) / 0.83 + FLOOR
    music = np.minimum(rms[1], rms[2])
    # A note that begins is louder within the cell than at its median.
    music = sliding_window_view(np.pad(music, 2, mode="edge"), 5).max(axis=1) + FLOOR
    even = _quantile(typical[0], known, around)
    share = _quantile(typical[0] / music, known, around)
    return np.asarray(np.maximum(even, share * music))


def _quantile(values: FloatArray, known: BoolArray, around: int) -> FloatArray:
    """Return the running quantile of the known values, on every 64th cell, held between."""
    step = 64
    result = np.full(values.size, np.inf)
    for first in range(0, values.size, step):
        here = slice(max(first + step // 2 - around, 0), first + step // 2 + around)
        part = values[here][known[here]]
        if part.size >= 8:
            rank = int(USUAL * (part.size - 1))
            result[first : first + step] = np.partition(part, rank)[rank]
    return result / _RAYLEIGH
