"""What changes samples on their way to a file: repairs laid over them, or what was there before."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Repair
from declick.grid import snap
from declick.read import Recording

_PIECE_FRAMES = 1 << 16


class Edit(Protocol):
    """Changes the frames from `start` in place; returns what goes to the removed file."""

    def __call__(self, start: int, samples: FloatArray, /) -> FloatArray | None:
        """Change a block."""


class Overlay:
    """Lays repairs over blocks that come in order."""

    def __init__(
        self, recording: Recording, repairs: Iterable[Repair], subtype: str, *, add: bool = False
    ) -> None:
        self._repairs: Iterator[Repair] = iter(repairs)
        self._recording, self._subtype, self._add = recording, subtype, add
        self._next: Repair | None = None
        self._exhausted = False
        self._latest = 0
        self._ends = [0] * recording.channels
        self._active: list[tuple[int, Repair, FloatArray]] = []  # number, repair, taken out
        self.changed = array("q")
        self.energy = array("d")
        self.frames_changed = 0

    def __call__(self, start: int, samples: FloatArray, /) -> FloatArray | None:
        """Lay what there is on these frames, in place, and return what it takes out of them."""
        stop = start + len(samples)
        self._take_up(stop)
        if not self._active:
            return None
        taken = np.zeros_like(samples)
        for number, repair, taken_here in self._active:
            click = repair.click
            low, high = max(start, click.start), min(stop, repair.end)
            inside = slice(low - start, high - start), click.channel
            own = slice(low - click.start, high - click.start)
            new = repair.samples[own]
            mended = snap(samples[inside] + new if self._add else new, self._subtype)
            taken[inside] = samples[inside] - mended
            samples[inside] = mended
            taken_here[own] = taken[inside]
            if high == repair.end:
                self.changed[number] = int(np.count_nonzero(taken_here))
                self.energy[number] = float(np.sum(taken_here * taken_here))
        self._active = [item for item in self._active if item[1].end > stop]
        changed = taken[:, 0] != 0.0
        for channel in range(1, taken.shape[1]):
            changed |= taken[:, channel] != 0.0
        self.frames_changed += int(np.count_nonzero(changed))
        return taken

    def _take_up(self, stop: int) -> None:
        """Draw the repairs that begin before `stop`."""
        while not self._exhausted:
            if self._next is None:
                self._next = next(self._repairs, None)
                if self._next is None:
                    self._exhausted = True
                    return
                self._check(self._next)
            if self._next.click.start >= stop:
                return
            self.changed.append(0)
            self.energy.append(0.0)
            if self._next.made:
                taken = np.zeros(len(self._next.samples))
                self._active.append((len(self.changed) - 1, self._next, taken))
            self._next = None

    def _check(self, repair: Repair) -> None:
        click = repair.click
        if click.start < self._latest:
            raise ValueError(f"{click} comes after one that starts at {self._latest}")
        if repair.end > self._recording.frames or click.channel >= self._recording.channels:
            raise ValueError(f"{click} lies outside {self._recording}")
        self._latest = click.start
        if repair.made:
            if click.start < self._ends[click.channel]:
                raise ValueError(f"{click} overlaps the repair before it on its channel")
            if not np.isfinite(repair.samples).all():
                raise ValueError(f"the repair of {click} holds NaN or infinity")
            self._ends[click.channel] = repair.end

    def finish(self) -> None:
        """Take note of what is left of the repairs."""
        self._take_up(self._recording.frames + 1)


class PutBack:
    """Adds what was removed, or lays the source, in some spans over blocks that come in order."""

    def __init__(
        self,
        restored: Recording,
        removed: Recording,
        spans: list[tuple[int, int, int]],
        subtype: str,
        from_source: bool,
    ) -> None:
        self._removed, self.frames_removed = removed, 0
        self._spans, self._owners = spans, array("q")
        self._subtype, self._from_source = subtype, from_source
        self._overlay = Overlay(restored, self._pieces(), subtype, add=not from_source)

    def _pieces(self) -> Iterator[Repair]:
        """Cut the spans into pieces that memory holds, in ascending order."""
        cuts = (
            (start, min(start + _PIECE_FRAMES, high), channel, owner)
            for owner, (channel, low, high) in enumerate(self._spans)
            for start in range(low, high, _PIECE_FRAMES)
        )
        for start, stop, channel, owner in sorted(cuts):
            self._owners.append(owner)
            back = self._removed.read(start, stop)[:, channel]
            yield Repair(Click(start, stop, stop, channel), back, "undo")

    def __call__(self, start: int, samples: FloatArray, /) -> FloatArray | None:
        """Put back what lies in these frames, in place, and return what is still removed."""
        taken = self._overlay(start, samples)
        rest = self._removed.read(start, start + len(samples))
        if self._from_source:
            rest = snap(rest, self._subtype) - samples
        elif taken is not None:
            rest[taken != 0.0] = 0.0
        self.frames_removed += int(np.count_nonzero(rest.any(axis=1)))
        return rest

    def totals(self) -> tuple[int, NDArray[np.int64], FloatArray]:
        """Return the frames changed, and per span the samples changed and their energy."""
        overlay, owners = self._overlay, np.array(self._owners, dtype=np.int64)
        changed = np.zeros(len(self._spans), dtype=np.int64)
        energy = np.zeros(len(self._spans))
        np.add.at(changed, owners, np.array(overlay.changed, dtype=np.int64))
        np.add.at(energy, owners, np.array(overlay.energy))
        return overlay.frames_changed, changed, energy


def merge_spans(
    spans: Iterable[tuple[int, int, int]], recording: Recording
) -> list[tuple[int, int, int]]:
    """Merge spans that overlap on their channel; order them by (start, channel)."""
    merged: list[tuple[int, int, int]] = []
    for channel, start, stop in sorted(spans):
        if not (0 <= channel < recording.channels and 0 <= start <= stop <= recording.frames):
            raise ValueError(f"the span {channel, start, stop} lies outside {recording}")
        if merged and merged[-1][0] == channel and start <= merged[-1][2]:
            merged[-1] = (channel, merged[-1][1], max(stop, merged[-1][2]))
        elif start < stop:
            merged.append((channel, start, stop))
    return sorted(merged, key=lambda span: (span[1], span[0]))
