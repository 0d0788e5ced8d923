"""Restore a recording beside other copies of it: what differs, who is damaged, what to take."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Kind, Repair, disjoint_clicks
from declick.copies.compare import Difference, compare, tile_context
from declick.copies.guide import follow
from declick.copies.guide import reach as guide_reach
from declick.copies.judge import Side
from declick.copies.lay import Copy, Part, Span, spans_within
from declick.detect.spans import POP_MS
from declick.detect.survey import Geometry
from declick.dsp.chain import Chain
from declick.excerpt import Excerpt
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.choose import repair_passage
from declick.repair.passage import plan_passages
from declick.repair.transfer import Transfer, patches
from declick.settings import DetectSettings, RepairSettings
from declick.stages import Progress, counted, detect, ignore_progress, passage_of
from declick.stretches import Stretch, stretches_of_plans

# Hops of a tile that is compared at once, at 44.1 kHz.
_TILE_HOPS: Final = 128
# Music longer than this is not lost to a needle; other differences longer than this are no clicks.
LONGEST_LOSS_S: Final = 2.5
LONGEST_OTHER_MS: Final = 1500.0
# Damage up to this length, found by the copies alone, may be interpolated.
SHORT_MS: Final = 1.0
# One wall's word counts for damage up to this length.
LONGEST_ALONE_MS: Final = 8.0
# What has caused damage lies no further from it than this.
CAUSE_MS: Final = 5.0
# A copy that leaves more than this of the music does not tell what the music is, in power.
MOST_RESIDUAL: Final = 10**-1.5
# Sound beside a click for which a copy is matched.
_BESIDE: Final = 4096
_FAR: Final = 2**63


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What the copies of a recording tell.

    Parameters
    ----------
    clicks : list of Click
        The damage of the recording, by its detector and by its copies; ascending and disjoint.
    copies : tuple of Copy
        With their own damage in `unsound`.
    residual_db : ndarray of float64, shape (copies, hops)
        What each copy leaves of the recording, for every `hop`; NaN where it is not compared.
    hop : int
        In frames.
    """

    clicks: list[Click]
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
    heard = [_with_own_damage(copy, clicks, settings, workers) for copy in copies]
    own = tuple((click.start, click.tail, click.channel) for click in clicks)
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
        differences, clicks = _settle_walls(differences, clicks, rate)
        heard = [_with_own_damage(copy, clicks, settings, workers) for copy in heard]
    added, unsound = _sort_out(differences, len(heard), rate, recording.frames)
    if not all(copy.certain for copy in heard):
        added = _with_cause(added, clicks, rate)
    heard = [
        replace(copy, unsound=tuple(sorted({*copy.unsound, *unsound[number]})))
        for number, copy in enumerate(heard)
    ]
    added = _with_remedy(added, clicks, heard, rate)
    with np.errstate(divide="ignore"):
        residual_db = 10.0 * np.log10(np.concatenate(residual, axis=1))
    return Examination(
        clicks=_united(clicks, added),
        copies=tuple(heard),
        residual_db=residual_db,
        hop=hop,
    )


def repair_beside(
    recording: Recording,
    clicks: Sequence[Click],
    copies: Sequence[Copy],
    settings: RepairSettings = RepairSettings(),
    *,
    chain: Chain = Chain(),
    workers: Workers | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Repair]:
    """Mend clicks with the help of other copies; as `declick.stages.repair` otherwise.

    Parameters
    ----------
    recording, clicks, settings, chain, workers, progress
        As in `declick.stages.repair`.
    copies : sequence of Copy
        From `examine`.

    Yields
    ------
    Repair
        One for each click, ascending.
    """
    workers = workers or Workers(1)
    plans = plan_passages(clicks, sample_rate=recording.sample_rate, settings=settings)
    stretches = stretches_of_plans(recording, plans, clicks, settings=settings, chain=chain)
    own = tuple((click.start, click.tail, click.channel) for click in clicks)
    beside = guide_reach(recording.sample_rate) + _BESIDE

    def tasks() -> Iterator[_Beside]:
        for stretch in stretches:
            inner = [click for plan in stretch.plans for click in plan.own]
            low = min(click.start for click in inner) - beside
            high = max(click.tail for click in inner) + beside
            yield _Beside(
                stretch=stretch,
                sound=Excerpt.cut(recording, low, high),
                parts=tuple(copy.cut(low, high) for copy in copies),
                lost=spans_within(own, low, high),
            )

    yield from counted(workers.map(_mend_beside, tasks()), len(clicks), progress)


# --- comparing -----------------------------------------------------------------------------------


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
    outside = np.zeros(tile.sound.stop - start, dtype=bool)
    outside[: max(-start, 0)] = True
    outside[max(tile.frames - start, 0) :] = True
    return compare(
        tile.sound.read(),
        [part.read() for part in tile.parts],
        _lost(tile.sound, tile.lost, tile.frames),
        [part.lost() for part in tile.parts],
        [part.absent() | outside for part in tile.parts],
        start=start,
        sample_rate=tile.sample_rate,
    )


