"""``declick repair`` and ``declick undo``: exactly the clicks that somebody names."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from declick.cli.console import describe, print_json, progress_bar, say, summary
from declick.cli.flags import settings_of
from declick.cli.names import default_output, default_report, find_report
from declick.cli.opening import open_source, standard_output
from declick.clicks import Click
from declick.errors import LabelError, SettingsError
from declick.labels import read_labels
from declick.pipeline import mend
from declick.read import Recording
from declick.repair.draw import find_drawn
from declick.report import Report, read_report
from declick.select import Selection, select
from declick.write import put_back


def run_repair(options: argparse.Namespace) -> int:
    """Mend the marked clicks."""
    started = time.monotonic()
    # What somebody has marked is mended, whatever the evidence says.
    settings = settings_of(options, repair_keep_weak=False)
    if options.target and options.output:
        raise SettingsError("the output is named twice")
    output = options.output or options.target
    if output is None:
        output = "-" if options.path == "-" else str(default_output(Path(options.path)))
    if output == "-" and options.json:
        raise SettingsError("--json and the sound cannot both go to standard output; give -o FILE")
    report = options.report
    if report is None and output != "-" and not options.no_report:
        report = default_report(Path(output))
    with ExitStack() as stack:
        recording = stack.enter_context(open_source(options.path))
        drawn = None
        if options.draw is not None:
            drawn = stack.enter_context(open_source(str(options.draw)))
        clicks = _marked(recording, drawn, options)
        progress = stack.enter_context(progress_bar(recording.name, quiet=options.quiet))
        done = mend(
            recording,
            clicks,
            standard_output() if output == "-" else Path(output),
            drawn=drawn,
            settings=settings,
            removed=options.removed,
            report=report,
            overwrite=options.overwrite,
            jobs=options.jobs if len(clicks) > 500 else 1,
            progress=progress,
        )
        elapsed, duration = time.monotonic() - started, recording.duration_s
        for notice in done.notices:
            say(f"declick: {notice}", quiet=options.quiet)
        text = describe(done, name=recording.name, elapsed_s=elapsed, duration_s=duration)
        say(text, quiet=options.quiet)
        if output != "-":
            say(f"  -> {output}", quiet=options.quiet)
        if options.json:
            print_json(summary(done, elapsed_s=elapsed, duration_s=duration))
    return 0


def _marked(
    recording: Recording, drawn: Recording | None, options: argparse.Namespace
) -> list[Click]:
    """Return the clicks that the labels, the report or the drawing mark."""
    if options.labels is not None:
        return read_labels(
            options.labels,
            sample_rate=recording.sample_rate,
            frames=recording.frames,
            channels=recording.channels,
        )
    if options.like is not None:
        report = read_report(options.like)
        known = report.source
        if (known.sample_rate, known.frames, known.channels) != (
            recording.sample_rate,
            recording.frames,
            recording.channels,
        ):
            raise LabelError(
                f"{options.like}: is the report of another recording ({known.name}, "
                f"{known.frames} frames at {known.sample_rate} Hz)"
            )
        return report.clicks
    if drawn is not None:
        return find_drawn(recording, drawn)
    raise SettingsError("nothing is marked: give --labels, --like or --draw")


def run_undo(options: argparse.Namespace) -> int:
    """Put chosen clicks back."""
    report_path = options.report or find_report(options.path)
    if report_path is None:
        raise LabelError(
            f"{options.path}: no report beside it ({default_report(options.path).name}); "
            "name it with --report"
        )
    report = read_report(report_path)
    chosen = [
        entry
        for entry in select(
            report,
            Selection.parse(
                clicks=options.clicks,
                between=options.between,
                kind=options.kind,
                channel=options.channel,
                method=options.by_method,
                confidence_below=options.confidence_below,
            ),
        )
        if entry.made
    ]
    if not chosen:
        raise SettingsError(f"{report_path.name}: none of its repairs is chosen")
    removed = options.removed or _removed_of(report, report_path)
    output = options.output
    if output is None:
        output = str(options.path.with_name(f"{options.path.stem}.undone{options.path.suffix}"))
    spans = [(entry.click.channel, entry.click.start, entry.click.tail) for entry in chosen]
    with Recording.open(options.path) as restored, Recording.open(removed) as taken:
        target = standard_output() if output == "-" else Path(output)
        written = put_back(restored, taken, spans, target, overwrite=options.overwrite)
    say(f"{options.path.name}: {len(chosen)} clicks put back", quiet=options.quiet)
    if output != "-":
        say(f"  -> {output}", quiet=options.quiet)
    if options.json and output != "-":
        numbers = [entry.number for entry in chosen]
        changed = written.frames_changed
        print_json({"output": output, "clicks": numbers, "frames_changed": changed})
    return 0


def _removed_of(report: Report, path: Path) -> Path:
    """Return the removed file that a report names, beside it."""
    if report.removed is None:
        raise LabelError(
            f"{path}: this run kept no removed file; run restore again with --removed, "
            "or mend fewer clicks with 'declick repair --labels'"
        )
    return path.with_name(report.removed)
