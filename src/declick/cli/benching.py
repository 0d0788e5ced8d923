"""``declick bench``: damage laid on clean music, mended by us and by our peers, and weighed."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from declick.bench.abx import score_abx
from declick.bench.figures import draw_figures
from declick.bench.listening import make_pack
from declick.bench.peers import PEERS
from declick.bench.results import assemble, command_line, read_results, write_results
from declick.bench.run import ALL_SETS, Plan, measure
from declick.bench.tables import Results, all_tables, fill_pages, gain_table, harm_table
from declick.cli.arguments import add_common, add_jobs, number
from declick.cli.console import print_json, print_text
from declick.cli.lines import say
from declick.cli.names import make_folder
from declick.errors import SettingsError, WriteError

_OUTPUT = Path("bench.json")


def add_bench(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench",
        help="weigh declick and other tools against known truth",
        usage="declick bench [options] --clean DIR [-o JSON]\n       declick bench --tables JSON",
        description="Lay damage of every kind on clean music, have declick and every other tool "
        "that is installed mend it, and score what they give back. The damage is the same on "
        "every run. docs/benchmark.md says what the scores mean.",
    )
    parser.add_argument("--clean", type=Path, metavar="DIR", help="a folder of clean music")
    parser.add_argument(
        "--groove",
        type=Path,
        metavar="DIR",
        help="silent groove to harvest real clicks from, or a click bank (default: no real clicks)",
    )
    parser.add_argument(
        "--peers", metavar="A,B", help=f"tools to run (default: all): {_list(PEERS)}"
    )
    parser.add_argument(
        "--sets", metavar="A,B", help=f"damage to lay on (default: all): {_list(ALL_SETS)}"
    )
    parser.add_argument(
        "--split",
        choices=("report", "tune", "all"),
        default="report",
        help="which half of the music: report, or the one to tune on (default: report)",
    )
    parser.add_argument(
        "--seconds", type=_number, metavar="S", default=8.0, help="of each piece (default: 8)"
    )
    parser.add_argument(
        "--side-minutes",
        type=_number,
        metavar="MIN",
        default=10.0,
        help="length of the worn side that times are taken on (default: 10)",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="run every tool at all its settings, too"
    )
    parser.add_argument(
        "--no-visqol", action="store_true", help="leave ViSQOL out, which is slow to score"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="JSON", default=_OUTPUT,
        help=f"results; scores are saved beside it as they come (default: {_OUTPUT})",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that broke off, or add to it"
    )
    parser.add_argument(
        "--again", metavar="A,B", help="with --resume: tools to measure anew, not to go on with"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep all sounds in this folder")
    parser.add_argument(
        "--abx", type=Path, metavar="DIR", help="score nothing: make a blind listening test"
    )
    parser.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        metavar="JSON",
        default=[],
        help="with --abx: weigh what listeners answered",
    )
    parser.add_argument(
        "--tables", type=Path, metavar="JSON", help="run nothing: print the tables of results"
    )
    parser.add_argument(
        "--into",
        type=Path,
        nargs="+",
        metavar="PAGE",
        default=[],
        help="with --tables: fill these pages' <!-- bench:NAME --> blocks instead",
    )
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="draw the results into this folder, too"
    )
    add_jobs(parser)
    add_common(parser, overwrite="results that exist")
    parser.set_defaults(run=run_bench)


def run_bench(options: argparse.Namespace) -> int:
    """Measure and save; or show what was measured."""
    _check(options)
    if options.tables is not None:
        _show(options)
        return 0
    if options.answers:
        _weigh(options)
        return 0
    plan = _plan(options)
    if options.abx is not None:
        _make_pack(plan, options)
        return 0
    output: Path = options.output
    make_folder(output.parent)
    if output.exists() and not (options.overwrite or options.resume):
        raise WriteError(f"{output}: exists already; give another name, --resume or --overwrite")
    if options.figures is not None:
        make_folder(options.figures)
    if options.keep is not None:
        make_folder(options.keep)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="declick-bench-") as scratch:
        measured = measure(
            plan,
            PEERS,
            journal=output.with_suffix(".cells.jsonl"),
            folder=options.keep or Path(scratch),
            keep=options.keep is not None,
            resume=options.resume,
            say=lambda line: say(line, quiet=options.quiet),
        )
    elapsed_s = time.monotonic() - started
    values = assemble(measured, PEERS, command=command_line(), elapsed_s=elapsed_s)
    write_results(output, values)
    results = Results(values)
    if options.figures is not None:
        draw_figures(options.figures, results)
    if options.json:
        print_json(values)
    elif not options.quiet:
        print_text(f"{gain_table(results)}\n\n{harm_table(results)}\n")
    for failure in values["failures"]:
        say(f"declick: {failure['tool']} on {failure['set']}: {failure['error']}")
    say(f"  -> {output}, in {elapsed_s / 60:.1f} minutes", quiet=options.quiet)
    return 1 if values["failures"] else 0


def _plan(options: argparse.Namespace) -> Plan:
    if options.clean is None:
        raise SettingsError("give a folder of clean music with --clean; damage is laid on it")
    if options.groove is not None and not options.groove.is_dir():
        raise SettingsError(f"{options.groove}: is no folder; --groove needs one, or leave it out")
    return Plan(
        clean=options.clean,
        groove=options.groove,
        tools=_names(options.peers) or tuple(PEERS),
        sets=_names(options.sets) or ALL_SETS,
        split=options.split,
        seconds=options.seconds,
        side_minutes=options.side_minutes,
        sweep=options.sweep,
        jobs=options.jobs,
        quality=not options.no_visqol,
        again=_names(options.again),
    )


def _make_pack(plan: Plan, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="declick-bench-") as scratch:
        key = make_pack(
            plan,
            PEERS,
            options.abx,
            folder=options.keep or Path(scratch),
            say=lambda line: say(line, quiet=options.quiet),
        )
    say(f"  -> {options.abx}/index.html; the key is {key}", quiet=options.quiet)


def _weigh(options: argparse.Namespace) -> None:
    scores = score_abx(options.abx.with_name(f"{options.abx.name}-key.json"), options.answers)
    if options.json:
        print_json({"scores": [asdict(score) for score in scores]})
        return
    for score in scores:
        liked = ", ".join(f"{name} {count}" for name, count in score.preferred.items())
        print_text(
            f"{score.pair[0]} / {score.pair[1]}: {score.correct} of {score.trials} right, "
            f"p = {score.p_value:.3g}; better: {liked}\n"
        )


def _check(options: argparse.Namespace) -> None:
    if options.into and options.tables is None:
        raise SettingsError("--into fills pages from finished results; give them with --tables")
    if options.answers and options.abx is None:
        raise SettingsError("--answers belong to a listening test; give its folder with --abx")
    if options.again and not options.resume:
        raise SettingsError("--again measures some tools anew in an earlier run; give --resume")


def _show(options: argparse.Namespace) -> None:
    results = Results(read_results(options.tables))
    if options.into:
        fill_pages(options.into, results)
        say(f"filled {_list(map(str, options.into))}", quiet=options.quiet)
    elif options.json:
        print_json(dict(results.values))
    else:
        print_text(all_tables(results))
    if options.figures is not None:
        make_folder(options.figures)
        drawn = draw_figures(options.figures, results)
        say(f"drew {_list(map(str, drawn))}", quiet=options.quiet)


def _list(names: Any) -> str:
    return ", ".join(names)


def _names(text: str | None) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text else ()


def _number(text: str) -> float:
    """Read a positive number."""
    value = number(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
