"""Repair alone: the places are told to the tools that can be told."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import declick
from declick.bench.corpus import RATE, Made
from declick.bench.peers import Cost, repair_regions
from declick.bench.peers.running import run
from declick.clicks import Click
from declick.labels import write_labels

Repairer = Callable[[Path, Path, Sequence[tuple[int, int]]], Cost]


def regions_of(made: Made) -> list[tuple[int, int]]:
    """Return the places of an item's damage, over both channels."""
    return sorted({(click.start, click.stop) for click in made.clicks})


def repair_ourselves(source: Path, target: Path, regions: Sequence[tuple[int, int]]) -> Cost:
    """Let ``declick repair`` mend both channels at given places.

    Raises
    ------
    PeerError
        If it fails.
    """
    clicks = [Click(start, stop, stop, channel) for start, stop in regions for channel in (0, 1)]
    paths = [str(Path(declick.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory(prefix="declick-bench-") as folder:
        labels = Path(folder) / "labels.txt"
        write_labels(labels, clicks, RATE, channels=2)
        return run(
            [
                *(sys.executable, "-m", "declick", "repair", source, target),
                *("--labels", labels, "--no-report", "--quiet"),
            ],
            name="declick",
            limit_s=300.0,
            env={"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        ).cost


REPAIRERS: Mapping[str, Repairer] = {"declick": repair_ourselves, "audacity": repair_regions}
