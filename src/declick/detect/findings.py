"""What the network says of instants, and what that makes of each sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from declick.clicks import FloatArray
from declick.detect.paces import Pace
from declick.detect.places import FLAT_LEVEL, digital_places
from declick.detect.sight import Float32Array
from declick.detect.survey import Geometry, IntArray
from declick.detect.views import MIDDLE

# Log odds from which a sample counts as lost. A damaged sample that is left in spoils the gap's
# whole interpolation; a sound one that is lost costs next to nothing where the damage is known ...
LEAST_CORE: Final = -5.0
# ... but of what was thinned out less is lost than seems so: the low pass makes a click longer.
LEAST_CORE_THINNED: Final = -2.5
# Of a longer core than this many frames, whose damage is doubted by this share of its energy, only
# what is as likely as this: music is seldom so predictable for so long.
LONG_CORE: Final = 112
DOUBT_SHARE: Final = 0.4
LEAST_CORE_IN_DOUBT: Final = -1.5
# What the network knows of damage it knows amid music; beyond an end there is only what was made up
# (`declick.detect.ends`), and where music is cut off the first samples are a little unlike that.
ENDS_DOUBT: Final = 5.0
# Where the damage stays below this share of the level around (as arcsinh), nothing is lost ...
QUIET: Final = 0.06
# ... nor below this one between two clicks, if that lasts for so many frames.
QUIET_BETWEEN: Final = 0.2
_LULL: Final = 45
# A flat top of three samples or more is a clipped click's, but a longer one is clipped music, or a
# sample that is stuck.
LONGEST_TOP_MS: Final = 5.0
# What falls from it by this share of its height with each sample is its slope.
STEEP: Final = 0.04
_LONGEST_SLOPE = 32
# Music that is mastered into clipping is never as surely damage as this.
SURER_THAN_CLIPPED: Final = 1.0 / (1.0 + math.exp(-10.0))
# The damage is as high as within so many frames: it crosses zero.
_WAVE: Final = 13
# How far from an instant its core may begin or end, in frames, to be its own.
_OWN = 48
# How many frames that are heard beside a core tell what the music has beyond them.
_BESIDE = 256
# How near to an instant a surer one must know of lost samples, in frames, for both to count.
_NEAR = 24


@dataclass(frozen=True, eq=False)
class Findings:
    """What the network says of the instants of a tile that may be damage.

    Parameters
    ----------
    frames : ndarray of int, shape (n,)
        Of the tile.
    log_odds : ndarray, shape (n, 2)
        Of damage in the left and the right channel.
    families : ndarray, shape (n, 2, families)
        Log odds of the families against each other.
    tails_ms : ndarray, shape (n, 2)
        Length of what follows the core.
    cores : ndarray, shape (n, 2, MIDDLE)
        Log odds of each sample being lost, from ``frames - MIDDLE // 2`` on.
    damage : ndarray, shape (n, 2, MIDDLE)
        What was added to the music there.
    deviation : ndarray, shape (n, 2, MIDDLE)
        Standard deviation of `damage` from the truth.
    """

    frames: IntArray
    log_odds: FloatArray
    families: Float32Array
    tails_ms: Float32Array
    cores: Float32Array
    damage: Float32Array
    deviation: Float32Array


class Heard(NamedTuple):
    """What the network says of the samples of a tile; arrays of float32, shape (frames, channels).

    Parameters
    ----------
    probability : ndarray
        Of the music being lost.
    damage : ndarray
        What was added to it.
    deviation : ndarray
        Standard deviation of `damage` from the truth; infinite where nothing is known.
    """

    probability: NDArray[np.float32]
    damage: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def until(self, frame: int) -> Heard:
        """Return what is heard before a frame."""
        return Heard(*(part[:frame] for part in self))

    def louder(self, times: float) -> Heard:
        """Return what is heard of a sound that is so many times louder."""
        with np.errstate(over="ignore"):
            damage, deviation = (part * np.float64(times) for part in self[1:])
            damage, deviation = damage.astype(np.float32), deviation.astype(np.float32)
        known = np.isfinite(damage) & np.isfinite(deviation)
        return Heard(
            self.probability,
            np.where(known, damage, np.float32(0.0)),
            np.where(known, deviation, np.float32(np.inf)),
        )


def silence(shape: tuple[int, ...]) -> Heard:
    """Return what is heard where there is nothing."""
    return Heard(
        np.zeros(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.float32),
        np.full(shape, np.inf, dtype=np.float32),
    )


def joined(parts: Sequence[Findings]) -> Findings:
    """Return findings of instants, one after another, as one."""
    return Findings(
        **{
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in fields(Findings)
        }
    )


def in_order(parts: Sequence[Findings]) -> Findings:
    """Return findings as one, by their frames."""
    some = [part for part in parts if len(part.frames)]
    whole = joined(some) if some else nothing()
    order = np.argsort(whole.frames, kind="stable")
    return Findings(**{item.name: getattr(whole, item.name)[order] for item in fields(Findings)})


def nothing() -> Findings:
    """Return findings of no instant."""
    empty = [np.zeros((0, 2, *more), np.float32) for more in ((), (1,), (MIDDLE,))]
    two, families, middle = empty
    return Findings(
        np.zeros(0, dtype=np.intp), np.zeros((0, 2)), families, two, middle, middle, middle
    )


def doubt_ends(found: Findings, ends: tuple[int, int], pace: Pace) -> Findings:
    """Return findings that ask for more of what begins with the recording, or ends with it.

    Of what is more doubt than damage, that is.

    Parameters
    ----------
    found : Findings
    ends : tuple of int
        First frame and stop of the recording, in frames of the file.
    pace : Pace
    """
    log_odds = found.log_odds.copy()
    first, last = math.floor(pace.in_heard(ends[0])), math.ceil(pace.in_heard(ends[1]))
    near = np.minimum(np.abs(found.frames - first), np.abs(found.frames - last)) <= MIDDLE // 2
    for number in np.flatnonzero(near).tolist():
        begin = int(found.frames[number]) - MIDDLE // 2
        for side in range(2):
            if any(
                (begin + a <= first or begin + b >= last)
                and _is_doubted(
                    found, number, side, max(a, first - begin), min(b, last - begin), share=1.0
                )
                for a, b in own_cores(found.cores[number, side], LEAST_CORE)
            ):
                log_odds[number, side] -= ENDS_DOUBT
    return replace(found, log_odds=log_odds)


def paint(
    samples: FloatArray, heard: FloatArray, found: Findings, geometry: Geometry, pace: Pace
) -> Heard:
    """Return what is said of each sample and channel: in each core, by its event.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
    heard : ndarray, shape (heard frames, channels)
        Of these, what ``pace.resample`` gives.
    found : Findings
    geometry : Geometry
        Of the file.
    pace : Pace
        At which the network heard it.
    """
    channels = samples.shape[1]
    least = LEAST_CORE if pace.is_whole else LEAST_CORE_THINNED
    painted = silence(samples.shape)
    confidence = 1.0 / (1.0 + np.exp(-np.clip(found.log_odds, -40.0, 40.0)))
    rows, starts, stops, sure, whose = [], [], [], [], []
    for side in range(channels):
        for number in _not_explained(found, side, least):
            frame = int(found.frames[number])
            if confidence[number, side] < 1e-4:
                continue
            for first, last in _worth(found, number, side, least):
                rows.append(side)
                begin = frame - MIDDLE // 2
                starts.append(begin + first)
                stops.append(begin + last)
                sure.append(confidence[number, side])
                whose.append(number)
    if not rows:
        return painted
    channel, start, stop = np.array([rows, starts, stops], dtype=np.intp)
    start, stop = pace.in_file(start, stop)
    level = np.array(sure)
    digital, alone = digital_places(
        samples, channel, start, stop, geometry, sure=level > SURER_THAN_CLIPPED
    )
    level[digital] = 0.0
    level[alone] = 1.0
    beyond = pace.unheard(samples, heard)
    for index in np.argsort(level, kind="stable").tolist():
        side, core = int(channel[index]), slice(int(start[index]), int(stop[index]))
        painted.probability[core, side] = level[index]
        if alone[index]:
            continue
        number, frames = whose[index], np.arange(core.start, core.stop)
        first = int(found.frames[number]) - MIDDLE // 2
        damage = pace.at(frames, found.damage[number, side], first)
        painted.damage[core, side] = damage + beyond[core, side]
        doubt = pace.along(frames, found.deviation[number, side], first)
        painted.deviation[core, side] = _at_each(doubt, beyond[:, side], core, pace)
    return painted


def _at_each(doubt: FloatArray, beyond: FloatArray, core: slice, pace: Pace) -> FloatArray:
    """Return the standard deviation of each sample's damage by that of what is heard.

    Of several samples for one that is heard each tells less. What is `beyond` all that is heard
    counts as damage; what the music has of it is told by the sound around.
    """
    if pace.is_whole:
        return doubt
    near = slice(max(core.start - _BESIDE * pace.of, 0), core.stop + _BESIDE * pace.of)
    hiss = float(np.median(np.abs(beyond[near]))) / 0.6745
    return np.hypot(doubt * math.sqrt(pace.of / pace.heard), hiss)


def cover_flat_tops(heard: Heard, samples: FloatArray, sample_rate: float) -> None:
    """Let a core that reaches into a flat top, in place, take it in whole, with its slopes.

    Where a click was clipped, no sample says more than another.
    """
    longest = LONGEST_TOP_MS * 1e-3 * sample_rate
    for side in range(samples.shape[1]):
        sound, row = samples[:, side], heard.probability[:, side]
        flat = (sound[1:] == sound[:-1]) & (np.abs(sound[1:]) > FLAT_LEVEL)
        edges = np.flatnonzero(np.diff(flat, prepend=False, append=False)).tolist()
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            top = slice(first, last + 1)
            if 2 <= last - first < longest and row[top].min() < row[top].max():
                whole = slice(first - _slope(sound[first::-1]), last + 1 + _slope(sound[last:]))
                row[whole] = np.maximum(row[whole], row[top].max())


def _slope(sound: FloatArray) -> int:
    """Return for how many samples the sound falls steeply from its first one."""
    height = np.abs(sound[: _LONGEST_SLOPE + 1])
    steep = (height[:-1] - height[1:] > STEEP * height[0]) & (sound[1 : height.size] * sound[0] > 0)
    return int(np.argmin(np.append(steep, False)))


def _not_explained(found: Findings, side: int, least: float) -> list[int]:
    """Return the instants of a channel that no surer one beside them takes for sound.

    What rings behind a core stands out, too; seen from the core it is known that nothing is lost.
    """
    frames, half = found.frames, MIDDLE // 2
    reach = half - _NEAR
    sure = found.log_odds[:, side]
    low = np.searchsorted(frames, frames - reach)
    high = np.searchsorted(frames, frames + reach, side="right")
    kept: list[int] = []
    explained = np.zeros(len(frames), dtype=bool)
    for number in np.argsort(-sure, kind="stable").tolist():
        if explained[number]:
            continue
        kept.append(number)
        for other in range(low[number], high[number]):
            if explained[other] or sure[other] >= sure[number]:
                continue
            at = int(frames[other] - frames[number]) + half
            lost = found.cores[number, side, at - _NEAR : at + _NEAR + 1]
            explained[other] = lost.max() < least
    return kept


def _worth(found: Findings, number: int, side: int, least: float) -> list[tuple[int, int]]:
    """Return the cores of an instant, long ones without what is more doubt than damage."""
    log_odds = found.cores[number, side]
    worth: list[tuple[int, int]] = []
    for first, last in own_cores(log_odds, least):
        likely = []
        if last - first > LONG_CORE and _is_doubted(
            found, number, side, first, last, share=DOUBT_SHARE
        ):
            likely = own_cores(log_odds, max(least, LEAST_CORE_IN_DOUBT))
        inner = [run for run in likely if run[0] < last and first < run[1]]
        worth += inner or [(first, last)]
    return worth


def _is_doubted(
    found: Findings, number: int, side: int, first: int, last: int, *, share: float
) -> bool:
    """Return whether the doubt of a core has more than a share of the damage's energy."""
    damage = found.damage[number, side, first:last]
    doubt = found.deviation[number, side, first:last]
    return bool(np.dot(doubt, doubt) > share * np.dot(damage, damage))


