"""What can be typed."""

from __future__ import annotations

import argparse
from pathlib import Path

from declick import __version__
from declick.cli.demo import run_demo
from declick.cli.detecting import run_detect
from declick.cli.flags import add_settings
from declick.cli.mending import run_repair, run_undo
from declick.cli.restoring import run_restore
from declick.cli.viewing import run_inspect
from declick.parallel import available_cores

_EPILOG = """examples:
  declick restore rip.flac                       writes rip.declicked.flac and its report
  declick restore rip.flac --removed taken.wav   ... and what was taken out, to listen to
  declick restore rips/ -o restored/             every recording of a folder
  ffmpeg -i rip.mka -f wav - | declick restore - - | aplay
  declick detect rip.flac                        writes an Audacity label track
  declick repair rip.flac --labels edited.txt    mends exactly what the labels mark
  declick undo rip.declicked.flac --clicks 12,40-44
  declick inspect rip.declicked.flac             draws what was done
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each command's function is its ``run``."""
    parser = argparse.ArgumentParser(
        prog="declick",
        description="Find the clicks, pops, rings and thumps of a ripped record and mend them; "
        "everything else stays as it is, bit for bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"declick {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_restore(commands)
    _add_detect(commands)
    _add_repair(commands)
    _add_undo(commands)
    _add_inspect(commands)
    demo = commands.add_parser("demo", help="a first minute with no file of your own")
    demo.add_argument("-o", "--output", type=Path, metavar="DIR", default=Path("declick-demo"))
    demo.add_argument("--seed", type=int, default=1, help="another record (default: 1)")
    _add_common(demo)
    demo.set_defaults(run=run_demo)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.add_argument(
        "-j",
        "--jobs",
        type=_positive,
        metavar="N",
        default=available_cores(),
        help="processes at work at the same time; the result is the same (default: all cores)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--removed", type=Path, metavar="FILE", help="write what was taken out (a WAV)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="write the report here, not beside the output"
    )
    parser.add_argument("--no-report", action="store_true", help="write no report")


def _add_restore(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "restore",
        help="find the damage and mend it",
        description="Find the damage of recordings and mend it. One file, several, or folders; "
        "'- -' is standard input to standard output.",
    )
    parser.add_argument("paths", nargs="+", metavar="IN", help="a recording, a folder, or -")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="a file; a folder for several recordings"
    )
    _add_targets(parser)
    parser.add_argument(
        "--labels", type=Path, metavar="TXT", help="write an Audacity label track, too"
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="pass over what was restored before"
    )
    _add_common(parser)
    add_settings(parser, "detect", "repair")
    parser.set_defaults(run=run_restore)


def _add_detect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "detect",
        help="find the damage and write it as Audacity labels",
        description="Find the damage and write it as an Audacity label track "
        "(File > Import > Labels), to look at, edit, and mend with 'declick repair --labels'.",
    )
    parser.add_argument("path", metavar="IN", help="a recording, or -")
    parser.add_argument(
        "-o", "--output", metavar="TXT", help="label track (default: IN.labels.txt; - prints it)"
    )
    _add_common(parser)
    add_settings(parser, "detect")
    parser.set_defaults(run=run_detect)


def _add_repair(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "repair",
        help="mend exactly what labels, a report or a drawing mark",
        description="Mend exactly the marked clicks, and nothing else.",
    )
    parser.add_argument("path", metavar="IN", help="a recording, or -")
    parser.add_argument("target", nargs="?", metavar="OUT", help="where to (or -o)")
    parser.add_argument("-o", "--output", metavar="OUT")
    marks = parser.add_mutually_exclusive_group()
    marks.add_argument("--labels", type=Path, metavar="TXT", help="an Audacity label track")
    marks.add_argument("--like", type=Path, metavar="JSON", help="the report of an earlier run")
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="FILE",
        help="a copy of IN in which you have redrawn the samples: they are taken where the marks "
        "are or, without marks, wherever the copy differs",
    )
    _add_targets(parser)
    _add_common(parser)
    add_settings(parser, "repair")
    parser.set_defaults(run=run_repair)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clicks", metavar="12,40-44", help="numbers, as in the report")
    parser.add_argument("--between", action="append", default=[], metavar="1:32-1:40")
    parser.add_argument("--kind", action="append", default=[], metavar="thump,pop")
    parser.add_argument("--channel", action="append", default=[], metavar="L")
    parser.add_argument("--by-method", action="append", default=[], metavar="ar")
    parser.add_argument("--confidence-below", type=float, metavar="0.9")


def _add_undo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "undo",
        help="put chosen clicks back, to the sample",
        description="Put back what a restoration took out, to the sample. Needs the file that "
        "'restore --removed' wrote. Several criteria narrow the choice.",
    )
    parser.add_argument("path", type=Path, metavar="RESTORED")
    _add_selection(parser)
    parser.add_argument("--removed", type=Path, metavar="FILE", help="default: as in the report")
    parser.add_argument("--report", type=Path, metavar="JSON", help="default: beside RESTORED")
    parser.add_argument("-o", "--output", metavar="OUT", help="default: RESTORED, with .undone")
    _add_common(parser)
    parser.set_defaults(run=run_undo)


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "inspect",
        help="draw the clicks, the side and the disc",
        description="Draw pictures (PNG): the side, the disc with every click at its angle, and "
        "the sound around clicks before, after, and what was removed.",
    )
    parser.add_argument("path", type=Path, metavar="RESTORED", help="a restored file or its report")
    _add_selection(parser)
    parser.add_argument("--source", type=Path, metavar="FILE", help="default: as in the report")
    parser.add_argument("--report", type=Path, metavar="JSON", help="default: beside RESTORED")
    parser.add_argument(
        "--most", type=_positive, default=6, metavar="N", help="clicks to draw (default: 6)"
    )
    parser.add_argument(
        "--period", type=float, metavar="S", help="time of one revolution, if it was not found"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: beside RESTORED")
    _add_common(parser)
    parser.set_defaults(run=run_inspect)
