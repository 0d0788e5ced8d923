"""Take the writer of joined weights as a network of its own, to go on learning from.

    python recipes/surface-7/begin.py surface-6.onnx -o writer-6.onnx

What it would judge is the judge's: nobody asks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from declick.train.export import export
from declick.train.folding import read_network, writer_of


def main() -> None:
    """Read, take and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    export(writer_of(read_network(given.weights)), given.output)


if __name__ == "__main__":
    main()