def _lost(sound: Excerpt, spans: Sequence[Span], frames: int) -> NDArray[np.bool_]:
    """Return what is damaged of the recording, and where there is none."""
    mask = np.zeros((sound.stop - sound.start, sound.channels), dtype=bool)
    for start, stop, channel in spans:
        mask[max(start - sound.start, 0) : max(stop - sound.start, 0), channel] = True
    mask[: max(-sound.start, 0)] = True
    mask[max(frames - sound.start, 0) :] = True
    return mask


def _with_own_damage(
    copy: Copy, clicks: Sequence[Click], settings: DetectSettings, workers: Workers
) -> Copy:
    """Ask the detector for the damage of a copy."""
    if copy.crossed:
        spans = tuple(sorted((c.start, c.tail, 1 - c.channel) for c in clicks))
    else:
        found = detect(copy.sound, settings, workers=workers).clicks
        spans = tuple((click.start, click.tail, click.channel) for click in found)
    return replace(copy, unsound=spans)


def _settle_walls(
    differences: Sequence[Difference], clicks: Sequence[Click], sample_rate: float
) -> tuple[list[Difference], list[Click]]:
    """Take back what the two walls contradict each other in.

    Where one wall has lost its sound, the cuts of the loss stand out of L-R, and look like clicks
    of either wall. And what differs is to be seen from both: they cannot both be at fault, and of
    a long stretch with many faults each must say the same.
    """
    losses = [item for item in differences if item.lost and item.side is Side.RECORDING]
    seen = [[item for item in differences if item.channel == channel] for channel in range(2)]

    def stands(start: int, stop: int, channel: int) -> bool:
        return not any(
            loss.channel != channel and start < loss.stop and loss.start < stop for loss in losses
        )

    def contradicted(item: Difference) -> bool:
        others = seen[1 - item.channel]
        first = bisect_right(others, item.start, key=lambda other: other.stop)
        last = bisect_left(others, item.stop, key=lambda other: other.start)
        sides = {other.side for other in others[first:last]}
        long = item.stop - item.start > LONGEST_ALONE_MS * 1e-3 * sample_rate
        return Side.RECORDING in sides or (long and bool(sides - {Side.COPY}))

    kept = []
    for item in differences:
        if item.lost or item.side is not Side.RECORDING:
            kept.append(item)
        elif contradicted(item):
            kept.append(replace(item, side=Side.UNKNOWN))
        elif stands(item.start, item.stop, item.channel):
            kept.append(item)
        else:
            kept.append(replace(item, side=Side.COPY))
    return kept, [c for c in clicks if stands(c.start, c.stop, c.channel)]


def _sort_out(
    differences: Sequence[Difference], copies: int, sample_rate: int, frames: int
) -> tuple[list[Click], list[list[Span]]]:
    """Return the clicks of the recording, and for each copy where it cannot be relied on."""
    clicks: list[Click] = []
    unsound: list[list[Span]] = [[] for _ in range(copies)]
    pop = round(POP_MS * 1e-3 * sample_rate)
    for item in differences:
        start, stop = max(item.start, 0), min(item.stop, frames)
        length = stop - start
        longest = LONGEST_LOSS_S if item.lost else LONGEST_OTHER_MS * 1e-3
        if length <= 0 or item.side is Side.DETECTED:
            continue
        if item.side is not Side.RECORDING or length > longest * sample_rate:
            unsound[item.copy].append((start, stop, item.channel))
            continue
        kind = Kind.POP if length >= pop else Kind.TICK
        sure = 1.0 - 3.0 / max(item.strength, 6.0)
        clicks.append(
            Click(start, stop, stop, item.channel, sure, Kind.DROPOUT if item.lost else kind)
        )
    return clicks, unsound


