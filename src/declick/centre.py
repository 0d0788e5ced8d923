"""Sound cards that add a constant: what is heard and mended is the sound without it.

To everything that listens a constant is a loud sound of no pitch, which begins and ends with the
file. The output keeps it: only repairs are changed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from declick.clicks import Repair
from declick.read import Recording

# An offset above this share of the sound's level is taken off.
LEAST_SHARE: Final = 0.02
_PROBES: Final = 20
_PROBE_FRAMES: Final = 8192


def centred(recording: Recording) -> Recording:
    """Return the recording as it is to be heard: without its offset where it has one.

    Of what comes back, `read` and excerpts are centred; it is closed with the recording.

    Parameters
    ----------
    recording : Recording
    """
    if recording.offset is not None or not recording.frames:
        return recording
    last = max(recording.frames - _PROBE_FRAMES, 0)
    starts = np.unique(np.linspace(0, last, _PROBES).astype(int)).tolist()
    length = min(_PROBE_FRAMES, recording.frames)
    probes = [recording.read(start, start + length) for start in starts]
    # Where there is nothing but the offset, it is as plain as anywhere.
    offset = np.median([probe.mean(axis=0) for probe in probes], axis=0)
    level = np.median([probe.std(axis=0) for probe in probes], axis=0)
    if not np.any(np.abs(offset) > LEAST_SHARE * level):
        recording.offset = ()
        return recording
    heard = copy.copy(recording)
    heard.offset = tuple(offset.tolist())
    return heard


def as_recorded(repairs: Iterable[Repair], heard: Recording) -> Iterator[Repair]:
    """Yield repairs of what was heard as repairs of the recording itself."""
    for item in repairs:
        if item.made and heard.offset:
            item = replace(item, samples=item.samples + heard.offset[item.click.channel])
        yield item
