"""Which of two copies is damaged where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.copies.guide import Guide, Run
from declick.detect.survey import FLOOR, Geometry
from declick.dsp.linear_prediction import autocorrelation, prediction_filter

BoolArray = NDArray[np.bool_]

# How sure the energy must be: it is in A with more than UPPER of the difference, in B below LOWER.
UPPER, LOWER = 0.72, 0.28
# Far beyond these the difference goes with the music: a bad match, and no damage.
MOST_HIGH, MOST_LOW = 1.5, -0.5
# A dropout holds less than this share of what the other copy has, in power, and so much less ...
DROPOUT: Final = 0.1
GONE_DB: Final = 8.0
# ... than what is beside it: whitened, or, where it is long enough, as it is.
DIP_DB: Final = 6.0
PLAIN_DIP_DB: Final = 10.0
# What differs for longer than this may lie between two strokes of the music.
STROKE_MS: Final = 15.0
# Damage that is added to a long place makes it louder than both sides of it by this, or by this,
# whitened.
ADDED_DB: Final = 3.0
ADDED_WHITE_DB: Final = 6.0
# ... and a copy that has lost most of it has this much less than beside it.
SILENT_DB: Final = 8.0
# What is this much louder than both sides of a place is no music that the other one has lost.
RISE_DB: Final = 9.0
# What has been added to a long place makes it louder than the other copy by this.
LOUDER_DB: Final = 1.0
# So much of the difference must be outside of what a detector has found.
UNEXPLAINED: Final = 0.25
# Where clicks of the copy take no more of a place than this, they are left out of its judgement.
MOST_KNOWN: Final = 0.6
# What differs for this long may be a needle's skip; where it jumps and lands there are clicks.
SKIP_MS: Final = 50.0
LANDING_MS: Final = 8.0
# ... unless so much of it, in stretches of this length, is as alike as this: it is music of both.
MOST_ALIKE: Final = 0.15
ALIKE_MS: Final = 10.0
ALIKE: Final = 0.9
# From this length on the level of the sound itself tells, where no detector has found a click.
LONG_MS: Final = 3.0
# Surroundings of a place, for its level.
BESIDE_MS: Final = 12.0


class Side(StrEnum):
    """Who is damaged: the recording, the copy, or nobody can tell.

    DETECTED: by the difference nobody can tell, but a detector has found a click in the recording
    alone.
    """

    RECORDING = "recording"
    COPY = "copy"
    UNKNOWN = "unknown"
    DETECTED = "detected"


@dataclass(frozen=True, eq=False)
class View:
    """A copy beside the recording, one channel; index 0 is frame `start`.

    Parameters
    ----------
    start : int
    target : ndarray of float64, shape (frames,)
        The recording.
    guide : Guide
        The copy, matched to it.
    score : ndarray of float64, shape (frames,)
        How many times the usual difference there is.
    places : list of (start, stop)
        Where it is exceptional.
    known : tuple of two ndarrays of bool
        What the detector has found in the recording, and in the copy.
    cleaned : ndarray of bool, shape (frames,)
        Where that was taken out of the copy, and nothing of it had been lost.
    """

    start: int
    target: FloatArray
    guide: Guide
    score: FloatArray
    places: list[Run]
    known: tuple[BoolArray, BoolArray]
    cleaned: BoolArray

    @property
    def difference(self) -> FloatArray:
        """What the recording has and the copy has not."""
        return self.target - self.guide.samples


def judge(
    view: View,
    rivals: Sequence[View],
    place: Run,
    sample_rate: float,
    *,
    gone: int | None = None,
) -> tuple[Side, bool]:
    """Say who is damaged at a place, and whether its music is missing there.

    Parameters
    ----------
    view : View
    rivals : sequence of View
        The same stretch beside the other copies, if there are any.
    place : (start, stop)
        Indices of `view`.
    sample_rate : float
        In Hz.
    gone : int, optional
        Whose sound is plainly gone: 0 the recording's, 1 the copy's.
    """
    low, high = place
    frames = slice(low, high)
    usable = [other for other in rivals if other.guide.held[frames].all()]
    if gone is None:
        side, is_lost = _by_energy(view, place, sample_rate)
    else:
        side, is_lost = (Side.RECORDING, Side.COPY)[gone], True
    if side is Side.UNKNOWN and high - low > SKIP_MS * 1e-3 * sample_rate:
        side, is_lost = _by_landing(view, place, sample_rate)
    if side is Side.UNKNOWN and view.known[0][frames].any() and not view.known[1][frames].any():
        side = Side.DETECTED
    if usable:
        # Two copies that say the same against the recording outvote it, and the other way round.
        own = view.difference[frames]
        energy = float(np.dot(own, own))
        agree = [
            float(np.sum((own - other.difference[frames]) ** 2)) < 0.25 * energy for other in usable
        ]
        alone = [float(np.sum(other.difference[frames] ** 2)) < 0.25 * energy for other in usable]
        if any(agree) and not any(alone):
            return Side.RECORDING, is_lost or is_missing(view.target, view.guide.samples, place)
        if any(alone):
            return Side.COPY, False
    return side, is_lost


def _by_energy(view: View, place: Run, sample_rate: float) -> tuple[Side, bool]:
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
    whole = _share(white[:, inside])
    _without_known(pair, white, view.known[1][lo:hi], (low - lo, high - lo), order)
    share = _share(white[:, inside])
    if not np.isfinite(share):
        return Side.UNKNOWN, False
    long = high - low > LONG_MS * 1e-3 * sample_rate
    # What is slow is not seen in whitened sound: both must say the same.
    apart = pair[0, low - lo : high - lo] - pair[1, low - lo : high - lo]
    slow = float(np.dot(apart, pair[0, low - lo : high - lo]) / max(np.dot(apart, apart), 1e-30))
    unclear = LOWER < share < UPPER
    if unclear if not long else not unclear and (share > 0.5) != (slow > 0.5):
        # Where the sound was cut off hard, the cuts are clicks of the one that lost it.
        return _by_silence(pair, (low - lo, high - lo), beside, full=0 if slow > 0.5 else 1)
    if long:
        share = slow if unclear else share
        clear = not LOWER < slow < UPPER and MOST_LOW < slow < MOST_HIGH
    else:
        clear = True
    if not clear or LOWER < share < UPPER or not MOST_LOW < share < MOST_HIGH:
        return Side.UNKNOWN, False
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
    if (
        full == 0
        and gone
        and high - low > STROKE_MS * 1e-3 * sample_rate
        and _goes_on(white, pair, span, 4 * beside)
    ):
        # At the end of a file, or between two strokes, a loss is no dip: but nothing was added.
        return Side.COPY, False
    explained = 1.0 - _unexplained(pair, view.known[full][lo:hi], span)
    lost = gone and silent and explained < 1.0 - UNEXPLAINED
    damaged = empty if lost else full
    if damaged == 0 and not lost and whole < LOWER:
        # What is left beside a click of the copy is its tail, too weak to tell by itself.
        return Side.COPY, False
    inner, sides = levels[1]
    if damaged == 0 and lost and inner[full] - max(sides) > RISE_DB:
        # What a copy has lost, the other has as loud as what is beside it: this was added to it.
        return Side.COPY, False
    if (
        damaged == 0
        and not lost
        and high - low > STROKE_MS * 1e-3 * sample_rate
        and not view.known[0][low:high].any()
        and (inner[0] < inner[1] + LOUDER_DB or high - low > SKIP_MS * 1e-3 * sample_rate)
    ):
        # Nor was anything added to what is no louder than its copy, and where nobody hears a click;
        # what lasts longer than that is a bad match.
        return Side.UNKNOWN, False
    return (Side.RECORDING, Side.COPY)[damaged], lost


def _goes_on(white: FloatArray, pair: FloatArray, span: Run, beside: int) -> bool:
    """Return whether the recording is no louder in a place than beside it, and its copy silent."""

    def rise_db(sound: FloatArray) -> float:
        low, high = span
        power = sound**2
        sides = power[max(low - beside, 0) : low], power[high:][:beside]
        usual = max((float(side.mean()) for side in sides if side.size), default=0.0)
        return 10.0 * float(np.log10((power[low:high].mean() + FLOOR**2) / (usual + FLOOR**2)))

    return (
        rise_db(pair[0]) < ADDED_DB
        and rise_db(white[0]) < ADDED_WHITE_DB
        and rise_db(pair[1]) < -SILENT_DB
    )


def _share(pair: FloatArray) -> float:
    """Return how much of the difference of two is in the first: 1 all, 0 nothing; or NaN."""
    difference = pair[0] - pair[1]
    energy = float(np.dot(difference, difference))
    return float(np.dot(difference, pair[0])) / energy if energy > 0.0 else np.nan


def _without_known(
    pair: FloatArray, white: FloatArray, known: BoolArray, place: Run, order: int
) -> None:
    """Make both alike where the copy has a click of its own, if that is not most of a place."""
    low, high = place
    own = known[low:high]
    if not own.any() or own.mean() > MOST_KNOWN:
        return
    for sounds, reach in ((pair, 0), (white, order)):
        wide = np.convolve(own, np.ones(reach + 1), "full")[: own.size] > 0
        sounds[0, low:high][wide] = 0.0
        sounds[1, low:high][wide] = 0.0


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


def _share_alike(view: View, place: Run, cell: int) -> float:
    """Return the share of a place, cell by cell, where both have the same music all the same."""
    low, high = place
    count = (high - low) // cell
    first, second = (
        sound[low : low + count * cell].reshape(count, cell)
        for sound in (view.target, view.guide.samples)
    )
    product = np.sum(first * second, axis=1)
    powers = np.sum(first**2, axis=1) * np.sum(second**2, axis=1)
    return float(np.mean(product > ALIKE * np.sqrt(powers)))


def _by_landing(view: View, place: Run, sample_rate: float) -> tuple[Side, bool]:
    """Ask which of two is damaged at the ends of a place: a needle that jumps, or lands, clicks."""
    if _share_alike(view, place, round(ALIKE_MS * 1e-3 * sample_rate)) > MOST_ALIKE:
        return Side.UNKNOWN, False
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


def is_missing(sound: FloatArray, other: FloatArray, place: Run) -> bool:
    """Return whether the sound of a place is gone where the other has some."""
    own, full = (float(np.sum(part[slice(*place)] ** 2)) for part in (sound, other))
    return own < DROPOUT * full
