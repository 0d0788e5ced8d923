"""Take the writer of joined weights as a network of its own, to go on learning from.

    python recipes/surface-7/begin.py surface-6.onnx -o writer-6.onnx

What it would judge is the judge's: nobody asks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from declick.train.export import export
from declick.train.folding import fold, read_network
from declick.train.network import SurfaceNetwork


def main() -> None:
    """Read, take and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    both = read_network(given.weights)
    alone = fold(SurfaceNetwork(both.settings.writer))
    alone.load_state_dict({**both.state_dict(), **both.writer.state_dict()}, strict=False)
    export(alone, given.output)


if __name__ == "__main__":
    main()
