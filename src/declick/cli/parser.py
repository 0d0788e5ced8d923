"""What can be typed."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from declick import __version__
from declick.cli.arguments import (
    add_common,
    add_jobs,
    add_selection,
    add_targets,
    number,
    positive,
    seed,
)
from declick.cli.flags import MARKED, add_settings
from declick.cli.lines import one_line
from declick.cli.restoring import add_copies, run_restore

_EPILOG = """examples:
  declick restore rip.flac                       writes rip.declicked.flac and its report
  declick restore rip.flac --removed taken.wav   ... and what was taken out, to listen to
  declick restore rips/ -o restored/             every recording of a folder
  ffmpeg -i rip.mka -f wav - | declick restore - - | aplay
  declick detect rip.flac                        writes an Audacity label track
  declick repair rip.flac --labels edited.txt    mends exactly what the labels mark
  declick undo rip.declicked.flac --clicks 12,40-44
  declick inspect rip.declicked.flac             draws what was done

'declick COMMAND --help' tells more. A file whose name begins with - is written ./-name.
"""
_Commands = argparse._SubParsersAction
# What is understood in place of a command, and the flag that it stands for.
_WORDS = {"help": "--help", "version": "--version"}


def _is_there(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # no file can have such a name
        return False


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    _given: ClassVar[Sequence[str]] = ()

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and remember what was given."""
        if not Parser._given:
            Parser._given = list(sys.argv[1:] if args is None else args)
        values, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:  # a command: its own help knows what there is
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return values, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Say of a command that there is none, and which one may be meant."""
        if isinstance(action, _Commands) and value not in action.choices:
            near = difflib.get_close_matches(value, (*action.choices, *_WORDS), n=1)
            if not near and _is_there(value):
                near = [f"declick restore {value}"]
            if not near:
                self.error(f"there is no command {value}; there are {', '.join(action.choices)}")
            text = f"{self.prog}: there is no command {value}; did you mean {near[0]}?"
            self.exit(2, one_line(text) + "\n")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave with status 2."""
        given, Parser._given = Parser._given, ()
        for word in given:
            if word.startswith("-") and len(word) > 1 and _is_there(word):
                message = f"{word} looks like an option; write ./{word} for the file of this name"
        self.exit(2, one_line(f"{self.prog}: {message}; see '{self.prog} --help'") + "\n")


def as_flags(words: Sequence[str]) -> list[str]:
    """Return what is to be parsed of ``help [COMMAND]``, ``version``, or nothing at all."""
    first, *rest = words or ["help"]
    if first not in _WORDS:
        return list(words)
    return [*rest[:1], _WORDS[first]] if first == "help" else [_WORDS[first]]


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; each command's function is its ``run``.

    Parameters
    ----------
    words : sequence of str
        What will be parsed: where it begins with a command for mending, the parser knows those
        alone, since what the others need takes a second to import.
    """
    Parser._given = ()
    parser = Parser(
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
    _add_demo(commands)
    if not words or words[0] not in commands.choices:
        _add_workshop(commands)
    return parser


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return the function of a command that is imported when it runs."""

    def run(options: argparse.Namespace) -> int:
        status: int = getattr(import_module(module), name)(options)
        return status

    return run


def _add_workshop(commands: _Commands[Parser]) -> None:
    """Add the commands that compare, measure and teach."""
    from declick.cli.aligning import add_align
    from declick.cli.benching import add_bench
    from declick.cli.damaging import add_damage
    from declick.cli.harvesting import add_harvest
    from declick.cli.pairing import add_pairs
    from declick.cli.training import add_train

    add_align(commands)
    add_damage(commands)
    add_harvest(commands)
    add_bench(commands)
    add_pairs(commands)
    add_train(commands)


