"""How well two digitizations of one recording are aligned, and how surely others are refused.

    python benchmarks/align.py --clean DIR [--midi DIR --soundfonts A.sf2 B.sf2]

DIR holds clean excerpts. Each is played on a second, imperfect turntable (another beginning, speed,
wow, flutter), in half of the cases through another equalizer; both get noise and clicks of their
own. The exact time map is known, and with it what no map can take of A with B.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import bilinear, lfilter

from declick import __version__
from declick.align import Alignment, align, resample_along
from declick.align.resample import sample_at
from declick.align.simulate import Turntable, second_copy
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import WearSettings, draw_wear
from declick.damage.model import Family
from declick.errors import NotSameRecordingError
from declick.read import Recording

NOISE_DB, CLICKS_HZ = -45.0, 5.0
# Music is where the level of 50 ms is not so far under the whole excerpt's.
MUSIC_DB = -35.0
# The filter between the two that the null is measured with, and the sound it is fitted to.
TAPS, WINDOW_S = 128, 1.0
MISTAKES = (0.741, 1.35, 0.426, 2.348, 1.739, 0.575, 1.08, 0.92)


def dirty(rng: np.random.Generator, sound: FloatArray, rate: int) -> tuple[FloatArray, FloatArray]:
    """Return sound with noise and clicks, and what was added by the clicks."""
    level = np.sqrt((sound**2).mean())
    noisy = sound + rng.standard_normal(sound.shape) * level * 10 ** (NOISE_DB / 20)
    settings = WearSettings(rates_hz={Family.TICK: CLICKS_HZ}, bed=False)
    worn = wear(noisy, rate, draw_wear(rng, len(sound) / rate, settings)).worn
    return worn, worn - noisy


def shelf(sound: FloatArray, rate: int, gain_db: float, corner_hz: float) -> FloatArray:
    """Raise what lies above a corner."""
    gain, corner = 10 ** (gain_db / 20), 2 * np.pi * corner_hz
    b, a = bilinear([np.sqrt(gain), corner], [1 / np.sqrt(gain), corner], rate)
    shaped: FloatArray = lfilter(b, a, sound, axis=0)
    return shaped


def draw_turntable(rng: np.random.Generator) -> Turntable:
    return Turntable(
        speed=1 + rng.uniform(-0.03, 0.03),
        start_s=rng.uniform(0.3, 2.0),
        wow=rng.uniform(0.001, 0.005),
        wow_phase=rng.uniform(0, 6.28),
        flutter=rng.uniform(0.0002, 0.0005),
        flutter_hz=rng.uniform(5, 10),
        flutter_phase=rng.uniform(0, 6.28),
        drift=rng.uniform(-0.001, 0.001),
    )


def delay_errors(
    found: Alignment, turntable: Turntable, clean: FloatArray, rate: int
) -> tuple[FloatArray, FloatArray]:
    """Return errors in frames of A wherever the map holds, and where there is music."""
    frames = np.concatenate([np.arange(i, k, 50) for i, k in found.stretches()])
    frames = frames[frames < len(clean)]
    error = found.where(frames) - turntable.where(frames / rate) * rate
    power = np.convolve((clean**2).mean(axis=1), np.ones(2205) / 2205, "same")[frames]
    return error, power > (clean**2).mean() * 10 ** (MUSIC_DB / 10)


def true_map(found: Alignment, turntable: Turntable, rate: int) -> Alignment:
    """Return the exact map over the time of the one that was found."""
    frames = np.arange(found.frames_a[0], found.frames_a[-1], 100.0)
    every = np.ones(len(frames))
    return replace(
        found,
        frames_a=frames,
        frames_b=turntable.where(frames / rate) * rate,
        confidence=every,
        gain=np.ones((len(frames), found.channels)),
        residual_db=-every,
    )


def null_db(a: FloatArray, b: Recording, found: Alignment, clicks: FloatArray, rate: int) -> float:
    """Return what B leaves of A, in dB, after a short filter fitted to each window."""
    left, whole = 0.0, 0.0
    size = round(WINDOW_S * rate)
    for low, high in found.stretches():
        for start in range(low + size // 2, high - size, size):
            own = a[start : start + size]
            theirs = resample_along(b, found, start - TAPS // 2, start + size + TAPS // 2)
            for channel in range(own.shape[1]):
                views = np.lib.stride_tricks.sliding_window_view(theirs[:, channel], TAPS)[:size]
                free = clicks[start : start + size, channel] == 0
                # B's clicks are found by what they leave: a second fit goes without them.
                for _ in range(3):
                    chosen = views[free]
                    normal = chosen.T @ chosen
                    normal[np.diag_indices(TAPS)] += 1e-7 * np.trace(normal) / TAPS
                    taps = np.linalg.solve(normal, chosen.T @ own[free, channel])
                    error = own[:, channel] - views @ taps
                    limit = 5 * 1.48 * np.median(np.abs(error[free]))
                    free = free & (np.abs(error) < max(limit, 1e-9))
                left += float((error[free] ** 2).sum())
                whole += float((own[free, channel] ** 2).sum())
    return float(10 * np.log10(left / max(whole, 1e-30)))


def measure_copies(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for number, path in enumerate(sorted(folder.glob("*.flac"))):
        clean, rate = soundfile.read(path, always_2d=True)
        for equalized in (False, True):
            rng = np.random.default_rng(100 * number + equalized)
            turntable = draw_turntable(rng)
            length_s = (len(clean) / rate - turntable.start_s - 0.5) / turntable.speed
            copy = second_copy(clean, rate, turntable, length_s)
            if equalized:
                copy = shelf(shelf(copy, rate, 4.0, 2000.0), rate, -4.0, 300.0)
            first, clicks = dirty(rng, clean, rate)
            second = Recording.from_array(dirty(rng, 0.8 * copy, rate)[0], rate)
            row: dict[str, Any] = {"name": path.stem, "equalized": equalized}
            rows.append(row)
            try:
                found = align(Recording.from_array(first, rate), second)
            except NotSameRecordingError as refusal:
                row["refused"] = str(refusal)
                print(row, flush=True)
                continue
            error, music = delay_errors(found, turntable, clean, rate)
            # A filter delays, too: what it adds everywhere alike is no error of the map.
            steady = float(np.median(error[music])) if equalized else 0.0
            row |= {
                "delay_rms": round(_rms(error[music] - steady), 4),
                "delay_rms_pauses_too": round(_rms(error - steady), 4),
                "delay_median": round(float(np.median(np.abs(error[music] - steady))), 4),
                "null_db": round(null_db(first, second, found, clicks, rate), 1),
                "null_true_map_db": round(
                    null_db(first, second, true_map(found, turntable, rate), clicks, rate), 1
                ),
                "held": round(sum(k - i for i, k in found.stretches()) / rate / length_s, 3),
            }
            print(row, flush=True)
    return rows


def _rms(values: FloatArray) -> float:
    return float(np.sqrt((values**2).mean()))


def measure_starts(folder: Path) -> dict[str, Any]:
    """Other beginnings, speeds, rates, channels, fragments: is the place found?

    Where the clean recording holds the very same sound twice, either place is right.
    """
    tried = 0
    missed: list[str] = []
    twice: list[str] = []
    for number, path in enumerate(sorted(folder.glob("*.flac"))):
        clean, rate = soundfile.read(path, always_2d=True)
        rng = np.random.default_rng(5000 + number)
        for speed, second_rate in (
            (MISTAKES[number % len(MISTAKES)], rate),
            (1 + rng.uniform(-0.08, 0.08), 48_000),
        ):
            turntable = Turntable(
                speed=speed, start_s=rng.uniform(-3.0, 0.4 * len(clean) / rate), wow=0.002
            )
            length_s = rng.uniform(0.45, 0.6) * len(clean) / rate / speed
            copy = second_copy(clean, rate, turntable, length_s, second_rate)
            how = int(rng.integers(4))
            copy = (copy, -copy, copy[:, ::-1], copy * [1, -1][: copy.shape[1]])[how]
            tried += 1
            try:
                found = align(
                    Recording.from_array(dirty(rng, clean, rate)[0], rate),
                    Recording.from_array(dirty(rng, copy, second_rate)[0], second_rate),
                )
                frames = np.concatenate([np.arange(i, k, 500) for i, k in found.stretches()])
                off_s = found.where(frames) / second_rate - turntable.where(frames / rate)
                worst_s = float(np.median(np.abs(off_s)))
                if worst_s > 0.0005:
                    off = f"{path.stem} at {speed:.3f}: off by {1000 * worst_s:.2f} ms"
                    heard = turntable.heard_at(found.where(frames) / second_rate) * rate
                    same = is_same(clean, frames, heard)
                    (twice if same else missed).append(off)
            except NotSameRecordingError as refusal:
                missed.append(f"{path.stem} at {speed:.3f}: {refusal}")
    print(tried, missed, twice, flush=True)
    return {
        "tried": tried,
        "found": tried - len(missed),
        "the same sound twice": twice,
        "missed": missed,
    }


def is_same(clean: FloatArray, frames: FloatArray, heard: FloatArray) -> bool:
    """Return whether the recording itself sounds at `heard` as it does at `frames`."""
    middle = len(frames) // 4, len(frames) // 2, 3 * len(frames) // 4
    size = 4096
    for index in middle:
        one = clean[int(frames[index]) : int(frames[index]) + size]
        other = sample_at(clean, heard[index] + np.arange(size), np.ones(size))
        if len(one) < size or _rms(one - other) > 0.03 * _rms(one):
            return False
    return True


def measure_refusals(
    folder: Path, midi: Path | None, soundfonts: list[Path], most: int
) -> dict[str, Any]:
    paths = sorted(folder.glob("*.flac"))
    accepted: list[str] = []
    counts = {"another song": 0, "silence or noise": 0, "another performance": 0}

    def attempt(kind: str, label: str, a: FloatArray, b: FloatArray, rate: int) -> None:
        counts[kind] += 1
        try:
            align(Recording.from_array(a, rate), Recording.from_array(b, rate))
            accepted.append(f"{kind}: {label}")
            print("accepted", kind, label, flush=True)
        except NotSameRecordingError:
            pass

    rng = np.random.default_rng(9)
    for number in range(most):
        one, other = paths[number % len(paths)], paths[(number * 7 + 3) % len(paths)]
        if one == other:
            other = paths[(number + 1) % len(paths)]
        (a, rate), (b, _) = (soundfile.read(path, always_2d=True) for path in (one, other))
        attempt(
            "another song",
            f"{one.stem}, {other.stem}",
            dirty(rng, a, rate)[0],
            dirty(rng, b, rate)[0],
            rate,
        )
    clean, rate = soundfile.read(paths[0], always_2d=True)
    hiss = rng.standard_normal(clean.shape)
    for label, b in (("silence", 0 * clean), ("hiss", 0.1 * hiss), ("faint hiss", 1e-6 * hiss)):
        attempt("silence or noise", label, clean, b, rate)
    attempt("silence or noise", "hiss and hiss", np.roll(hiss[::-1], 7, axis=0), hiss, rate)
    if midi is not None and len(soundfonts) == 2:
        with tempfile.TemporaryDirectory() as scratch:
            for path in _scores(midi)[: most // 2]:
                first = render(path, soundfonts[0], 1.0, Path(scratch))
                if first is None:
                    continue
                for soundfont, tempo in ((soundfonts[1], 1.0), (soundfonts[0], 1.04)):
                    second = render(path, soundfont, tempo, Path(scratch))
                    if second is not None:
                        label = f"{path.stem}, {soundfont.stem}, tempo {tempo}"
                        attempt("another performance", label, first, second, 44_100)
    print(counts, accepted, flush=True)
    return {"tried": counts, "accepted": accepted}


def _scores(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.mid") if path.stat().st_size < 60_000)


def render(path: Path, soundfont: Path, tempo: float, scratch: Path) -> FloatArray | None:
    """Let fluidsynth play 20 seconds of a score, at another tempo."""
    data = bytearray(path.read_bytes())
    division = int.from_bytes(data[12:14], "big")
    if division >= 0x8000 or division < 90:
        return None
    data[12:14] = round(division * tempo).to_bytes(2, "big")
    score, sound = scratch / "score.mid", scratch / "score.wav"
    score.write_bytes(data)
    command = [
        "fluidsynth",
        "-ni",
        "-q",
        "-r",
        "44100",
        "-F",
        str(sound),
        str(soundfont),
        str(score),
    ]
    done = subprocess.run(command, capture_output=True, timeout=120)
    if done.returncode or not sound.exists():
        return None
    samples, _ = soundfile.read(sound, always_2d=True, frames=22 * 44_100)
    kept: FloatArray = samples[2 * 44_100 :]
    return kept if len(kept) > 10 * 44_100 and kept.std() > 1e-4 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--midi", type=Path)
    parser.add_argument("--soundfonts", type=Path, nargs=2, default=[])
    parser.add_argument("--most", type=int, default=25, help="tries of each refusal (default: 25)")
    parser.add_argument("--only", choices=("copies", "starts", "refusals"))
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "results/align.json"
    )
    given = parser.parse_args()
    if len({path.read_bytes() for path in given.soundfonts}) == 1:
        parser.error("--soundfonts: they are the same; another performance takes two")
    results: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    results |= {
        "schema": "declick-align/1",
        "command": "python benchmarks/align.py --clean DIR --midi DIR --soundfonts A.sf2 B.sf2",
        "declick": __version__,
    }
    started = time.monotonic()
    if given.only in (None, "copies"):
        rows = measure_copies(given.clean)
        results["copies"] = {"summary": summary(rows), "rows": rows}
        print(results["copies"]["summary"])
    if given.only in (None, "starts"):
        results["starts"] = measure_starts(given.clean)
    if given.only in (None, "refusals"):
        results["refusals"] = measure_refusals(
            given.clean, given.midi, given.soundfonts, given.most
        )
    print(f"{time.monotonic() - started:.0f} s")
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians and counts for copies with and without an equalizer."""
    values = {}
    for equalized in (False, True):
        mine = [row for row in rows if row["equalized"] == equalized and "refused" not in row]
        least = -30.0 if equalized else -40.0
        values["equalized" if equalized else "plain"] = {
            "tried": sum(row["equalized"] == equalized for row in rows),
            "aligned": len(mine),
            "delay_rms_median": float(np.median([row["delay_rms"] for row in mine])),
            "delay_within_0.05": sum(row["delay_rms"] <= 0.05 for row in mine),
            "null_db_median": float(np.median([row["null_db"] for row in mine])),
            f"null_below_{least:g}_db": sum(row["null_db"] <= least for row in mine),
            "true_map_below_it": sum(row["null_true_map_db"] <= least for row in mine),
            "null_over_true_map_db": round(
                max(row["null_db"] - row["null_true_map_db"] for row in mine), 2
            ),
        }
    return values


if __name__ == "__main__":
    main()
