"""What a second copy gains over one copy alone, for ticks and for dropouts, and what it refuses.

    python benchmarks/merge.py --clean DIR --output results/merge.json

DIR holds clean excerpts. Each is played on a second, imperfect turntable through another equalizer;
both get noise (-45 dB) and clicks of their own (5/s). The dropout set has dropouts of 2-50 ms in A
in place of the clicks. Gains are of the signal-to-error ratio over the damaged samples, against A
as it was before the damage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import bilinear, lfilter

from declick import __version__
from declick.align import align
from declick.align.simulate import Turntable, second_copy
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import WearSettings, draw_wear
from declick.damage.model import Family
from declick.errors import NotSameRecordingError
from declick.pipeline import Second, restore
from declick.read import Recording

NOISE_DB = -45.0
RATES_HZ = {Family.TICK: 3.5, Family.POP: 1.0, Family.RING: 0.3, Family.THUMP: 0.2}
DROPOUTS_MS = (2.0, 5.0, 10.0, 20.0, 50.0)
SPACING_S, FADE_MS = 0.7, 1.0
# Damage weaker than this, against the music around, is not heard and not counted by event.
HEARD_DB = -30.0
REFUSALS = 50
Spans = list[tuple[int, int, int]]


def noisy(rng: np.random.Generator, sound: FloatArray) -> FloatArray:
    level = np.sqrt((sound**2).mean()) * 10 ** (NOISE_DB / 20)
    added: FloatArray = sound + level * rng.standard_normal(sound.shape)
    return added


def worn(rng: np.random.Generator, sound: FloatArray, rate: int) -> tuple[FloatArray, Spans]:
    settings = WearSettings(rates_hz=RATES_HZ, bed=False)
    laid = wear(sound, rate, draw_wear(rng, len(sound) / rate, settings))
    return laid.worn, [(click.start, click.tail, click.channel) for click in laid.clicks]


def dropped(rng: np.random.Generator, sound: FloatArray, rate: int) -> tuple[FloatArray, Spans]:
    result, spans = sound.copy(), []
    for number, at in enumerate(np.arange(1.0, len(sound) / rate - 1.0, SPACING_S)):
        length = round(1e-3 * DROPOUTS_MS[number % len(DROPOUTS_MS)] * rate)
        start = round((at + rng.uniform(0, 0.3)) * rate)
        fade = min(round(1e-3 * FADE_MS * rate), length // 4)
        gain = np.zeros(length)
        gain[:fade] = 0.5 + 0.5 * np.cos(np.pi * np.arange(fade) / fade)
        gain[length - fade :] = gain[:fade][::-1]
        result[start : start + length] *= gain[:, None]
        spans += [(start, start + length, channel) for channel in range(sound.shape[1])]
    return result, spans


def shelf(sound: FloatArray, rate: int, gain_db: float, corner_hz: float) -> FloatArray:
    gain, corner = 10 ** (gain_db / 20), 2 * np.pi * corner_hz
    b, a = bilinear([np.sqrt(gain), corner], [1 / np.sqrt(gain), corner], rate)
    shaped: FloatArray = lfilter(b, a, sound, axis=0)
    return shaped


def draw_turntable(rng: np.random.Generator) -> Turntable:
    return Turntable(
        speed=1 + rng.uniform(-0.03, 0.03),
        start_s=-rng.uniform(0.3, 1.0),
        wow=rng.uniform(0.001, 0.005),
        wow_phase=rng.uniform(0, 6.28),
        flutter=rng.uniform(0.0002, 0.0005),
        flutter_hz=rng.uniform(5, 10),
    )


def gains(before: FloatArray, after: FloatArray, clean: FloatArray, spans: Spans) -> dict[str, Any]:
    """Return the gain over all damaged samples, and the median over the damages that are heard."""
    mask = np.zeros(clean.shape, dtype=bool)
    events = []
    for start, stop, channel in spans:
        here = slice(max(start, 0), stop), channel
        mask[here] = True
        bad, left = (float(np.sum((sound - clean)[here] ** 2)) for sound in (before, after))
        around = slice(max(start - 2205, 0), stop + 2205), channel
        music = float(np.mean(clean[around] ** 2)) * (stop - start)
        if bad > 10 ** (HEARD_DB / 10) * music:
            events.append(10 * np.log10(bad / max(left, 1e-20)))
    bad, left = (float(np.sum((sound - clean)[mask] ** 2)) for sound in (before, after))
    off = float(np.sum((after - clean)[~mask] ** 2) / np.sum(clean[~mask] ** 2))
    return {
        "gain_db": round(10 * float(np.log10(bad / max(left, 1e-20))), 2),
        "median_event_db": round(float(np.median(events)), 2) if events else None,
        "mended": int(np.sum(np.array(events) > 10.0)),
        "worse": int(np.sum(np.array(events) < -1.0)),
        "events": len(events),
        "off_target_db": round(10 * float(np.log10(off + 1e-12)), 1),
    }


def measure(path: Path, number: int, seconds: float, damage: str) -> dict[str, Any]:
    clean, rate = soundfile.read(path, always_2d=True)
    clean = clean[: round(seconds * rate)]
    rng = np.random.default_rng([number, damage == "dropouts"])
    turntable = draw_turntable(rng)
    copy = second_copy(clean, rate, turntable, (len(clean) / rate + 1.5) / turntable.speed)
    copy = shelf(shelf(copy, rate, rng.uniform(-4, 4), 2000.0), rate, rng.uniform(-4, 4), 300.0)
    reference = noisy(rng, clean)
    second, _ = worn(rng, noisy(rng, 0.8 * copy), rate)
    first, spans = (dropped if damage == "dropouts" else worn)(rng, reference, rate)
    row: dict[str, Any] = {"name": path.stem, "damage": damage}
    a, b = Recording.from_array(first, rate), Recording.from_array(second, rate)
    alone = restore(a, mono_record=False)
    assert alone.samples is not None
    row["alone"] = gains(first, alone.samples, reference, spans)
    begin = time.process_time()
    try:
        done = restore(a, seconds=[Second(recording=b)])
    except NotSameRecordingError as error:
        return row | {"refused": str(error)}
    assert done.samples is not None
    row["cpu_s"] = round(time.process_time() - begin, 2)
    row["merged"] = gains(first, done.samples, reference, spans)
    row["methods"] = dict(sorted(Counter(done.totals.by_method).items()))
    row["residual_db"] = done.copies[0]["residual_db"]
    return row


def count_false_merges(paths: list[Path], seconds: float) -> dict[str, Any]:
    """Offer wrong copies: other music, silence, noise; count those that are taken."""
    rng = np.random.default_rng(1)
    taken = []
    for _ in range(REFUSALS):
        first, second = (paths[i] for i in rng.choice(len(paths), 2, replace=False))
        clean, rate = soundfile.read(first, always_2d=True)
        other, other_rate = soundfile.read(second, always_2d=True)
        kind = rng.choice(["music", "music", "music", "noise", "silence"])
        if kind != "music":
            other = rng.standard_normal(other.shape) * (0.05 if kind == "noise" else 1e-5)
        length = round(seconds * rate)
        a = Recording.from_array(worn(rng, noisy(rng, clean[:length]), rate)[0], rate)
        b = Recording.from_array(noisy(rng, other[: round(seconds * other_rate)]), other_rate)
        try:
            align(a, b)
            taken.append([first.stem, second.stem, str(kind)])
        except NotSameRecordingError:
            continue
    return {"tries": REFUSALS, "taken": taken}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean excerpts")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--every", type=int, default=1, help="take every n-th excerpt")
    parser.add_argument("--no-refusals", action="store_true")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    paths = sorted(chosen.clean.glob("*.flac"))[:: chosen.every]
    if not paths:
        parser.error(f"{chosen.clean} holds no .flac files")
    rows = []
    for number, path in enumerate(paths):
        for damage in ("ticks", "dropouts"):
            rows.append(measure(path, number, chosen.seconds, damage))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    result: dict[str, Any] = {
        "schema": "declick-merge/1",
        "command": "python benchmarks/merge.py --clean DIR --output results/merge.json",
        "declick": __version__,
        "seconds": chosen.seconds,
        "rows": rows,
    }
    for damage in ("ticks", "dropouts"):
        for name in ("alone", "merged"):
            own = [row[name] for row in rows if row["damage"] == damage and name in row]
            result[f"{damage}_{name}"] = {
                key: round(float(np.median([r[key] for r in own if r[key] is not None])), 2)
                for key in ("gain_db", "median_event_db", "off_target_db")
            } | {key: sum(row[key] for row in own) for key in ("mended", "worse", "events")}
            print(damage, name, result[f"{damage}_{name}"])
    if not chosen.no_refusals:
        result["refusals"] = count_false_merges(paths, chosen.seconds)
        print(result["refusals"])
    if chosen.output:
        chosen.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
