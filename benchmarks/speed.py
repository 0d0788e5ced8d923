"""How fast and how frugal the whole command is, beside ffmpeg's adeclick.

    python benchmarks/speed.py --clean DIR [--rounds 3] [--minutes 10] [--long-minutes 120]

Makes a stereo side of 44.1 kHz, 16 bit, from the clean recordings: one with 5 clicks a second and
one with 200; runs `declick restore` and `ffmpeg -af adeclick` on it in turn, and notes wall time
and the memory of all processes together (proportional set size, sampled). Then a long side of
24 bit and 192 kHz, for the memory alone. Writes results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick import __version__
from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.parallel import available_cores

RATE = 44100
WEAR = {
    "5 clicks a second": {Family.TICK: 4.0, Family.POP: 0.9, Family.THUMP: 0.1},
    "200 clicks a second": {Family.CRACKLE: 196.0, Family.TICK: 4.0},
}


def clean_side(folder: Path, frames: int) -> FloatArray:
    """Return the clean recordings in a row, over and over."""
    pieces: list[FloatArray] = []
    files = sorted(p for p in folder.iterdir() if p.suffix in (".flac", ".wav"))
    while sum(map(len, pieces)) < frames:
        music, rate = soundfile.read(files[len(pieces) % len(files)], always_2d=True)
        if rate != RATE:
            raise SystemExit(f"{folder}: give recordings of {RATE} Hz")
        music = np.repeat(music, 2, axis=1) if music.shape[1] == 1 else music[:, :2]
        pieces.append(0.5 * music / np.abs(music).max())
    side = np.concatenate(pieces)[:frames]
    return np.asarray(side + np.random.default_rng(0).standard_normal(side.shape) * 1e-4)


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return wall seconds and the peak of all its processes' memory in MB."""
    started, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_memory, _family(process.pid))))
            time.sleep(0.1)
        elapsed = time.monotonic() - started
        assert process.stderr is not None
        if process.returncode:
            raise SystemExit(f"{command[0]} failed: {process.stderr.read().decode()}")
    return elapsed, peak / 1e6


def _family(pid: int) -> list[int]:
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in path.read_text().split():
                found += _family(int(child))
        except OSError:
            continue
    return found


def _memory(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(side: Path, folder: Path, rounds: int, duration_s: float) -> dict[str, Any]:
    """Time both programs in turn."""
    out = folder / "out.wav"
    ours = [sys.executable, "-m", "declick", "restore", str(side), "-o", str(out)]
    ours += ["--overwrite", "--json"]
    theirs = ["ffmpeg", "-loglevel", "error", "-y", "-i", str(side), "-af", "adeclick"]
    theirs += ["-c:a", "pcm_s16le", str(folder / "ffmpeg.wav")]
    times: dict[str, list[float]] = {"declick": [], "ffmpeg adeclick": []}
    memory = 0.0
    for _ in range(rounds):
        if shutil.which("ffmpeg"):
            times["ffmpeg adeclick"].append(run(theirs)[0])
        elapsed, peak = run(ours)
        times["declick"].append(elapsed)
        memory = max(memory, peak)
    mine = float(np.median(times["declick"]))
    row: dict[str, Any] = {
        "seconds": {name: [round(value, 2) for value in row] for name, row in times.items()},
        "times_real_time": round(duration_s / mine, 1),
        "memory_mb": round(memory),
    }
    if times["ffmpeg adeclick"]:
        pairs = np.array(times["ffmpeg adeclick"]) / np.array(times["declick"])
        row["ffmpeg_over_declick"] = [round(float(value), 2) for value in pairs]
    return row


def long_side(path: Path, minutes: float) -> None:
    """Write a long worn side of 24 bit and 192 kHz, piece by piece."""
    rng, rate = np.random.default_rng(1), 192_000
    ticks = WearSettings(rates_hz={Family.TICK: 1.0})
    seconds = 20
    time_s = np.arange(seconds * rate) / rate
    music = sum(np.sin(2 * np.pi * f * time_s + f) / (k + 1) for k, f in enumerate((220, 277, 330)))
    clean = np.stack([0.1 * music, 0.09 * music], axis=1)
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_24", format="RF64") as file:
        for _ in range(round(minutes * 60 / seconds)):
            noisy = clean + rng.standard_normal(clean.shape).astype(np.float32) * 1e-4
            file.write(wear(noisy, rate, draw_wear(rng, seconds, ticks)).worn)


def save(path: Path, rounds: int, only: str | None, rows: dict[str, Any]) -> None:
    """Write what was measured so far."""
    chosen = f' --only "{only}"' if only else ""
    results = {
        "schema": "declick-speed/1",
        "command": f"python benchmarks/speed.py --clean DIR --rounds {rounds}{chosen}",
        "declick": __version__,
        "cores": available_cores(),
        "rows": rows,
    }
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--long-minutes", type=float, default=120.0, help="0 leaves it out")
    parser.add_argument("--only", choices=list(WEAR), help="one of the two sides")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "results/speed.json"
    )
    arguments = parser.parse_args()
    frames = round(arguments.minutes * 60 * RATE)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clean = clean_side(arguments.clean, frames)
        rng = np.random.default_rng(0)
        for label, rates in WEAR.items():
            if arguments.only not in (None, label):
                continue
            side = folder / "side.wav"
            drawn = draw_wear(rng, frames / RATE, WearSettings(rates_hz=rates))
            worn = wear(clean, RATE, drawn).worn
            soundfile.write(side, worn, RATE, subtype="PCM_16")
            rows[label] = measure(side, folder, arguments.rounds, frames / RATE)
            print(label, rows[label], flush=True)
            save(arguments.out, arguments.rounds, arguments.only, rows)
        del clean, worn
        if arguments.long_minutes:
            side = folder / "long.rf64"
            long_side(side, arguments.long_minutes)
            elapsed, peak = run(
                [sys.executable, "-m", "declick", "restore", str(side), "-o", f"{name}/out.rf64"]
            )
            label = f"{arguments.long_minutes:g} minutes of 24 bit, 192 kHz"
            rows[label] = {"seconds": round(elapsed, 1), "memory_mb": round(peak)}
            print(label, rows[label], flush=True)
            save(arguments.out, arguments.rounds, arguments.only, rows)


if __name__ == "__main__":
    main()
