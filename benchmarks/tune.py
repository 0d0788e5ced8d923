"""What tuning to one record player gains there, and loses elsewhere.

Two peculiar players are made up. "dull": its pick-up is dull and knocks slowly and loudly, its ring
is low and long, its crackle is wide. "bright": it rings high and briefly behind slow knocks, and
clicks more often. Fifteen pieces of music are worn by each: ten pairs to learn from, five held out.
Other music is worn as records usually are, by a player drawn anew for each piece. The weights
restore all of it before and after tuning. Settings were chosen on "dull" alone.

    python benchmarks/tune.py --weights WEIGHTS.onnx --clean DIR [--music CORPUS]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick.cli import main as declick
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.model import Chain, Damage, Wear
from declick.damage.sets import SETS
from declick.train.judge import Judgement, judge, summarize
from declick.train.music import Music, open_music
from declick.train.pairs import as_excerpt, find_pairs, read_pair
from declick.train.worn import WornExcerpt


@dataclass(frozen=True, kw_only=True)
class Player:
    """A made-up record player.

    Parameters
    ----------
    chain : Chain
    rates_hz : dict of Family to float
    width, level_db : float
        Clicks are wider by this factor, and louder by so much, than elsewhere.
    """

    chain: Chain
    rates_hz: dict[Family, float]
    width: float
    level_db: float

    def shape(self, damage: Damage) -> Damage:
        """Return damage as its stylus makes it."""
        width_s = min(self.width * damage.width_s, 0.02)
        return replace(damage, width_s=width_s, level_db=damage.level_db + self.level_db)


PLAYERS = {
    "dull": Player(
        chain=Chain(
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
        ),
        rates_hz={Family.TICK: 2.0, Family.POP: 1.0, Family.CRACKLE: 10.0, Family.RING: 0.7},
        width=2.2,
        level_db=-5.0,
    ),
    "bright": Player(
        chain=Chain(
            turn_s=1.333,
            bass_s=0.0,
            turnover_s=0.0,
            treble_s=0.0,
            low_cut_hz=60.0,
            pickup_hz=5000.0,
            ring_hz=3100.0,
            ring_decay_s=0.009,
            knock_hz=420.0,
            knock_decay_s=2.5e-3,
            knock_db=-1.0,
            hump_hz=3800.0,
            hump_decay_s=0.5e-3,
            hump_db=-4.0,
        ),
        rates_hz={Family.TICK: 3.0, Family.POP: 1.5, Family.CRACKLE: 6.0},
        width=1.4,
        level_db=-3.0,
    ),
}
ELSEWHERE = ("tick", "pop", "ring", "thump", "crackle", "worn", "control")
EXCERPT_S = 8.0
PAIRS, HELD_OUT, SEED = 15, 5, 3


def read_music(path: Path) -> tuple[FloatArray, int]:
    sound, rate = soundfile.read(path, always_2d=True)
    return 0.4 * sound[:, :2] / np.abs(sound).max(), rate


def wear_by(
    player: Player, music: FloatArray, rate: int, number: int
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng([SEED, number])
    settings = WearSettings(rates_hz=player.rates_hz, bed=True, equalisation="none")
    drawn = draw_wear(rng, len(music) / rate, settings, chain=player.chain)
    drawn = Wear(
        seed=drawn.seed,
        duration_s=drawn.duration_s,
        chain=player.chain,
        damages=tuple(map(player.shape, drawn.damages)),
        bed=drawn.bed,
    )
    laid = wear(music, rate, drawn)
    return laid.worn, laid.clean


def make_pairs(player: Player, music: list[Path], folder: Path) -> None:
    """Write pairs as a user would have them: two files, no labels."""
    folder.mkdir()
    for number, path in enumerate(music):
        sound, rate = read_music(path)
        worn, clean = wear_by(player, sound, rate, number)
        for name, values in (("before", worn), ("after", clean)):
            target = folder / f"{number:02d}-{path.stem}-{name}.flac"
            soundfile.write(target, np.clip(values, -1.0, 1.0), rate, subtype="PCM_24")


def make_elsewhere(
    files: list[Path], corpus: Music | None, count: int
) -> dict[str, list[WornExcerpt]]:
    """Return music that is worn as the bench wears it: each file by each set, then the corpus."""
    made: dict[str, list[WornExcerpt]] = {}
    for number in range(count):
        name, turn = ELSEWHERE[number % len(ELSEWHERE)], number // len(ELSEWHERE)
        rng = np.random.default_rng([SEED, 100 + number])
        if turn < len(files):
            source = files[turn].stem
            sound, rate = read_music(files[turn])
        elif corpus is not None:
            sound, rate, source = corpus.draw(rng, "valid", EXCERPT_S)
            sound = 0.4 * sound / max(float(np.abs(sound).max()), 1e-3)
        else:
            break
        laid = wear(sound, rate, draw_wear(rng, len(sound) / rate, SETS[name]))
        excerpt = as_excerpt(laid.worn, laid.clean, laid.clicks, rate, name=source)
        made.setdefault(name, []).append(excerpt)
    return made


def judge_all(
    held: list[WornExcerpt], elsewhere: dict[str, list[WornExcerpt]], weights: Path
) -> tuple[dict[str, Any], list[Judgement]]:
    """Return what weights make of it, and of each recording of elsewhere."""
    by_set = {name: judge(made, weights) for name, made in elsewhere.items()}
    every = [item for made in by_set.values() for item in made]
    told = {
        "its records": plain(judge(held, weights)),
        "elsewhere": plain(every),
        "by set": {name: plain(made) for name, made in by_set.items()},
    }
    return told, every


def tell_change(before: list[Judgement], after: list[Judgement]) -> dict[str, float]:
    """Return by how many dB the gain rose, recording by recording."""
    rises = np.array([new.gain_db - old.gain_db for old, new in zip(before, after, strict=True)])
    rises = rises[np.isfinite(rises)]
    told = {
        "mean": rises.mean(),
        "median": np.median(rises),
        "least": rises.min(),
        "most": rises.max(),
    }
    return {name: round(float(value), 3) for name, value in told.items()}


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
    parser.add_argument("--elsewhere", type=int, default=42, help="recordings of other music")
    parser.add_argument("--output", type=Path, default=Path("results/tune.json"))
    options = parser.parse_args()

    theirs, others = split_music(options.clean)
    corpus = open_music(options.music) if options.music else None
    elsewhere = make_elsewhere(others, corpus, options.elsewhere)
    players = {}
    for name, player in PLAYERS.items():
        with tempfile.TemporaryDirectory() as folder:
            players[name] = bench(player, theirs, elsewhere, Path(folder), options)
        print(name, json.dumps(players[name], indent=1), flush=True)
    result = {
        "schema": "declick-tune-bench/2",
        "command": "python benchmarks/tune.py --weights WEIGHTS.onnx --clean DIR"
        + (" --music CORPUS" if options.music else "")
        + f" --elsewhere {options.elsewhere}",
        "weights": options.weights.stem,
        "corpus": bool(options.music),
        "pairs": PAIRS - HELD_OUT,
        "elsewhere": sum(map(len, elsewhere.values())),
        "players": players,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def bench(
    player: Player,
    music: list[Path],
    elsewhere: dict[str, list[WornExcerpt]],
    folder: Path,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return what tuning to one player comes to."""
    make_pairs(player, music[:-HELD_OUT], folder / "learn")
    make_pairs(player, music[-HELD_OUT:], folder / "held")
    held = [read_pair(pair) for pair in find_pairs(folder / "held")]
    tuned = folder / "mine.onnx"
    words = ["train", "--from", options.weights, "--pairs", folder / "learn", "-o", tuned]
    words += ["--music", options.music] if options.music else []
    begun = time.monotonic()
    if declick([str(word) for word in words]):
        raise SystemExit("the command failed")
    seconds = time.monotonic() - begun
    before, old = judge_all(held, elsewhere, options.weights)
    after, new = judge_all(held, elsewhere, tuned)
    return {
        "seconds_with_report": round(seconds, 1),
        "tuned": json.loads(tuned.with_suffix(".json").read_text()).get("tuned"),
        "before": before,
        "after": after,
        "rise elsewhere in dB": tell_change(old, new),
    }


if __name__ == "__main__":
    main()
