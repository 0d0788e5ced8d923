"""``declick train``: the network from its recipe, tuned to one's own records, or another sound."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from declick.cli.arguments import positive, whole
from declick.cli.lines import say
from declick.errors import MissingExtraError, SettingsError, WriteError

# Of the corpus, on which new weights are calibrated.
SAMPLE_RATE: Final = 44_100


def add_train(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="teach the network: your records, another sound, or from the start",
        usage="declick train [options] --from WEIGHTS --pairs DIR -o MINE.onnx\n"
        "       declick train [options] --labels TXT RECORDING... -o MINE.onnx\n"
        "       declick train [options] RECIPE --music DIR -o FOLDER",
        description="Tune the network to your own recordings before and after they were mended; "
        "or teach it another short sound from an Audacity label track; or train it from the "
        "start by a recipe, which goes on from its last checkpoint when it is called again. "
        "docs/learning.md tells how. Needs the extra 'train'; uses a GPU if there is one.",
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="RECIPE|RECORDING", help="a TOML file, or recordings"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        required=True,
        help="the weights (.onnx); with a recipe, the folder of the checkpoint",
    )
    tuning = parser.add_argument_group("your own records")
    tuning.add_argument(
        "--from",
        dest="base",
        metavar="WEIGHTS",
        help="an .onnx file, a name, or a checkpoint's DIR",
    )
    tuning.add_argument(
        "--pairs",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="recordings before and after: x-before.wav and x-after.wav, or the folders before/ "
        "and after/, or what 'declick pairs' or 'declick damage' wrote",
    )
    sound = parser.add_argument_group("another sound")
    sound.add_argument(
        "--labels",
        type=Path,
        action="append",
        default=[],
        metavar="TXT",
        help="label track of the sound, one for each RECORDING, in their order",
    )
    corpus = parser.add_argument_group("from the start")
    corpus.add_argument(
        "--music",
        type=Path,
        metavar="DIR",
        help="a corpus, or a folder of clean music of which every fourth file is held out; with "
        "--pairs, it keeps in mind what the network knew",
    )
    corpus.add_argument("--bank", type=Path, metavar="BANK", help="real clicks, harvested before")
    corpus.add_argument(
        "--minutes", type=positive, metavar="MIN", help="stop after this time, to go on later"
    )
    corpus.add_argument(
        "--export", type=Path, metavar="ONNX", help="write the network here, as it is then"
    )
    parser.add_argument("--steps", type=positive, metavar="N", help="of tuning or teaching")
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
    parser.add_argument("--overwrite", action="store_true", help="replace weights that exist")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(run=run_train)


def run_train(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    try:
        import declick.train.network  # noqa: F401
    except ImportError:
        raise MissingExtraError("training needs torch; pip install 'declick[train]'") from None
    if options.pairs or options.base:
        return _tune(options)
    if options.labels:
        return _teach(options)
    return _train(options)


def _teller(options: argparse.Namespace) -> Any:
    return say if not options.quiet else _nobody


def _nobody(_: str) -> None:
    """Tell nobody."""


def _check_target(options: argparse.Namespace) -> Path:
    """Return where the weights go."""
    output: Path = options.output
    if output.suffix != ".onnx":
        raise SettingsError(f"-o {output}: give the name of a file for the weights, as mine.onnx")
    for path in (output, output.with_suffix(".json")):
        if path.exists() and not options.overwrite:
            raise WriteError(f"{path}: exists already; give another name, or --overwrite")
    return output


def _train(options: argparse.Namespace) -> int:
    from declick.detect.neural import NeuralDetector
    from declick.train.card import describe_run
    from declick.train.evaluate import calibrate
    from declick.train.export import export
    from declick.train.folding import begin_from, go_part_way
    from declick.train.loop import Sources, train
    from declick.train.settings import read_settings

    if len(options.paths) != 1 or options.music is None:
        raise SettingsError(
            "give a RECIPE with its --music; or --from with --pairs; or --labels with recordings"
        )
    recipe = options.paths[0]
    sources = Sources(music=options.music, bank=options.bank)
    settings = read_settings(recipe)
    network = train(
        settings,
        sources,
        options.output,
        workers=options.workers,
        threads=options.threads,
        seconds=60.0 * options.minutes if options.minutes else math.inf,
        say=_teller(options),
    )
    if options.export:
        if settings.loop.start and settings.loop.way < 1.0:
            old = begin_from(Path(settings.loop.start), settings.network)
            go_part_way(network, old, settings.loop.way)
        card = describe_run(options.output, sources, options.export.stem)
        export(network, options.export, card=card)
        music, _ = sources.open(settings.examples)
        detector = NeuralDetector(SAMPLE_RATE, options.export)
        offset = calibrate(lambda _: detector, music, settings.examples)
        export(network, options.export, offset=offset, card=card)
        say(f"{options.export}: written, with an offset of {offset:.2f} in log odds")
    return 0


def _tune(options: argparse.Namespace) -> int:
    from declick.damage.bank_folder import read_bank
    from declick.train.music import open_music
    from declick.train.tune import TuneSettings
    from declick.train.tuning import open_base, read_pairs, tune_weights, with_steps

    if not (options.pairs and options.base) or options.paths or options.labels:
        raise SettingsError(
            "to tune, give --from WEIGHTS and --pairs DIR, and neither a recipe nor --labels"
        )
    output, tell = _check_target(options), _teller(options)
    base = open_base(options.base)
    pairs = [pair for folder in options.pairs for pair in read_pairs(folder, tell)]
    done = tune_weights(
        base,
        pairs,
        output,
        with_steps(TuneSettings(), options.steps),
        music=open_music(options.music) if options.music else None,
        bank=read_bank(options.bank) if options.bank else None,
        threads=options.threads,
        say=tell,
    )
    for line in done.lines():
        tell(line)
    tell(f"  -> {output}")
    return 0


def _teach(options: argparse.Namespace) -> int:
    from declick.train.taught import TeachSettings, teach_sounds

    if not options.paths or options.music:
        raise SettingsError("give the RECORDING of each --labels; --music has no use here")
    output, tell = _check_target(options), _teller(options)
    settings = TeachSettings()
    if options.steps:
        settings = replace(settings, steps=options.steps)
    found = teach_sounds(
        options.paths, options.labels, output, settings, threads=options.threads, say=tell
    )
    for name, counts in found.items():
        tell(
            f"{name}: of labels that it had not seen, {counts.hits} found, {counts.missed} missed, "
            f"{counts.false} false (F1 {counts.f1:.2f})"
        )
    tell(f"  -> {output}")
    return 0
