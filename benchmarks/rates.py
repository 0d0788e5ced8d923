"""What the network is worth at sample rates that it was not made for.

    python benchmarks/rates.py --clean DIR

Each recording of the report split is resampled, worn at that rate, and restored: by the linear
model, and by the network where it hears the rate. Clean, it is restored, too. Between low rates
frames are put in, high ones are thinned out; above 22 kHz the recordings hold nothing, only the
damage does. Writes results/rates.json. Some twenty-five minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from declick.bench import metrics
from declick.bench.corpus import RATE, cut_middle, find_music, read_music
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import draw_wear
from declick.damage.sets import SETS
from declick.detect.paces import hears
from declick.pipeline import restore
from declick.read import Recording
from declick.settings import DetectSettings, Settings

RATES = (16_000, 22_050, 24_000, 32_000, 37_800, 44_100, 96_000, 192_000)
WORN = ("tick", "pop", "crackle")
EXCERPT_S, FADE_S, SEED = 10.0, 0.05, 4


def resampled(sound: FloatArray, rate: int) -> FloatArray:
    """Return a recording at another rate; it fades in and out, since a cut would click."""
    common = gcd(rate, RATE)
    result = np.asarray(resample_poly(sound, rate // common, RATE // common, axis=0))
    fade = np.minimum(np.arange(len(result)) / (FADE_S * rate), 1.0)[:, None]
    faded: FloatArray = result * fade * fade[::-1]
    return faded


def restored(sound: FloatArray, rate: int, detector: str) -> FloatArray:
    settings = Settings(detect=DetectSettings(detector=detector))
    return np.asarray(restore(Recording.from_array(sound, rate), settings=settings).samples)


def measure(music: list[FloatArray], rate: int, detector: str) -> dict[str, Any]:
    """Return the gains on each set, and what is touched of clean music."""
    gains: dict[str, list[float]] = {name: [] for name in WORN}
    touched = []
    for number, sound in enumerate(music):
        clean = resampled(sound, rate)
        for place, name in enumerate(WORN):
            rng = np.random.default_rng([SEED, number, place])
            laid = wear(clean, rate, draw_wear(rng, len(clean) / rate, SETS[name]))
            after = restored(laid.worn, rate, detector)
            gains[name].append(metrics.snr_gain_db(laid.clean, laid.worn, after))
        after = restored(clean, rate, detector)
        touched.append(metrics.touched_per_minute(clean, after, rate) * RATE / rate)
    told: dict[str, Any] = {
        name: {
            "median_db": round(float(np.median(own)), 2),
            "mean_db": round(float(np.mean(own)), 2),
        }
        for name, own in gains.items()
    }
    told["clean frames touched a minute, of 44 100 Hz"] = {
        "median": round(float(np.median(touched)), 1),
        "mean": round(float(np.mean(touched)), 1),
    }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True, help="a folder of clean music")
    parser.add_argument("--output", type=Path, default=Path("results/rates.json"))
    options = parser.parse_args()
    music = [
        cut_middle(read_music(path), EXCERPT_S) for path in find_music(options.clean, "report")
    ]
    rates: dict[str, Any] = {}
    for rate in RATES:
        rates[str(rate)] = {"linear model": measure(music, rate, "ar")}
        if hears(rate):
            rates[str(rate)]["network"] = measure(music, rate, "neural")
        print(rate, json.dumps(rates[str(rate)]), flush=True)
    result = {
        "schema": "declick-rates/1",
        "command": "python benchmarks/rates.py --clean DIR",
        "recordings": len(music),
        "rates": rates,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
