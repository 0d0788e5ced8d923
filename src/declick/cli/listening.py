"""``declick detect`` with weights of a taught sound: its labels."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from declick.cli.console import print_json, print_text
from declick.cli.lines import say
from declick.cli.opening import open_source
from declick.detect.taught import Heard, TaughtWeights, listen, load_taught
from declick.labels import renamed_when_done
from declick.outcome import source_of
from declick.targets import check_targets


def run_listen(options: argparse.Namespace, weights: Path, output: str | None) -> int:
    """Write the labels of taught sounds."""
    started = time.monotonic()
    taught = load_taught(weights)
    with open_source(options.path) as recording:
        if output not in (None, "-"):
            check_targets(
                [Path(output)], sources=(recording.path, weights), overwrite=options.overwrite
            )
        if recording.notice:
            say(f"declick: {recording.notice}", quiet=options.quiet)
        heard = listen(recording, taught)
        _write(heard, taught, output)
        counts = Counter(item.name for item in heard)
        told = ", ".join(f"{count} of {name!r}" for name, count in counts.items()) or "nothing"
        elapsed = time.monotonic() - started
        say(f"{recording.name}: {told} in {elapsed:.1f} s", quiet=options.quiet)
        if output not in (None, "-"):
            say(f"  -> {output}", quiet=options.quiet)
        if options.json:
            source = asdict(source_of(recording))
            print_json(
                {"source": source, "labels": output, "heard": [asdict(item) for item in heard]}
            )
    return 0


def _write(heard: list[Heard], taught: TaughtWeights, output: str | None) -> None:
    lengths = {kind.name: kind.length_s for kind in taught.kinds}
    lines = [
        f"{item.time_s:.6f}\t{item.time_s + lengths[item.name]:.6f}\t"
        f"{item.name} {item.confidence:.2f}\n"
        for item in heard
    ]
    if output == "-":
        print_text("".join(lines))
    elif output is not None:
        with renamed_when_done(output, "the labels") as file:
            file.writelines(lines)
