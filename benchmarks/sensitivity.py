"""What each sensitivity gains on worn records and costs on clean ones.

    python benchmarks/sensitivity.py --clean DIR [--every 3] [--out results/sensitivity.json]

Lays synthetic damage on every clean recording (the first 10 s of each), restores it at several
sensitivities and measures against the truth. SNR gain: error energy of the worn over that of the
restored sound, whole excerpt, dB.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.parallel import single_threaded_blas
from declick.read import Recording
from declick.settings import DetectSettings, RepairSettings
from declick.stages import detect, repair

WEAR: dict[str, dict[Family, float]] = {
    "control": {},
    "tick": {Family.TICK: 3.0},
    "pop": {Family.POP: 1.5},
    "thump": {Family.THUMP: 0.5},
    "crackle": {Family.CRACKLE: 60.0, Family.TICK: 2.0},
    "shellac": {Family.CRACKLE: 60.0, Family.TICK: 10.0, Family.POP: 1.0},
}
SENSITIVITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def worn_pair(
    music: FloatArray, rate: int, name: str, seed: list[int]
) -> tuple[FloatArray, FloatArray]:
    """Return clean and worn sound."""
    rng = np.random.default_rng(seed)
    bed_db = -50.0
    if name == "shellac":
        music = music.mean(axis=1, keepdims=True)
        band = scipy.signal.butter(4, 6000, fs=rate, output="sos")
        music, bed_db = scipy.signal.sosfilt(band, music, axis=0), -30.0
    level = float(np.sqrt(np.mean(music**2)))
    clean = music + rng.standard_normal(music.shape) * level * 10 ** (bed_db / 20)
    drawn = draw_wear(rng, len(clean) / rate, WearSettings(rates_hz=WEAR[name]))
    return clean, wear(clean, rate, drawn).worn


def measure(
    clean: FloatArray, worn: FloatArray, rate: int, sensitivity: float, tails: bool
) -> tuple[float, float, float]:
    """Return SNR gain in dB, frames touched per minute and repairs per minute."""
    recording = Recording.from_array(worn, rate)
    found = detect(recording, DetectSettings(sensitivity=sensitivity, find_tails=tails))
    restored = worn.copy()
    touched = np.zeros(worn.shape, dtype=bool)
    made = 0
    for mended in repair(recording, found.clicks, RepairSettings(), chain=found.chain):
        if mended.made:
            made += 1
            click = mended.click
            restored[click.start : click.tail, click.channel] = mended.samples
            touched[click.start : click.tail, click.channel] = True
    minutes = len(worn) / rate / 60
    before, after = np.sum((worn - clean) ** 2), np.sum((restored - clean) ** 2)
    gain = 10 * np.log10((before + 1e-12) / (after + 1e-12))
    return float(gain), float(touched.any(axis=1).sum() / minutes), made / minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th file")
    parser.add_argument("--only", nargs="*", default=list(WEAR))
    parser.add_argument("--no-tails", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.clean.iterdir() if p.suffix in (".flac", ".wav"))
    files = files[:: arguments.every]
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for index, path in enumerate(files):
        music, rate = soundfile.read(path, always_2d=True)
        music = music[: round(arguments.seconds * rate)]
        for number, name in enumerate(WEAR):
            if name not in arguments.only:
                continue
            clean, worn = worn_pair(music, rate, name, [7, index, number])
            for sensitivity in SENSITIVITIES:
                with single_threaded_blas():
                    values = measure(clean, worn, rate, sensitivity, not arguments.no_tails)
                cell = table.setdefault(name, {}).setdefault(str(sensitivity), {})
                names = ("gain_db", "frames_per_min", "repairs_per_min")
                for key, value in zip(names, values, strict=True):
                    cell.setdefault(key, []).append(round(value, 2))
    for name, row in table.items():
        for chosen, cell in row.items():
            gain, frames = np.array(cell["gain_db"]), np.array(cell["frames_per_min"])
            print(
                f"{name:8s} {chosen:5s} gain median {np.median(gain):6.2f} mean "
                f"{gain.mean():6.2f} worst {gain.min():6.2f} dB   frames/min median "
                f"{np.median(frames):8.0f} mean {frames.mean():8.0f} "
                f"repairs/min {np.mean(cell['repairs_per_min']):7.1f}"
            )
    if arguments.out:
        results = {
            "schema": "declick-sensitivity/1",
            "command": "python benchmarks/sensitivity.py --clean DIR "
            f"--seconds {arguments.seconds:g}",
            "files": [path.name for path in files],
            "table": table,
        }
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
