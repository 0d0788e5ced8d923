"""The stage that finds what follows clicks, and how the arm of the record player swings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from declick.clicks import Click, FloatArray, Kind
from declick.detect.spans import SURE_OF_TAIL
from declick.detect.swings import TOGETHER_S, FoundSwing, recurring_swing
from declick.detect.tails import DEFAULT_THRESHOLDS, FoundTail, context_ms, find_tails
from declick.dsp.chain import Chain
from declick.dsp.thumps import Swing
from declick.parallel import Workers
from declick.read import Recording
from declick.stretches import Stretch, stretches_of_clicks

_RISE_DB: Final = DEFAULT_THRESHOLDS.expected_rise_db


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
    if chain.swing is not None:
        again = [number for number, found in enumerate(results) if found.again]
        stretches = stretches_of_clicks(recording, clicks, context_ms=context_ms, chain=chain)
        chosen = (stretch for number, stretch in enumerate(stretches) if results[number].again)
        for number, found in zip(again, workers.map(_find_stretch_tails, chosen), strict=True):
            results[number] = found
    return [click for found in results for click in found.clicks], chain


class _Tails(NamedTuple):
    """The own clicks of a stretch with their tails, and how thumps among them swing.

    `again`: whether there may be more where it is known how they do.
    """

    clicks: list[Click]
    swings: list[FoundSwing]
    again: bool


def _find_stretch_tails(stretch: Stretch) -> _Tails:
    """Find the tails of a stretch's own clicks (in a worker)."""
    rate = stretch.sample_rate
    channels = list(stretch.channels())
    found = [_find_channel_tails(stretch, clicks, sound) for clicks, sound in channels]
    swings = [
        FoundSwing(click.start / rate, tail.thump.swing, tail.thump.evidence)
        for (clicks, _), tails in zip(channels, found, strict=True)
        for click, tail in zip(clicks, tails, strict=True)
        if tail.thump is not None
    ]
    own: list[Click] = []
    again = False
    for (clicks, sound), tails in zip(channels, found, strict=True):
        # One arm carries both channels.
        others = {
            index: swing.swing
            for index, (click, tail) in enumerate(zip(clicks, tails, strict=True))
            if tail.kind is not Kind.THUMP
            for swing in swings
            if abs(swing.time_s - click.start / rate) <= TOGETHER_S
        }
        if others:
            tails = _find_channel_tails(stretch, clicks, sound, others)
        for click, tail in zip(clicks, tails, strict=True):
            if click in stretch.own_set:
                end = max(click.stop, min(tail.end + stretch.start, stretch.frames))
                own.append(replace(click, tail=end, kind=tail.kind or click.kind))
                again |= tail.kind is not Kind.THUMP and tail.rise_db > _RISE_DB
    return _Tails(sorted(own), swings, again)


def _find_channel_tails(
    stretch: Stretch,
    clicks: Sequence[Click],
    sound: FloatArray,
    swings: Mapping[int, Swing] | None = None,
) -> list[FoundTail]:
    """Find the tails of the clicks of one channel."""
    return find_tails(
        sound,
        [(click.start - stretch.start, click.stop - stretch.start) for click in clicks],
        sample_rate=stretch.sample_rate,
        chain=stretch.chain,
        channel=clicks[0].channel,
        sure=[click.confidence >= SURE_OF_TAIL for click in clicks],
        swings=swings,
    )
