"""The way of the sound: read, detect, repair, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from declick import __version__
from declick.beside import repair_beside
from declick.centre import as_recorded, centred
from declick.clicks import Click, FloatArray, Repair
from declick.copies.facts import check_fit, count_used, describe_copy, notices_of
from declick.copies.lay import lay_along
from declick.copies.walls import find_walls, holds_one_music
from declick.dsp.chain import Chain, estimate_chain
from declick.errors import SettingsError
from declick.formats import as_path, output_format, removed_format
from declick.labels import write_labels
from declick.merging import Examination, examine
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.draw import redraw
from declick.repair.transfer import OTHER_WALL
from declick.report import ReportWriter, Source, utc_now
from declick.settings import Settings
from declick.stages import (
    Detection,
    Progress,
    detect,
    estimate_damage,
    ignore_progress,
    repair,
)
from declick.targets import check_targets
from declick.totals import Tally, Totals
from declick.twins import refuse_twins
from declick.write import Written, write_restored

if TYPE_CHECKING:
    from declick.align import Alignment


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


def restore(
    recording: Recording,
    output: Path | str | BinaryIO | None = None,
    *,
    settings: Settings = Settings(),
    seconds: Sequence[Second] = (),
    mono_record: bool | None = None,
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
    seconds : sequence of Second
        Other copies of the record, to mend it from.
    mono_record : bool, optional
        Whether the channels are the two walls of one mono groove; by default that is found out.
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
    NotSameRecordingError
        Where one of `seconds` is something else.
    SettingsError
        Where two of `seconds` hold the same samples.

    Examples
    --------
    >>> with Recording.open("rip.flac") as rip:  # doctest: +SKIP
    ...     restore(rip, Path("rip.declicked.flac"), jobs=2).totals.repaired
    """
    others = report, labels
    sources = tuple(second.recording.path for second in seconds)
    check_outputs(
        recording, output, removed=removed, others=others, sources=sources, overwrite=overwrite
    )
    refuse_twins([second.recording for second in seconds])
    with Workers(jobs) as workers, ExitStack() as stack:
        workers.start(detect.__module__)
        heard = centred(recording)
        walls = None
        if not seconds and mono_record is not False:
            walls = find_walls(heard, asked=bool(mono_record))
        # What does not belong together is refused before any work.
        maps = [second.find_map(recording, progress) for second in seconds]
        detection = detect(heard, settings.detect, workers=workers, progress=progress)
        if not seconds and walls is None:
            repairs = repair(
                heard,
                detection.clicks,
                settings.repair,
                chain=detection.chain,
                workers=workers,
                progress=progress,
            )
            repairs = as_recorded(repairs, heard)
            return _write(
                recording,
                repairs,
                detection,
                output,
                settings,
                removed,
                report,
                overwrite,
                labels,
                command="restore",
            )
        copies = [walls] if walls is not None else []
        narrow = any(second.recording.channels < recording.channels for second in seconds)
        one_music = not narrow or holds_one_music(heard)
        for number, (second, found) in enumerate(zip(seconds, maps, strict=True), start=1):
            laid = lay_along(
                heard,
                centred(second.recording),
                found,
                number=number,
                # Of a mono copy nothing is known but what the channels have in common.
                certain=one_music or second.recording.channels >= recording.channels,
                workers=workers,
            )
            copies.append(stack.enter_context(laid))
        known = examine(
            heard,
            detection.clicks,
            copies,
            settings.detect,
            workers=workers,
            progress=progress,
        )
        for copy, residual_db in zip(known.copies, known.residual_db, strict=True):
            if copy.number:
                check_fit(copy, residual_db)
        detection = replace(detection, clicks=known.clicks)
        repairs = repair_beside(
            heard,
            known.clicks,
            known.copies,
            settings.repair,
            alone=known.alone,
            chain=detection.chain,
            workers=workers,
            progress=progress,
        )
        return _write(
            recording,
            as_recorded(repairs, heard),
            detection,
            output,
            settings,
            removed,
            report,
            overwrite,
            labels,
            known=known,
            command="restore",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Second:
    """Another copy of the record.

    Parameters
    ----------
    recording : Recording
    alignment : Alignment, optional
        From the recording to be restored to this one; by default it is found.
    """

    recording: Recording
    alignment: Alignment | None = None

    def find_map(self, recording: Recording, progress: Progress) -> Alignment:
        """Return the map from a recording to this one.

        Raises
        ------
        NotSameRecordingError
            Where they are not the same.
        SettingsError
            Where the map that was given is one of other recordings.
        """
        if self.alignment is None:
            # Loaded here: what most runs do not need would slow their start.
            from declick.align import align

            return align(recording, self.recording, progress=progress)
        found = self.alignment
        rates = (found.sample_rate_a, found.sample_rate_b, found.channels)
        if rates != (recording.sample_rate, self.recording.sample_rate, recording.channels):
            raise SettingsError(
                f"the map given for {self.recording.name} is one of other recordings; make it "
                f"with 'declick align {recording.name} {self.recording.name} -o map.json'"
            )
        return found


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
            heard = centred(recording)
            if chain is None:
                chain = estimate_chain(heard.read, clicks, sample_rate=recording.sample_rate)
            if settings.repair.method == "auto":
                clicks = estimate_damage(heard, clicks, settings.detect, workers=workers)
            repairs = repair(
                heard,
                clicks,
                settings.repair,
                chain=chain,
                workers=workers,
                progress=progress,
            )
            repairs = as_recorded(repairs, heard)
        detection = Detection(clicks=list(clicks), chain=chain, rotation=None)
        return _write(
            recording,
            repairs,
            detection,
            output,
            settings,
            removed,
            report,
            overwrite,
            command="repair",
        )


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
    *,
    command: str,
    known: Examination | None = None,
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
    facts: list[dict[str, Any]] = []

    def write_companions(written: Written) -> None:
        notices.extend(written.notices)
        if known is not None:
            facts.extend(_facts_of(recording, known, remembered))
            notices.extend(notices_of(facts, recording.duration_s))
        energies = [value if np.isfinite(value) else None for value in written.removed_db.tolist()]
        for item, energy in zip(remembered, energies, strict=True):
            tally.add(item, removed_db=energy)
        if labels is not None:
            rate, channels = recording.sample_rate, recording.channels
            write_labels(labels, detection.clicks, rate, channels=channels)
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
    used = count_used(item.copies for item in repairs)
    walls = sum(item.method == OTHER_WALL for item in repairs)
    return [
        describe_copy(
            copy,
            residual_db,
            known.hop,
            sample_rate=recording.sample_rate,
            used=used[copy.number] if copy.number else walls,
        )
        for copy, residual_db in zip(known.copies, known.residual_db, strict=True)
    ]
