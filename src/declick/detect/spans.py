"""From probabilities to events: the only place where thresholds turn numbers into clicks."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Kind

# The confidence asked for at sensitivity 0 and 1, as log odds; between them it is a straight line.
LOG_ODDS: Final = (8.4, -3.6)
# What is plainly damage has this confidence, or this one with the network: of real damage 1 in 2 to
# 4 is as sure as that; of music that is taken for damage, as pulses of a trumpet, 1 in 100.
PLAIN: Final = 0.99
PLAIN_TO_NETWORK: Final = 0.998
# ... or that there are many likely specks: of a record unlike any that it has learned from, the
# network is sure of none, and music has hardly one in ten seconds.
LIKELY: Final = 0.93
# What coincides with a click of the other channel needs less, by so much in log odds.
COMPANION: Final = 3.0
# What lies at an angle where clicks fell on the turns before and after needs less, by so much.
RETURNING: Final = 3.0
# What is no surer than this is followed by no tail: only a strong push sets anything swinging, and
# a drum with a doubtful speck on it sounds like one.
SURE_OF_TAIL: Final = 0.9
# What is longer than this, not plain, and follows a plain push within so long, is no click where a
# thump is found.
SWING_MS: Final = 2.5
SWINGS_MS: Final = 60.0
# Cores closer than this are one burst.
FUSION_MS: Final = 0.25
# A core longer than this is cut off: what is longer is no click.
LONGEST_MS: Final = 25.0
# Nor is what fills more than this share of a recording: too little is left to know it by.
LARGEST_SHARE: Final = 0.1
# Up to this length a click may be one of many specks, which a worn record has the more of; it rings
# on in the pick-up for most of that.
SPECK_MS: Final = 2.5
# From this length on a tick is called a pop.
POP_MS: Final = 0.6
# What is weaker than this share of a click's height does not make it longer.
LOUD: Final = 0.25
# Ticks that follow each other at this rate or faster are called crackle ...
CRACKLE_HZ: Final = 30.0
# ... counted over this time.
CRACKLE_WINDOW_S: Final = 0.5
# A click belongs to a scratch where others fell this near to the same angle, on as many turns.
SCRATCH_WINDOW_MS: Final = 3.0
SCRATCH_TURNS: Final = 2


@dataclass(frozen=True, slots=True)
class Prior:
    """How much less a click needs on a worn record, in log odds.

    Parameters
    ----------
    slope : float
        For every factor of e by which it has more plain clicks than `clean_hz`.
    most : float
    clean_hz : float
        A record with so many plain clicks a second is taken for a clean one ...
    clean_likely_hz : float
        ... and one with so many likely ones (`LIKELY`), if those tell anything.
    sparse_hz, more : float
        Where all that is plain, or likely, is less than so many a second, a click needs more, up to
        this much.
    """

    slope: float
    most: float
    clean_hz: float
    clean_likely_hz: float = math.inf
    sparse_hz: float = 0.0
    more: float = 0.0


PRIOR: Final = Prior(1.5, 3.5, 0.5)
PRIOR_OF_NETWORK: Final = Prior(1.5, 3.0, 0.33, sparse_hz=0.1, more=1.5)
"""Of what is no speck; it goes by the plain clicks that are none: ticks bear out no clap."""
PRIOR_OF_SPECKS: Final = Prior(2.2, 5.0, 0.33, 2.0, sparse_hz=0.1, more=1.5)
"""For the network's, too; what is longer does more harm where it is none."""


def threshold(
    sensitivity: float,
    *,
    plain_hz: float = 0.0,
    likely_hz: float = 0.0,
    any_hz: float = 0.0,
    prior: Prior = PRIOR,
) -> float:
    """Return the confidence that a click must have.

    Parameters
    ----------
    sensitivity : float
        0..1; more takes more.
    plain_hz : float
        Plain clicks per second and channel of this record (`count_plain`).
    likely_hz : float
        The same of likely specks.
    any_hz : float
        The same of all plain clicks, or of likely specks where there are more of those.
    prior : Prior
    """
    low, high = LOG_ODDS
    times = max(plain_hz / prior.clean_hz, likely_hz / prior.clean_likely_hz, 1e-9)
    less = min(max(prior.slope * math.log(times), 0.0), prior.most)
    if less == 0.0 and any_hz < prior.sparse_hz:
        less = max(prior.slope * math.log(max(any_hz / prior.sparse_hz, 1e-9)), -prior.more)
    return _odds(low + (high - low) * sensitivity - less)


def lowered(least: float, by: float) -> float:
    """Return a probability that is lower by some log odds."""
    return _odds(float(np.log(least / (1.0 - least))) - by)