def _add_restore(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "restore",
        help="find the damage and mend it",
        usage="declick restore [options] IN [OUT]\n"
        "       declick restore [options] IN... [-o FOLDER]",
        description="Find the damage of recordings and mend it. One file, several, or folders; "
        "with - for both, from standard input to standard output. Without OUT, rip.flac becomes "
        "rip.declicked.flac, and the recordings of rips/ go to rips-declicked/. With several "
        "recordings, one that fails does not stop the rest; the exit status is then 1.",
    )
    parser.add_argument("paths", nargs="+", metavar="IN", help="a recording, a folder, or -")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="a file or a folder; - is standard output, a WAV"
    )
    add_targets(parser)
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="TXT",
        help="write what was mended as an Audacity label track",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="pass over recordings whose output exists: goes on with a folder after a break",
    )
    add_common(parser)
    add_jobs(parser)
    add_copies(parser)
    add_settings(parser, "detect", "repair")
    parser.set_defaults(run=run_restore)


def _add_detect(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "detect",
        help="find the damage and write it as Audacity labels",
        usage="declick detect [options] IN",
        description="Find the damage and write it as an Audacity label track "
        "(File > Import > Labels), to look at, edit, and mend with 'declick repair --labels'.",
    )
    parser.add_argument("path", metavar="IN", help="a recording, or -")
    parser.add_argument(
        "-o", "--output", metavar="TXT", help="label track (default: IN.labels.txt; - prints it)"
    )
    add_common(parser)
    add_jobs(parser)
    add_settings(parser, "detect")
    parser.set_defaults(run=_later("declick.cli.detecting", "run_detect"))


def _add_repair(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "repair",
        help="mend exactly what labels, a report or a drawing mark",
        usage="declick repair [options] IN [OUT] --labels TXT | --like JSON | --draw FILE",
        description="Mend exactly the marked clicks, and nothing else. What labels mark is "
        "mended even where no method is expected to gain (--keep-weak leaves that alone). With "
        "--like, an earlier run is repeated with its own settings.",
    )
    parser.add_argument("path", metavar="IN", help="a recording, or -")
    parser.add_argument(
        "target", nargs="?", metavar="OUT", help="default: rip.declicked.flac for rip.flac"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the same; - is standard output")
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
    add_targets(parser)
    add_common(parser)
    add_jobs(parser)
    add_settings(parser, "repair", base=MARKED)
    parser.set_defaults(run=_later("declick.cli.mending", "run_repair"))


def _add_undo(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "undo",
        help="put chosen clicks back, to the sample",
        usage="declick undo [options] RESTORED --clicks 12,40-44 | --between 1:32-1:40 | ...",
        description="Put back what a restoration took out, to the sample: from the file that "
        "'restore --removed' wrote or, without one, from the source, which is looked for beside "
        "RESTORED and around. A new report beside the output says what is still mended.",
    )
    add_selection(parser, "which clicks")
    parser.add_argument(
        "--removed", type=Path, metavar="FILE", help="default: the one that the report names"
    )
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="what was restored: put back from there"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="default: rip.declicked.undone.flac; - is standard output",
    )
    add_common(parser)
    parser.set_defaults(run=_later("declick.cli.undoing", "run_undo"))


def _add_inspect(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "inspect",
        help="draw the clicks, the side and the disc",
        usage="declick inspect [options] RESTORED",
        description="Draw pictures (PNG): the side, the disc with every click at its angle, and "
        "the sound around clicks before, after, and what was removed.",
    )
    add_selection(
        parser,
        "which clicks (default: those of which most was taken out; the least sure on a page)",
    )
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="default: the one that the report names"
    )
    parser.add_argument(
        "--most", type=positive, metavar="N", help="clicks to draw (default: 6; 24 on a page)"
    )
    parser.add_argument(
        "--period", type=number, metavar="S", help="seconds of one revolution, if not found"
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="the clicks on a page (HTML), to listen to, and to choose what is put back",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="a folder (default: that of the report)"
    )
    add_common(parser, overwrite="pictures that exist")
    parser.set_defaults(run=_later("declick.cli.viewing", "run_inspect"))


def _add_demo(commands: _Commands[Parser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="a first minute with no file of your own",
        usage="declick demo [options]",
        description="Synthesize a short piece of music and a worn record of it, restore it, say "
        "what was gained, and draw it.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("declick-demo"),
        help="a folder (default: declick-demo)",
    )
    parser.add_argument(
        "--seed", type=seed, default=1, metavar="N", help="another record (default: 1)"
    )
    add_common(parser)
    parser.set_defaults(run=_later("declick.cli.demo", "run_demo"))
