"""``declick detect``: the damage as an Audacity label track."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from declick.cli.console import print_json, progress_bar, say
from declick.cli.flags import settings_of
from declick.cli.opening import open_source
from declick.errors import SettingsError, WriteError
from declick.labels import write_labels
from declick.parallel import Workers
from declick.pipeline import source_of
from declick.stages import detect


def run_detect(options: argparse.Namespace) -> int:
    """Write the labels."""
    started = time.monotonic()
    settings = settings_of(options)
    output = options.output
    if output is None:
        output = "-" if options.path == "-" else str(Path(options.path).with_suffix(".labels.txt"))
    if output == "-" and options.json:
        if options.output == "-":
            raise SettingsError("--json and labels cannot both go to standard output")
        output = None
    if output not in (None, "-") and Path(output).exists() and not options.overwrite:
        raise WriteError(f"{output}: it exists already; give another name or --overwrite")
    with open_source(options.path) as recording:
        if recording.notice:
            say(f"declick: {recording.notice}", quiet=options.quiet)
        with (
            progress_bar(recording.name, quiet=options.quiet) as progress,
            Workers(options.jobs if recording.duration_s > 30.0 else 1) as workers,
        ):
            found = detect(recording, settings.detect, workers=workers, progress=progress)
        rate, channels = recording.sample_rate, recording.channels
        if output == "-":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "labels.txt"
                write_labels(path, found.clicks, rate, channels=channels)
                sys.stdout.write(path.read_text(encoding="utf-8"))
        elif output is not None:
            write_labels(output, found.clicks, rate, channels=channels)
        kinds = Counter(click.kind.value for click in found.clicks)
        words = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        elapsed = time.monotonic() - started
        say(
            f"{recording.name}: {len(found.clicks)} clicks{f' ({words})' if words else ''} "
            f"in {elapsed:.1f} s",
            quiet=options.quiet,
        )
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
                    "clicks": [asdict(click) for click in found.clicks],
                }
            )
    return 0
