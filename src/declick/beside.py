"""Mend a recording with the help of other copies of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from declick.clicks import Click, Repair
from declick.copies.compare import MOST_RESIDUAL
from declick.copies.guide import Matching
from declick.copies.guide import reach as guide_reach
from declick.copies.lay import Copy, Part, Span, lost_frames, spans_of, spans_within
from declick.dsp.chain import Chain
from declick.excerpt import Excerpt
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.choose import repair_passage
from declick.repair.passage import Passage
from declick.repair.transfer import Transfer, is_transfer
from declick.settings import RepairSettings
from declick.stages import Progress, counted, ignore_progress, passage_of
from declick.stretches import Stretch, stretches_to_mend

# Sound beside a click for which a copy is matched.
_BESIDE: Final = 4096


def repair_beside(
    recording: Recording,
    clicks: Sequence[Click],
    copies: Sequence[Copy],
    settings: RepairSettings = RepairSettings(),
    *,
    alone: Mapping[Click, tuple[Click, ...]] = MappingProxyType({}),
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
    alone : mapping, optional
        From `examine`: what is mended in place of a click for which no copy has anything.

    Yields
    ------
    Repair
        One for each click, ascending.
    """
    workers = workers or Workers(1)
    stretches = stretches_to_mend(recording, clicks, settings=settings, chain=chain)
    own = spans_of(clicks)
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
                alone={click: alone[click] for click in inner if click in alone},
            )

    yield from counted(workers.map(_mend_beside, tasks()), len(clicks), progress)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beside:
    """A stretch with its clicks, and the copies beside it, for a worker."""

    stretch: Stretch
    sound: Excerpt
    parts: tuple[Part, ...]
    lost: tuple[Span, ...]
    alone: dict[Click, tuple[Click, ...]]


def _mend_beside(task: _Beside) -> list[Repair]:
    """Mend the plans of a stretch (in a worker)."""
    stretch = task.stretch
    transfers = [_transfer(task, part) for part in task.parts]
    repairs: list[Repair] = []
    for plan in stretch.plans:
        here = plan.start - stretch.start, plan.stop - stretch.start
        passage = replace(
            passage_of(stretch, plan),
            transfers=tuple(transfer.cut(*here) for transfer in transfers),
        )
        mended = repair_passage(passage, settings=stretch.settings, chain=stretch.chain)
        without = [r.click for r in mended if r.click in task.alone and not is_transfer(r.method)]
        # Who asks for another method than the best wants it there, too.
        if without and stretch.settings.method == "auto":
            parts = {click: task.alone[click] for click in without}
            mended = _mend_parts(passage, parts, stretch.settings, stretch.chain)
        repairs += mended
    return repairs


def _mend_parts(
    passage: Passage,
    parts: Mapping[Click, Sequence[Click]],
    settings: RepairSettings,
    chain: Chain,
) -> list[Repair]:
    """Mend a passage, and of some clicks nothing but parts of them."""

    def narrowed(clicks: Sequence[Click]) -> tuple[Click, ...]:
        return tuple(sorted(part for click in clicks for part in parts.get(click, (click,))))

    passage_of_parts = replace(passage, clicks=narrowed(passage.clicks), own=narrowed(passage.own))
    # A slow tail would reach into the click that the next part belongs to.
    chain = replace(chain, slow_tails=None)
    mended = repair_passage(passage_of_parts, settings=settings, chain=chain)
    repairs = {repair.click: repair for repair in mended}

    def whole(click: Click) -> Repair:
        made = [repairs[part] for part in parts[click] if repairs[part].made]
        if not made:
            first = max((repairs[part] for part in parts[click]), key=_length, default=None)
            why, gain_db = ("", math.nan) if first is None else (first.why, first.gain_db)
            return Repair(click, np.zeros(0), "left", gain_db, why=why)
        here = slice(click.start - passage.start, click.tail - passage.start)
        samples = passage.samples[here, click.channel].copy()
        for part in made:
            samples[part.click.start - click.start :][: part.samples.size] = part.samples
        longest = max(made, key=lambda part: part.samples.size)
        return replace(longest, click=click, samples=samples)

    return [whole(click) if click in parts else repairs[click] for click in passage.own]


def _length(repair: Repair) -> int:
    return repair.click.stop - repair.click.start


def _transfer(task: _Beside, part: Part) -> Transfer:
    """Match a copy to the recording around the clicks of a stretch."""
    stretch, start = task.stretch, task.sound.start
    frames, channels = stretch.samples.stop - stretch.samples.start, task.sound.channels
    samples, played = np.zeros((2, frames, channels))
    residual = np.ones((frames, channels))
    sound = np.zeros((frames, channels), dtype=bool)
    mended = np.zeros((frames, channels), dtype=np.int8)
    target, raw = task.sound.read(), part.read()
    other, marked = part.mended(raw), part.marked()
    # What is not the same music, or clipped, no mend makes sound.
    unfit = part.absent()[:, None] | part.clipped
    lost, other_lost = lost_frames(task.sound, task.lost, stretch.frames), part.lost()
    for channel in range(channels):
        spans = _around(task, channel)
        if not spans:
            continue
        matching = Matching(
            np.ascontiguousarray(target[:, channel]),
            np.ascontiguousarray(other[:, channel]),
            lost[:, channel],
            other_lost[:, channel],
            start=start,
            sample_rate=stretch.sample_rate,
        )
        for low, high in spans:
            span = low - start, high - start
            guide = matching.guide(span)
            here, there = slice(low - stretch.start, high - stretch.start), slice(*span)
            samples[here, channel] = played[here, channel] = guide.samples
            if (raw[there, channel] != other[there, channel]).any():
                played[here, channel] = matching.guide(span, raw[:, channel]).samples
            residual[here, channel] = guide.residual
            fits = guide.held & (guide.residual < MOST_RESIDUAL)
            sound[here, channel] = fits & ~other_lost[there, channel]
            fits &= ~unfit[there, channel]
            mended[here, channel] = np.where(fits, marked[there, channel], 0)
    return Transfer(
        samples=samples,
        played=played,
        residual=residual,
        sound=sound,
        mended=mended,
        number=part.number,
    )


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
