"""``declick pairs``: pairs to learn from, of a rip and its repair or of two digitizations."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from declick.cli.arguments import add_common, number
from declick.cli.console import print_json
from declick.cli.lines import say
from declick.damage.dataset import METADATA
from declick.errors import SettingsError
from declick.wording import count_of, format_time


def add_pairs(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pairs",
        help="make pairs to learn from of what you have",
        usage="declick pairs [options] RIP OTHER -o DIR\n"
        "       declick pairs --unpack DIR -o FOLDER",
        description="Make a folder of pairs, worn and clean, with the truth about every sample: "
        "of a rip and its repair, or of a rip and another copy of the recording (the CD, a second "
        "disc), which is laid along it. It says how far each stretch can be trusted. 'declick "
        "train --pairs' learns from the folder, which can be shared: FLAC, metadata.csv, licence.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="RIP OTHER", help="two recordings")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="a folder")
    parser.add_argument(
        "--unpack",
        type=Path,
        metavar="DIR",
        help="write the pairs of a folder as x-before.flac and x-after.flac",
    )
    parser.add_argument(
        "--licence", default="", metavar="TEXT", help="on what terms the sound may be used"
    )
    parser.add_argument(
        "--seconds", type=number, default=30.0, metavar="S", help="of a piece (default: 30)"
    )
    add_common(parser)
    parser.set_defaults(run=run_pairs)


def run_pairs(options: argparse.Namespace) -> int:
    """Write the folder."""
    # Not at the top: what is not asked for does not slow down the start.
    from declick.train.sharing import pack, tell_truth, trust_of, unpack

    def tell(line: str) -> None:
        say(line, quiet=options.quiet)

    if options.unpack is not None:
        if options.paths:
            raise SettingsError("--unpack takes its folder alone")
        written = unpack(options.unpack, options.output, overwrite=options.overwrite)
        tell(count_of(len(written) // 2, "pair"))
        tell(f"  -> {options.output}")
        if options.json:
            print_json({"written": [str(path) for path in written]})
        return 0
    if len(options.paths) != 2:
        raise SettingsError("give two recordings: the worn one, and its repair or another copy")
    if not 1.0 <= options.seconds <= 600.0:
        raise SettingsError(f"--seconds {options.seconds:g}: is not from 1 to 600 s")
    worn, other = options.paths
    truth = tell_truth(worn, other, tell)
    rows = pack(
        [(worn.stem, truth)],
        options.output,
        licence=options.licence,
        seconds=options.seconds,
        sources=options.paths,
        overwrite=options.overwrite,
    )
    stretches = trust_of(truth)
    if truth.origin == "copy":
        for item in stretches:
            span = f"{format_time(item.start_s)}-{format_time(item.stop_s)}"
            told = "nothing known" if math.isnan(item.null_db) else f"null {item.null_db:.0f} dB"
            tell(f"  {span}: {told}")
    seconds = sum(row.frames / row.sample_rate for row in rows)
    tell(
        f"{count_of(len(rows), 'pair')} of {seconds:.0f} s together with "
        f"{count_of(len(truth.clicks), 'click')}, "
        f"made of a {truth.origin}"
    )
    tell(f"  -> {options.output / METADATA}")
    if options.json:
        trust = [
            {**asdict(item), "null_db": None if math.isnan(item.null_db) else item.null_db}
            for item in stretches
        ]
        print_json({"origin": truth.origin, "trust": trust, "pairs": [asdict(row) for row in rows]})
    return 0
