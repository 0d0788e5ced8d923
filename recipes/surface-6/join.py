"""Join the judge of surface-5 and a writer, the mean of two trained networks, into one file.

    python recipes/surface-6/join.py surface-5.onnx FIRST SECOND -o surface-6.onnx

FIRST and SECOND are the folders of their training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from declick.train.card import LIMITS, UNTRAINED
from declick.train.export import export
from declick.train.folding import go_part_way, join, read_network
from declick.train.loop import RECORD, load_network

KEPT = ("settings", "step", "spent_s", "torch", "device")


def main() -> None:
    """Read, join and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("judge", type=Path)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    judge = json.loads(given.judge.with_suffix(".json").read_text(encoding="utf-8"))
    writer, _ = load_network(given.first)
    go_part_way(writer, load_network(given.second)[0], 0.5)
    runs = {
        name: json.loads((folder / RECORD).read_text(encoding="utf-8"))
        for name, folder in (("first", given.first), ("second", given.second))
    }
    card = {
        "name": given.output.stem,
        "judge": {key: judge[key] for key in ("name", "sha256", "run")},
        "writer": {name: {key: run[key] for key in KEPT} for name, run in runs.items()},
        "music": judge["music"],
        "untrained_families": list(UNTRAINED),
        "limits": list(LIMITS),
    }
    export(
        join(read_network(given.judge), writer),
        given.output,
        slope=judge["slope"],
        offset=judge["offset"],
        card=card,
    )


if __name__ == "__main__":
    main()
