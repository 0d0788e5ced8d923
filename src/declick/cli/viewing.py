"""``declick inspect``: pictures of what was done."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from declick.cli.console import print_json, say
from declick.cli.names import default_report, find_report
from declick.clicks import FloatArray
from declick.errors import LabelError, ReadError, SettingsError, WriteError
from declick.inspect import draw_around, draw_disc_map, draw_overview
from declick.read import Recording
from declick.report import Entry, Report, read_report
from declick.rotation import Rotation
from declick.select import Selection, select

_PIECE = 1 << 16
_AROUND_S = 0.15


def run_inspect(options: argparse.Namespace) -> int:
    """Draw the side, the disc, and the chosen or the strongest clicks."""
    report_path = options.report or find_report(options.path)
    if report_path is None:
        raise LabelError(
            f"{options.path}: no report beside it ({default_report(options.path).name}); "
            "name it with --report"
        )
    report = read_report(report_path)
    folder = options.output or report_path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be made ({error.strerror})") from None
    stem = report_path.stem
    chosen = _chosen(report, options)
    drawn: list[Path] = []
    with ExitStack() as stack:
        before = stack.enter_context(Recording.open(_source_of(report, report_path, options)))
        if before.frames != report.source.frames:
            raise ReadError(f"{before.name}: is not what {report_path.name} reports on")
        after = stack.enter_context(Recording.open(_output_of(report, report_path, options)))
        drawn.append(
            draw_overview(
                folder / f"{stem}.overview.png",
                _pieces(before, after),
                report.clicks,
                sample_rate=before.sample_rate,
                frames=before.frames,
                title=report.source.name,
            )
        )
        drawn.append(
            draw_disc_map(
                folder / f"{stem}.disc.png",
                report.clicks,
                sample_rate=before.sample_rate,
                frames=before.frames,
                rotation=_rotation(report, options.period),
                title=report.source.name,
            )
        )
        for entry in chosen:
            drawn.append(_draw_click(folder / stem, before, after, report, entry))
    for path in drawn:
        say(f"  -> {path}", quiet=options.quiet)
    if options.json:
        print_json({"pictures": [str(path) for path in drawn]})
    return 0


def _chosen(report: Report, options: argparse.Namespace) -> list[Entry]:
    """Return the clicks to draw: those chosen, or the strongest."""
    criteria = (options.clicks, options.between, options.kind, options.channel, options.by_method)
    if any(criteria) or options.confidence_below is not None:
        entries = select(
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
        return entries[: max(options.most, len(entries) if options.clicks else 0)]
    made = [entry for entry in report.entries if entry.made]
    strongest = sorted(made, key=lambda e: -np.inf if e.removed_db is None else -e.removed_db)
    return sorted(strongest[: options.most], key=lambda entry: entry.number)


def _draw_click(
    stem: Path, before: Recording, after: Recording, report: Report, entry: Entry
) -> Path:
    click, rate = entry.click, before.sample_rate
    reach = round(_AROUND_S * rate)
    start, stop = click.start - reach, click.tail + reach
    near = [
        other.click
        for other in report.entries
        if other is not entry and other.click.tail > start and other.click.start < stop
    ]
    return draw_around(
        stem.with_name(f"{stem.name}.click-{entry.number}.png"),
        before.read(start, stop),
        after.read(start, stop),
        None,
        sample_rate=rate,
        start=start,
        click=click,
        others=near,
        number=entry.number,
        method=entry.method,
    )


def _pieces(before: Recording, after: Recording) -> Iterator[tuple[FloatArray, FloatArray]]:
    for old, new in zip(before.blocks(_PIECE, 0), after.blocks(_PIECE, 0), strict=True):
        yield old.samples, old.samples - new.samples


def _rotation(report: Report, period_s: float | None) -> Rotation | None:
    period_s = period_s or report.rotation_s
    if period_s is None:
        return None
    if not 0.1 < period_s < 10.0:
        raise SettingsError(f"--period {period_s}: give the seconds of one revolution, such as 1.8")
    return Rotation(period_s=period_s, rpm=60.0 / period_s, evidence=0.0)


def _source_of(report: Report, path: Path, options: argparse.Namespace) -> Path:
    """Return the source: as named, or beside the report, or in the folder above."""
    if options.source is not None:
        return Path(options.source)
    for folder in (path.parent, path.parent.parent):
        if (folder / report.source.name).exists():
            return folder / report.source.name
    raise ReadError(f"{report.source.name}: the source is not beside the report; use --source")


def _output_of(report: Report, path: Path, options: argparse.Namespace) -> Path:
    if options.path.suffix.lower() != ".json":
        return Path(options.path)
    if report.output is None:
        raise LabelError(f"{path}: this run went to standard output; name the restored file")
    return path.with_name(report.output)
