"""WRITE: lay the repairs over the source; everything else stays bit for bit.

The only module that makes output samples. A file appears under its name when it is complete, and
the output and the file of what was removed appear together or not at all.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from declick.chunks import WIDTHS
from declick.clicks import Click, FloatArray, Repair
from declick.errors import WriteError
from declick.formats import Output, as_path, output_format, removed_format
from declick.grid import snap
from declick.headers import Layout
from declick.metadata import carry_over, plain_layout_for
from declick.read import Recording
from declick.sinks import STANDARD_OUTPUT, ArraySink, FlacSink, PackedSink, Sink, Transaction
from declick.targets import check_targets

Progress = Callable[[int, int], None]

_PIECE_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """What was written.

    Parameters
    ----------
    output, removed : Path or None
        The files; None where there is none.
    format, subtype : str
        Of the output, as soundfile names them.
    samples : ndarray of float64, shape (frames, channels), or None
        The output where no file was asked for.
    frames_changed : int
        Frames in which any channel is not as it was.
    frames_removed : int
        Frames in which anything is taken out of the source: the same, except where it was put back.
    changed_samples : ndarray of int64, shape (repairs,)
        Samples that each repair changed, in the order of the repairs.
    removed_energy : ndarray of float64, shape (repairs,)
        Sum of the squares of what each repair took out; full scale is 1.
    notices : tuple of str
        One line for each thing that the user should know.
    """

    output: Path | None
    removed: Path | None
    format: str
    subtype: str
    frames_changed: int
    frames_removed: int
    changed_samples: NDArray[np.int64] = field(repr=False)
    removed_energy: FloatArray = field(repr=False)
    samples: FloatArray | None = field(repr=False, default=None)
    notices: tuple[str, ...] = ()

    @property
    def removed_db(self) -> FloatArray:
        """Energy that each repair took out, in dB of one full-scale sample; -inf for none."""
        with np.errstate(divide="ignore"):
            return 10.0 * np.log10(self.removed_energy)


Companions = Callable[[Written], None]


class _Edit(Protocol):
    """Changes the frames from `start` in place; returns what goes to the removed file."""

    def __call__(self, start: int, samples: FloatArray, /) -> FloatArray | None: ...


def write_restored(
    recording: Recording,
    repairs: Iterable[Repair],
    output: Output,
    *,
    removed: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    coding_history: str | None = None,
    companions: Companions | None = None,
    block_frames: int = 65536,
) -> Written:
    """Write a recording with its repairs.

    Parameters
    ----------
    recording : Recording
        The source; read once more, from its beginning to its end.
    repairs : iterable of Repair
        In ascending order of ``click.start``; on each channel those that were made do not
        overlap. Drawn as the writing goes on.
    output : Path, str, binary file or None
        "-" is standard output; None returns the samples.
    removed : Path, optional
        Gets source minus output: exactly for integers; for floats to within one rounding of a
        64-bit float, which restores a 32-bit source exactly unless the two samples differ by
        more than 170 dB. Zeros outside repairs.
    overwrite : bool
        Whether an existing file may be replaced.
    progress : callable, optional
        Called with the frames done and the frames in all.
    coding_history : str, optional
        What to say in the history of a ``bext`` chunk, where the source has one.
    companions : callable, optional
        Writes what belongs beside the files (a report), once all samples are on the disk and
        before any file gets its name; where it fails, no file appears.
    block_frames : int
        Frames to hold in memory; the result does not depend on it.

    Raises
    ------
    WriteError
        Where the output cannot be written; nothing is left behind.
    ReadError
        Where the source turns out to be damaged.
    ValueError
        Where the repairs are out of order, overlap, or lie outside the recording.
    """
    format, subtype = output_format(recording, output)
    overlay = _Overlay(recording, repairs, subtype)

    def describe(samples: FloatArray | None, notices: tuple[str, ...]) -> Written:
        overlay.finish()
        return Written(
            output=as_path(output),
            removed=removed,
            format=format,
            subtype=subtype,
            samples=samples,
            frames_changed=overlay.frames_changed,
            frames_removed=overlay.frames_changed,
            changed_samples=np.array(overlay.changed, dtype=np.int64),
            removed_energy=np.array(overlay.energy, dtype=np.float64),
            notices=notices,
        )

    return _stream(
        recording, overlay, output, (format, subtype), removed, overwrite, progress,
        coding_history, companions, block_frames, describe,
    )  # fmt: skip


def put_back(
    restored: Recording,
    removed: Recording,
    spans: Iterable[tuple[int, int, int]],
    output: Output,
    *,
    from_source: bool = False,
    removed_output: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    coding_history: str | None = None,
    companions: Companions | None = None,
    block_frames: int = 65536,
) -> Written:
    """Put back what was removed in some spans; everything else stays as it is in `restored`.

    Parameters
    ----------
    restored, removed : Recording
        The two files of an earlier `write_restored`; or its output and its source.
    spans : iterable of (channel, start, stop)
        Half-open frames, in any order; they may overlap.
    output : Path, str, binary file or None
        As in `write_restored`.
    from_source : bool
        Whether `removed` is the source itself.
    removed_output : Path, optional
        Gets what is still removed, so that nothing is put back twice.
    overwrite, progress, coding_history, companions, block_frames
        As in `write_restored`.

    Returns
    -------
    Written
        Its arrays have one entry for each span that is left after overlapping ones are merged,
        in ascending order of (start, channel).

    Raises
    ------
    WriteError
        As `write_restored`; also where the two files do not belong together.
    ValueError
        Where a span lies outside the recording.
    """
    same = (restored.sample_rate, restored.frames, restored.channels)
    if (removed.sample_rate, removed.frames, removed.channels) != same:
        raise WriteError(
            f"{removed.name}: does not belong to {restored.name} (its rate, length or channels "
            f"differ); give the file that was {'restored' if from_source else 'written with it'}"
        )
    format, subtype = output_format(restored, output)
    edit = _PutBack(restored, removed, _merge(spans, restored), subtype, from_source)

    def describe(samples: FloatArray | None, notices: tuple[str, ...]) -> Written:
        frames_changed, changed, energy = edit.totals()
        return Written(
            output=as_path(output),
            removed=removed_output,
            format=format,
            subtype=subtype,
            samples=samples,
            frames_changed=frames_changed,
            frames_removed=edit.frames_removed,
            changed_samples=changed,
            removed_energy=energy,
            notices=notices,
        )

    return _stream(
        restored, edit, output, (format, subtype), removed_output, overwrite, progress,
        coding_history, companions, block_frames, describe, also=(removed,),
    )  # fmt: skip


class _Overlay:
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


class _PutBack:
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
        self._overlay = _Overlay(restored, self._pieces(), subtype, add=not from_source)

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


def _merge(
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


def _stream(
    recording: Recording,
    edit: _Edit,
    output: Output,
    kind: tuple[str, str],
    removed: Path | None,
    overwrite: bool,
    progress: Progress | None,
    coding_history: str | None,
    companions: Companions | None,
    block_frames: int,
    describe: Callable[[FloatArray | None, tuple[str, ...]], Written],
    also: tuple[Recording, ...] = (),
) -> Written:
    """Pass a recording through `edit` into its files; `describe` says what became of it."""
    target = as_path(output)
    targets = [path for path in (target, removed) if path is not None]
    sources = [source.path for source in (recording, *also)]
    resolved = check_targets(targets, sources=sources, overwrite=overwrite)
    checked = dict(zip(targets, resolved, strict=True))
    with Transaction() as transaction:

        def open_sink(path: Path, layout: Layout, format: str, subtype: str) -> Sink:
            pending = transaction.add(checked[path], str(path))
            if format == "FLAC":
                size = recording.frames, recording.channels
                return FlacSink(pending, layout, subtype, recording.sample_rate, *size)
            size = recording.frames, recording.channels
            packed = PackedSink(pending.file, str(path), layout, subtype, *size)
            pending.check_space(size[0] * size[1] * WIDTHS[subtype])
            return packed

        layout, notices = carry_over(recording, *kind, coding_history=coding_history)
        sink: Sink
        if output is None:
            sink = ArraySink(recording.frames, recording.channels)
        elif target is not None:
            sink = open_sink(target, layout, *kind)
        else:
            pipe, name = sys.stdout.buffer, STANDARD_OUTPUT
            if not isinstance(output, str | Path) and output is not pipe:
                pipe, name = output, str(getattr(output, "name", "the stream"))
            size = recording.frames, recording.channels
            sink = PackedSink(pipe, name, layout, kind[1], *size)
        rest = None
        if removed is not None:
            what = removed_format(recording, removed)
            rest = open_sink(removed, plain_layout_for(recording, *what), *what)
        zeros = np.zeros((block_frames, recording.channels))
        for block in recording.blocks(block_frames, 0):
            taken = edit(block.start, block.samples)
            sink.write(block.samples)
            if rest is not None:
                rest.write(taken if taken is not None else zeros[: block.core])
            if progress is not None:
                progress(block.start + block.core, recording.frames)
        sink.finish()
        if rest is not None:
            rest.finish()
        samples = sink.samples if isinstance(sink, ArraySink) else None
        written = describe(samples, notices)
        transaction.commit(None if companions is None else lambda: companions(written))
    return written
