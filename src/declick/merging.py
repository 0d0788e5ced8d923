"""Compare a recording with other copies of it: what differs, and who is damaged there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import attrgetter
from typing import Final

import numpy as np

from declick.clicks import Click, FloatArray, Kind, disjoint_clicks
from declick.copies.compare import Difference, Rendition, compare, tile_context
from declick.copies.judge import Side
from declick.copies.lay import Copy, Part, Span, lost_frames, outside, spans_of, spans_within
from declick.copies.mends import Mends
from declick.copies.settle import (
    LONGEST_ALONE_MS,
    by_channel,
    meeting,
    settle_walls,
    spans_by_channel,
)
from declick.detect.spans import POP_MS
from declick.detect.survey import Geometry
from declick.excerpt import Excerpt
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.patches import CLEANED, patches
from declick.settings import DetectSettings
from declick.stages import STAGES, Progress, detect, ignore_progress, repair, time_done

# Hops of a tile that is compared at once, at 44.1 kHz.
_TILE_HOPS: Final = 128
# Music longer than this is not lost to a needle; other differences longer than this are no clicks.
LONGEST_LOSS_S: Final = 2.5
LONGEST_OTHER_MS: Final = 1500.0
# Damage up to this length, found by the copies alone, may be interpolated.
SHORT_MS: Final = 1.0
# So near to an end of the file, of what is longer than this no level tells who has lost it.
END_S: Final = 0.1
LONGEST_AT_END_MS: Final = 15.0
# What has caused damage lies no further from it than this, and where it is longer than
# `LONGEST_ALONE_MS` it makes up this share of it at least.
CAUSE_MS: Final = 5.0
MOST_SPREAD: Final = 4.0

# What the copies alone have found is no surer than this: a detector may be sure of its own.
SURE_BY_COPY: Final = 0.98


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What the copies of a recording tell.

    Parameters
    ----------
    clicks : list of Click
        The damage of the recording, by its detector and by its copies; ascending and disjoint.
    alone : dict of tuple of Click
        For those that the copies have found or made longer, and that are too long to do without
        them: what the detector has found there.
    copies : tuple of Copy
        With their own damage in `unsound`.
    residual_db : ndarray of float64, shape (copies, hops)
        What each copy leaves of the recording, for every `hop`; NaN where it is not compared.
    hop : int
        In frames.
    """

    clicks: list[Click]
    alone: dict[Click, tuple[Click, ...]]
    copies: tuple[Copy, ...]
    residual_db: FloatArray
    hop: int


