"""``declick train``: the network that tells clicks from music, from its recipe."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Any, Final

from declick.cli.arguments import positive, whole
from declick.cli.lines import say
from declick.errors import MissingExtraError

# Of the corpus, on which new weights are calibrated.
SAMPLE_RATE: Final = 44_100


def add_train(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="teach the network what clicks are",
        usage="declick train [options] RECIPE --music DIR -o FOLDER",
        description="Train the network of the neural detector. It goes on from its last "
        "checkpoint when it is called again. Needs the extra 'train'; uses a GPU if there is one.",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a TOML file")
    parser.add_argument(
        "--music",
        type=Path,
        metavar="DIR",
        required=True,
        help="a corpus, or a folder of clean music of which every fourth file is held out",
    )
    parser.add_argument("--bank", type=Path, metavar="BANK", help="real clicks, harvested before")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", required=True, help="of the checkpoint"
    )
    parser.add_argument(
        "--minutes", type=positive, metavar="MIN", help="stop after this time, to go on later"
    )
    parser.add_argument(
        "--workers",
        type=partial(whole, least=0),
        default=1,
        metavar="N",
        help="processes that draw examples",
    )
    parser.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="threads that train, without a GPU"
    )
    parser.add_argument(
        "--export", type=Path, metavar="ONNX", help="write the network here, as it is then"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(run=run_train)


def run_train(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    try:
        from declick.detect.neural import NeuralDetector
        from declick.train.evaluate import calibrate
        from declick.train.export import export
        from declick.train.loop import Sources, train
        from declick.train.settings import read_settings
    except ImportError:
        raise MissingExtraError("training needs torch; pip install 'declick[train]'") from None
    sources = Sources(music=options.music, bank=options.bank)
    settings = read_settings(options.recipe)
    network = train(
        settings,
        sources,
        options.output,
        workers=options.workers,
        threads=options.threads,
        seconds=60.0 * options.minutes if options.minutes else math.inf,
        say=say if not options.quiet else _nobody,
    )
    if options.export:
        card = {"recipe": options.recipe.name}
        export(network, options.export, card=card)
        music, _ = sources.open(settings.examples)
        detector = NeuralDetector(SAMPLE_RATE, options.export)
        offset = calibrate(lambda _: detector, music, settings.examples)
        export(network, options.export, offset=offset, card=card)
        say(f"{options.export}: written, with an offset of {offset:.2f} in log odds")
    return 0


def _nobody(_: str) -> None:
    """Tell nobody."""
