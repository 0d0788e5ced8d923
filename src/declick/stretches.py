"""Cut a recording into stretches around its clicks, each enough work for one worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from declick.clicks import Click, FloatArray
from declick.dsp.chain import Chain
from declick.excerpt import Excerpt
from declick.read import Recording
from declick.repair.passage import PassagePlan, plan_passages
from declick.settings import RepairSettings

# Frames of a stretch, about; what comes of it does not depend on it.
STRETCH: Final = 1 << 18
# Stretches are cut where nothing happens for this long, if they can be.
QUIET_S: Final = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """A stretch of sound with what lies in it, for one worker.

    Parameters
    ----------
    start : int
        Frame of the recording that ``sound[0]`` is; may be negative.
    samples : Excerpt
    frames, sample_rate : int
        Of the whole recording.
    clicks : tuple of Click
        All that reach into the stretch, ascending.
    own : tuple of Click
        Those that this worker is to answer for.
    plans : tuple of PassagePlan
        Likewise, grouped for repair.
    settings : RepairSettings
    chain : Chain
    """

    start: int
    samples: Excerpt
    frames: int
    sample_rate: int
    clicks: tuple[Click, ...]
    own: tuple[Click, ...] = ()
    plans: tuple[PassagePlan, ...] = ()
    settings: RepairSettings = field(default_factory=RepairSettings)
    chain: Chain = field(default_factory=Chain)

    @cached_property
    def own_set(self) -> frozenset[Click]:
        """The own clicks, to look one up."""
        return frozenset(self.own)

    @cached_property
    def sound(self) -> FloatArray:
        """The samples as float64, shape (frames, channels)."""
        return self.samples.read()

    def channels(self) -> Iterator[tuple[list[Click], FloatArray]]:
        """Yield the clicks that begin within and the sound of each channel with own clicks."""
        for channel in sorted({click.channel for click in self.own}):
            clicks = [c for c in self.clicks if c.channel == channel and c.start >= self.start]
            yield clicks, np.ascontiguousarray(self.sound[:, channel])


def stretches_of_clicks(
    recording: Recording,
    clicks: Sequence[Click],
    *,
    context_ms: float,
    chain: Chain = Chain(),
) -> Iterator[Stretch]:
    """Yield stretches with `context_ms` of sound around their own clicks, where there is any.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending; each is some stretch's own.
    context_ms : float
    chain : Chain
    """
    rate = recording.sample_rate
    context, quiet = round(context_ms * 1e-3 * rate), round(QUIET_S * rate)
    longest = max((click.tail - click.start for click in clicks), default=0)
    first = 0
    while first < len(clicks):
        start, last = clicks[first].start, first + 1
        while last < len(clicks) and clicks[last].start < start + STRETCH:
            gap = clicks[last].start - clicks[last - 1].stop
            if gap > quiet and clicks[last].start > start + STRETCH // 2:
                break
            last += 1
        low = max(start - context, 0)
        high = min(max(click.stop for click in clicks[first:last]) + context, recording.frames)
        yield Stretch(
            start=low,
            samples=Excerpt.cut(recording, low, high),
            frames=recording.frames,
            sample_rate=rate,
            clicks=_between(clicks, first, last, low, high, longest),
            own=tuple(clicks[first:last]),
            chain=chain,
        )
        first = last


def stretches_to_mend(
    recording: Recording,
    clicks: Sequence[Click],
    *,
    settings: RepairSettings,
    chain: Chain,
) -> Iterator[Stretch]:
    """Plan the repair of clicks, and yield stretches that hold several plans' sound.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending.
    settings : RepairSettings
    chain : Chain
    """
    longest = max((click.tail - click.start for click in clicks), default=0)
    done = 0

    def stretch(batch: list[PassagePlan]) -> Stretch:
        low, high = min(p.start for p in batch), max(p.stop for p in batch)
        count = sum(len(plan.own) for plan in batch)
        return Stretch(
            start=low,
            samples=Excerpt.cut(recording, low, high),
            frames=recording.frames,
            sample_rate=recording.sample_rate,
            clicks=_between(clicks, done, done + count, low, high, longest),
            plans=tuple(batch),
            settings=settings,
            chain=chain,
        )

    batch: list[PassagePlan] = []
    for plan in plan_passages(clicks, sample_rate=recording.sample_rate, settings=settings):
        if batch and plan.stop - batch[0].start > STRETCH:
            yield stretch(batch)
            done += sum(len(finished.own) for finished in batch)
            batch = []
        batch.append(plan)
    if batch:
        yield stretch(batch)


def _between(
    clicks: Sequence[Click], first: int, last: int, low: int, high: int, longest: int
) -> tuple[Click, ...]:
    """Return ``clicks[first:last]`` and the neighbours that reach into ``[low, high)``."""
    while first > 0 and clicks[first - 1].start > low - longest:
        first -= 1
    while last < len(clicks) and clicks[last].start < high:
        last += 1
    return tuple(c for c in clicks[first:last] if c.tail > low and c.start < high)
