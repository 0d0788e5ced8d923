"""``declick damage``: clean music made worn, with its truth."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from declick.cli.arguments import add_common, number, positive, seed
from declick.cli.console import print_json
from declick.cli.lines import say
from declick.cli.names import gather_sources, make_folder
from declick.damage.bank_folder import read_bank
from declick.damage.dataset import METADATA, DatasetSettings, make_pairs
from declick.damage.draw import WearSettings
from declick.damage.model import Family
from declick.damage.recipe import read_recipe
from declick.damage.sets import SETS, find_set
from declick.errors import SettingsError
from declick.wording import count_of

_TURNS_S = {"33": 1.8, "45": 60 / 45, "78": 60 / 78}


def add_damage(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "damage",
        help="wear clean music, with its truth",
        usage="declick damage [options] CLEAN... -o DIR",
        description="Lay damage as records have it over clean music. DIR gets pairs of worn and "
        "clean sound with labels of every click, the damage itself as JSON, and a list of all "
        "(metadata.csv), as common tools load it. docs/damage.md tells of each set.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="CLEAN", help="a clean recording, or a folder"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True, help="a folder for the pairs"
    )
    parser.add_argument(
        "--set",
        metavar="A,B",
        default="worn",
        help=f"what to lay on: {', '.join(SETS)} (default: worn)",
    )
    parser.add_argument(
        "--seed", type=seed, default=1, metavar="N", help="other damage (default: 1)"
    )
    parser.add_argument(
        "--wear", type=Path, metavar="JSON", help="lay this damage again, and draw none"
    )
    parser.add_argument(
        "--bank", type=Path, metavar="DIR", help="real clicks, from 'declick harvest'"
    )
    parser.add_argument(
        "--level-db",
        type=_decibels,
        default=0.0,
        metavar="DB",
        help="make all clicks louder or softer (default: 0)",
    )
    parser.add_argument(
        "--rpm", choices=tuple(_TURNS_S), help="speed of the disc, for scratches (default: 33)"
    )
    parser.add_argument(
        "--no-bed", action="store_true", help="add no groove noise (hiss, rumble, faint ticks)"
    )
    parser.add_argument(
        "--sample-rate", type=positive, metavar="HZ", help="bring the music to it first"
    )
    parser.add_argument(
        "--seconds",
        type=number,
        default=120.0,
        metavar="S",
        help="a longer recording gives several pairs (default: 120)",
    )
    parser.add_argument(
        "--licence", default="", metavar="TEXT", help="of the music; goes into metadata.csv"
    )
    add_common(parser)
    parser.set_defaults(run=run_damage)


def _decibels(text: str) -> float:
    """Read a level."""
    value = number(text)
    if not -60.0 <= value <= 60.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a level from -60 to 60 dB")
    return value


def run_damage(options: argparse.Namespace) -> int:
    """Write the pairs."""
    started = time.monotonic()
    bank = None if options.bank is None else read_bank(options.bank)
    replay = None if options.wear is None else read_recipe(options.wear)
    settings = DatasetSettings(
        sets=_sets(options),
        seed=options.seed,
        sample_rate=options.sample_rate,
        seconds=options.seconds,
        licence=options.licence,
    )

    def notice(line: str) -> None:
        say(f"declick: {line}", quiet=options.quiet)

    sources = [source for source, _ in gather_sources(options.paths, options.output, notice=notice)]
    make_folder(options.output)
    pairs = make_pairs(
        sources,
        options.output,
        settings,
        replay=replay,
        bank=bank,
        overwrite=options.overwrite,
        notice=notice,
    )
    elapsed = time.monotonic() - started
    seconds = sum(pair.frames / pair.sample_rate for pair in pairs)
    damages = sum(pair.damages for pair in pairs)
    say(
        f"{count_of(len(pairs), 'pair')} of {seconds:.0f} s together, "
        f"{count_of(damages, 'damage')}, in {elapsed:.1f} s "
        f"({seconds / max(elapsed, 1e-3):.0f} times real time)",
        quiet=options.quiet,
    )
    say(f"  -> {options.output / METADATA}", quiet=options.quiet)
    if options.json:
        print_json(
            {"metadata": str(options.output / METADATA), "pairs": [asdict(pair) for pair in pairs]}
        )
    return 0


def _sets(options: argparse.Namespace) -> dict[str, WearSettings]:
    """Return the sets that were asked for, changed as was asked for."""
    sets = {name: find_set(name) for name in options.set.split(",")}
    if options.wear is not None and (
        options.set != "worn" or options.level_db or options.rpm or options.no_bed
    ):
        raise SettingsError(
            "--wear lays damage as it was drawn; --set, --level-db, --rpm and --no-bed would "
            "draw other damage (or change the JSON)"
        )
    for name, settings in sets.items():
        if Family.REAL in settings.rates_hz and options.bank is None:
            raise SettingsError(f"the set {name!r} lays real clicks; give their --bank DIR")
        sets[name] = replace(
            settings,
            level_db=settings.level_db + options.level_db,
            turn_s=_TURNS_S[options.rpm or "33"],
            bed=settings.bed and not options.no_bed,
        )
    return sets
