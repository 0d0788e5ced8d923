"""WRITE: lay the repairs over the source; everything else stays bit for bit.

With `declick.overlay`, which changes the samples on their way, the only module that makes output. A
file appears under its name when it is complete, and the output and the file of what was removed
appear together or not at all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from declick.chunks import WIDTHS
from declick.clicks import FloatArray, Repair
from declick.errors import WriteError
from declick.formats import Output, as_path, output_format, removed_format
from declick.headers import Layout
from declick.metadata import carry_over, plain_layout_for
from declick.overlay import Edit, Overlay, PutBack, merge_spans
from declick.read import Recording
from declick.sinks import STANDARD_OUTPUT, ArraySink, FlacSink, PackedSink, Sink, Transaction
from declick.targets import check_targets

Progress = Callable[[int, int], None]


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
    overlay = Overlay(recording, repairs, subtype)

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
    edit = PutBack(restored, removed, merge_spans(spans, restored), subtype, from_source)

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


def _stream(
    recording: Recording,
    edit: Edit,
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
