"""Which clicks are repaired together, and which stretch of sound that needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click
from declick.repair.ar import farthest_look, model_sizes
from declick.repair.transfer import Transfer
from declick.repair.weighing import weighed_size
from declick.settings import RepairSettings

FloatArray = NDArray[np.float64]

GROUP_SPAN_S = 0.046
"""Cores are gathered into one group while the last ends within this of the first's start."""

GROUP_JOIN_S = 0.023
"""... and while each starts within this of the previous core's end."""

GROUP_CLICKS = 1024
"""... and while there are at most this many."""

LONG_CORE_S = 0.01
"""From this length on, copies and other candidates are looked for in the surroundings."""

TAIL_CONTEXT_S = 0.7
"""How much sound the fit of a tail looks at on either side."""

SEARCH_S = 1.0
"""How far those surroundings reach on either side."""


@dataclass(frozen=True, kw_only=True)
class PassagePlan:
    """A group of clicks and the frames ``[start, stop)`` that their repair needs.

    `start` may be negative and `stop` may lie beyond the end of the sound: the recording reads as
    zeros there.
    """

    start: int
    stop: int
    own: tuple[Click, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """A stretch of sound with the clicks in it.

    Parameters
    ----------
    start : int
        Absolute frame of ``samples[0]``; may be negative.
    sample_rate : int
        In Hz.
    samples : ndarray of float64, shape (frames, channels)
        As read from the recording; zeros outside of it.
    valid : tuple of int
        Absolute frames ``[lo, hi)`` that exist in the recording.
    clicks : tuple of Click
        Every click that overlaps the passage on any channel, ascending.
    own : tuple of Click
        Those to be repaired now, ascending; all of them are in `clicks` too.
    transfers : tuple of Transfer
        Other copies of the record, frame for frame beside `samples`.
    """

    start: int
    sample_rate: int
    samples: FloatArray = field(repr=False)
    valid: tuple[int, int]
    clicks: tuple[Click, ...]
    own: tuple[Click, ...]
    transfers: tuple[Transfer, ...] = ()

    def __post_init__(self) -> None:
        if self.samples.ndim != 2:
            raise ValueError(f"samples must be (frames, channels), got {self.samples.shape}")

    @property
    def stop(self) -> int:
        """Absolute frame behind the last sample."""
        return self.start + int(self.samples.shape[0])

    @property
    def sound(self) -> tuple[int, int]:
        """Indices ``[lo, hi)`` of the frames of `samples` that exist in the recording."""
        frames = int(self.samples.shape[0])
        lo = min(max(self.valid[0] - self.start, 0), frames)
        hi = min(max(self.valid[1] - self.start, lo), frames)
        return lo, hi

    def cores(self, channel: int) -> list[tuple[int, int]]:
        """Return the cores on `channel` as merged index ranges within the existing sound."""
        lo, hi = self.sound
        runs: list[tuple[int, int]] = []
        for click in sorted(self.clicks):
            if click.channel != channel:
                continue
            start, stop = max(click.start - self.start, lo), min(click.stop - self.start, hi)
            if start >= stop:
                continue
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
            else:
                runs.append((start, stop))
        return runs


def plan_passages(
    clicks: Iterable[Click], *, sample_rate: int, settings: RepairSettings
) -> Iterator[PassagePlan]:
    """Group an ascending stream of clicks for repair.

    A group closes as soon as the next click starts too far away, or the group would span more
    than `GROUP_SPAN_S`; an endless chain of crackle is cut greedily, so the plan depends on the
    clicks alone and holds one group at a time.

    Parameters
    ----------
    clicks : iterable of Click
        Ascending; all channels.
    sample_rate : int
        In Hz.
    settings : RepairSettings

    Yields
    ------
    PassagePlan
        Ascending; every click is in exactly one.

    Raises
    ------
    ValueError
        If the clicks do not ascend.
    """
    span, join = (round(seconds * sample_rate) for seconds in (GROUP_SPAN_S, GROUP_JOIN_S))
    group: list[Click] = []
    end = 0
    for click in clicks:
        if group and click < group[-1]:
            raise ValueError(f"clicks must ascend: {click} after {group[-1]}")
        if group and (
            click.start - end > join
            or click.stop - group[0].start > span
            or len(group) >= GROUP_CLICKS
        ):
            yield _plan(group, sample_rate, settings)
            group = []
            end = 0
        group.append(click)
        end = max(end, click.stop)
    if group:
        yield _plan(group, sample_rate, settings)


def _plan(group: list[Click], sample_rate: int, settings: RepairSettings) -> PassagePlan:
    longest = max(click.stop - click.start for click in group)
    sizes = model_sizes(longest, sample_rate)
    if any(click.estimate is not None for click in group):
        sizes = (*sizes, weighed_size(longest, sample_rate))
    reach = farthest_look(sizes)
    searching = settings.method == "copy" or (
        settings.method == "auto" and longest > LONG_CORE_S * sample_rate
    )
    if searching:
        reach = max(reach, round(SEARCH_S * sample_rate))
    if any(click.tail > click.stop for click in group):
        reach = max(reach, round(TAIL_CONTEXT_S * sample_rate))
    return PassagePlan(
        start=group[0].start - reach,
        stop=max(click.tail for click in group) + reach,
        own=tuple(group),
    )
