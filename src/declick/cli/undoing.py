"""``declick undo``: chosen clicks put back, to the sample."""

from __future__ import annotations

import argparse
from collections import Counter
from math import nan
from pathlib import Path

import numpy as np

from declick.cli.belonging import check_same, is_source, removed_of, restored_of, source_of
from declick.cli.console import print_json
from declick.cli.lines import say
from declick.cli.names import choose_output, find_report, free_report
from declick.cli.opening import open_target
from declick.cli.results import count_clicks, show_files
from declick.clicks import FloatArray, Repair
from declick.copies.facts import count_used
from declick.errors import LabelError, ReadError, SettingsError
from declick.outcome import check_outputs
from declick.read import Recording
from declick.report import UNDONE, Entry, Report, read_report
from declick.reporting import ReportWriter, utc_now
from declick.select import Selection, select
from declick.totals import energy_db
from declick.wording import count_of
from declick.write import Written, put_back

# A report rounds to hundredths, and the removed file of 64-bit floats by less.
_SAME_DB = 0.02


def run_undo(options: argparse.Namespace) -> int:
    """Put chosen clicks back."""
    report_path = find_report(options)
    report = read_report(report_path)
    restored_path = restored_of(report, report_path, options.path)
    chosen, left = _chosen(report, report_path, options)
    old_path, from_source = _find_old(report, report_path, restored_path, options)
    output = options.output
    if output is None:
        output = str(restored_path.with_name(f"{restored_path.stem}.undone{restored_path.suffix}"))
    output = choose_output(options, str(restored_path), output)
    new_report = None if output == "-" else free_report(Path(output))
    spans = [(entry.click.channel, entry.click.start, entry.click.tail) for entry in chosen]
    with Recording.open(restored_path) as restored, Recording.open(old_path) as old:
        check_same(restored, report, report_path)
        if restored.source_hash() == report.source.sha256:
            raise LabelError(f"{restored.name}: this is the source itself; give the restored file")
        target = open_target(output)
        check_outputs(
            restored,
            target,
            others=(new_report,),
            sources=(old_path, report_path),
            overwrite=options.overwrite,
        )
        if not from_source:
            _check_removed(old, report, chosen, report_path)

        def write_report(written: Written) -> None:
            if new_report is not None:
                numbers = {entry.number for entry in chosen}
                removed = None if from_source else old_path
                _write_report(new_report, report, numbers, written, removed)

        written = put_back(
            restored,
            old,
            spans,
            target,
            from_source=from_source,
            overwrite=options.overwrite,
            companions=write_report,
        )
    for notice in written.notices:
        say(f"declick: {notice}", quiet=options.quiet)
    rest = f"; {left} more of this choice had not been mended" if left else ""
    say(f"{restored_path}: {count_of(len(chosen), 'click')} put back{rest}", quiet=options.quiet)
    show_files({"": written.output, "report": new_report}, quiet=options.quiet)
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
        made = Counter(entry.click.kind.value for entry in report.entries if entry.made)
        raise LabelError(
            f"{path}: none of its repairs is chosen; it has mended {count_clicks(made)}"
        )
    return chosen, len(entries) - len(chosen)


def _find_old(
    report: Report, path: Path, restored: Path, options: argparse.Namespace
) -> tuple[Path, bool]:
    """Return the file that has the old samples, and whether it is the source.

    Both are as good; the removed file is known by its name alone, and so it comes first.
    """
    if options.removed is not None:
        if options.source is not None:
            raise SettingsError("--removed and --source are two ways to the same; give one")
        return options.removed, False
    if options.source is not None:
        source = Path(options.source)
        if not is_source(source, report):
            raise LabelError(
                f"{source}: is not the source of {restored}, or was changed since (the report has "
                f"{report.source.name} with another SHA-256); give the file as it was restored"
            )
        return source, True
    removed = removed_of(report, path)
    if removed is not None:
        return removed, False
    try:
        return source_of(report, path, restored, exact=True), True
    except ReadError as error:
        lost = "kept no removed file" if report.removed is None else f"kept {report.removed}"
        raise ReadError(f"{error}, or with --removed what was taken out (the run {lost})") from None


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
                "one that was written with it, or the source with --source"
            )


def _write_report(
    path: Path, report: Report, undone: set[int], written: Written, removed: Path | None
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
        left = [entry for entry in report.entries if entry.made and entry.number not in undone]
        used = count_used((entry.method, entry.copies) for entry in left)
        writer.copies = [{**facts, "repairs": used[facts["number"]]} for facts in report.copies]
        writer.frames_changed = written.frames_removed
        for entry in report.entries:
            made = entry.made and entry.number not in undone
            samples: FloatArray = np.zeros(entry.click.tail - entry.click.start if made else 0)
            method = UNDONE if entry.number in undone else entry.method
            gain_db = nan if entry.gain_db is None else entry.gain_db
            copies = entry.copies if made else ()
            repair = Repair(entry.found, samples, method, gain_db, copies, entry.why)
            writer.add(repair, removed_db=entry.removed_db if made else None)
