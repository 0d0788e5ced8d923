"""What was found in a recording, and what of it is no damage after all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge

import numpy as np

from declick.clicks import Click, Repair
from declick.detect.beats import KEEPS_A_BEAT
from declick.dsp.chain import Chain
from declick.rotation import Rotation
from declick.wording import count_of


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What was found in a recording.

    Parameters
    ----------
    clicks : list of Click
        Ascending; per channel ``[start, tail)`` are disjoint.
    chain : Chain
        What the playback chain adds behind clicks.
    rotation : Rotation or None
        The disc's period, where scratches tell it.
    beats : tuple of Click
        What was taken for clicks at first, and keeps a beat of the music. Ascending.
    """

    clicks: list[Click]
    chain: Chain
    rotation: Rotation | None
    beats: tuple[Click, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know of the beats, in a line; none where there are none."""
        told = f"{count_of(len(self.beats), 'click')} on a beat of the music"
        return (f"{told}: left alone (--no-spare-beats mends them, too)",) if self.beats else ()

    def with_beats(self, repairs: Iterable[Repair]) -> Iterator[Repair]:
        """Yield the repairs of `clicks`, and among them that the beats are left alone."""
        left = (Repair(beat, np.zeros(0), "left", why=KEEPS_A_BEAT) for beat in self.beats)
        return merge(repairs, left, key=lambda item: item.click)
