"""Gap repair with given masks: signal to error ratio over the gap, by gap length and method.

Each excerpt gets a bed of white noise 50 dB below its power (several have an empty top octave,
which flatters linear prediction). Gaps are cut at seeded positions, uniform in time among those
whose own energy is at least 10 dB above the bed's; one gap at a time on one channel, its samples
replaced by loud noise, so that a method that peeked would be seen. Smoothing is left out: it rests
on what the gap still holds, and here that is nothing. Parameters were chosen on the
odd excerpts (first, third, ... in alphabetical order); the even ones are held out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import soundfile
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

import declick
from declick.clicks import Click
from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.choose import repair_passage
from declick.repair.passage import Passage, plan_passages
from declick.repair.solve import solve_missing
from declick.settings import METHODS, RepairSettings

FloatArray = NDArray[np.float64]

SCHEMA = 1
LENGTHS_MS = (0.25, 1.0, 2.0, 5.0, 10.0, 20.0)
BED_DB = -50.0
ABOVE_BED_DB = 10.0
BASELINE = "ar-64/512"


@dataclass
class Scores:
    """Gap SDRs and processor times of one method at one length."""

    sdr_db: list[float] = field(default_factory=list)
    excerpt: list[int] = field(default_factory=list)
    seconds: float = 0.0
    chosen: dict[str, int] = field(default_factory=dict)


def bedded(samples: FloatArray, seed: int) -> tuple[FloatArray, float]:
    """Return the excerpt on its noise bed, and the bed's power."""
    power = float(np.mean(samples**2)) * 10 ** (BED_DB / 10)
    noise = np.random.default_rng([seed, 0]).standard_normal(samples.shape)
    return samples + np.sqrt(power) * noise, power


