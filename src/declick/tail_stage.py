"""The stage that finds what follows clicks, and how the arm of the record player swings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from declick.clicks import Click, FloatArray, Kind
from declick.detect.spans import SURE_OF_TAIL
from declick.detect.swings import FoundSwing, recurring_swing
from declick.detect.tails import DEFAULT_THRESHOLDS, FoundTail, TailFinder, context_ms
from declick.dsp.chain import TOGETHER_S, Chain
from declick.dsp.thumps import Swing
from declick.parallel import Workers
from declick.read import Recording
from declick.stretches import Stretch, stretches_of_clicks

_RISE_DB: Final = DEFAULT_THRESHOLDS.hidden_rise_db


def with_tails(
    recording: Recording,
    clicks: Sequence[Click],
    chain: Chain,
    workers: Workers,
    progress: Callable[[float], None],
) -> tuple[list[Click], Chain]:
    """Return the clicks with their tails and, for thumps, their kind; and the chain's swing, too.

    Where thumps that stand out tell how the arm swings, those that did not are looked for again.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending, without tails.
    chain : Chain
    workers : Workers
    progress : callable
        Called with the share that is done, 0..1.
    """
    results: list[_Tails] = []
    stretches = stretches_of_clicks(recording, clicks, context_ms=context_ms, chain=chain)
    for found in workers.map(_find_stretch_tails, stretches):
        results.append(found)
        progress(found.clicks[-1].start / recording.frames)
    chain = replace(chain, swing=recurring_swing([s for found in results for s in found.swings]))
    tailed = [click for found in results for click in found.clicks]
    if chain.swing is not None:
        unsure = {click for found in results for click in found.unsure}
        stretches = stretches_of_clicks(recording, tailed, context_ms=context_ms, chain=chain)
        chosen = (stretch for stretch in stretches if unsure.intersection(stretch.own))
        changed = {
            (click.start, click.stop, click.channel): click
            for found in workers.map(_find_hidden_thumps, chosen)
            for click in found
        }
        tailed = [changed.get((c.start, c.stop, c.channel), c) for c in tailed]
    return tailed, chain


class _Tails(NamedTuple):
    """The own clicks of a stretch with their tails.

    `swings`: of the thumps among them. `unsure`: behind which there may be a thump all the same.
    """

    clicks: list[Click]
    swings: list[FoundSwing]
    unsure: list[Click]


def _find_stretch_tails(stretch: Stretch) -> _Tails:
    """Find the tails of a stretch's own clicks (in a worker)."""
    rate = stretch.sample_rate
    finders = [(clicks, _finder(stretch, clicks, sound)) for clicks, sound in stretch.channels()]
    found = [finder.find() for _, finder in finders]
    swings = {
        click: FoundSwing(click.start / rate, tail.thump.swing, tail.thump.evidence)
        for (clicks, _), tails in zip(finders, found, strict=True)
        for click, tail in zip(clicks, tails, strict=True)
        if tail.thump is not None
    }
    own: list[Click] = []
    unsure: list[Click] = []
    ringing = {
        click
        for (clicks, _), tails in zip(finders, found, strict=True)
        for click, tail in zip(clicks, tails, strict=True)
        if tail.kind is not Kind.THUMP and tail.end > click.stop - stretch.start
    }
    for (clicks, finder), tails in zip(finders, found, strict=True):
        beside = {
            index
            for index, click in enumerate(clicks)
            if any(_are_together(click, other, rate) for other in ringing)
        }
        tails = finder.find_rings_together(tails, beside)
        # One arm carries both channels of a pair.
        others: dict[int, Swing] = {}
        both: set[int] = set()
        for index, click in enumerate(clicks):
            for source, swing in swings.items():
                if abs(swing.time_s - click.start / rate) <= TOGETHER_S:
                    others[index] = swing.swing
                    if _are_together(source, click, rate):
                        both.add(index)
        told = _told(stretch, clicks, finder.find_hidden(tails, others, together=both))
        own += told
        rises = {click.start: tail.rise_db for click, tail in zip(clicks, tails, strict=True)}
        unsure += [c for c in told if c.kind is not Kind.THUMP and rises[c.start] > _RISE_DB]
    own_swings = [swing for click, swing in swings.items() if click in stretch.own_set]
    return _Tails(sorted(own), own_swings, unsure)


def _are_together(one: Click, other: Click, sample_rate: float) -> bool:
    """Return whether both channels of a pair have a click at that moment."""
    return (
        one.channel != other.channel
        and one.channel // 2 == other.channel // 2
        and abs(one.start - other.start) <= TOGETHER_S * sample_rate
    )


def _find_hidden_thumps(stretch: Stretch) -> list[Click]:
    """Return those of a stretch's own clicks that have a thump like the record's (in a worker)."""
    changed: list[Click] = []
    for clicks, sound in stretch.channels():
        finder = _finder(stretch, clicks, sound)
        known = [
            FoundTail(c.tail - stretch.start, Kind.THUMP if c.kind is Kind.THUMP else None)
            for c in clicks
        ]
        arm = stretch.chain.swing
        assert arm is not None
        swings = dict.fromkeys(finder.expected_thumps(), arm)
        told = _told(stretch, clicks, finder.find_hidden(known, swings))
        changed += [click for click in told if click not in stretch.own_set]
    return changed


def _finder(stretch: Stretch, clicks: Sequence[Click], sound: FloatArray) -> TailFinder:
    """Return what looks for tails behind the clicks of one channel."""
    return TailFinder(
        sound,
        [(click.start - stretch.start, click.stop - stretch.start) for click in clicks],
        sample_rate=stretch.sample_rate,
        chain=stretch.chain,
        channel=clicks[0].channel,
        sure=[click.confidence >= SURE_OF_TAIL for click in clicks],
    )


def _told(stretch: Stretch, clicks: Sequence[Click], tails: Sequence[FoundTail]) -> list[Click]:
    """Return the own clicks among those of a channel, with what was found."""
    return [
        replace(
            click,
            tail=max(click.stop, min(tail.end + stretch.start, stretch.frames)),
            kind=tail.kind or click.kind,
        )
        for click, tail in zip(clicks, tails, strict=True)
        if click in stretch.own_set
    ]
