"""What the rotation of the disc is worth: scratches found with its help and without.

    python benchmarks/rotation.py --clean DIR

Joins the recordings of the report split to a side, lays scratches on it, alone and with ticks, and
restores each side twice: as always, and without the lower threshold at angles where clicks return.
Writes results/rotation.json. Some two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from declick import stages
from declick.bench import metrics
from declick.bench.corpus import RATE, cut_middle, find_music, join, read_music
from declick.clicks import FloatArray
from declick.damage.apply import Worn, wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.detect.spans import Span
from declick.pipeline import restore
from declick.read import Recording

WEAR = {
    "scratches": WearSettings(rates_hz={}, scratches=12.0, bed=True, bed_crackle_hz=(0.0, 0.0)),
    "scratches, and five ticks a second": WearSettings(
        rates_hz={Family.TICK: 5.0}, scratches=12.0, bed=True, bed_crackle_hz=(0.0, 0.0)
    ),
}


def without_rotation(weaker: list[Span], spans: list[Span], **_: float) -> list[Span]:
    """Find no span likelier for its angle."""
    return []


def measure(laid: Worn) -> dict[str, Any]:
    """Restore a side and return what was found and gained."""
    done = restore(Recording.from_array(laid.worn, RATE))
    restored: FloatArray = np.asarray(done.samples)
    damaged = metrics.damaged_samples(laid.clean, laid.worn, RATE)
    events = metrics.events_of(laid.clicks, RATE)
    found = metrics.found_spans(laid.worn, restored, RATE)
    assert found is not None
    detected = metrics.count_detected(events, found, damaged, RATE)
    rotation = done.detection.rotation
    return {
        "period_s": None if rotation is None else round(rotation.period_s, 4),
        "events": detected.true,
        "recall": round(detected.recall, 3),
        "precision": round(detected.precision, 3),
        "gain_db": round(metrics.snr_gain_db(laid.clean, laid.worn, restored, damaged), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/rotation.json"))
    options = parser.parse_args()
    pieces = [cut_middle(read_music(p), 20.0) for p in find_music(options.clean, "report")]
    music = join(pieces, options.seconds)
    rows: dict[str, Any] = {}
    for name, settings in WEAR.items():
        drawn = draw_wear(np.random.default_rng(33), options.seconds, settings)
        laid = wear(music, RATE, drawn)
        rows[name] = {"with": measure(laid)}
        with mock.patch.object(stages, "find_returning", without_rotation):
            rows[name]["without"] = measure(laid)
        print(name, rows[name], flush=True)
    result = {
        "schema": "declick-rotation/1",
        "command": f"python benchmarks/rotation.py --clean DIR --seconds {options.seconds:g}",
        "rows": rows,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
