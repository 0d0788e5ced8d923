"""What rumble costs, and what it cost if the network was shown it.

    python benchmarks/rumble.py --clean DIR --groove DIR

The rumble of a real LP (below 60 Hz) is laid under each recording of the report split, clean and
worn, 10 dB below the music; the worn one is restored with the rumble taken off what the network is
shown, and with all of it. Writes results/rumble.json. Some four minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.signal import fftconvolve, firwin

from declick.bench import metrics
from declick.bench.corpus import RATE, cut_middle, find_music, read_music
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import draw_wear
from declick.damage.sets import SETS
from declick.detect import rumble
from declick.pipeline import restore
from declick.read import Recording

GROOVE = "lp_dense_crackle.wav"
LEVELS_DB = (None, -10.0)
"""Of the rumble over the music; None: no rumble."""
WORN = ("tick", "pop")
SHOWN = {"rumble taken off": rumble.LEAST_SHARE, "all shown": np.inf}
"""From which share on the rumble is taken off."""
EXCERPT_S, SEED = 10.0, 5


def rumble_of(groove: Path) -> FloatArray:
    """Return what a groove has below 60 Hz, at a level of 1, forth and back."""
    sound = read_music(groove)
    taps = firwin(round(0.16 * RATE) | 1, 60.0, fs=RATE, window=("kaiser", 6.0))
    low = np.stack([fftconvolve(row, taps, "valid") for row in sound.T], axis=1)
    return np.asarray(np.concatenate((low, low[::-1])) / np.std(low))


def gain_db(clean: FloatArray, worn: FloatArray, under: FloatArray) -> float:
    """Return the gain of a restoration over some rumble."""
    done = np.asarray(restore(Recording.from_array(worn + under, RATE)).samples)
    return metrics.snr_gain_db(clean + under, worn + under, done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True, help="a folder of clean music")
    parser.add_argument("--groove", type=Path, required=True, help="a folder of groove noise")
    parser.add_argument("--output", type=Path, default=Path("results/rumble.json"))
    options = parser.parse_args()
    music = [
        cut_middle(read_music(path), EXCERPT_S) for path in find_music(options.clean, "report")
    ]
    wave = rumble_of(options.groove / GROOVE)
    levels: dict[str, Any] = {}
    for level_db in LEVELS_DB:
        gains: dict[str, dict[str, list[float]]] = {}
        for number, sound in enumerate(music):
            level = 0.0 if level_db is None else 10 ** (level_db / 20) * float(np.std(sound))
            under = level * np.resize(wave, sound.shape)
            for place, name in enumerate(WORN):
                rng = np.random.default_rng([SEED, number, place])
                laid = wear(sound, RATE, draw_wear(rng, len(sound) / RATE, SETS[name]))
                for shown, share in SHOWN.items():
                    with patch.object(rumble, "LEAST_SHARE", share):
                        gain = gain_db(laid.clean, laid.worn, under)
                    gains.setdefault(shown, {}).setdefault(name, []).append(gain)
        levels["none" if level_db is None else f"{level_db:g} dB"] = {
            shown: {
                name: {
                    "median_db": round(float(np.nanmedian(own)), 2),
                    "mean_db": round(float(np.nanmean(own)), 2),
                }
                for name, own in rows.items()
            }
            for shown, rows in gains.items()
        }
        print(level_db, json.dumps(levels), flush=True)
    result = {
        "schema": "declick-rumble/1",
        "command": "python benchmarks/rumble.py --clean DIR --groove DIR",
        "recordings": len(music),
        "groove": GROOVE,
        "rumble_over_music": levels,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