def _with_cause(clicks: Sequence[Click], found: Sequence[Click], sample_rate: int) -> list[Click]:
    """Return those that are losses, or lie beside what a detector has `found` on any channel.

    Stereo may be so narrow that it passes for mono: then what differs is music, unless something
    has pushed the needle.
    """
    beside = round(CAUSE_MS * 1e-3 * sample_rate)
    spans = [(click.start, click.tail) for click in sorted(found)]
    starts = [start for start, _ in spans]
    reached = list(accumulate((tail for _, tail in spans), max))

    def is_caused(click: Click) -> bool:
        index = bisect_left(starts, click.stop + beside)
        return index > 0 and reached[index - 1] > click.start - beside

    return [click for click in clicks if click.kind is Kind.DROPOUT or is_caused(click)]


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
    own = _spans_by_channel(found)

    def with_found(click: Click) -> Click:
        spans = own.get(click.channel, [])
        first = bisect_right(spans, click.start, key=lambda span: span[1])
        last = bisect_left(spans, click.stop, key=lambda span: span[0])
        start = min([click.start, *(a for a, _ in spans[first:last])])
        stop = max([click.stop, *(b for _, b in spans[first:last])])
        return replace(click, start=start, stop=stop, tail=stop)

    def is_sound(click: Click, number: int) -> bool:
        spans = copies[number].unsound
        first = int(np.searchsorted(starts[number], click.start - longest[number]))
        last = int(np.searchsorted(starts[number], click.stop))
        lost = np.zeros(click.stop - click.start, dtype=bool)
        for start, stop, channel in spans[first:last]:
            if channel == click.channel:
                lost[max(start - click.start, 0) : max(stop - click.start, 0)] = True
        gone = click.kind is Kind.DROPOUT
        return patches(lost, lost.size, sample_rate, gone=gone) is not None

    return [
        click
        for click in clicks
        if click.stop - click.start <= short
        or any(is_sound(with_found(click), number) for number in range(len(copies)))
    ]


def _spans_by_channel(clicks: Sequence[Click]) -> dict[int, list[tuple[int, int]]]:
    """Return start and tail of clicks, ascending, for each channel that has any."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for click in sorted(clicks):
        spans.setdefault(click.channel, []).append((click.start, click.tail))
    return spans


def _united(found: Sequence[Click], added: Sequence[Click]) -> list[Click]:
    """Return what the detector and the copies have found, each damage once.

    `found` is disjoint on each channel, so only the last span that begins before can hold another.
    """
    spans = _spans_by_channel(found)

    def is_known(click: Click) -> bool:
        own = spans.get(click.channel, [])
        index = bisect_right(own, (click.start, _FAR)) - 1
        return index >= 0 and click.stop <= own[index][1]

    news = [click for click in added if not is_known(click)]
    return disjoint_clicks([*found, *news])


# --- mending -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beside:
    """A stretch with its clicks, and the copies beside it, for a worker."""

    stretch: Stretch
    sound: Excerpt
    parts: tuple[Part, ...]
    lost: tuple[Span, ...]


def _mend_beside(task: _Beside) -> list[Repair]:
    """Mend the plans of a stretch (in a worker)."""
    stretch = task.stretch
    transfers = [_transfer(task, part) for part in task.parts]
    repairs: list[Repair] = []
    for plan in stretch.plans:
        here = slice(plan.start - stretch.start, plan.stop - stretch.start)
        passage = replace(
            passage_of(stretch, plan),
            transfers=tuple(
                replace(
                    transfer,
                    samples=transfer.samples[here],
                    residual=transfer.residual[here],
                    sound=transfer.sound[here],
                )
                for transfer in transfers
            ),
        )
        repairs += repair_passage(passage, settings=stretch.settings, chain=stretch.chain)
    return repairs


def _transfer(task: _Beside, part: Part) -> Transfer:
    """Match a copy to the recording around the clicks of a stretch."""
    stretch, start = task.stretch, task.sound.start
    frames, channels = stretch.samples.stop - stretch.samples.start, task.sound.channels
    samples, residual = np.zeros((frames, channels)), np.ones((frames, channels))
    sound = np.zeros((frames, channels), dtype=bool)
    target, other = task.sound.read(), part.read()
    lost, other_lost = _lost(task.sound, task.lost, stretch.frames), part.lost()
    offset = start - stretch.start
    for channel in range(channels):
        for low, high in _around(task, channel):
            guide = follow(
                np.ascontiguousarray(target[:, channel]),
                np.ascontiguousarray(other[:, channel]),
                lost[:, channel],
                other_lost[:, channel],
                start=start,
                span=(low - start, high - start),
                sample_rate=stretch.sample_rate,
            )
            here = slice(low - stretch.start, high - stretch.start)
            there = slice(low - start, high - start)
            assert offset == here.start - there.start
            samples[here, channel] = guide.samples
            residual[here, channel] = guide.residual
            sound[here, channel] = (
                guide.held & ~other_lost[there, channel] & (guide.residual < MOST_RESIDUAL)
            )
    return Transfer(samples=samples, residual=residual, sound=sound, number=part.number)


def _around(task: _Beside, channel: int) -> list[tuple[int, int]]:
    """Return the frames around the own clicks of a channel, within the stretch."""
    stretch = task.stretch
    lowest, highest = max(stretch.start, 0), min(stretch.samples.stop, stretch.frames)
    spans: list[tuple[int, int]] = []
    for plan in stretch.plans:
        for click in plan.own:
            if click.channel != channel:
                continue
            low = max(click.start - _BESIDE, lowest)
            high = min(click.tail + _BESIDE, highest)
            if spans and low <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(spans[-1][1], high)
            elif low < high:
                spans.append((low, high))
    return spans
