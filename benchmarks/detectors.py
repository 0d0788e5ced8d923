"""Weigh the shipped network against the linear model, on music and clicks that neither was taught.

    python benchmarks/detectors.py --music CORPUS --bank BANK -o results/detectors.json

CORPUS is that of recipes/surface-3 (its `valid` split is heard), BANK the real clicks; only those
of the record that training held out are laid on. Some eight minutes on one core, and one and a half
for each of the other weights that are named with --also.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.damage.bank_folder import read_bank
from declick.detect.neural import NeuralDetector, shipped_weights
from declick.detect.survey import Geometry
from declick.train.evaluate import Tally, classical, compare, least_log_odds, recall_table
from declick.train.music import open_music
from declick.train.worn import ExampleSettings

MODES = ("clean", "tick", "pop", "crackle", "real", "shellac", "scratch", "gouge")
HELD_OUT = "runout_groove_4_turns.wav"
FALSE_PER_MINUTE = 2.0
LEVELS_DB = (-20, -10, 0, 10, 20, 30)


class OneEared:
    """The network without the evidence of the other channel and of L-R."""

    def __init__(self, sample_rate: float) -> None:
        self.whole = NeuralDetector(sample_rate, shipped_weights())

    @property
    def geometry(self) -> Geometry:
        """That of the whole network."""
        return self.whole.geometry

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability of each channel, heard alone."""
        alone = [self.whole(samples[:, [k]]) for k in range(samples.shape[1])]
        return np.concatenate(alone, axis=1)


def by_level(tallies: dict[str, Tally], least: float) -> list[dict[str, Any]]:
    """Return recall against the energy of a click over that of a millisecond of the music."""
    rows = []
    for low, high in zip((-99, *LEVELS_DB), (*LEVELS_DB, 99), strict=True):
        row: dict[str, Any] = {"from_db": low, "to_db": high}
        for mode, item in tallies.items():
            level = 10 * np.log10(np.array(item.energies) + 1e-12)
            chosen = np.array(item.true)[(level >= low) & (level < high)]
            if len(chosen) >= 20:
                row[mode] = round(float(np.mean(chosen > least)), 3)
        rows.append(row)
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--excerpts", type=int, default=24, help="of 12 s, for each kind of damage")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=WEIGHTS.onnx")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    bank = read_bank(options.bank)
    held = [k for k, record in enumerate(bank.records) if record.name == HELD_OUT]
    clicks = tuple(click for click in bank.clicks if click.record in held)
    bank = Bank(clicks=clicks, records=bank.records)
    settings = replace(ExampleSettings(), seconds=12.0, level_db=(0.0, 0.0))
    others = {name: Path(path) for name, _, path in (item.partition("=") for item in options.also)}
    tallies = compare(
        {
            "linear model": classical,
            "network": lambda rate: NeuralDetector(rate, shipped_weights()),
            "network, each channel alone": OneEared,
            **{name: partial(NeuralDetector, weights=path) for name, path in others.items()},
        },
        open_music(options.music),
        bank,
        settings,
        modes=MODES,
        excerpts=options.excerpts,
    )
    values: dict[str, Any] = {
        "schema": "declick-detectors/1",
        "command": "python benchmarks/detectors.py --music CORPUS --bank BANK "
        f"--excerpts {options.excerpts} "
        + "".join(f"--also '{name}=WEIGHTS.onnx' " for name in others)
        + "-o results/detectors.json",
        "excerpts": options.excerpts,
        "seconds": settings.seconds,
        "detectors": {},
    }
    for name, found in tallies.items():
        least = least_log_odds([found["clean"]], FALSE_PER_MINUTE)
        values["detectors"][name] = {
            "events": {mode: len(item.true) for mode, item in found.items()},
            "recall": recall_table(found),
            "recall_by_level_at_2_a_minute": by_level(found, least),
        }
    options.output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
