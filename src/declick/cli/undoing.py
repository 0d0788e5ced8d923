"""``declick undo``: chosen clicks put back, to the sample."""

from __future__ import annotations

import argparse
from math import nan
from pathlib import Path

import numpy as np

from declick.cli.console import print_json
from declick.cli.lines import say
from declick.cli.names import choose_output, find_report, free_report
from declick.cli.opening import open_target
from declick.clicks import FloatArray, Repair
from declick.errors import LabelError
from declick.outcome import check_outputs
from declick.read import Recording
from declick.report import UNDONE, Entry, Report, ReportWriter, read_report, utc_now
from declick.select import Selection, select
from declick.totals import energy_db
from declick.write import Written, put_back

# A report rounds to hundredths, and the removed file of 64-bit floats by less.
_SAME_DB = 0.02


def run_undo(options: argparse.Namespace) -> int:
    """Put chosen clicks back."""
    report_path = find_report(options)
    report = read_report(report_path)
    restored_path = restored_of(report, report_path, options)
    chosen, left = _chosen(report, report_path, options)
    removed_path = options.removed or _removed_of(report, report_path)
    output = options.output
    if output is None:
        output = str(restored_path.with_name(f"{restored_path.stem}.undone{restored_path.suffix}"))
    output = choose_output(options, str(restored_path), output)
    new_report = None if output == "-" else free_report(Path(output))
    spans = [(entry.click.channel, entry.click.start, entry.click.tail) for entry in chosen]
    with Recording.open(restored_path) as restored, Recording.open(removed_path) as removed:
        check_same(restored, report, report_path)
        if restored.source_hash() == report.source.sha256:
            raise LabelError(f"{restored.name}: this is the source itself; give the restored file")
        target = open_target(output)
        check_outputs(
            restored,
            target,
            others=(new_report,),
            sources=(removed_path, report_path),
            overwrite=options.overwrite,
        )

        _check_removed(removed, report, chosen, report_path)

        def write_report(written: Written) -> None:
            if new_report is not None:
                numbers = {entry.number for entry in chosen}
                _write_report(new_report, report, numbers, written, removed_path)

        written = put_back(
            restored,
            removed,
            spans,
            target,
            overwrite=options.overwrite,
            companions=write_report,
        )
    for notice in written.notices:
        say(f"declick: {notice}", quiet=options.quiet)
    count = "1 click" if len(chosen) == 1 else f"{len(chosen)} clicks"
    rest = f"; {left} more of this choice had not been mended" if left else ""
    say(f"{restored_path}: {count} put back{rest}", quiet=options.quiet)
    if written.output is not None:
        say(f"  -> {written.output}", quiet=options.quiet)
    if options.json:
        print_json(
            {
                "output": output,
                "report": str(new_report),
                "clicks": [entry.number for entry in chosen],
                "frames_changed": written.frames_changed,
            }
        )
    return 0


def selection_of(options: argparse.Namespace) -> Selection:
    """Return the choice of clicks that the flags describe."""
    return Selection.parse(
        clicks=options.clicks,
        between=options.between,
        kind=options.kind,
        channel=options.channel,
        method=options.by_method,
        confidence_below=options.confidence_below,
    )


def _chosen(report: Report, path: Path, options: argparse.Namespace) -> tuple[list[Entry], int]:
    """Return the repairs to take back, and how many more are chosen that are none."""
    entries = select(report, selection_of(options))
    chosen = [entry for entry in entries if entry.made]
    if not chosen:
        raise LabelError(f"{path}: none of its repairs is chosen; choose others")
    return chosen, len(entries) - len(chosen)


def restored_of(report: Report, path: Path, options: argparse.Namespace) -> Path:
    """Return the restored file: as it was said, or beside the report that was named instead."""
    if options.path.suffix.lower() != ".json":
        return Path(options.path)
    if report.output is None:
        raise LabelError(f"{path}: this run went to standard output; name the restored file")
    return path.with_name(report.output)


def _removed_of(report: Report, path: Path) -> Path:
    """Return the removed file that a report names, beside it."""
    if report.removed is None:
        raise LabelError(
            f"{path}: this run kept no removed file; run {report.command or 'restore'} again with "
            "--removed, or mend fewer clicks with 'declick repair --labels'"
        )
    removed = path.with_name(report.removed)
    if not removed.exists():
        raise LabelError(f"{path}: {removed.name} is not beside it; name it with --removed")
    return removed


def check_same(recording: Recording, report: Report, path: Path) -> None:
    """Refuse a recording that cannot be the one that a report is on."""
    known = report.source
    if (known.sample_rate, known.frames, known.channels) != (
        recording.sample_rate,
        recording.frames,
        recording.channels,
    ):
        raise LabelError(
            f"{path}: is not the report of {recording.name} (it is on {known.frames} frames of "
            f"{known.channels} channels at {known.sample_rate} Hz); name the right one with "
            "--report"
        )


def _check_removed(removed: Recording, report: Report, chosen: list[Entry], path: Path) -> None:
    """Refuse a removed file that does not hold what a report says was taken out by its clicks."""
    known = report.source
    if (removed.frames, removed.channels) != (known.frames, known.channels):
        return  # put_back says so
    for entry in chosen:
        if entry.removed_db is None:
            continue
        click = entry.click
        held_db = energy_db(removed.read(click.start, click.tail)[:, click.channel])
        if held_db is None or abs(held_db - entry.removed_db) > _SAME_DB:
            held = "nothing" if held_db is None else f"{held_db:.2f} dB"
            raise LabelError(
                f"{removed.name}: is not the removed file of the run of {path} (it holds {held} "
                f"at click {entry.number}, which took out {entry.removed_db:.2f} dB); give the "
                "one that was written with it"
            )


def _write_report(
    path: Path, report: Report, undone: set[int], written: Written, removed: Path
) -> None:
    """Write the report of what is still mended, so that nothing is put back twice."""
    writer = ReportWriter(
        path,
        source=report.source,
        settings=report.settings,
        output=written.output,
        removed=removed,
        created=utc_now(),
    )
    with writer:
        writer.command = report.command
        writer.chain = dict(report.chain)
        writer.rotation_s = report.rotation_s
        writer.notices = list(report.notices)
        writer.frames_changed = written.frames_removed
        for entry in report.entries:
            made = entry.made and entry.number not in undone
            samples: FloatArray = np.zeros(entry.click.tail - entry.click.start if made else 0)
            method = UNDONE if entry.number in undone else entry.method
            gain_db = nan if entry.gain_db is None else entry.gain_db
            repair = Repair(entry.found, samples, method, gain_db)
            writer.add(repair, removed_db=entry.removed_db if made else None)
