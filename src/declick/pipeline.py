"""The way of the sound: read, detect, repair, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from declick import __version__
from declick.clicks import Click, FloatArray, Repair
from declick.dsp.chain import Chain, estimate_chain
from declick.formats import as_path, output_format, removed_format
from declick.labels import write_labels
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.draw import redraw
from declick.report import ReportWriter, Source, utc_now
from declick.settings import Settings
from declick.stages import Detection, Progress, detect, ignore_progress, repair
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
    """

    written: Written
    detection: Detection
    totals: Totals
    notices: tuple[str, ...]
    report: Path | None = None

    @property
    def samples(self) -> FloatArray | None:
        """The restored sound, shape (frames, channels), where no file was asked for."""
        return self.written.samples


def restore(
    recording: Recording,
    output: Path | str | BinaryIO | None = None,
    *,
    settings: Settings = Settings(),
    removed: Path | None = None,
    report: Path | None = None,
    labels: Path | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    progress: Progress = ignore_progress,
) -> Restoration:
    """Find the damage of a recording, mend it, and write the result.

    Parameters
    ----------
    recording : Recording
    output : Path, str, binary file or None
        "-" is standard output; None returns the samples.
    settings : Settings
    removed : Path, optional
        Gets what was taken out: output + removed is the source.
    report : Path, optional
        Gets the report, enough to repeat or undo the run.
    labels : Path, optional
        Gets the clicks as an Audacity label track.
    overwrite : bool
        Whether existing files may be replaced.
    jobs : int
        Processes that work at the same time. The result does not depend on it.
    progress : callable, optional
        Called with the stage's name and the share of it that is done.

    Returns
    -------
    Restoration

    Raises
    ------
    ReadError, WriteError
        With one line that says what is wrong; nothing is left behind.

    Examples
    --------
    >>> with Recording.open("rip.flac") as rip:  # doctest: +SKIP
    ...     restore(rip, Path("rip.declicked.flac"), jobs=2).totals.repaired
    """
    others = report, labels
    check_outputs(recording, output, removed=removed, others=others, overwrite=overwrite)
    with Workers(jobs) as workers:
        detection = detect(recording, settings.detect, workers=workers, progress=progress)
        repairs = repair(
            recording,
            detection.clicks,
            settings.repair,
            chain=detection.chain,
            workers=workers,
            progress=progress,
        )
        return _write(
            recording, repairs, detection, output, settings, removed, report, overwrite, labels
        )


def mend(
    recording: Recording,
    clicks: Sequence[Click],
    output: Path | str | BinaryIO | None = None,
    *,
    drawn: Recording | None = None,
    chain: Chain | None = None,
    settings: Settings = Settings(),
    removed: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    progress: Progress = ignore_progress,
) -> Restoration:
    """Mend exactly the given clicks, and write the result.

    Parameters
    ----------
    recording : Recording
    clicks : sequence of Click
        Ascending; per channel ``[start, tail)`` disjoint and within the recording. A click that
        somebody has marked is always mended, unless ``settings.repair.keep_weak`` is set.
    drawn : Recording, optional
        Samples to put in place of the clicks: as long as the recording.
    chain : Chain, optional
        The playback chain's rings, as an earlier run reports them; else estimated from the clicks.
    output, settings, removed, report, overwrite, jobs, progress
        As in `restore`.
    """
    sources = () if drawn is None else (drawn.path,)
    check_outputs(
        recording, output, removed=removed, others=(report,), sources=sources, overwrite=overwrite
    )
    with Workers(jobs) as workers:
        if drawn is not None:
            chain = Chain()
            repairs = redraw(recording, clicks, drawn)
        else:
            if chain is None:
                chain = estimate_chain(recording.read, clicks, sample_rate=recording.sample_rate)
            repairs = repair(
                recording,
                clicks,
                settings.repair,
                chain=chain,
                workers=workers,
                progress=progress,
            )
        detection = Detection(clicks=list(clicks), chain=chain, rotation=None)
        return _write(recording, repairs, detection, output, settings, removed, report, overwrite)


def source_of(recording: Recording) -> Source:
    """Return what a report says of a recording."""
    return Source(
        name=recording.name,
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


def _write(
    recording: Recording,
    repairs: Iterator[Repair],
    detection: Detection,
    output: Path | str | BinaryIO | None,
    settings: Settings,
    removed: Path | None,
    report: Path | None,
    overwrite: bool,
    labels: Path | None = None,
) -> Restoration:
    """Write the repairs over the source, with report and labels: all of them or none."""
    remembered: list[Repair] = []

    def remember() -> Iterator[Repair]:
        for item in repairs:
            # Their samples are in the output; here they would only fill the memory.
            kept = replace(item, samples=np.broadcast_to(0.0, item.samples.shape))
            remembered.append(kept)
            yield item

    tally = Tally(recording.sample_rate)
    notices: list[str] = [recording.notice] if recording.notice else []

    def write_companions(written: Written) -> None:
        notices.extend(written.notices)
        energies = [value if np.isfinite(value) else None for value in written.removed_db.tolist()]
        for item, energy in zip(remembered, energies, strict=True):
            tally.add(item, removed_db=energy)
        if labels is not None:
            rate, channels = recording.sample_rate, recording.channels
            write_labels(labels, detection.clicks, rate, channels=channels)
        if report is None:
            return
        writer = ReportWriter(
            report,
            source=source_of(recording),
            settings=settings.as_dict(),
            output=written.output,
            removed=written.removed,
            created=utc_now(),
        )
        with writer:
            writer.chain = detection.chain.as_dict()
            writer.rotation_s = detection.rotation.period_s if detection.rotation else None
            writer.notices = notices
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
        totals=tally.totals(),
        notices=tuple(notices),
        report=report,
    )
