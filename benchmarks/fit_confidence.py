"""Fit the classical detector's confidence: which of the places that stand out are damage?

    python benchmarks/fit_confidence.py --clean DIR --noise DIR

DIR of clean music: any audio files, one source each; every second file is held out and reported.
DIR of groove noise: recordings of silent groove, whose isolated clicks are laid on the music beside
synthetic ones. Writes src/declick/detect/confidence.json and results/confidence.json. Never point
it at the benchmark's own excerpts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.signal
import soundfile

from declick.clicks import Click, FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.detect.ar import propose
from declick.detect.confidence import FEATURES, STEREO_FEATURES, ConfidenceModel
from declick.detect.places import describe
from declick.detect.survey import Geometry, survey

RATE = 44100
MODES = ("clean", "tick", "pop", "crackle", "real", "shellac")
WEAR = {
    "tick": {Family.TICK: 3.0},
    "pop": {Family.POP: 1.3, Family.RING: 0.2, Family.THUMP: 0.3},
    "crackle": {Family.CRACKLE: 80.0, Family.TICK: 2.0},
    "shellac": {Family.CRACKLE: 60.0, Family.TICK: 10.0, Family.POP: 1.0},
}


def cut_clicks(folder: Path) -> list[FloatArray]:
    """Cut isolated clicks from groove noise, each with a peak of 1."""
    geometry, bank = Geometry(RATE), []
    for path in sorted(folder.glob("*")):
        if path.suffix not in (".wav", ".flac") or "loop" in path.name:
            continue
        noise, rate = soundfile.read(path, always_2d=True)
        if rate != RATE:
            continue
        noise = np.repeat(noise, 2, axis=1) if noise.shape[1] == 1 else noise[:, :2]
        noise = noise[: len(noise) // geometry.hop * geometry.hop]
        around = survey(noise, geometry)
        score = (around.peak / around.scale)[:2].max(axis=0)
        for cell in np.flatnonzero(score > 12):
            start = cell * geometry.cell - 120
            alone = score[cell] >= score[max(0, cell - 8) : cell + 9].max()
            if not alone or start < 0 or start + 480 > len(noise):
                continue
            piece = noise[start : start + 480] - np.median(noise[start : start + 480], axis=0)
            fade = np.ones(480)
            fade[:60], fade[-160:] = np.hanning(120)[:60], np.hanning(320)[160:]
            piece = piece * fade[:, None]
            peak = np.abs(piece).max()
            if peak > 6 * np.sqrt(np.mean(piece[:80] ** 2)):
                bank.append(piece / peak)
    return bank


def lay_clicks(
    rng: np.random.Generator, clean: FloatArray, bank: list[FloatArray]
) -> tuple[FloatArray, list[Click]]:
    """Lay three banked clicks a second on the music."""
    worn = clean.copy()
    truth: list[Click] = []
    for time in np.sort(rng.uniform(0.1, len(clean) / RATE - 0.1, 3 * len(clean) // RATE)):
        start = int(time * RATE)
        level = np.sqrt(np.mean(clean[max(0, start - 2000) : start + 2000] ** 2))
        gain = max(level, 1e-4) * 10 ** (rng.uniform(-5, 20) / 20) * rng.choice([-1, 1])
        piece = gain * bank[rng.integers(len(bank))]
        worn[start : start + len(piece)] += piece
        for channel in range(2):
            loud = np.flatnonzero(np.abs(piece[:, channel]) > 0.3 * level)
            if loud.size:
                first, last = start + int(loud[0]), start + int(loud[-1]) + 1
                truth.append(Click(first, last, last, channel))
    return worn, truth


def label_places(
    channel: np.ndarray, cell: np.ndarray, truth: list[Click], frames: int, width: int
) -> np.ndarray:
    """Return 1 for damage, 0 for music and -1 for places too near to damage to tell."""
    damaged = np.zeros((2, frames // width + 4), dtype=bool)
    near = damaged.copy()
    for click in truth:
        first, last = click.start // width, (click.stop - 1) // width
        damaged[click.channel, max(0, first - 1) : last + 2] = True
        near[click.channel, max(0, first - 3) : last + 5] = True
        near[1 - click.channel, max(0, first - 2) : last + 3] = True
    labels = np.where(near[channel, cell], -1, 0)
    labels[damaged[channel, cell]] = 1
    return labels


def gather(
    files: list[Path], bank: list[FloatArray]
) -> Iterator[tuple[int, int, FloatArray, np.ndarray]]:
    """Yield file index, mode, descriptions and labels."""
    geometry = Geometry(RATE)
    for index, path in enumerate(files):
        music, rate = soundfile.read(path, always_2d=True)
        if rate != RATE:
            continue
        music = np.repeat(music, 2, axis=1) if music.shape[1] == 1 else music[:, :2]
        music = music[: min(len(music), 15 * RATE) // geometry.hop * geometry.hop]
        for mode, name in enumerate(MODES):
            rng = np.random.default_rng([index, mode])
            clean = music
            if rng.uniform() < 0.25:  # a mono record on a stereo cartridge
                middle = clean.mean(axis=1, keepdims=True)
                clean = middle + (clean - middle) * rng.uniform(0, 0.2)
            loud = (-70, -45)
            if name == "shellac" or (name == "clean" and rng.uniform() < 0.25):
                band = scipy.signal.butter(4, rng.uniform(3500, 9000), fs=RATE, output="sos")
                clean, loud = scipy.signal.sosfilt(band, clean, axis=0), (-40, -20)
            bed = 10 ** (rng.uniform(*loud) / 20) * np.sqrt(np.mean(clean**2))
            clean = clean + rng.standard_normal(clean.shape) * bed
            worn = clean
            truth: list[Click] = []
            if name == "real":
                worn, truth = lay_clicks(rng, clean, bank)
            elif name in WEAR:
                settings = WearSettings(rates_hz=WEAR[name], scratches=2.0 * (name == "pop"))
                laid = wear(clean, RATE, draw_wear(rng, len(clean) / RATE, settings))
                worn, truth = laid.worn, laid.clicks
            if rng.uniform() < 0.35:  # a lossy file, an old or an upsampled transfer: an empty top
                edge = rng.uniform(8000, 20000)
                band = scipy.signal.butter(10, edge, fs=RATE, output="sos")
                worn = scipy.signal.sosfiltfilt(band, worn, axis=0)
                worn = worn + rng.standard_normal(worn.shape) * 10 ** rng.uniform(-5.5, -4)
            around = survey(worn, geometry)
            channel, cell = propose(around, 2, geometry)
            labels = label_places(channel, cell, truth, len(worn), geometry.cell)
            yield index, mode, describe(around, channel, cell, 2, geometry), labels


def fit(
    described: FloatArray, labels: np.ndarray, weights: FloatArray, stereo: bool
) -> ConfidenceModel:
    """Fit the logistic model with its products by L-BFGS and a ridge."""
    if not stereo:
        described = described.copy()
        described[:, STEREO_FEATURES] = 0.0
    low, high = np.quantile(described, [0.002, 0.998], axis=0)
    held = np.clip(described, low, high)
    mean, spread = held.mean(axis=0), held.std(axis=0)
    spread[spread < 1e-6] = 1.0  # the features that a mono model goes without
    scaled = (held - mean) / spread
    rows, columns = np.triu_indices(len(FEATURES))
    design = np.concatenate(
        [np.ones((len(scaled), 1)), scaled, scaled[:, rows] * scaled[:, columns]], axis=1
    )
    signs = 2.0 * labels - 1.0
    ridge = np.full(design.shape[1], 3e-4)
    ridge[0] = 0.0

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        margin = signs * (design @ theta)
        value = np.sum(weights * np.logaddexp(0, -margin)) + 0.5 * np.sum(ridge * theta**2)
        slope = -weights * signs / (1 + np.exp(np.clip(margin, -50, 50)))
        return float(value), design.T @ slope + ridge * theta

    found = scipy.optimize.minimize(
        loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    )
    theta = found.x
    quadratic = np.zeros((len(FEATURES), len(FEATURES)))
    quadratic[rows, columns] = theta[1 + len(FEATURES) :]
    linear = theta[1 : 1 + len(FEATURES)]
    return ConfidenceModel(low, high, mean, spread, linear, quadratic, float(theta[0]))


def report(
    model: ConfidenceModel,
    described: FloatArray,
    labels: np.ndarray,
    modes: np.ndarray,
    minutes: float,
) -> list[dict[str, float]]:
    """Return false places a minute on clean music and recall by mode, at several thresholds."""
    confidence = model(described)
    rows = []
    for threshold in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995):
        above = confidence > threshold
        row = {"threshold": threshold}
        row["false_per_minute"] = float(np.sum(above & (modes == 0) & (labels == 0)) / minutes)
        for mode, name in enumerate(MODES[1:], start=1):
            damage = (modes == mode) & (labels == 1)
            row[f"recall_{name}"] = round(float(np.mean(above[damage])), 4)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True)
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.clean.iterdir() if p.suffix in (".flac", ".wav", ".ogg"))
    bank = cut_clicks(arguments.noise)
    parts = list(gather(files, bank))
    index = np.concatenate([np.full(len(labels), i) for i, _, _, labels in parts])
    modes = np.concatenate([np.full(len(labels), mode) for _, mode, _, labels in parts])
    described = np.concatenate([part[2] for part in parts])
    labels = np.concatenate([part[3] for part in parts])
    known = labels >= 0
    index, modes, described, labels = (v[known] for v in (index, modes, described, labels))
    weights = np.ones(len(labels))
    for mode in range(len(MODES)):  # each mode counts alike, a false alarm twice a miss
        for value in (0, 1):
            part = (modes == mode) & (labels == value)
            weights[part] = (2.0 - value) / max(1, part.sum())
    fitted = index % 2 == 0
    held = ~fitted
    minutes = len({i for i, m, _, _ in parts if m == 0 and i % 2}) * 0.25
    held_out: dict[str, list[dict[str, float]]] = {}
    values: dict[str, object] = {"features": FEATURES}
    for name, stereo in (("stereo", True), ("mono", False)):
        model = fit(described[fitted], labels[fitted], weights[fitted], stereo)
        rows = report(model, described[held], labels[held], modes[held], minutes)
        print(name)
        for row in rows:
            print("  ".join(f"{key} {value:7.3f}" for key, value in row.items()))
        held_out[name] = rows
        model = fit(described, labels, weights, stereo)
        fields = ("low", "high", "mean", "spread", "linear", "quadratic")
        values[name] = {key: np.round(getattr(model, key), 5).tolist() for key in fields} | {
            "offset": model.offset
        }
    package = Path(__file__).parents[1] / "src" / "declick" / "detect" / "confidence.json"
    package.write_text(json.dumps(values) + "\n", encoding="utf-8")
    results = {
        "schema": "declick-confidence/1",
        "command": "python "
        + " ".join(["benchmarks/fit_confidence.py", "--clean", "DIR"])
        + " --noise DIR",
        "sources": [path.name for path in files],
        "held_out": [path.name for path in files[1::2]],
        "banked_clicks": len(bank),
        "places": len(labels),
        "held_out_rows": held_out,
    }
    target = Path(__file__).parents[1] / "results" / "confidence.json"
    target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
