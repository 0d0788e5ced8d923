"""What tuning to one record player gains there, and loses elsewhere.

A peculiar player is made up: its pick-up is dull and knocks slowly and loudly, its ring is low and
long, its equalisation is none, its crackle is wide. Fifteen pieces of music are worn by it: ten
pairs to learn from, five held out. Other music is worn as records usually are. The weights restore
all of it before and after tuning.

    python benchmarks/tune.py --weights WEIGHTS.onnx --clean DIR [--music CORPUS]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.model import Chain, Damage, Wear
from declick.damage.sets import SETS
from declick.train.examples import WornExcerpt
from declick.train.judge import Judgement, judge, summarize
from declick.train.pairs import as_excerpt, find_pairs, read_pair

PECULIAR = Chain(
    turn_s=1.8,
    bass_s=0.0,
    turnover_s=0.0,
    treble_s=0.0,
    low_cut_hz=120.0,
    pickup_hz=2500.0,
    ring_hz=1150.0,
    ring_decay_s=0.028,
    knock_hz=850.0,
    knock_decay_s=1.2e-3,
    knock_db=-3.0,
    hump_hz=6500.0,
    hump_decay_s=0.9e-3,
    hump_db=-7.0,
)
RATES = {Family.TICK: 2.0, Family.POP: 1.0, Family.CRACKLE: 10.0, Family.RING: 0.7}
ELSEWHERE = ("tick", "pop", "ring", "thump", "crackle", "worn", "control")
PAIRS, HELD_OUT, SEED = 15, 5, 3


def read_music(path: Path) -> tuple[FloatArray, int]:
    sound, rate = soundfile.read(path, always_2d=True)
    return 0.4 * sound[:, :2] / np.abs(sound).max(), rate


def peculiar(damage: Damage) -> Damage:
    """Its stylus is wide and its arm is light: what is long elsewhere is longer, and softer."""
    return replace(damage, width_s=min(2.2 * damage.width_s, 0.02), level_db=damage.level_db - 5.0)


def wear_peculiarly(music: FloatArray, rate: int, number: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng([SEED, number])
    settings = WearSettings(rates_hz=RATES, bed=True, equalisation="none")
    drawn = draw_wear(rng, len(music) / rate, settings, chain=PECULIAR)
    drawn = Wear(
        seed=drawn.seed,
        duration_s=drawn.duration_s,
        chain=PECULIAR,
        damages=tuple(map(peculiar, drawn.damages)),
        bed=drawn.bed,
    )
    laid = wear(music, rate, drawn)
    return laid.worn, laid.clean


def make_pairs(music: list[Path], folder: Path) -> None:
    """Write pairs as a user would have them: two files, no labels."""
    for number, path in enumerate(music):
        sound, rate = read_music(path)
        worn, clean = wear_peculiarly(sound, rate, number)
        for name, values in (("before", worn), ("after", clean)):
            target = folder / f"{number:02d}-{path.stem}-{name}.flac"
            soundfile.write(target, np.clip(values, -1.0, 1.0), rate, subtype="PCM_24")


def make_elsewhere(music: list[Path]) -> dict[str, list[WornExcerpt]]:
    """Return music that is worn as the bench wears it."""
    made: dict[str, list[WornExcerpt]] = {}
    for number, path in enumerate(music):
        name = ELSEWHERE[number % len(ELSEWHERE)]
        sound, rate = read_music(path)
        rng = np.random.default_rng([SEED, 100 + number])
        laid = wear(sound, rate, draw_wear(rng, len(sound) / rate, SETS[name]))
        excerpt = as_excerpt(laid.worn, laid.clean, laid.clicks, rate, name=path.stem)
        made.setdefault(name, []).append(excerpt)
    return made


def plain(found: list[Judgement]) -> dict[str, Any]:
    return {
        name: round(value, 3) if math.isfinite(value) else None
        for name, value in asdict(summarize(found)).items()
    }


def split_music(folder: Path) -> tuple[list[Path], list[Path]]:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".flac", ".wav"))
    random.Random(SEED).shuffle(files)
    return files[:PAIRS], files[PAIRS:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--clean", type=Path, required=True, help="a folder of clean music")
    parser.add_argument("--music", type=Path, help="the base corpus, for --music of the command")
    parser.add_argument("--elsewhere", type=int, default=28, help="pieces of other music")
    parser.add_argument("--output", type=Path, default=Path("results/tune.json"))
    options = parser.parse_args()
    from declick.cli import main as declick

    theirs, others = split_music(options.clean)
    elsewhere = make_elsewhere(others[: options.elsewhere])
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "learn").mkdir()
        (folder / "held").mkdir()
        make_pairs(theirs[:-HELD_OUT], folder / "learn")
        make_pairs(theirs[-HELD_OUT:], folder / "held")
        held = [read_pair(pair) for pair in find_pairs(folder / "held")]
        tuned = folder / "mine.onnx"
        words = ["train", "--from", options.weights, "--pairs", folder / "learn", "-o", tuned]
        words += ["--music", options.music] if options.music else []
        begun = time.monotonic()
        if declick([str(word) for word in words]):
            raise SystemExit("the command failed")
        seconds = time.monotonic() - begun
        for label, weights in (("before", options.weights), ("after", tuned)):
            by_set = {set_: judge(made, weights) for set_, made in elsewhere.items()}
            found[label] = {
                "its records": plain(judge(held, weights)),
                "elsewhere": plain([item for made in by_set.values() for item in made]),
                "by set": {set_: plain(made) for set_, made in by_set.items()},
            }
            print(label, found[label], flush=True)
        card = json.loads(tuned.with_suffix(".json").read_text())
    result = {
        "schema": "declick-tune-bench/1",
        "command": "python benchmarks/tune.py --weights WEIGHTS.onnx --clean DIR"
        + (" --music CORPUS" if options.music else "")
        + f" --elsewhere {options.elsewhere}",
        "weights": options.weights.stem,
        "corpus": bool(options.music),
        "pairs": PAIRS - HELD_OUT,
        "seconds_with_report": round(seconds, 1),
        "tuned": card.get("tuned"),
        **found,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
