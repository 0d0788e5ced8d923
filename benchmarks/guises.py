"""What is touched of clean recordings, whole and in other guises: nothing should be.

    python benchmarks/guises.py --clean DIR

The benchmark's control is 8 seconds of each recording as it is. Here each is restored whole, and
trimmed, quieter, resampled, with noise, one channel alone, in 11 bits, with an offset. Writes
results/guises.json. Some three minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.signal
import soundfile

from declick import __version__
from declick.clicks import FloatArray
from declick.pipeline import restore
from declick.read import Recording

RATE = 44100


def _rounded(sound: FloatArray, bits: int = 16) -> FloatArray:
    steps = 2.0 ** (bits - 1)
    rounded: FloatArray = np.round(sound * steps) / steps
    return rounded


def _noisy(sound: FloatArray) -> FloatArray:
    noise = np.random.default_rng(1).standard_normal(sound.shape)
    return _rounded(sound + 10 ** (-54 / 20) * noise)


GUISES: Final[dict[str, tuple[int, Callable[[FloatArray], FloatArray]]]] = {
    "as it is": (RATE, lambda sound: sound),
    "0.37 s trimmed": (RATE, lambda sound: sound[round(0.37 * RATE) :]),
    "1 s trimmed": (RATE, lambda sound: sound[RATE:]),
    "10 dB quieter": (RATE, lambda sound: _rounded(10 ** (-10 / 20) * sound)),
    "48 kHz": (
        48000,
        lambda sound: _rounded(scipy.signal.resample_poly(sound, 160, 147, axis=0)),
    ),
    "noise at -54 dB": (RATE, _noisy),
    "left alone": (RATE, lambda sound: sound[:, :1]),
    "11 bits": (RATE, lambda sound: _rounded(sound, 11)),
    "an offset of 0.05": (RATE, lambda sound: _rounded(0.9 * sound + 0.05)),
}


def measure(path: Path) -> dict[str, Any]:
    """Return how many frames of a recording are touched a minute, in each guise."""
    sound, rate = soundfile.read(path, always_2d=True)
    if rate != RATE:
        raise SystemExit(f"{path}: give recordings of {RATE} Hz")
    touched = {}
    for name, (sample_rate, change) in GUISES.items():
        given = change(sound)
        restored = restore(Recording.from_array(given, sample_rate)).samples
        frames = int(np.count_nonzero(np.any(restored != given, axis=1)))
        touched[name] = round(60.0 * frames / (len(given) / sample_rate))
    return {"name": path.stem, "touched_per_min": touched}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, required=True, help="clean recordings")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/guises.json"))
    given = parser.parse_args()
    rows = [measure(path) for path in sorted(given.clean.glob("*.flac"))]
    shares = {name: [row["touched_per_min"][name] for row in rows] for name in GUISES}
    values = {
        "schema": "declick-guises/1",
        "command": "python benchmarks/guises.py --clean DIR",
        "declick": __version__,
        "touched_per_min": {
            name: {"mean": round(float(np.mean(all_)), 1), "median": float(np.median(all_))}
            for name, all_ in shares.items()
        },
        "rows": rows,
    }
    given.output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(values["touched_per_min"], indent=1))


if __name__ == "__main__":
    main()
