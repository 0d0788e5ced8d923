"""Measure how well rings and thumps are found and taken out of real music.

Known rings and thumps are laid over clean excerpts, with rubbish in their cores. The score of a
separation is ``10 log10(sum(d^2) / sum((d - taken)^2))`` over the tail, d being the true tail: by
how much the error against the clean sound falls. ``projection_db`` is the milder measure, the
share of d that can still be found in the result. Thresholds were chosen on the excerpts at even
places of the sorted folder (0, 2, ...); the others are held out.

    python benchmarks/tails.py --clean DIR --output results/tails.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick import __version__
from declick.clicks import Click, Kind
from declick.detect.tails import TailFinder
from declick.dsp.chain import Chain, estimate_chain
from declick.dsp.rings import Ring
from declick.repair.separate import subtract_tails

FloatArray = NDArray[np.float64]

RING_LEVELS_DB = (-6.0, 0.0, 6.0)
THUMP_LEVELS_DB = (0.0, 5.0, 10.0, 15.0)
RING_S, THUMP_S = 0.045, 0.1
NOISE_BED_DB = -50.0
MARGIN_S = 0.75
APART_S = 0.4


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A drawn tail: its samples from the core's start, its envelope, its ring if it is one."""

    samples: FloatArray
    envelope: FloatArray
    ring: Ring | None


def draw_ring(rng: np.random.Generator, rate: int, frames: int, ring: Ring | None = None) -> Tail:
    """Draw a ring, or only the phase of a given one."""
    frequency, decay = rng.uniform(2000.0, 8000.0), rng.uniform(0.010, 0.015)
    if ring is not None:
        frequency, decay = ring.frequency_hz, ring.decay_s
    seconds = np.arange(frames) / rate
    level = np.exp(-seconds / decay)
    wave = level * np.cos(2 * math.pi * (frequency * seconds + rng.uniform()))
    return Tail(samples=wave, envelope=level, ring=Ring(frequency_hz=frequency, decay_s=decay))


def draw_thump(rng: np.random.Generator, rate: int, frames: int) -> Tail:
    """Half of them with the phase as an integral, half with Esquef's ``t * f(t)``."""
    first, last = rng.uniform(70.0, 130.0), rng.uniform(8.0, 20.0)
    fall, decay = rng.uniform(0.02, 0.08), THUMP_S / math.log(10 ** (30 / 20))
    seconds = np.arange(frames) / rate
    if rng.random() < 0.5:
        turns = last * seconds + (first - last) * fall * (1.0 - np.exp(-seconds / fall))
    else:
        turns = seconds * (last + (first - last) * np.exp(-seconds / fall))
    level = np.exp(-seconds / decay)
    return Tail(samples=level * np.sin(2 * math.pi * turns), envelope=level, ring=None)


def rms(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(sound**2))) + 1e-12


