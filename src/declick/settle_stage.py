"""The ends of the cores that the linear model has found, and what they did to other channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from declick.clicks import Click
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.cores import find_companions, settle_cores
from declick.stretches import Stretch, stretches_of_clicks

# Sound on each side of a core that settling its ends looks at.
SETTLING_CONTEXT_MS: Final = 150.0


def settled(
    recording: Recording,
    clicks: Sequence[Click],
    workers: Workers,
    progress: Callable[[str, float], None],
) -> Iterator[Click]:
    """Yield the clicks with their cores settled."""
    stretches = stretches_of_clicks(recording, clicks, context_ms=SETTLING_CONTEXT_MS)
    for found in workers.map(_settle_stretch, stretches):
        yield from found
        if found:
            progress("measure", 0.5 * found[-1].start / recording.frames)


def _settle_stretch(stretch: Stretch) -> list[Click]:
    """Return the own clicks of a stretch with settled cores (in a worker)."""
    found: list[Click] = []
    for clicks, sound in stretch.channels():
        given = [(c.start - stretch.start, c.stop - stretch.start) for c in clicks]
        for core in settle_cores(sound, given, sample_rate=stretch.sample_rate):
            members = clicks[core.first : core.last + 1]
            if members[0] in stretch.own_set:
                start = max(core.start + stretch.start, 0)
                stop = min(core.stop + stretch.start, stretch.frames)
                confidence = max(click.confidence for click in members)
                found.append(Click(start, stop, stop, members[0].channel, confidence))
    return sorted([*found, *_companions(stretch, found)])


def _companions(stretch: Stretch, found: list[Click]) -> list[Click]:
    """Return the damage that clicks of one channel have done to the others."""
    companions: list[Click] = []
    for channel in range(stretch.samples.channels):
        others = [click for click in found if click.channel != channel]
        own = [c for c in (*found, *stretch.clicks) if c.channel == channel]
        places = find_companions(
            np.ascontiguousarray(stretch.sound[:, channel]),
            sorted({(c.start - stretch.start, c.stop - stretch.start) for c in own}),
            [(c.start - stretch.start, c.stop - stretch.start) for c in others],
            sample_rate=stretch.sample_rate,
        )
        sure = {click.start: click.confidence for click in others}
        companions += [
            Click(
                a + stretch.start,
                b + stretch.start,
                b + stretch.start,
                channel,
                sure[a + stretch.start],
            )
            for a, b in places
        ]
    return companions