def own_cores(log_odds: Float32Array, least: float) -> list[tuple[int, int]]:
    """Return the runs of lost samples that are the instant's own.

    Those near the middle, where the instant is; where no sample there is lost, what is half as
    likely as the likeliest. None where all are out of the question.
    """
    middle = MIDDLE // 2
    near = slice(middle - _OWN, middle + _OWN + 1)
    likeliest = float(log_odds[near].max())
    if likeliest == -np.inf:
        return []
    least = min(least, likeliest - 0.7)
    lost = np.zeros(len(log_odds) + 2, dtype=bool)
    lost[1:-1] = log_odds >= least
    edges = np.flatnonzero(lost[1:] != lost[:-1])
    return [
        (int(first), int(last))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
        if last > near.start and first < near.stop
    ]


def is_loud(damage: Float32Array) -> NDArray[np.bool_]:
    """Return where damage is worth mending.

    To mend what nobody hears costs more than it gains, and makes one click of two.

    Parameters
    ----------
    damage : ndarray, shape (..., frames)
        As arcsinh over the level around.
    """
    height = maximum_filter1d(np.abs(damage), _WAVE, axis=-1)
    loud = height >= QUIET_BETWEEN
    # What is no lull is put back: it is too short.
    lull = maximum_filter1d(minimum_filter1d(~loud, _LULL, axis=-1), _LULL, axis=-1)
    before = np.maximum.accumulate(loud, axis=-1)
    behind = np.maximum.accumulate(loud[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((height >= QUIET) & ~(lull & before & behind))
