"""The way of the sound: read, detect, repair, write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, BinaryIO

from declick.beside import repair_beside
from declick.centre import as_recorded, centred
from declick.clicks import Click
from declick.copies.facts import check_fit
from declick.copies.lay import lay_along
from declick.copies.walls import find_walls, holds_one_music
from declick.detection import Detection
from declick.dsp.chain import Chain, estimate_chain
from declick.errors import SettingsError
from declick.merging import examine
from declick.outcome import Restoration, check_outputs, write_outcome
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.draw import redraw
from declick.settings import Settings
from declick.stages import (
    Progress,
    detect,
    estimate_damage,
    ignore_progress,
    repair,
)
from declick.twins import refuse_twins

if TYPE_CHECKING:
    from declick.align import Alignment


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
        Gets the clicks that were mended as an Audacity label track.
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
        Where two of `seconds` hold the same samples, or one the recording's own.

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
    refuse_twins([second.recording for second in seconds], recording)
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
            return write_outcome(
                recording,
                as_recorded(repairs, heard),
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
        return write_outcome(
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
        pair = recording, self.recording
        same = rates == (recording.sample_rate, self.recording.sample_rate, recording.channels)
        what = "one of other recordings"
        if same and found.origin is not None:
            known = found.origin
            same = all(one.is_of(item) for one, item in zip(known, pair, strict=True))
            what = f"one of other files ({known[0].name} and {known[1].name})"
            if not same and known[0].is_of(self.recording) and known[1].is_of(recording):
                what = f"the way back, from {self.recording.name} to {recording.name}"
        if not same:
            raise SettingsError(
                f"the map given for {self.recording.name} is {what}; make it "
                f"with: declick align {quote(recording.name)} {quote(self.recording.name)} "
                "-o map.json"
            )
        return found


def mend(
    recording: Recording,
    clicks: Sequence[Click],
    output: Path | str | BinaryIO | None = None,
    *,
    drawn: Recording | None = None,
    chain: Chain | None = None,
    beats: Sequence[Click] = (),
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
        What the playback chain adds behind clicks, as an earlier run reports it. Else its rings
        are estimated from the clicks, and slow tails are left alone, which reach beyond them.
    beats : sequence of Click
        What an earlier run has left alone since it keeps a beat: so does this one. Ascending.
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
            if settings.repair.method == "auto":
                # An earlier run has told the cores along with the chain.
                own = chain is not None
                clicks = estimate_damage(heard, clicks, settings.detect, own=own, workers=workers)
            if chain is None:
                chain = estimate_chain(heard.read, clicks, sample_rate=recording.sample_rate)
                # Who marks the clicks wants nothing changed but what is marked.
                chain = replace(chain, slow_tails=None)
            repairs = repair(
                heard,
                clicks,
                settings.repair,
                chain=chain,
                workers=workers,
                progress=progress,
            )
            repairs = as_recorded(repairs, heard)
        detection = Detection(clicks=list(clicks), chain=chain, rotation=None, beats=tuple(beats))
        return write_outcome(
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
