"""What the two walls of a mono groove say of each other, settled."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, TypeVar

import numpy as np

from declick.clicks import Click
from declick.copies.compare import Difference
from declick.copies.judge import BESIDE_MS, Side
from declick.read import Recording

# One wall's word counts for damage up to this length.
LONGEST_ALONE_MS: Final = 8.0
# A wall that has clicks in more than this of a place tells of no loss there, if one of them is so
# many times rougher, in power, than what is so far beside it.
MOST_COVERED: Final = 0.25
ROUGHER: Final = 4.0

_Item = TypeVar("_Item", bound=tuple[Any, ...])


def settle_walls(
    recording: Recording, differences: Sequence[Difference], clicks: Sequence[Click]
) -> tuple[list[Difference], list[Click]]:
    """Take back what the two walls contradict each other in.

    Where one wall has lost its sound, the cuts of the loss stand out of L-R, and look like clicks
    of either wall. And what differs is to be seen from both: they cannot both be at fault, and of
    a long stretch with many faults each must say the same.
    """
    sample_rate = recording.sample_rate
    spans = spans_by_channel(clicks)

    def believed(item: Difference) -> bool:
        """Return whether it is not the other wall that is louder, for a click of its own."""
        other = 1 - item.channel
        own = meeting(spans.get(other, []), item.start, item.stop)
        covered = sum(min(high, item.stop) - max(low, item.start) for low, high in own)
        return covered < MOST_COVERED * (item.stop - item.start) or not any(
            _stands_out(recording, low, high, other) for low, high in own
        )

    differences = [
        replace(item, side=Side.UNKNOWN, lost=False)
        if item.lost and item.side is Side.RECORDING and not believed(item)
        else item
        for item in differences
    ]
    losses = [item for item in differences if item.lost and item.side is Side.RECORDING]
    seen = [
        [(item.start, item.stop, item.side) for item in differences if item.channel == channel]
        for channel in range(2)
    ]

    def stands(start: int, stop: int, channel: int) -> bool:
        return not any(
            loss.channel != channel and start < loss.stop and loss.start < stop for loss in losses
        )

    def contradicted(item: Difference) -> bool:
        sides = {side for _, _, side in meeting(seen[1 - item.channel], item.start, item.stop)}
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


def _stands_out(recording: Recording, start: int, stop: int, channel: int) -> bool:
    """Return whether something is rougher than the sound beside it, but for clicks there."""
    cell = max(1, round(1e-3 * recording.sample_rate))
    beside = round(BESIDE_MS) * cell
    rough = np.diff(recording.read(start - beside, stop + beside + 2)[:, channel], n=2) ** 2
    sides = np.concatenate([rough[:beside], rough[-beside:]]).reshape(-1, cell).mean(axis=1)
    return bool(rough[beside:-beside].mean() > ROUGHER * np.median(sides))


def spans_by_channel(clicks: Sequence[Click]) -> dict[int, list[tuple[int, int]]]:
    """Return start and tail of clicks, ascending, for each channel that has any."""
    channels = by_channel(clicks)
    return {channel: [(c.start, c.tail) for c in own] for channel, own in channels.items()}


def by_channel(clicks: Sequence[Click]) -> dict[int, list[Click]]:
    """Return the clicks, ascending, of each channel that has any."""
    own: dict[int, list[Click]] = {}
    for click in sorted(clicks):
        own.setdefault(click.channel, []).append(click)
    return own


def meeting(spans: Sequence[_Item], start: int, stop: int) -> Sequence[_Item]:
    """Return those of disjoint, ascending spans (and what else is said of each) that meet one."""
    first = bisect_right(spans, start, key=itemgetter(1))
    return spans[first : bisect_left(spans, stop, key=itemgetter(0))]
