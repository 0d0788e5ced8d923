"""What was mended of a copy by itself, so that it can mend a recording there all the same."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray, Repair
from declick.repair.patches import CLEANED, FILLED


class Mend(NamedTuple):
    """What a click of a copy was replaced by: `samples`, from `start` on; its core ends at `stop`.

    Beyond the core there is a tail, which was taken out; perhaps a slow one that the click lacks.
    """

    start: int
    stop: int
    channel: int
    samples: FloatArray

    @property
    def end(self) -> int:
        """Stop frame."""
        return self.start + self.samples.size


@dataclass(frozen=True, eq=False)
class Mends:
    """The mends of a copy, ascending.

    Parameters
    ----------
    mends : tuple of Mend
    """

    mends: tuple[Mend, ...] = ()
    _starts: list[int] = field(init=False, repr=False)
    _longest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [mend.start for mend in self.mends])
        object.__setattr__(self, "_longest", max((m.samples.size for m in self.mends), default=0))

    def __bool__(self) -> bool:
        return bool(self.mends)

    @classmethod
    def of(cls, repairs: Iterable[Repair]) -> Mends:
        """Return those of repairs, ascending, that were made."""
        return cls(
            tuple(
                Mend(repair.click.start, repair.click.stop, repair.click.channel, repair.samples)
                for repair in repairs
                if repair.made
            )
        )

    def within(self, start: int, stop: int) -> Mends:
        """Return those that reach into ``[start, stop)``."""
        first = bisect_left(self._starts, start - self._longest)
        near = self.mends[first : bisect_left(self._starts, stop)]
        return Mends(tuple(mend for mend in near if mend.end > start))

    def lay_on(self, samples: FloatArray, start: int) -> FloatArray:
        """Return the sound from `start` on, shape (frames, channels), as it is once mended."""
        mended = samples.copy()
        stop = start + len(samples)
        for mend in self.mends:
            low, high = max(mend.start, start), min(mend.end, stop)
            if low < high:
                part = mend.samples[low - mend.start : high - mend.start]
                mended[low - start : high - start, mend.channel] = part
        return mended

    def mark(self, start: int, frames: int, channels: int) -> NDArray[np.int8]:
        """Return what was mended from `start` on, shape (frames, channels).

        Returns
        -------
        ndarray of int8
            `CLEANED`, `FILLED`, or 0.
        """
        marked = np.zeros((frames, channels), dtype=np.int8)
        for mend in self.mends:
            for last, what in ((mend.end, CLEANED), (mend.stop, FILLED)):
                here = slice(max(mend.start - start, 0), max(last - start, 0))
                marked[here, mend.channel] = what
        return marked
