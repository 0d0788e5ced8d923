"""``declick inspect``: pictures of what was done."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from declick.cli.belonging import check_same, restored_of, source_of
from declick.cli.console import files_bar, print_json
from declick.cli.lines import say
from declick.cli.names import find_report, make_folder, report_beside
from declick.cli.undoing import selection_of
from declick.clicks import FloatArray
from declick.detect.beats import KEEPS_A_BEAT
from declick.errors import SettingsError
from declick.inspect import (
    Exhibit,
    draw_around,
    draw_disc_map,
    draw_overview,
    title_of,
    write_page,
)
from declick.read import Recording
from declick.report import PERIODS_S, UNDONE, Entry, Report, read_report
from declick.rotation import Rotation
from declick.select import select
from declick.targets import check_targets

_PIECE = 1 << 16
_AROUND_S = 0.15
_HEARD_S = 0.75
_DRAWN, _ON_A_PAGE = 6, 24


def run_inspect(options: argparse.Namespace) -> int:
    """Draw the side, the disc, and the chosen or the strongest clicks."""
    if options.output is not None and options.output.suffix.lower() == ".png":
        raise SettingsError(f"{options.output}: -o names a folder; the pictures name themselves")
    report_path = find_report(options)
    report = read_report(report_path)
    rotation = _rotation(report, options.period)
    chosen = _chosen(report, options)
    if not chosen:
        text = "no click was found: the side and the disc are drawn without"
        if report.clicks:
            text = "no click is drawn: there is none of this kind, or none was mended"
        say(f"declick: {report_path}: {text}", quiet=options.quiet)
    stem = report_path.stem
    with ExitStack() as stack:
        restored = restored_of(report, report_path, options.path)
        source = options.source or source_of(report, report_path, restored, exact=False)
        before = stack.enter_context(Recording.open(source))
        after = stack.enter_context(Recording.open(restored))
        check_same(before, report, report_path)
        check_same(after, report, report_path)
        folder = options.output or report_path.parent
        make_folder(folder)
        overview, disc = folder / f"{stem}.overview.png", folder / f"{stem}.disc.png"
        page = folder / f"{stem}.html" if options.page and chosen else None
        pictures = folder
        if page is not None:
            # They are in the page.
            pictures = Path(stack.enter_context(TemporaryDirectory()))
        around = [pictures / f"{stem}.click-{entry.number}.png" for entry in chosen]
        whole = [path for path in (overview, disc) if not _is_kept(path, options)]
        written = [*whole, *(around if page is None else [page])]
        sources = (before.path, after.path, report_path)
        check_targets(written, sources=sources, overwrite=options.overwrite)
        if overview in whole:
            _draw_side(overview, before, after, report)
        if disc in whole:
            draw_disc_map(
                disc,
                [entry.click for entry in _damage(report)],
                sample_rate=before.sample_rate,
                frames=before.frames,
                rotation=rotation,
                title=report.source.name,
            )
        with files_bar([1] * len(around), quiet=options.quiet, noun="picture") as bar:
            for path, entry in zip(around, chosen, strict=True):
                _draw_click(path, before, after, report, entry)
                if bar is not None:
                    bar.update(1)
        if page is not None:
            write_page(
                page,
                _exhibits(before, after, zip(around, chosen, strict=True)),
                title=report.source.name,
                undo=_undo(restored, report_path, options.source),
                sample_rate=before.sample_rate,
            )
    for path in written:
        say(f"  -> {path}", quiet=options.quiet)
    if options.json:
        told: dict[str, Any] = {"pictures": [str(path) for path in written if path != page]}
        if page is not None:
            told["page"] = str(page)
        print_json(told)
    return 0


def _chosen(report: Report, options: argparse.Namespace) -> list[Entry]:
    """Return the clicks to draw: those chosen, or the strongest; on a page the least sure."""
    most = options.most or (_ON_A_PAGE if options.page else _DRAWN)
    if _chooses(options):
        entries = select(report, selection_of(options))
        # Whoever names clicks by their numbers wants them all.
        return entries if options.clicks else entries[:most]
    made = [entry for entry in report.entries if entry.made]
    # A page is there to find mistakes.
    made.sort(key=lambda entry: entry.click.confidence if options.page else _softness(entry))
    first: list[Entry] = []
    for entry in made:
        # What one push has done to both channels is one thing to see.
        if all(_apart_s(entry, other, report) > _AROUND_S for other in first):
            first.append(entry)
    return sorted(first[:most], key=lambda entry: entry.number)


def _softness(entry: Entry) -> float:
    """Return how little was taken out."""
    return -np.inf if entry.removed_db is None else -entry.removed_db


def _undo(restored: Path, report: Path, source: Path | None) -> str:
    """Return the command that puts back the clicks whose numbers follow."""
    words = ["declick", "undo", _word(restored)]
    if report_beside(restored) != report:
        words += ["--report", _word(report)]
    if source is not None:
        words += ["--source", _word(source)]
    return " ".join([*words, "--clicks "])


def _word(path: Path) -> str:
    """Return a path as a shell takes it, and as no option."""
    text = str(path)
    return quote(f"./{text}" if text.startswith("-") else text)


def _chooses(options: argparse.Namespace) -> bool:
    criteria = (options.clicks, options.between, options.kind, options.channel, options.by_method)
    return any(criteria) or options.confidence_below is not None


def _is_kept(path: Path, options: argparse.Namespace) -> bool:
    """Return whether a picture of the whole stays as an earlier look at the same run left it."""
    changed = options.overwrite or options.period is not None
    return (options.page or _chooses(options)) and not changed and path.is_file()


def _apart_s(one: Entry, other: Entry, report: Report) -> float:
    return abs(one.click.start - other.click.start) / report.source.sample_rate


def _damage(report: Report) -> list[Entry]:
    """Return what is part of the record's wear: not the music's beats."""
    return [entry for entry in report.entries if entry.why != KEEPS_A_BEAT]


def _draw_side(path: Path, before: Recording, after: Recording, report: Report) -> None:
    damage = _damage(report)
    draw_overview(
        path,
        _pieces(before, after),
        [entry.click for entry in damage],
        sample_rate=before.sample_rate,
        frames=before.frames,
        left=sum(not entry.made and entry.method != UNDONE for entry in damage),
        title=report.source.name,
    )


def _draw_click(
    path: Path, before: Recording, after: Recording, report: Report, entry: Entry
) -> None:
    click, rate = entry.click, before.sample_rate
    reach = round(_AROUND_S * rate)
    start, stop = click.start - reach, click.tail + reach
    near = [
        other for other in report.entries if other.click.tail > start and other.click.start < stop
    ]
    draw_around(
        path,
        before.read(start, stop),
        after.read(start, stop),
        None,
        sample_rate=rate,
        start=start,
        click=click,
        others=[other.click for other in near if other.made],
        left=[other.click for other in near if other.method == "left"],
        number=entry.number,
        method=entry.method,
        why=entry.why,
    )


def _exhibits(
    before: Recording, after: Recording, drawn: Iterable[tuple[Path, Entry]]
) -> Iterator[Exhibit]:
    """Yield what a page shows: the clicks that were drawn, and how they sound."""
    rate, channels = before.sample_rate, before.channels
    reach = round(_HEARD_S * rate)
    for path, entry in drawn:
        click = entry.click
        span = max(click.start - reach, 0), min(click.tail + reach, before.frames)
        old, new = before.read(*span), after.read(*span)
        if channels > 2:
            old, new = (part[:, [click.channel]] for part in (old, new))
        yield Exhibit(
            number=entry.number,
            title=title_of(click, entry.number, entry.method, rate, channels, entry.why),
            picture=path.read_bytes(),
            sounds={"Before": old, "After": new, "Removed": old - new},
            mended=entry.made,
        )


def _pieces(before: Recording, after: Recording) -> Iterator[tuple[FloatArray, FloatArray]]:
    for old, new in zip(before.blocks(_PIECE, 0), after.blocks(_PIECE, 0), strict=True):
        yield old.samples, old.samples - new.samples


def _rotation(report: Report, period_s: float | None) -> Rotation | None:
    period_s = report.rotation_s if period_s is None else period_s
    if period_s is None:
        return None
    shortest_s, longest_s = PERIODS_S
    if not shortest_s <= period_s <= longest_s:
        raise SettingsError(f"--period {period_s}: give the seconds of one revolution, such as 1.8")
    return Rotation(period_s=period_s, rpm=60.0 / period_s, evidence=0.0)
