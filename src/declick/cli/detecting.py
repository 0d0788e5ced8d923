"""``declick detect``: the damage as an Audacity label track."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from declick.cli.console import print_json, print_text, progress_bar
from declick.cli.flags import settings_of
from declick.cli.lines import say
from declick.cli.listening import run_listen
from declick.cli.opening import jobs_for, open_source
from declick.cli.results import count_clicks
from declick.clicks import Click
from declick.detect.taught import is_taught
from declick.detection import Detection
from declick.errors import SettingsError
from declick.labels import write_labels
from declick.outcome import source_of
from declick.parallel import Workers
from declick.read import Recording
from declick.stages import detect
from declick.targets import check_targets


def run_detect(options: argparse.Namespace) -> int:
    """Write the labels."""
    started = time.monotonic()
    settings = settings_of(options)
    output = _choose_output(options)
    weights = Path(settings.detect.weights)
    if settings.detect.weights and is_taught(weights):
        return run_listen(options, weights, output)
    with open_source(options.path) as recording:
        if output not in (None, "-"):
            sources = (recording.path, options.settings)
            check_targets([Path(output)], sources=sources, overwrite=options.overwrite)
        if recording.notice:
            say(f"declick: {recording.notice}", quiet=options.quiet)
        with (
            progress_bar(recording.name, quiet=options.quiet, stages=("detect", "measure")) as bar,
            Workers(jobs_for(recording, options.jobs)) as workers,
        ):
            found = detect(recording, settings.detect, workers=workers, progress=bar)
        for notice in found.notices:
            say(f"declick: {recording.name}: {notice}", quiet=options.quiet)
        _write(found, recording, output)
        kinds = Counter(click.kind.value for click in found.clicks)
        elapsed = time.monotonic() - started
        say(f"{recording.name}: {count_clicks(kinds)} in {elapsed:.1f} s", quiet=options.quiet)
        if output not in (None, "-"):
            say(f"  -> {output}", quiet=options.quiet)
        if options.json:
            rotation = found.rotation
            print_json(
                {
                    "source": asdict(source_of(recording)),
                    "labels": output,
                    "rotation_s": None if rotation is None else rotation.period_s,
                    "chain": found.chain.as_dict(),
                    "notices": list(found.notices),
                    "clicks": [_as_dict(click) for click in found.clicks],
                }
            )
    return 0


def _as_dict(click: Click) -> dict[str, Any]:
    """Return what a program is told of a click: not what was added to the music."""
    told = asdict(replace(click, estimate=None, confidence=round(click.confidence, 4)))
    del told["estimate"]
    return told


def _choose_output(options: argparse.Namespace) -> str | None:
    """Return where the labels go; None for nowhere."""
    if options.output is not None:
        if options.output == "-" and options.json:
            raise SettingsError("--json and labels cannot both go to standard output; give -o FILE")
        return str(options.output)
    if options.path == "-":
        return None if options.json else "-"
    path = Path(options.path)
    return str(path.with_name(path.stem + ".labels.txt"))


def _write(found: Detection, recording: Recording, output: str | None) -> None:
    rate, channels = recording.sample_rate, recording.channels
    if output == "-":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "labels.txt"
            write_labels(path, found.clicks, rate, channels=channels)
            print_text(path.read_text(encoding="utf-8"))
    elif output is not None:
        write_labels(output, found.clicks, rate, channels=channels)
