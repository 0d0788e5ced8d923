"""Take judge and writer of a run part of the way, and join them into one file.

    python recipes/surface-9/join.py run judge-8.onnx surface-8.onnx --music packed -o 9.onnx
    python recipes/surface-9/join.py run judge-9.onnx surface-9.onnx --recipe recipes/transfers \
        --name transfers --way 0.7 0.7 --music packed -o 10.onnx

`run` is the folder that `gpu.py` wrote; `judge-8.onnx` the judge that `surface-8` was joined from.
Beside `surface-8.onnx` lies its card (.json). With `--parts`, judge and writer are also written
each alone, to go on learning from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from declick.train.card import LIMITS, UNTRAINED, describe_music
from declick.train.export import export
from declick.train.folding import begin_from, fold, go_part_way, join, read_network, writer_of
from declick.train.network import SurfaceNetwork
from declick.train.settings import read_settings

WAYS, OFFSET = (0.5, 0.7), -2.0
HERE = Path(__file__).parent


def learned(recipe: Path, run: Path, name: str) -> SurfaceNetwork:
    """Return a network of the run, all the way."""
    network = fold(SurfaceNetwork(read_settings(recipe / f"{name}.toml").network))
    network.load_state_dict(torch.load(run / f"{name}.pt", weights_only=True))
    return network


def told(run: Path, name: str, way: float) -> dict[str, object]:
    """Return what a card tells of a network of the run."""
    record = json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
    kept = ("settings", "step", "excerpts", "spent_s", "torch", "device")
    return {"way": way, "run": {key: record[key] for key in kept}}


def main() -> None:
    """Read, go part of the way, join and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("judge", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--recipe", type=Path, default=HERE)
    parser.add_argument("--name", default="surface-9")
    parser.add_argument("--way", type=float, nargs=2, default=WAYS, help="of judge and writer")
    parser.add_argument("--music", type=Path, required=True, help="the corpus, packed")
    parser.add_argument("--parts", type=Path, nargs=2, help="judge and writer, each alone")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    judge, writer = (learned(given.recipe, given.run, name) for name in ("judge", "writer"))
    go_part_way(judge, begin_from(given.judge, judge.settings), given.way[0])
    go_part_way(writer, writer_of(read_network(given.weights)), given.way[1])
    for network, path in zip((judge, writer), given.parts or (), strict=False):
        export(network, path)
    card = {
        "name": given.name,
        "judge": told(given.run, "judge", given.way[0]),
        "writer": told(given.run, "writer", given.way[1]),
        "begun_from": json.loads(given.weights.with_suffix(".json").read_text())["sha256"],
        "music": describe_music(given.music),
        "untrained_families": list(UNTRAINED),
        "limits": list(LIMITS),
    }
    export(join(judge, writer), given.output, offset=OFFSET, card=card)


if __name__ == "__main__":
    main()
