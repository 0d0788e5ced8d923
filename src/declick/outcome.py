"""What a run did: checked before the work, written with its report and labels after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from declick import __version__
from declick.clicks import FloatArray, Repair
from declick.copies.facts import count_used, describe_copy, notices_of, notices_of_shared
from declick.detection import Detection
from declick.formats import as_path, output_format, removed_format
from declick.labels import write_labels
from declick.merging import Examination
from declick.read import Recording
from declick.report import Source
from declick.reporting import ReportWriter, utc_now
from declick.settings import Settings
from declick.targets import check_targets
from declick.totals import Tally, Totals
from declick.write import Written, write_restored


@dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """What a run did.

    Parameters
    ----------
    written : Written
        The files, and the restored samples where no file was asked for.
    detection : Detection
        What was mended, and what was learned of the record.
    totals : Totals
    notices : tuple of str
        One line for each thing that the user should know.
    report : Path or None
    copies : tuple of dict
        What is to be said of other copies, as in the report.
    """

    written: Written
    detection: Detection
    totals: Totals
    notices: tuple[str, ...]
    report: Path | None = None
    copies: tuple[dict[str, Any], ...] = ()

    @property
    def samples(self) -> FloatArray | None:
        """The restored sound, shape (frames, channels), where no file was asked for."""
        return self.written.samples


def source_of(recording: Recording) -> Source:
    """Return what a report says of a recording."""
    return Source(
        name=Path(recording.name).name,
        sha256=recording.source_hash(),
        sample_rate=recording.sample_rate,
        frames=recording.frames,
        channels=recording.channels,
        format=recording.format,
        subtype=recording.subtype,
    )


def check_outputs(
    recording: Recording,
    output: Path | str | BinaryIO | None,
    *,
    removed: Path | None = None,
    others: Sequence[Path | None] = (),
    sources: Sequence[Path | None] = (),
    overwrite: bool = False,
) -> None:
    """Say before the work what would fail after it.

    Parameters
    ----------
    recording : Recording
    output, removed, overwrite
        As in `restore`.
    others : sequence of (Path or None)
        What else is written: report, labels.
    sources : sequence of (Path or None)
        What else is read, and so never written to.

    Raises
    ------
    WriteError
        Where a file cannot be written there, cannot hold the sound, or would cost the user one.
    """
    output_format(recording, output)
    if removed is not None:
        removed_format(recording, removed)
    targets = [path for path in (as_path(output), removed, *others) if path is not None]
    check_targets(targets, sources=(recording.path, *sources), overwrite=overwrite)


def write_outcome(
    recording: Recording,
    repairs: Iterator[Repair],
    detection: Detection,
    output: Path | str | BinaryIO | None,
    settings: Settings,
    removed: Path | None,
    report: Path | None,
    overwrite: bool,
    labels: Path | None = None,
    *,
    command: str,
    known: Examination | None = None,
) -> Restoration:
    """Write the repairs over the source, with report and labels: all of them or none."""
    remembered: list[Repair] = []

    def remember() -> Iterator[Repair]:
        for item in detection.with_beats(repairs):
            # Their samples are in the output; here they would only fill the memory.
            kept = replace(item, samples=np.broadcast_to(0.0, item.samples.shape))
            remembered.append(kept)
            yield item

    tally = Tally(recording.sample_rate)
    notices: list[str] = [recording.notice] if recording.notice else []
    facts: list[dict[str, Any]] = []

    def write_companions(written: Written) -> None:
        # A run like another one was told of them before.
        if command == "restore":
            notices.extend(detection.notices)
        notices.extend(written.notices)
        if known is not None:
            facts.extend(_facts_of(recording, known, remembered))
            notices.extend(notices_of(facts, recording.duration_s))
            notices.extend(notices_of_shared(remembered))
        energies = [value if np.isfinite(value) else None for value in written.removed_db.tolist()]
        for item, energy in zip(remembered, energies, strict=True):
            tally.add(item, removed_db=energy)
        if labels is not None:
            mended = [item.click for item in remembered if item.made]
            write_labels(labels, mended, recording.sample_rate, channels=recording.channels)
        if report is None:
            return
        source = source_of(recording)
        writer = ReportWriter(
            report,
            source=source,
            settings=settings.as_dict(),
            output=written.output,
            removed=written.removed,
            created=utc_now(),
        )
        with writer:
            writer.command = command
            writer.chain = detection.chain.as_dict()
            writer.rotation_s = detection.rotation.period_s if detection.rotation else None
            # A report tells nobody where its files lie.
            writer.notices = [notice.replace(recording.name, source.name) for notice in notices]
            writer.copies = facts
            writer.frames_changed = written.frames_changed
            for item, energy in zip(remembered, energies, strict=True):
                writer.add(item, removed_db=energy)

    written = write_restored(
        recording,
        remember(),
        Path(output) if isinstance(output, str) and output != "-" else output,
        removed=removed,
        overwrite=overwrite,
        coding_history=f"declick {__version__}",
        companions=write_companions,
    )
    return Restoration(
        written=written,
        detection=detection,
        totals=tally.totals(frames_changed=written.frames_changed),
        notices=tuple(notices),
        report=report,
        copies=tuple(facts),
    )


def _facts_of(
    recording: Recording, known: Examination, repairs: Sequence[Repair]
) -> list[dict[str, Any]]:
    """Return what the report says of the copies."""
    used = count_used((item.method, item.copies) for item in repairs)
    return [
        describe_copy(
            copy,
            residual_db,
            known.hop,
            sample_rate=recording.sample_rate,
            used=used[copy.number],
        )
        for copy, residual_db in zip(known.copies, known.residual_db, strict=True)
    ]