def _odds(logarithm: float) -> float:
    """Return the probability for log odds."""
    return float(1.0 / (1.0 + np.exp(-logarithm)))


class PlainCounts(NamedTuple):
    """How many spans are plainly damage: all, and those that are no specks; and likely specks."""

    all: int
    longer: int
    likely: int


def count_plain(
    probability: NDArray[np.float32], *, sample_rate: float, plain: float = PLAIN
) -> PlainCounts:
    """Return how many spans of all channels are plainly damage, and how many specks likely."""
    spans, likely = (
        find_spans(probability, least=least, start=0, companions=False) for least in (plain, LIKELY)
    )
    longest = SPECK_MS * 1e-3 * sample_rate
    longer, specks = (
        sum(span.stop - span.start > longest for span in spans),
        sum(span.stop - span.start <= longest for span in likely),
    )
    return PlainCounts(len(spans), longer, specks)


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A stretch of one channel that is probably lost; half-open frames of the recording."""

    start: int
    stop: int
    channel: int
    confidence: float


def find_spans(
    probability: NDArray[np.float32], *, least: float, start: int, companions: bool = True
) -> list[Span]:
    """Return the stretches whose probability is at least `least`, ascending.

    Parameters
    ----------
    probability : ndarray, shape (frames, channels)
    least : float
        0..1.
    start : int
        Frame of the recording that the first row stands for.
    companions : bool
        Whether a weaker stretch counts, too, that coincides with one in another channel.
    """
    spans = _runs(probability, least, start)
    if companions and spans and probability.shape[1] > 1:
        weaker = lowered(least, COMPANION)
        starts = [span.start for span in spans]
        spans += [
            span
            for span in _runs(probability, weaker, start)
            if span.confidence < least
            and any(
                other.channel != span.channel and other.stop > span.start
                for other in spans[
                    max(0, bisect_left(starts, span.stop) - 8) : bisect_left(starts, span.stop)
                ]
            )
        ]
        spans.sort()
    return spans


def _runs(probability: NDArray[np.float32], least: float, start: int) -> list[Span]:
    """Return the runs of at least `least`, ascending."""
    spans: list[Span] = []
    for channel in range(probability.shape[1]):
        above = np.pad(probability[:, channel] >= least, 1)
        edges = np.flatnonzero(above[1:] != above[:-1])
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            confidence = float(probability[first:last, channel].max())
            spans.append(Span(start + first, start + last, channel, confidence))
    return sorted(spans)


def find_specks(
    probability: NDArray[np.float32], *, least: float, below: float, start: int, sample_rate: float
) -> list[Span]:
    """Return the short stretches with at least one probability and less than another, ascending."""
    longest = SPECK_MS * 1e-3 * sample_rate
    return [
        span
        for span in _runs(probability, least, start)
        if span.stop - span.start <= longest and span.confidence < below
    ]


def swings_among(clicks: Iterable[Click], *, sample_rate: float) -> set[Click]:
    """Return the clicks that may be the swing of the arm behind another.

    Parameters
    ----------
    clicks : iterable of Click
        Ascending.
    sample_rate : float
        In Hz.
    """
    long, within = (round(ms * 1e-3 * sample_rate) for ms in (SWING_MS, SWINGS_MS))
    pushed: dict[int, int] = {}
    swings: set[Click] = set()
    for click in clicks:
        plain, length = click.confidence >= PLAIN_TO_NETWORK, click.stop - click.start
        since = click.start - pushed.get(click.channel, -within - 1)
        if plain and length <= long:
            pushed[click.channel] = click.stop
        elif length > long and not plain and since <= within:
            swings.add(click)
    return swings


def is_within_thump(click: Click, thumps: Iterable[Click]) -> bool:
    """Return whether a click lies in one of the thumps, on whichever channel."""
    return any(thump.stop <= click.start < thump.tail for thump in thumps)


def fuse_spans(spans: Iterable[Span], *, sample_rate: float, frames: int) -> Iterator[Span]:
    """Join the spans of a channel that touch or nearly touch, also across tiles.

    Parameters
    ----------
    spans : iterable of Span
        Ascending.
    sample_rate : float
        In Hz.
    frames : int
        Length of the recording; spans are cut to it.

    Yields
    ------
    Span
        Ascending; those of one channel are disjoint.
    """
    near = max(1, round(FUSION_MS * 1e-3 * sample_rate))
    longest = round(LONGEST_MS * 1e-3 * sample_rate)
    open_spans: dict[int, Span] = {}
    done: list[Span] = []
    for span in spans:
        if span.start >= frames:
            continue
        span = replace(span, stop=min(span.stop, frames))
        last = open_spans.get(span.channel)
        joined = last is not None and span.start - last.stop <= near
        if last is not None and joined and span.stop - last.start <= longest:
            confidence = max(last.confidence, span.confidence)
            stop = max(last.stop, span.stop)
            open_spans[span.channel] = replace(last, stop=stop, confidence=confidence)
        else:
            if last is not None:
                heapq.heappush(done, last)
                span = replace(span, start=max(span.start, last.stop))
            if span.start < span.stop:
                open_spans[span.channel] = span
        first_open = min(item.start for item in open_spans.values())
        while done and done[0].start < first_open:
            yield heapq.heappop(done)
    yield from sorted([*done, *open_spans.values()])


def name_kinds(clicks: Sequence[Click], *, sample_rate: float) -> list[Click]:
    """Name each click by its length and its company; thumps keep their name.

    Parameters
    ----------
    clicks : sequence of Click
        Ascending, of the whole recording.
    sample_rate : float
        In Hz.
    """
    named: list[Click] = []
    pop = POP_MS * 1e-3 * sample_rate
    half = 0.5 * CRACKLE_WINDOW_S * sample_rate
    crowd = CRACKLE_HZ * CRACKLE_WINDOW_S
    starts: dict[int, NDArray[np.int64]] = {}
    for channel in {click.channel for click in clicks}:
        own = [click.start for click in clicks if click.channel == channel]
        starts[channel] = np.array(own, dtype=np.int64)
    for click in clicks:
        kind = click.kind
        if kind is not Kind.THUMP:
            kind = Kind.POP if _length(click) >= pop else Kind.TICK
            near = np.searchsorted(starts[click.channel], [click.start - half, click.start + half])
            if kind is Kind.TICK and near[1] - near[0] > crowd:
                kind = Kind.CRACKLE
        named.append(replace(click, kind=kind))
    return named


def _length(click: Click) -> int:
    """Return how many frames a click lasts: its core, or what is loud of it where that is known."""
    if click.estimate is None:
        return click.stop - click.start
    # What towers nobody estimates, and what is said beside it is too high.
    towers = np.flatnonzero(~np.isfinite(click.estimate.deviation))
    if towers.size:
        return int(towers[-1] - towers[0]) + 1
    height = np.abs(click.estimate.damage)
    loud = np.flatnonzero(height >= LOUD * height.max(initial=0.0))
    return int(loud[-1] - loud[0]) + 1


def name_scratches(clicks: Sequence[Click], *, sample_rate: float, period_s: float) -> list[Click]:
    """Call scratch what returns at the same angle on the turns before or after.

    Parameters
    ----------
    clicks : sequence of Click
        Ascending, of the whole recording.
    sample_rate : float
        In Hz.
    period_s : float
        Time of one revolution.
    """
    starts = [click.start for click in clicks]
    turns = _count_turns(starts, starts, sample_rate=sample_rate, period_s=period_s)
    plain = (Kind.TICK, Kind.POP)
    return [
        replace(click, kind=Kind.SCRATCH)
        if count >= SCRATCH_TURNS and click.kind in plain
        else click
        for click, count in zip(clicks, turns, strict=True)
    ]


def _count_turns(
    places: Sequence[int], starts: Sequence[int], *, sample_rate: float, period_s: float
) -> NDArray[np.intp]:
    """Return on how many of the four turns around each place something starts at its angle.

    In dense crackle something falls near every angle: none count, then.
    """
    ordered, at = np.array(starts, dtype=np.float64), np.array(places, dtype=np.float64)
    window = SCRATCH_WINDOW_MS * 1e-3 * sample_rate
    turns = np.zeros(len(at), dtype=np.intp)
    length = float(ordered[-1] - ordered[0]) if len(ordered) > 1 else 0.0
    if len(ordered) * 2 * window > 0.2 * max(length, 1.0):
        return turns
    for turn in (-2, -1, 1, 2):
        # The angle may wander by as much again with every turn.
        reach = window * abs(turn)
        angle = at + turn * period_s * sample_rate
        turns += np.searchsorted(ordered, angle + reach) > np.searchsorted(ordered, angle - reach)
    return turns


def find_returning(
    weaker: Sequence[Span], spans: Sequence[Span], *, sample_rate: float, period_s: float
) -> list[Span]:
    """Return the spans that the rotation of the disc makes likelier.

    Parameters
    ----------
    weaker : sequence of Span
        Found at a threshold that is lower by `RETURNING`.
    spans : sequence of Span
        Ascending; what was found without this.
    sample_rate : float
        In Hz.
    period_s : float
        Time of one revolution.
    """
    starts = [span.start for span in spans]
    turns = _count_turns(
        [span.start for span in weaker], starts, sample_rate=sample_rate, period_s=period_s
    )
    return [span for span, count in zip(weaker, turns, strict=True) if count >= SCRATCH_TURNS]
