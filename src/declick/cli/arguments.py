"""What several commands share on their command lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from declick.parallel import available_cores


def add_common(parser: argparse.ArgumentParser, *, overwrite: str = "files that exist") -> None:
    """Add --overwrite, --quiet and --json."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {overwrite}")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --jobs."""
    parser.add_argument(
        "-j",
        "--jobs",
        type=positive,
        metavar="N",
        default=available_cores(),
        help="processes at work at the same time; the result is the same (default: all cores)",
    )


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    return whole(text, least=1)


def number(text: str) -> float:
    """Read a number; one with a decimal comma is told how it is written here."""
    try:
        return float(text)
    except ValueError:
        meant = text.replace(",", ".", 1)
        try:
            float(meant)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    # Not taken as it seems to be meant: 1,000 is a thousand to others.
    raise argparse.ArgumentTypeError(f"{text!r} has a comma: write {meant}, with a point")


def seed(text: str) -> int:
    """Read the seed of a random generator: a whole number from 0 on."""
    return whole(text, least=0)


def whole(text: str, *, least: int) -> int:
    """Read a whole number from `least` on."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add what a restoration writes beside its output."""
    parser.add_argument(
        "--removed", type=Path, metavar="FILE", help="write what was taken out (a WAV)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="write the report here, not beside the output"
    )
    parser.add_argument("--no-report", action="store_true", help="write no report")


def add_selection(parser: argparse.ArgumentParser, title: str) -> None:
    """Add a finished restoration, and the criteria that choose among its clicks."""
    parser.add_argument("path", type=Path, metavar="RESTORED", help="the file, or its report")
    parser.add_argument("--report", type=Path, metavar="JSON", help="default: beside RESTORED")
    section = parser.add_argument_group(
        title, "Several criteria narrow the choice; several values of one widen it."
    )
    several: dict[str, Any] = {"action": "append", "default": []}
    section.add_argument(
        "--clicks", metavar="12,40-44", help="numbers, as in the report; 40- is from 40 on"
    )
    section.add_argument(
        "--between", **several, metavar="1:32-1:40", help="stretches of time; 1:32- is to the end"
    )
    section.add_argument(
        "--kind",
        **several,
        metavar="thump,pop",
        help="tick, pop, crackle, thump, scratch or dropout",
    )
    section.add_argument("--channel", **several, metavar="L", help="L, R, or a number from 1 on")
    section.add_argument("--by-method", **several, metavar="ar", help="mended by this method")
    section.add_argument(
        "--confidence-below", type=number, metavar="0.9", help="less sure than this, 0 to 1"
    )
