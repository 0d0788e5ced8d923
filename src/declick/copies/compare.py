"""Where a recording and its copies disagree, and which of them is damaged there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.copies.guide import Guide, Run, follow, runs_of
from declick.copies.guide import reach as guide_reach
from declick.detect.ar import FLOOR, Geometry
from declick.detect.whitening import whiten
from declick.dsp.linear_prediction import autocorrelation, prediction_filter

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
# How sure the energy must be: it is in A with more than UPPER of the difference, in B below LOWER.
UPPER, LOWER = 0.72, 0.28
# A dropout holds less than this share of what the other copy has, in power, and so much less ...
DROPOUT: Final = 0.1
GONE_DB: Final = 8.0
# ... than what is beside it: whitened, or, where it is long enough, as it is.
DIP_DB: Final = 6.0
PLAIN_DIP_DB: Final = 10.0
# So much of the difference must be outside of what a detector has found.
UNEXPLAINED: Final = 0.25
# What differs for this long may be a needle's skip; where it jumps and lands there are clicks.
SKIP_MS: Final = 50.0
LANDING_MS: Final = 8.0
# From this length on the level of the sound itself tells, where no detector has found a click.
LONG_MS: Final = 3.0
# So far beside the end of a copy there is nothing to compare.
RINGING_MS: Final = 9.0
# Surroundings of a place, for its level.
BESIDE_MS: Final = 12.0


class Side(StrEnum):
    """Who is damaged: the recording, the copy, or nobody can tell."""

    RECORDING = "recording"
    COPY = "copy"
    UNKNOWN = "unknown"


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


def compare(
    sound: FloatArray,
    copies: Sequence[FloatArray],
    lost: BoolArray,
    copies_lost: Sequence[BoolArray],
    absent: Sequence[BoolArray],
    *,
    start: int,
    sample_rate: float,
) -> tuple[list[Difference], FloatArray]:
    """Find where a tile differs from its copies.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames, channels)
        The recording: a tile on the grid of `Geometry.hop`, with `tile_context` on either side.
    copies : sequence of ndarray, as `sound`
        On its time line.
    lost : ndarray of bool, as `sound`
        What is known to be damaged.
    copies_lost : sequence of ndarray of bool
        The same of each copy.
    absent : sequence of ndarray of bool, shape (frames,)
        Where a copy is not the same music, or there is none of one of them.
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
    hop = Geometry(sample_rate).hop
    residual = np.full((sound.shape[1], len(copies), (tile[1] - tile[0]) // hop), np.nan)
    for channel in range(sound.shape[1]):
        target = np.ascontiguousarray(sound[:, channel])
        if not target.any():
            continue
        views = []
        for number, other in enumerate(copies):
            column = np.ascontiguousarray(other[:, channel])
            masks = lost[:, channel], copies_lost[number][:, channel], absent[number]
            views.append(_view(target, column, *masks, start=start, sample_rate=sample_rate))
        for number, view in enumerate(views):
            inner = slice(tile[0] - view.start, tile[1] - view.start)
            left = np.where(view.guide.held, view.guide.residual, np.nan)[inner]
            loud = _is_loud(target, hop)[context // hop :][: residual.shape[2]]
            residual[channel, number] = np.where(loud, left.reshape(-1, hop).mean(axis=1), np.nan)
            rivals = [other for index, other in enumerate(views) if index != number]
            for low, high in view.places:
                if not tile[0] <= view.start + low < tile[1]:
                    continue
                side, is_lost = _judge(view, rivals, (low, high), sample_rate)
                found.append(
                    Difference(
                        view.start + low,
                        view.start + high,
                        channel,
                        number,
                        side,
                        float(view.score[low:high].max()),
                        is_lost,
                    )
                )
    # The better channel counts: of the other one there may be little music.
    return sorted(found), np.fmin.reduce(residual, axis=0)


def _is_loud(sound: FloatArray, hop: int) -> BoolArray:
    """Return in which hops there is music, and not the noise of the groove alone."""
    level = np.sqrt((sound.reshape(-1, hop) ** 2).mean(axis=1))
    return np.asarray(level > max(QUIET * float(np.quantile(level, 0.9)), QUIETEST))


@dataclass(frozen=True, eq=False)
class _View:
    """A copy beside the recording, one channel; index 0 is frame `start`.

    `known` is what the detector has found in the recording, and in the copy.
    """

    start: int
    target: FloatArray
    guide: Guide
    score: FloatArray
    places: list[Run]
    known: tuple[BoolArray, BoolArray]

    @property
    def difference(self) -> FloatArray:
        return self.target - self.guide.samples


def _view(
    target: FloatArray,
    other: FloatArray,
    lost: BoolArray,
    other_lost: BoolArray,
    absent: BoolArray,
    *,
    start: int,
    sample_rate: float,
) -> _View:
    """Match a copy, twice: the second time without what the first has shown to be damaged."""
    hop = Geometry(sample_rate).hop
    skip = -(-guide_reach(sample_rate) // hop) * hop
    span = skip, target.size - skip
    known = lost[slice(*span)], other_lost[slice(*span)]
    lost, other_lost = lost | absent, other_lost | absent
    absent = _beside(absent, sample_rate)[slice(*span)]
    view: _View | None = None
    for last in (False, True):
        guide = follow(
            target, other, lost, other_lost, start=start, span=span, sample_rate=sample_rate
        )
        here = target[slice(*span)]
        usable = ~(lost | other_lost)[slice(*span)]
        trusted = guide.held & ~absent
        if last:
            trusted &= guide.residual < MOST_RESIDUAL
        score, places = _places(here, guide, usable, trusted, sample_rate)
        view = _View(start + span[0], here, guide, score, places, known)
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
    target: FloatArray, guide: Guide, usable: BoolArray, trusted: BoolArray, sample_rate: float
) -> tuple[FloatArray, list[Run]]:
    """Return how exceptional the difference is at every frame, and the places where it is."""
    geometry = Geometry(sample_rate)
    cell = geometry.cell
    difference = np.where(guide.held, target - guide.samples, 0.0)
    signals = np.stack([difference, target, np.where(guide.held, guide.samples, target)])
    forward, backward = whiten(signals, order=geometry.order, hop=geometry.hop, floor=FLOOR)
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


def _judge(
    view: _View, rivals: Sequence[_View], place: Run, sample_rate: float
) -> tuple[Side, bool]:
    """Say who is damaged at a place, and whether its music is missing there."""
    low, high = place
    frames = slice(low, high)
    usable = [other for other in rivals if other.guide.held[frames].all()]
    side, is_lost = _by_energy(view, place, sample_rate)
    if side is Side.UNKNOWN and high - low > SKIP_MS * 1e-3 * sample_rate:
        side, is_lost = _by_landing(view, place, sample_rate)
    if usable:
        # Two copies that say the same against the recording outvote it, and the other way round.
        own = view.difference[frames]
        energy = float(np.dot(own, own))
        agree = [
            float(np.sum((own - other.difference[frames]) ** 2)) < 0.25 * energy for other in usable
        ]
        alone = [float(np.sum(other.difference[frames] ** 2)) < 0.25 * energy for other in usable]
        if any(agree) and not any(alone):
            return Side.RECORDING, is_lost or _is_missing(view.target, view.guide.samples, place)
        if any(alone):
            return Side.COPY, False
    return side, is_lost


def _by_energy(view: _View, place: Run, sample_rate: float) -> tuple[Side, bool]:
    """Ask in which of two signals the energy of their difference is.

    Damage is added to what was there: the difference is correlated with the damaged one alone, the
    more plainly when both are whitened. Where the sound of one of them is gone it is the other way
    round: then one of them holds less than it does before and behind, and the other as much.
    """
    low, high = place
    beside = round(BESIDE_MS * 1e-3 * sample_rate)
    order = Geometry(sample_rate).order
    lo, hi = max(low - 4 * beside, 0), min(high + 4 * beside, view.target.size)
    pair = np.stack([view.target[lo:hi], view.guide.samples[lo:hi]])
    around = pair.copy()
    around[:, low - lo : high - lo] = 0.0
    taper = np.hanning(hi - lo + 2)[1:-1]
    correlation = sum(autocorrelation(row * taper, order) for row in around)
    filter_ = prediction_filter(np.asarray(correlation))[0]
    white = np.stack([np.convolve(row, filter_)[: hi - lo] for row in pair])
    inside = slice(low - lo, min(high + order // 2, hi) - lo)
    difference = white[0, inside] - white[1, inside]
    energy = float(np.dot(difference, difference))
    if not energy > 0.0:
        return Side.UNKNOWN, False
    share = float(np.dot(difference, white[0, inside])) / energy
    long = high - low > LONG_MS * 1e-3 * sample_rate
    if long:
        # What is slow is not seen in whitened sound: both must say the same.
        plain = pair[:, low - lo : high - lo]
        apart = plain[0] - plain[1]
        slow = float(np.dot(apart, plain[0]) / max(float(np.dot(apart, apart)), 1e-30))
        if not LOWER < share < UPPER and (share > 0.5) != (slow > 0.5):
            # Where the sound was cut off hard, the cuts are clicks of the one that lost it.
            return _by_silence(pair, (low - lo, high - lo), beside, full=0 if slow > 0.5 else 1)
        share = slow if LOWER < share < UPPER else share
    if LOWER < share < UPPER:
        return Side.UNKNOWN, False
    # The one in which the difference is, and the one that may have lost its sound.
    full, empty = (0, 1) if share > 0.5 else (1, 0)
    span = low - lo, high - lo
    levels = [_levels(sound, span, beside) for sound in (white, pair)]
    gone = max(inner[full] - inner[empty] for inner, _ in levels) > GONE_DB
    dips = [min(sides) - inner[empty] for inner, sides in levels]
    # Whitened, music hardly falls by so much; in the sound itself it does, but then the difference
    # sounds like music, too, and not like a click.
    silent = dips[0] > DIP_DB or (
        long and dips[1] > PLAIN_DIP_DB and _sharpness_db(white, pair, span, beside) < DIP_DB
    )
    explained = 1.0 - _unexplained(pair, view.known[full][lo:hi], span)
    lost = gone and silent and explained < 1.0 - UNEXPLAINED
    damaged = empty if lost else full
    return (Side.RECORDING, Side.COPY)[damaged], lost


def _sharpness_db(white: FloatArray, pair: FloatArray, span: Run, beside: int) -> float:
    """Return how much less predictable a difference is than the copy beside it."""
    low, high = span
    sides = np.r_[max(low - beside, 0) : low, high : min(high + beside, pair.shape[1])]
    powers = [
        (float(np.sum((sound[0] - sound[1])[low:high] ** 2)), float(np.sum(sound[1, sides] ** 2)))
        for sound in (white, pair)
    ]
    (sharp, sharp_beside), (loud, loud_beside) = np.maximum(powers, 1e-20)
    return 10.0 * float(np.log10(sharp / loud) - np.log10(sharp_beside / loud_beside))


def _by_silence(pair: FloatArray, span: Run, beside: int, *, full: int) -> tuple[Side, bool]:
    """Say which of two has lost its sound, if that is beyond doubt."""
    inner, sides = _levels(pair, span, beside)
    dip = min(sides) - inner[1 - full]
    if dip < PLAIN_DIP_DB or inner[full] - inner[1 - full] < 2.0 * GONE_DB:
        return Side.UNKNOWN, False
    return (Side.RECORDING, Side.COPY)[1 - full], True


def _by_landing(view: _View, place: Run, sample_rate: float) -> tuple[Side, bool]:
    """Ask which of two is damaged at the ends of a place: a needle that jumps, or lands, clicks."""
    near = round(LANDING_MS * 1e-3 * sample_rate)
    ends = [slice(max(end - near, 0), end + near) for end in place]
    clicks = [any(known[end].any() for end in ends) for known in view.known]
    if clicks[0] == clicks[1]:
        return Side.UNKNOWN, False
    return (Side.RECORDING, True) if clicks[0] else (Side.COPY, True)


def _unexplained(pair: FloatArray, known: BoolArray, span: Run) -> float:
    """Return the share of a difference that lies outside of what a detector has found."""
    frames = slice(*span)
    energy = (pair[0] - pair[1])[frames] ** 2
    return float(energy[~known[frames]].sum() / max(float(energy.sum()), 1e-30))


def _levels(
    pair: FloatArray, span: Run, beside: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the levels of two signals where they differ, and of both before and behind, in dB.

    Within the span the frames count as much as they differ; beside it, what both have counts.
    """
    cell = 16
    low, high = span
    floor = FLOOR**2
    inner = pair[:, low:high] ** 2
    differing = np.convolve((pair[0] - pair[1]) ** 2, np.full(cell, 1.0 / cell), "same")[low:high]
    weight = differing / max(float(differing.sum()), 1e-30)
    within = [10.0 * float(np.log10(np.dot(row, weight) + floor)) for row in inner]
    sides = []
    for start, stop in ((max(low - beside, 0), low), (high, min(high + beside, pair.shape[1]))):
        count = (stop - start) // cell
        cells = pair[:, start : start + count * cell].reshape(2, count, cell)
        common = (cells**2).mean(axis=-1).min(axis=0)
        level = float(np.mean(common)) if count else 0.0
        sides.append(10.0 * float(np.log10(level + floor)))
    return (within[0], within[1]), (sides[0], sides[1])


def _is_missing(sound: FloatArray, other: FloatArray, place: Run) -> bool:
    """Return whether the sound of a place is gone where the other has some."""
    own, full = (float(np.sum(part[slice(*place)] ** 2)) for part in (sound, other))
    return own < DROPOUT * full