def draw_gaps(
    samples: FloatArray, bed: float, length: int, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return (start, channel) of gaps that hold more than the bed."""
    gaps: list[tuple[int, int]] = []
    for _ in range(200 * count):
        start = int(rng.integers(0, len(samples) - length))
        channel = int(rng.integers(0, samples.shape[1]))
        part = samples[start : start + length, channel]
        if float(np.mean(part**2)) > bed * 10 ** (ABOVE_BED_DB / 10):
            gaps.append((start, channel))
        if len(gaps) == count:
            break
    return gaps


def fill_like_peers(samples: FloatArray, click: Click, sample_rate: int) -> tuple[FloatArray, str]:
    """Return the gap filled by one pass of AR-64 on 512 samples around it."""
    lo, hi = max(click.start - 256, 0), min(click.stop + 256, len(samples))
    part = samples[lo:hi, click.channel].copy()
    run = (click.start - lo, click.stop - lo)
    part[slice(*run)] = 0.0
    window = np.hanning(part.size + 2)[1:-1]
    coefficients = prediction_filter(autocorrelation(part * window, 64))[0]
    solve_missing(part, [run], coefficients, errors_for=())
    return part[slice(*run)], BASELINE


def fill_by(method: str) -> Callable[[FloatArray, Click, int], tuple[FloatArray, str]]:
    """Return the filling function of a named method, as the pipeline calls it."""
    settings = RepairSettings(method=method, keep_weak=False)

    def fill(samples: FloatArray, click: Click, sample_rate: int) -> tuple[FloatArray, str]:
        (plan,) = plan_passages([click], sample_rate=sample_rate, settings=settings)
        held = np.zeros((plan.stop - plan.start, samples.shape[1]))
        lo, hi = max(plan.start, 0), min(plan.stop, len(samples))
        held[lo - plan.start : hi - plan.start] = samples[lo:hi]
        passage = Passage(
            start=plan.start,
            sample_rate=sample_rate,
            samples=held,
            valid=(0, len(samples)),
            clicks=plan.own,
            own=plan.own,
        )
        (repair,) = repair_passage(passage, settings=settings)
        return repair.samples, repair.method

    return fill


def measure(
    paths: Sequence[Path], *, gaps: int, seed: int, lengths_ms: Sequence[float]
) -> dict[float, dict[str, Scores]]:
    """Fill seeded gaps in every excerpt by every method; "auto, mono" sees one channel alone."""
    methods: dict[str, Callable[[FloatArray, Click, int], tuple[FloatArray, str]]] = {
        BASELINE: fill_like_peers,
        "auto, mono": fill_by("auto"),
    }
    methods |= {method: fill_by(method) for method in METHODS if method != "smooth"}
    table: dict[float, dict[str, Scores]] = {
        length: {name: Scores() for name in methods} for length in lengths_ms
    }
    for number, path in enumerate(paths):
        read, sample_rate = soundfile.read(path, dtype="float64", always_2d=True)
        samples, bed = bedded(read, seed + number)
        for length_ms in lengths_ms:
            length = max(1, round(1e-3 * length_ms * sample_rate))
            rng = np.random.default_rng([seed, number, length])
            for start, channel in draw_gaps(samples, bed, length, gaps, rng):
                span = slice(start, start + length)
                truth = samples[span, channel].copy()
                samples[span, channel] = rng.standard_normal(length)
                for name, fill in methods.items():
                    mono = name == "auto, mono"
                    click = Click(start, start + length, start + length, 0 if mono else channel)
                    given = samples[:, channel : channel + 1] if mono else samples
                    begin = time.process_time()
                    filled, chosen = fill(given, click, sample_rate)
                    scores = table[length_ms][name]
                    scores.seconds += time.process_time() - begin
                    error = float(np.sum((truth - filled) ** 2))
                    ratio = float(np.sum(truth**2)) / max(error, 1e-30)
                    scores.sdr_db.append(10 * np.log10(ratio))
                    scores.excerpt.append(number)
                    scores.chosen[chosen] = scores.chosen.get(chosen, 0) + 1
                samples[span, channel] = truth
        print(f"{number + 1}/{len(paths)} {path.stem}", file=sys.stderr)
    return table


def summary(scores: Scores, names: Sequence[str]) -> dict[str, Any]:
    """Return medians and quartiles, over all, the held-out half, and per excerpt."""
    sdr, excerpt = np.array(scores.sdr_db), np.array(scores.excerpt)
    low, median, high = (float(q) for q in np.quantile(sdr, (0.25, 0.5, 0.75)))
    held_out = sdr[excerpt % 2 == 1]
    return {
        "gaps": int(sdr.size),
        "median_db": round(median, 2),
        "quartiles_db": [round(low, 2), round(high, 2)],
        "median_held_out_db": round(float(np.median(held_out)), 2) if held_out.size else None,
        "cpu_ms_per_gap": round(1e3 * scores.seconds / sdr.size, 2),
        "chosen": dict(sorted(scores.chosen.items())),
        "excerpt_median_db": {
            names[number]: round(float(np.median(sdr[excerpt == number])), 2)
            for number in sorted(set(scores.excerpt))
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean excerpts")
    parser.add_argument("--gaps", type=int, default=20, help="gaps per excerpt and length")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lengths-ms", type=float, nargs="+", default=list(LENGTHS_MS))
    parser.add_argument("--output", type=Path, help="JSON file to write")
    chosen = parser.parse_args(arguments)
    paths = sorted(chosen.clean.glob("*.flac")) + sorted(chosen.clean.glob("*.wav"))
    if not paths:
        parser.error(f"{chosen.clean} holds no .flac or .wav files")
    with threadpool_limits(1):
        table = measure(paths, gaps=chosen.gaps, seed=chosen.seed, lengths_ms=chosen.lengths_ms)
    names = [path.stem for path in paths]
    rows = {
        f"{length:g}": {name: summary(scores, names) for name, scores in methods.items()}
        for length, methods in table.items()
    }
    print(f"{'gap':>8}  {'method':<11} {'median':>7} {'held out':>8} {'quartiles':>15} {'ms':>7}")
    for length_ms, methods in rows.items():
        for name, row in methods.items():
            low, high = row["quartiles_db"]
            print(
                f"{length_ms + ' ms':>8}  {name:<11} {row['median_db']:7.2f} "
                f"{row['median_held_out_db'] or float('nan'):8.2f} "
                f"{low:7.2f}{high:8.2f} {row['cpu_ms_per_gap']:7.2f}"
            )
    if chosen.output:
        given = {"gaps": chosen.gaps, "seed": chosen.seed, "lengths_ms": chosen.lengths_ms}
        result = {
            "schema": SCHEMA,
            "benchmark": "gap_sdr",
            "command": "python benchmarks/gap_sdr.py --clean DIR --output results/gap_sdr.json",
            "settings": given | {"bed_db": BED_DB, "above_bed_db": ABOVE_BED_DB},
            "versions": {
                "declick": declick.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
            "excerpts": names,
            "rows": rows,
        }
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