def examine(
    recording: Recording,
    clicks: Sequence[Click],
    copies: Sequence[Copy],
    settings: DetectSettings = DetectSettings(),
    *,
    workers: Workers | None = None,
    progress: Progress = ignore_progress,
) -> Examination:
    """Compare a recording with its copies.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        What its detector has found.
    copies : sequence of Copy
    settings : DetectSettings
        For the copies' own damage.
    workers : Workers, optional
    progress : callable, optional

    Returns
    -------
    Examination
    """
    workers = workers or Workers(1)
    rate = recording.sample_rate
    heard = [
        _with_own_damage(copy, clicks, settings, workers, _part_of(progress, number, len(copies)))
        for number, copy in enumerate(copies)
    ]
    own = spans_of(clicks)
    hop = Geometry(rate).hop
    size, context = hop * _TILE_HOPS, tile_context(rate)

    def tiles() -> Iterator[_Tile]:
        for start in range(0, recording.frames, size):
            low, high = start - context, start + size + context
            yield _Tile(
                sound=Excerpt.cut(recording, low, high),
                parts=tuple(copy.cut(low, high) for copy in heard),
                lost=spans_within(own, low, high),
                frames=recording.frames,
                sample_rate=rate,
            )
            progress("compare", min(1.0, (start + size) / recording.frames))

    differences: list[Difference] = []
    residual: list[FloatArray] = []
    for found, left in workers.map(_compare_tile, tiles()):
        differences += found
        residual.append(left)
    if any(copy.crossed for copy in heard):
        differences, clicks = settle_walls(recording, differences, clicks)
        heard = [_with_own_damage(copy, clicks, settings, workers) for copy in heard]
    added, unsound = _sort_out(differences, heard, clicks, rate, recording.frames)
    heard = [
        replace(
            copy,
            unsound=tuple(sorted({*copy.unsound, *unsound[number]})),
            refuted=tuple(sorted(unsound[number])),
        )
        for number, copy in enumerate(heard)
    ]
    added = _with_remedy(added, clicks, heard, rate)
    with np.errstate(divide="ignore"):
        residual_db = 10.0 * np.log10(np.concatenate(residual, axis=1))
    united = _united(clicks, added)
    return Examination(
        clicks=united,
        alone=_found_alone(united, clicks, rate),
        copies=tuple(heard),
        residual_db=residual_db,
        hop=hop,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tile:
    """A tile of the recording and of its copies, for a worker."""

    sound: Excerpt
    parts: tuple[Part, ...]
    lost: tuple[Span, ...]
    frames: int
    sample_rate: int


def _compare_tile(tile: _Tile) -> tuple[list[Difference], FloatArray]:
    """Compare one tile (in a worker)."""
    start = tile.sound.start
    beyond = outside(start, tile.sound.stop, tile.frames)
    return compare(
        tile.sound.read(),
        lost_frames(tile.sound, tile.lost, tile.frames),
        [
            Rendition(
                samples=part.mended(part.read()),
                lost=part.lost(),
                absent=part.absent() | beyond,
                cleaned=part.marked() == CLEANED,
                clipped=part.clipped,
                top_hz=part.top_hz,
            )
            for part in tile.parts
        ],
        start=start,
        sample_rate=tile.sample_rate,
    )


def _part_of(progress: Progress, number: int, count: int) -> Progress:
    """Return what tells how far one of some copies has been mended by itself."""

    def tell(stage: str, share: float) -> None:
        if stage in STAGES:
            progress("copies", (number + time_done(stage, share, STAGES)) / count)

    return tell


def _with_own_damage(
    copy: Copy,
    clicks: Sequence[Click],
    settings: DetectSettings,
    workers: Workers,
    progress: Progress = ignore_progress,
) -> Copy:
    """Ask the detector for the damage of a copy, and mend it by itself."""
    if copy.crossed:
        return replace(
            copy, unsound=tuple(sorted((c.start, c.tail, 1 - c.channel) for c in clicks))
        )
    found = detect(copy.sound, settings, workers=workers, progress=progress)
    repairs = repair(
        copy.sound, found.clicks, chain=found.chain, workers=workers, progress=progress
    )
    return replace(copy, unsound=spans_of(found.clicks), mends=Mends.of(repairs))


def _sort_out(
    differences: Sequence[Difference],
    copies: Sequence[Copy],
    found: Sequence[Click],
    sample_rate: int,
    frames: int,
) -> tuple[list[Click], list[list[Span]]]:
    """Return the clicks of the recording, and for each copy where it cannot be relied on."""
    clicks: list[Click] = []
    unsound: list[list[Span]] = [[] for _ in copies]
    explained = _causes(found, sample_rate)
    pop = round(POP_MS * 1e-3 * sample_rate)
    end, longest_at_end = round(END_S * sample_rate), LONGEST_AT_END_MS * 1e-3 * sample_rate
    for item in differences:
        start, stop = max(item.start, 0), min(item.stop, frames)
        length = stop - start
        longest = LONGEST_LOSS_S if item.lost else LONGEST_OTHER_MS * 1e-3
        if length <= 0 or item.side is Side.DETECTED:
            continue
        at_end = not item.lost and length > longest_at_end and (start < end or stop > frames - end)
        copy = copies[item.copy]
        # What a mend of the copy misses looks like something that the recording has too much of.
        certain = copy.certain and (
            item.lost or not copy.marked(start, stop)[:, item.channel].any()
        )
        doubted = at_end or not (certain or explained(start, stop))
        if item.side is not Side.RECORDING or length > longest * sample_rate or doubted:
            unsound[item.copy].append((start, stop, item.channel))
            continue
        kind = Kind.POP if length >= pop else Kind.TICK
        sure = min(1.0 - 3.0 / max(item.strength, 6.0), SURE_BY_COPY)
        clicks.append(
            Click(start, stop, stop, item.channel, sure, Kind.DROPOUT if item.lost else kind)
        )
    return clicks, unsound


def _causes(found: Sequence[Click], sample_rate: int) -> Callable[[int, int], bool]:
    """Return what tells whether a detector has `found` something that explains a difference.

    Stereo may be so narrow that it passes for mono, and a mono copy lacks what is in one channel
    alone: then what differs is music, unless something has pushed the needle.
    """
    beside = round(CAUSE_MS * 1e-3 * sample_rate)
    longest = round(LONGEST_ALONE_MS * 1e-3 * sample_rate)
    spans = [(click.start, click.tail) for click in sorted(found)]
    starts = [start for start, _ in spans]
    reached = list(accumulate((tail for _, tail in spans), max))

    def explain(start: int, stop: int) -> bool:
        last = bisect_left(starts, stop + beside)
        first = bisect_right(reached, start - beside)
        known = sum(tail - low for low, tail in spans[first:last])
        return known > 0 and stop - start <= max(longest, MOST_SPREAD * known)

    return explain


def _with_remedy(
    clicks: Sequence[Click], found: Sequence[Click], copies: Sequence[Copy], sample_rate: int
) -> list[Click]:
    """Return those that a copy can mend, and those that are short enough to do without.

    What the copies have found is longer than what a detector has `found`: to be interpolated it
    would be the worse for it. Where both overlap, a copy must mend them together.
    """
    starts = [np.array([span[0] for span in copy.unsound]) for copy in copies]
    longest = [max((b - a for a, b, _ in copy.unsound), default=0) for copy in copies]
    short = round(SHORT_MS * 1e-3 * sample_rate)
    own = spans_by_channel(found)

    def with_found(click: Click) -> Click:
        spans = meeting(own.get(click.channel, []), click.start, click.stop)
        start = min([click.start, *(low for low, _ in spans)])
        stop = max([click.stop, *(high for _, high in spans)])
        return replace(click, start=start, stop=stop, tail=stop)

    def is_sound(click: Click, number: int) -> bool:
        spans = copies[number].unsound
        first = int(np.searchsorted(starts[number], click.start - longest[number]))
        last = int(np.searchsorted(starts[number], click.stop))
        lost = np.zeros(click.stop - click.start, dtype=bool)
        for start, stop, channel in spans[first:last]:
            if channel == click.channel:
                lost[max(start - click.start, 0) : max(stop - click.start, 0)] = True
        mended = copies[number].marked(click.start, click.stop)[:, click.channel]
        gone = click.kind is Kind.DROPOUT
        return patches(lost, mended, lost.size, sample_rate, gone=gone) is not None

    return [
        click
        for click in clicks
        if click.stop - click.start <= short
        or any(is_sound(with_found(click), number) for number in range(len(copies)))
    ]


def _united(found: Sequence[Click], added: Sequence[Click]) -> list[Click]:
    """Return what the detector and the copies have found, each damage once."""
    spans = spans_by_channel(found)

    def is_known(click: Click) -> bool:
        own = meeting(spans.get(click.channel, []), click.start, click.stop)
        return any(start <= click.start and click.stop <= tail for start, tail in own)

    news = [click for click in added if not is_known(click)]
    return disjoint_clicks([*found, *news])


def _found_alone(
    united: Sequence[Click], found: Sequence[Click], sample_rate: int
) -> dict[Click, tuple[Click, ...]]:
    """Return what the detector has found of each long click that is not its own."""
    short = round(SHORT_MS * 1e-3 * sample_rate)
    known, own = frozenset(found), by_channel(found)

    def within(click: Click) -> tuple[Click, ...]:
        rivals = own.get(click.channel, [])
        first, last = (
            bisect_left(rivals, frame, key=attrgetter("start"))
            for frame in (click.start, click.tail)
        )
        return tuple(replace(c, tail=min(c.tail, click.tail)) for c in rivals[first:last])

    return {
        click: within(click)
        for click in united
        if click.stop - click.start > short and click not in known
    }
