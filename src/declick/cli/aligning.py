"""``declick align``: where one digitization is in another."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from declick.align import align
from declick.align.model import Alignment
from declick.align.origin import Digitization
from declick.align.summary import Summary, summarize
from declick.cli.arguments import add_common
from declick.cli.console import print_json
from declick.cli.lines import say
from declick.cli.opening import open_source
from declick.inspect.alignment import draw_alignment
from declick.inspect.figure import new_figure
from declick.settings import AlignSettings
from declick.sinks import Transaction, writing
from declick.targets import check_targets
from declick.wording import count_of, format_time

# Shares below which it is not worth a line.
_FAINT_SPEED = 0.00005


def add_align(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "align",
        help="find where one digitization of a record is in another",
        usage="declick align [options] A B",
        description="Find the time map between two digitizations of the same recording (two "
        "copies of a record, two rips of one copy, a record and its CD), to a small part of a "
        "sample. They may begin anywhere, run at other speeds, and have clicks, other channels or "
        "another sound. The exit status is 1 where they are not the same recording. "
        "docs/copies.md tells more.",
    )
    parser.add_argument("a", metavar="A", help="a recording")
    parser.add_argument("b", metavar="B", help="another digitization of it")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="write the map")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the map")
    parser.add_argument(
        "--same-speed",
        action="store_true",
        help="do not look for a record played at the speed of another sort (33, 45, 78)",
    )
    add_common(parser)
    parser.set_defaults(run=run_align)


def run_align(options: argparse.Namespace) -> int:
    """Find the map, and say what it is."""
    started = time.monotonic()
    targets = [path for path in (options.output, options.picture) if path is not None]
    sources = [Path(name) for name in (options.a, options.b) if name != "-"]
    check_targets(targets, sources=sources, overwrite=options.overwrite)
    if options.picture is not None:
        new_figure(1, 1)  # says now, not after the work, that matplotlib is missing
    with ExitStack() as stack:
        a = stack.enter_context(open_source(options.a))
        b = stack.enter_context(open_source(options.b))
        for recording in (a, b):
            if recording.notice:
                say(f"declick: {recording.notice}", quiet=options.quiet)
        found = align(a, b, AlignSettings(any_speed=not options.same_speed))
        if options.output is not None:
            found = replace(found, origin=(Digitization.of(a), Digitization.of(b)))
        summary = summarize(found)
        length_s = a.duration_s
        title = f"{a.name.rpartition('/')[2]} and {b.name.rpartition('/')[2]}"
    for line in lines_of(summary, length_s):
        say(line, quiet=options.quiet)
    if options.output is not None:
        _write(options.output, found)
    if options.picture is not None:
        draw_alignment(options.picture, found, duration_s=length_s, title=title)
    say(f"in {time.monotonic() - started:.1f} s", quiet=options.quiet)
    for path in targets:
        say(f"  -> {path}", quiet=options.quiet)
    if options.json:
        values = {key: _plain(value) for key, value in asdict(summary).items()}
        map_path = None if options.output is None else str(options.output)
        print_json({"map": map_path, **values})
    return 0


def lines_of(summary: Summary, length_s: float) -> Iterator[str]:
    """Yield what a person wants to know of a map."""
    offset = summary.offset_s
    side = "after B's" if offset >= 0 else "before B's"
    yield f"A begins {abs(offset):.4f} s {side} beginning"
    yield f"speed: {_speed(summary.speed)}"
    if not math.isnan(summary.wow):
        turns = f" (a turn takes {1 / summary.turn_hz:.3f} s)" if summary.wow > 2e-4 else ""
        yield (
            f"wow ±{100 * summary.wow:.3f} % once per turn{turns}, flutter "
            f"±{100 * summary.flutter:.3f} %, drift {100 * summary.drift:.3f} %"
        )
    if summary.swapped:
        yield "left and right are swapped"
    names = ("left", "right") if len(summary.inverted) == 2 else ()
    if any(summary.inverted):
        which = "all channels" if all(summary.inverted) else ""
        chosen = [name for name, off in zip(names, summary.inverted, strict=False) if off]
        yield f"inverted: {which or ', '.join(chosen)}"
    yield f"B is {', '.join(f'{gain:+.1f} dB' for gain in summary.gain_db)} against A"
    yield f"B taken from A leaves {summary.null_db:.1f} dB (median, after a matching filter)"
    share = 100 * summary.held_s / max(length_s, 1e-9)
    yield f"holds for {format_time(summary.held_s)} of A ({share:.0f} %):"
    for start, stop in summary.stretches_s[:12]:
        yield f"  {format_time(start)} to {format_time(stop)}"
    if len(summary.stretches_s) > 12:
        yield f"  and {count_of(len(summary.stretches_s) - 12, 'more stretch')}"


def _speed(speed: float) -> str:
    if abs(speed - 1) < _FAINT_SPEED:
        return "the same"
    if 0.9 < speed < 1.1:
        return f"A runs {abs(speed - 1) * 100:.3f} % {'faster' if speed > 1 else 'slower'} than B"
    return f"A runs at {speed:.4f} times the speed of B"


def _plain(value: Any) -> Any:
    """Return a value that JSON has: it knows no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _write(path: Path, found: Alignment) -> None:
    with Transaction() as transaction:
        pending = transaction.add(path, str(path))
        with writing(str(path)):
            pending.file.write(found.to_json().encode("ascii"))
        transaction.commit()
