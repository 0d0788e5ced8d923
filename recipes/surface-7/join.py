"""Join the judge of surface-5 and a writer into one file.

    python recipes/surface-7/join.py surface-5.onnx RUN -o surface-7.onnx

RUN is the folder of the writer's training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from declick.train.card import LIMITS, UNTRAINED, describe_training
from declick.train.export import export
from declick.train.folding import join, read_network
from declick.train.loop import load_network


def main() -> None:
    """Read, join and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("judge", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    judge = json.loads(given.judge.with_suffix(".json").read_text(encoding="utf-8"))
    writer, _ = load_network(given.run)
    card = {
        "name": given.output.stem,
        "judge": {key: judge[key] for key in ("name", "sha256", "run")},
        "writer": describe_training(given.run),
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
