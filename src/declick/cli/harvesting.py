"""``declick harvest``: real clicks for a bank, from silent groove or from a manual repair."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from declick.cli.arguments import add_common, positive
from declick.cli.console import print_json, progress_bar
from declick.cli.lines import say
from declick.cli.results import count_clicks
from declick.damage.bank import Bank, Statistics
from declick.damage.bank_folder import CLIPS_NAME, JSON_NAME, read_bank, write_bank
from declick.damage.differences import bank_differences, find_differences
from declick.damage.groove import find_groove
from declick.damage.harvest import MOST_CLICKS, harvest
from declick.damage.pairs import Pairing, compare_pair
from declick.errors import ReadError, SettingsError, WriteError
from declick.labels import write_labels
from declick.read import Recording
from declick.select import Selection
from declick.targets import check_targets
from declick.wording import count_of, format_time


def add_harvest(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "harvest",
        help="collect the real clicks of a record in a bank",
        usage="declick harvest [options] RIP... -o BANK\n"
        "       declick harvest [options] BEFORE --after AFTER -o BANK",
        description="Cut the clicks out of the silent groove of rips (lead-in, gaps between "
        "tracks, run-out, which are found), or take them from the difference between a rip and "
        "its manual repair. The bank is a folder: the clips, and what was measured of them. "
        "'declick damage --bank' lays them on clean music.",
    )
    parser.add_argument("paths", nargs="+", metavar="RIP", help="a recording")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BANK", required=True, help="the folder of the bank"
    )
    parser.add_argument(
        "--after",
        type=Path,
        metavar="FILE",
        help="the repair of the one RIP: their difference is the damage",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="TXT", help="with --after: write what was repaired as labels"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--whole", action="store_true", help="the recordings are silent groove all through"
    )
    where.add_argument(
        "--between",
        action="append",
        default=[],
        metavar="0:02-0:09",
        help="where the silent groove is, instead of looking for it",
    )
    parser.add_argument(
        "--append", action="store_true", help="add to a bank that exists (a rip counts once)"
    )
    parser.add_argument(
        "--most",
        type=positive,
        default=MOST_CLICKS,
        metavar="N",
        help=f"clips to keep of each recording (default: {MOST_CLICKS})",
    )
    parser.add_argument(
        "--licence", default="", metavar="TEXT", help="on what terms the clips may be used"
    )
    parser.add_argument(
        "--origin", default="", metavar="TEXT", help="where the recordings come from"
    )
    add_common(parser, overwrite="a bank that exists")
    parser.set_defaults(run=run_harvest)


def run_harvest(options: argparse.Namespace) -> int:
    """Gather the clicks, write the bank, say what is in it."""
    folder: Path = options.output
    _check_options(options)
    old = _old_bank(folder, options)
    sources = [Path(path) for path in options.paths]
    if options.after is not None:
        sources.append(options.after)
    if options.labels is not None:
        check_targets([options.labels], sources=sources, overwrite=options.overwrite)
    told: dict[str, Any] = {"bank": str(folder)}
    bank = old
    if options.after is not None:
        new = _from_pair(options, told)
        bank = bank.joined(new)
    else:
        for path in options.paths:
            with Recording.open(path) as recording:
                new = _from_groove(recording, options)
            bank = bank.joined(new)
    if not bank.clicks:
        raise ReadError(
            f"{', '.join(map(str, options.paths))}: not one click stands alone there; "
            "give a longer stretch, or other recordings"
        )
    write_bank(folder, bank, overwrite=options.overwrite or options.append, sources=sources)
    say(f"  -> {folder} ({count_of(len(bank.clicks), 'clip')})", quiet=options.quiet)
    if options.json:
        told["records"] = [asdict(record) for record in bank.records]
        told["clicks"] = len(bank.clicks)
        print_json(told)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    if options.after is None:
        if options.labels is not None:
            raise SettingsError("--labels needs --after: there is no repair to mark")
        return
    if len(options.paths) != 1:
        raise SettingsError("--after belongs to one rip; give its name alone")
    if options.whole or options.between:
        raise SettingsError("--after takes the difference of the whole sound; leave out --whole")


def _old_bank(folder: Path, options: argparse.Namespace) -> Bank:
    """Return the bank to add to; refuse before the work to write over one."""
    there = [folder / name for name in (JSON_NAME, CLIPS_NAME) if (folder / name).exists()]
    if options.append and there:
        return read_bank(folder)
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"{folder}: is a file; give the name of a folder")
    if there and not options.overwrite:
        raise WriteError(
            f"{there[0]}: exists already; add to the bank with --append, or replace it with "
            "--overwrite"
        )
    return Bank()


def _from_groove(recording: Recording, options: argparse.Namespace) -> Bank:
    name, rate = recording.name, recording.sample_rate
    if recording.notice:
        say(f"declick: {recording.notice}", quiet=options.quiet)
    with progress_bar(name, quiet=options.quiet, stages=("detect", "measure")) as bar:
        stretches = _stretches(recording, options, lambda share: bar("detect", share))
        if not stretches:
            raise ReadError(
                f"{name}: has no silent groove of a second or more; give a rip with its lead-in "
                "or run-out, or say where it is with --between, or --whole"
            )
        bank = harvest(
            recording,
            stretches,
            licence=options.licence,
            source=options.origin,
            most=options.most,
            progress=lambda share: bar("measure", share),
        )
    seconds = sum(stop - start for start, stop in stretches) / rate
    where = ", ".join(
        f"{format_time(start / rate)}-{format_time(stop / rate)}" for start, stop in stretches[:8]
    )
    more = f" and {len(stretches) - 8} more" if len(stretches) > 8 else ""
    say(f"{name}: {seconds:.1f} s of silent groove ({where}{more})", quiet=options.quiet)
    _say_bank(bank, options)
    return bank


def _stretches(
    recording: Recording, options: argparse.Namespace, progress: Any
) -> list[tuple[int, int]]:
    if options.whole:
        return [(0, recording.frames)]
    if not options.between:
        return find_groove(recording, progress=progress)
    found = []
    for begin, end in Selection.parse(between=options.between).between:
        start = round(begin * recording.sample_rate)
        stop = round(min(end, recording.duration_s) * recording.sample_rate)
        if start >= stop:
            raise SettingsError(
                f"{recording.name}: ends at {format_time(recording.duration_s)}, before "
                f"{format_time(begin)}"
            )
        found.append((start, stop))
    return sorted(found)


def _say_bank(bank: Bank, options: argparse.Namespace) -> None:
    kinds = Counter(click.kind.value for click in bank.clicks)
    say(f"  {count_clicks(kinds)} cut{_describe(bank.statistics)}", quiet=options.quiet)


def _describe(statistics: Statistics) -> str:
    parts = []
    rate = sum(statistics.rates_hz.values())
    parts.append(f"{rate:.3g} a second")
    if statistics.ring_share:
        parts.append(
            f"{100 * statistics.ring_share:.0f} % ring (median {statistics.ring_hz:.0f} Hz, "
            f"{1e3 * statistics.ring_decay_s:.2g} ms)"
        )
    if statistics.thump_share:
        parts.append(f"{100 * statistics.thump_share:.0f} % thump")
    if statistics.period_s:
        parts.append(f"one turn takes {statistics.period_s:.4f} s")
    return f"; {', '.join(parts)}"


def _from_pair(options: argparse.Namespace, told: dict[str, Any]) -> Bank:
    """Bank the difference of a rip and its repair; say what is wrong with the pair."""
    with Recording.open(options.paths[0]) as before, Recording.open(options.after) as after:
        pairing = compare_pair(before, after)
        told["pair"] = asdict(pairing)
        for note in pairing.notes:
            say(f"{after.name}: {note}", quiet=options.quiet)
        if not pairing.usable:
            if options.json:
                print_json(told)
            raise ReadError(_refusal(before, after, pairing))
        clicks, passages = find_differences(before, after, pairing)
        if passages:
            longest = max(item.stop - item.start for item in passages) / before.sample_rate
            say(
                f"{after.name}: {count_of(len(passages), 'passage')} "
                f"{'differs' if len(passages) == 1 else 'differ'} for longer than a click "
                f"({longest:.1f} s at most); left out",
                quiet=options.quiet,
            )
        if not clicks:
            raise ReadError(f"{after.name}: is the same as {before.name}; nothing was repaired")
        bank, labels = bank_differences(
            before, after, pairing, clicks, licence=options.licence, source=options.origin
        )
        if options.labels is not None:
            write_labels(options.labels, labels, before.sample_rate, channels=before.channels)
            say(f"  -> {options.labels} ({count_of(len(labels), 'label')})", quiet=options.quiet)
        told["passages"] = [asdict(item) for item in passages]
        say(f"{before.name}: differs from {after.name}", quiet=options.quiet)
        _say_bank(bank, options)
        return bank


def _refusal(before: Recording, after: Recording, pairing: Pairing) -> str:
    return f"{after.name}: is not a repair of {before.name} as it stands: {pairing.faults[0]}"
