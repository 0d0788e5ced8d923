"""Join a new judge and the writer of weights that exist into one file.

    python recipes/surface-8/join.py judge-8.onnx surface-7.onnx --offset -1.7 -o surface-8.onnx

Beside each lies its card (.json).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from declick.train.card import LIMITS, UNTRAINED
from declick.train.export import export
from declick.train.folding import join, read_network, writer_of


def main() -> None:
    """Read, join and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("judge", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--offset", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    judge, weights = (
        json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for path in (given.judge, given.weights)
    )
    writer = writer_of(read_network(given.weights))
    card = {
        "name": given.output.stem,
        "judge": {key: judge[key] for key in ("name", "sha256", "run")},
        "writer": weights["writer"],
        "music": judge["music"],
        "untrained_families": list(UNTRAINED),
        "limits": list(LIMITS),
    }
    export(join(read_network(given.judge), writer), given.output, offset=given.offset, card=card)


if __name__ == "__main__":
    main()
