"""A piece of a recording, read by whoever works on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.errors import ReadError
from declick.read import Recording

# Half the bytes lose nothing of these.
_NARROW = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "FLOAT")


@dataclass(frozen=True)
class Handle:
    """A recording that another process has opened."""

    location: str
    name: str
    stamp: tuple[int, int]
    offset: tuple[float, ...] | None = None

    @classmethod
    def of(cls, recording: Recording) -> Handle:
        """Return the handle of a recording that has a location."""
        return cls(recording.location or "", recording.name, recording.stamp, recording.offset)

    def open(self) -> Recording:
        """Return the recording; fails where the file is no longer the same."""
        return _opened(self)

    def read(self, start: int, stop: int) -> FloatArray:
        """Read as `Recording.read` does; also fails where the file is no longer the same."""
        return self.open().read(start, stop)


# The recording, and a few copies of it.
@lru_cache(maxsize=6)
def _opened(handle: Handle) -> Recording:
    recording = Recording.open(handle.location, name=handle.name)
    if recording.stamp != handle.stamp:
        raise ReadError(f"{handle.name}: was changed while it was worked on; start again")
    recording.offset = handle.offset
    return recording


@dataclass(frozen=True, kw_only=True, eq=False)
class Excerpt:
    """Frames of a recording, on their way to a worker.

    A file is read by the worker itself; what only this process has goes along. Make one with
    `cut`.

    Parameters
    ----------
    start, stop : int
        Frames; what lies outside the recording is silent.
    channels : int
    source : Recording, Handle or ndarray
        Where to read, or the sound itself.
    """

    start: int
    stop: int
    channels: int
    source: Recording | Handle | NDArray[np.floating]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if isinstance(self.source, Recording):
            state["source"] = Handle.of(self.source)
        return state

    @classmethod
    def cut(cls, recording: Recording, start: int, stop: int) -> Excerpt:
        """Take frames ``[start, stop)`` of a recording."""
        source: Recording | NDArray[np.floating] = recording
        if recording.location is None:
            source = recording.read(start, stop)
            if recording.subtype in _NARROW and not recording.offset:
                source = source.astype(np.float32)
        return cls(start=start, stop=stop, channels=recording.channels, source=source)

    def read(self) -> FloatArray:
        """Return the sound, shape (frames, channels).

        Raises
        ------
        ReadError
            As `Recording.read`.
        """
        if isinstance(self.source, np.ndarray):
            return self.source.astype(np.float64)
        return self.source.read(self.start, self.stop)