def band_level(before: FloatArray, rate: int, ring: Ring | None) -> float:
    """Return the level of the music before a click, in the octave around a ring or in all."""
    if ring is None:
        return rms(before[-rate // 5 :])
    stretch = before[-rate // 10 :]
    power = np.abs(np.fft.rfft(stretch * np.hanning(stretch.size))) ** 2
    hertz = np.arange(power.size) * rate / stretch.size
    near = np.abs(np.log2(np.maximum(hertz, 1.0) / ring.frequency_hz)) < 0.5
    return math.sqrt(2.0 * float(power[near].sum()) / 0.375) / stretch.size + 1e-12


def load(path: Path, rng: np.random.Generator) -> tuple[FloatArray, int]:
    """Return the first channel over a bed of noise."""
    sound, rate = soundfile.read(path, dtype="float64", always_2d=True)
    mono = sound[:, 0]
    bed = rng.standard_normal(mono.size) * rms(mono) * 10 ** (NOISE_BED_DB / 20)
    return mono + bed, int(rate)


def separate_once(
    clean: FloatArray, rate: int, kind: Kind, level_db: float, rng: np.random.Generator
) -> dict[str, float]:
    """Lay one tail over the music and take it out again; -inf dB: claimed, but not there."""
    core = int(rng.integers(10, 90))
    start = int(rng.integers(int(MARGIN_S * rate), clean.size - int(MARGIN_S * rate)))
    length = int((THUMP_S if kind is Kind.THUMP else RING_S) * rate)
    drawn = (draw_thump if kind is Kind.THUMP else draw_ring)(rng, rate, core + 3 * length)
    deviation = rng.uniform(-1.0, 1.0, 2)
    low, high = start - int(MARGIN_S * rate), start + int(MARGIN_S * rate)
    music = clean[low:high]
    start -= low
    stop, tail = start + core, start + core + length
    local = rms(music[start - rate // 10 : start + rate // 10])
    wave = drawn.samples * local * 10 ** (level_db / 20)
    damaged = music.copy()
    damaged[start:] += np.pad(wave, (0, damaged.size))[: damaged.size - start]
    missing = np.zeros(damaged.size, dtype=bool)
    missing[start:stop] = True
    damaged[missing] += rng.standard_normal(core) * local * 5.0
    truth = wave[core : core + length]
    scores = {}
    chains: dict[str, Chain | None] = {"": None}
    if drawn.ring is not None:
        near = Ring(
            frequency_hz=drawn.ring.frequency_hz * (1.0 + 0.005 * deviation[0]),
            decay_s=drawn.ring.decay_s * (1.0 + 0.15 * deviation[1]),
        )
        chains["chain_"] = Chain(rings=((near,),))
    for prefix, chain in chains.items():
        begin = time.perf_counter()
        mended = subtract_tails(
            damaged, missing, [(stop, tail, kind)], sample_rate=rate, chain=chain
        )
        scores[prefix + "ms"] = 1e3 * (time.perf_counter() - begin)
        error = (mended - music)[stop:tail]
        if math.isinf(level_db):
            ratio = float(error @ error) / rms(music[stop:tail]) ** 2 / length
            scores[prefix + "changed_db"] = max(10 * math.log10(ratio + 1e-20), -200.0)
        else:
            energy = float(truth @ truth)
            scores[prefix + "gone_db"] = 10 * math.log10(energy / float(error @ error))
            share = abs(float(error @ truth)) / energy
            scores[prefix + "projection_db"] = -20 * math.log10(share + 1e-10)
    return scores


def find_all(
    clean: FloatArray, rate: int, kind: Kind | None, level_db: float, rng: np.random.Generator
) -> dict[str, dict[str, list[float]]]:
    """Lay a tail behind every core of a row of them and look for the tails.

    All rings of an excerpt have one frequency and decay; they are looked for without the chain,
    and with the chain that `estimate_chain` finds from the cores.
    """
    damaged = clean.copy()
    cores, ends = [], []
    constant = draw_ring(rng, rate, 1).ring
    for place in np.arange(int(MARGIN_S * rate), clean.size - int(MARGIN_S * rate), rate * APART_S):
        start = int(place + rng.integers(0, rate // 20))
        core = int(rng.integers(4, 60))
        local = rms(clean[start - rate // 10 : start + rate // 10])
        if kind is not None:
            frames = core + rate // 4
            if kind is Kind.THUMP:
                drawn = draw_thump(rng, rate, frames)
            else:
                drawn = draw_ring(rng, rate, frames, constant)
            amplitude = local * 10 ** (level_db / 20)
            damaged[start : start + frames] += amplitude * drawn.samples
            floor = 0.1 * math.sqrt(2.0) * band_level(clean[:start], rate, drawn.ring)
            heard = np.flatnonzero(amplitude * drawn.envelope > floor)
            ends.append(start + int(heard[-1]) if heard.size else start + core)
        damaged[start : start + core] += rng.standard_normal(core) * local * 3.0
        cores.append((start, start + core))
    clicks = [Click(start, stop, stop, 0) for start, stop in cores]
    chain = estimate_chain(lambda start, stop: damaged[start:stop, None], clicks, sample_rate=rate)
    result = {}
    for name, known in (("", None), (", chain estimated", chain)):
        begin = time.perf_counter()
        found = TailFinder(damaged, cores, sample_rate=rate, chain=known).find()
        spent = 1e3 * (time.perf_counter() - begin) / max(len(cores), 1)
        hits = [
            float(end > stop and (kind is None or (label is Kind.THUMP) == (kind is Kind.THUMP)))
            for (end, label, *_), (_, stop) in zip(found, cores, strict=True)
        ]
        late = [
            1e3 * (end - true) / rate
            for (end, *_), true, hit in zip(found, ends, hits, strict=bool(ends))
            if hit
        ]
        result[name] = {"hits": hits, "late_ms": late, "ms": [spent]}
    return result


def quartiles(values: list[float]) -> dict[str, float]:
    low, middle, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return {
        "median": round(middle, 2),
        "q1": round(low, 2),
        "q3": round(high, 2),
        "count": len(values),
    }


def summarize(rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Quartiles of each score: over all excerpts, the two halves, and each excerpt."""
    names = sorted(rows)
    groups = {"all": names, "tuned": names[::2], "held_out": names[1::2]}
    keys = rows[names[0]][0].keys()
    result: dict[str, Any] = {
        group: {
            key: quartiles([row[key] for name in members for row in rows[name]]) for key in keys
        }
        for group, members in groups.items()
        if members
    }
    result["excerpts"] = {
        name: {key: quartiles([row[key] for row in rows[name]]) for key in keys if "ms" not in key}
        for name in names
    }
    return result


def summarize_finds(rows: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Shares of hits over all excerpts and the two halves; errors of the ends; times."""
    halves = {"share": rows, "tuned": rows[::2], "held_out": rows[1::2]}
    late = [value for row in rows for value in row["late_ms"]]
    result: dict[str, Any] = {
        name: round(float(np.mean([hit for row in half for hit in row["hits"]])), 4)
        for name, half in halves.items()
        if half
    }
    result["count"] = sum(len(row["hits"]) for row in rows)
    result["end_late_ms"] = quartiles(late) if late else None
    result["ms_per_core"] = quartiles([value for row in rows for value in row["ms"]])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean excerpts")
    parser.add_argument("--output", type=Path, default=Path("results/tails.json"))
    parser.add_argument("--tails", type=int, default=12, help="tails per excerpt and level")
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    paths = sorted(options.clean.glob("*.flac"))
    if not paths:
        parser.error(f"{options.clean} holds no FLAC files")
    excerpts = [
        (path.stem, *load(path, np.random.default_rng([options.seed, index])))
        for index, path in enumerate(paths)
    ]
    report: dict[str, Any] = {
        "schema": 1,
        "version": __version__,
        "command": f"python benchmarks/tails.py --clean DIR --tails {options.tails} "
        f"--seed {options.seed}",
        "separation": {},
        "detection": {},
    }
    cases = [(Kind.POP, level) for level in (-math.inf, *RING_LEVELS_DB)]
    cases += [(Kind.THUMP, level) for level in (-math.inf, *THUMP_LEVELS_DB)]
    for kind, level in cases:
        none = math.isinf(level)
        name = "thump" if kind is Kind.THUMP else "ring"
        label = f"{name} none" if none else f"{name} {level:+.0f} dB"
        rows = {}
        found: list[dict[str, dict[str, list[float]]]] = []
        for index, (stem, clean, rate) in enumerate(excerpts):
            rng = np.random.default_rng([options.seed, index, 1])
            rows[stem] = [
                separate_once(clean, rate, kind, level, rng) for _ in range(options.tails)
            ]
            if not none or kind is not Kind.THUMP:
                rng = np.random.default_rng([options.seed, index, 2])
                found.append(find_all(clean, rate, None if none else kind, level, rng))
        report["separation"][label] = summarize(rows)
        overall = report["separation"][label]["all"]
        print(label, {key: value["median"] for key, value in overall.items()}, flush=True)
        for way in found[0] if found else ():
            if way and kind is Kind.THUMP:
                continue
            title = ("false tails" if none else f"recall of {label}") + way
            report["detection"][title] = summarize_finds([row[way] for row in found])
            print(title, report["detection"][title], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
