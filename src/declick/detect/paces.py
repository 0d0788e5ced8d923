"""Which sample rates the network hears: as they are, thinned out, or with frames put between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, overload

import numpy as np

from declick.clicks import FloatArray
from declick.detect.sight import ViewGeometry, is_native
from declick.detect.survey import Geometry, IntArray

# Of the low pass between frames that are put in: zero crossings to each side, and its window. One
# that rings longer makes a click longer, one that falls slower leaves images; chosen on music.
LOBES: Final = 6
BETA: Final = 8.0


# Frames that are heard on each side that tell what lies between two; as many as thinning takes.
_AROUND = 10


@cache
def _between(frames: int) -> FloatArray:
    """Return the low pass that puts so many frames for one."""
    from scipy.signal import firwin

    taps = firwin(2 * _AROUND * frames + 1, 1.0 / frames, window=("kaiser", 5.0))
    return np.asarray(taps * frames)


class Pace(NamedTuple):
    """So many frames the network hears for so many of the file."""

    heard: int
    of: int

    @property
    def is_whole(self) -> bool:
        """Whether no frame of the file is passed over."""
        return self.heard >= self.of

    def rate(self, sample_rate: float) -> float:
        """Return the sample rate that is heard."""
        return sample_rate * self.heard / self.of

    def resample(self, samples: FloatArray) -> FloatArray:
        """Return the frames that are heard, behind a low pass without delay."""
        if self.heard == self.of:
            return samples
        from scipy.signal import firwin, resample_poly  # slow to import, and not always needed

        if self.heard < self.of:
            return np.asarray(resample_poly(samples, self.heard, self.of, axis=0))
        taps: Any = firwin(2 * LOBES * self.heard + 1, 1.0 / self.heard, window=("kaiser", BETA))
        return np.asarray(resample_poly(samples, self.heard, self.of, axis=0, window=taps))

    def unheard(self, samples: FloatArray, heard: FloatArray) -> FloatArray:
        """Return what a sound has above all that is `heard`, as `resample` gives it."""
        if self.is_whole:
            return np.zeros_like(samples)
        from scipy.signal import resample_poly

        return samples - resample_poly(heard, self.of, self.heard, axis=0)[: len(samples)]

    def at(self, frames: IntArray, told: FloatArray, first: int) -> FloatArray:
        """Return what is told of the frames that are heard from `first` on, at some of the file.

        Parameters
        ----------
        frames : ndarray of int, shape (n,)
            One after the other.
        told : ndarray, shape (heard frames,)
        first : int
        """
        if self.is_whole:
            return self.along(frames, told, first)
        from scipy.signal import upfirdn

        low = max(int(frames[0]) // self.of - first - _AROUND, 0)
        near = told[low : int(frames[-1]) // self.of - first + _AROUND + 1]
        between = upfirdn(_between(self.of), near, up=self.of)
        return np.asarray(between[frames - (first + low - _AROUND) * self.of])

    def along(self, frames: IntArray, told: FloatArray, first: int) -> FloatArray:
        """Return the same by straight lines: of what is no sound."""
        return np.interp(self.in_heard(frames) - first, np.arange(told.size), told)

    def in_file(self, start: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
        """Return the spans of the file that spans of what is heard stand for.

        A frame that is heard stands for what lies no farther than half of its distance to the next;
        one that was put in between, alone, for the frame behind it.
        """
        first = -((self.of - 2 * self.of * start) // (2 * self.heard))
        last = (2 * self.of * stop - self.of) // (2 * self.heard)
        return first, np.maximum(last, first) + 1

    @overload
    def in_heard(self, frames: int) -> float: ...

    @overload
    def in_heard(self, frames: IntArray) -> FloatArray: ...

    def in_heard(self, frames: int | IntArray) -> float | FloatArray:
        """Return where frames of the file are in what is heard."""
        return frames * self.heard / self.of


PACES: Final = (*(Pace(1, of) for of in (1, 2, 4, 8, 16)), Pace(2, 1), Pace(3, 2), Pace(4, 3))
"""Below 20 kHz, with two frames put between two, the network finds less than the linear model."""


def pace_of(sample_rate: float) -> Pace | None:
    """Return at what pace the network hears a recording; None if it does not."""
    return next((pace for pace in PACES if is_native(pace.rate(sample_rate))), None)


def hears(sample_rate: float) -> bool:
    """Return whether the network can hear a recording."""
    return pace_of(sample_rate) is not None


class HeardGeometry(ViewGeometry):
    """Lengths in frames that are heard where some were put between: whole ones of the file's."""

    @property
    def context(self) -> int:
        """Frames to each side of a tile."""
        return 15 * self.hop


@dataclass(frozen=True)
class FileGeometry(Geometry):
    """Lengths in frames of such a file: its tiles are those that are heard."""

    pace: Pace

    @property
    def context(self) -> int:
        """Frames to each side of a tile."""
        return self._heard.context * self.pace.of // self.pace.heard

    @property
    def tile(self) -> int:
        """Frames that are looked at together."""
        return self._heard.tile * self.pace.of // self.pace.heard

    @property
    def _heard(self) -> HeardGeometry:
        return HeardGeometry(self.pace.rate(self.sample_rate))


def geometries(sample_rate: float, pace: Pace) -> tuple[Geometry, ViewGeometry]:
    """Return the lengths of tiles in frames of the file, and in frames that are heard."""
    if pace.heard > pace.of:
        return FileGeometry(sample_rate, pace), HeardGeometry(pace.rate(sample_rate))
    return ViewGeometry(sample_rate), ViewGeometry(pace.rate(sample_rate))
