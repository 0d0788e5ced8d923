"""How well a sound is found in new recordings that was taught by 60 labels.

Somebody talks; one percussive sound is heard twenty times a minute, and others that are not meant
more often. Three minutes are learned from, with labels that are off by 10 ms (rms). What is tested
on has other speakers, other takes of the sound, and other distracting sounds.

    python benchmarks/teach.py --voices DIR --kits DIR

Voices: recordings of speech, of which every other one by name is for the test. Kits: hydrogen's
drum kits, or folders of short recordings.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.signal
import soundfile

from declick.clicks import FloatArray
from declick.detect.taught import listen, load_taught
from declick.read import Recording
from declick.train.onsets import COLLAR_S, Counts, count_onsets
from declick.train.taught import TeachSettings, teach_sounds

RATE: Final = 44100
LEARNED_S, TEST_S = 180.0, 60.0
TESTS: Final = 9
APART_S: Final = 3.0
OTHERS_HZ: Final = 0.6
JITTER_S: Final = 0.010
LABEL_S: Final = 0.05
# Name, files to learn from, files to be tested on, and what else anybody would call the same: a
# stick across the rim is a rim click in one kit and a side stick in another.
SOUNDS: Final = (
    ("woodblock", "WoodBlock-[HM]*.wav", "WoodBlock-S*.wav", ("wood",)),
    ("rim", "RimClick-[024].wav", "RimClick-[13].wav", ("rim", "stick")),
    ("stick", "PearlSideStick-[HM]*.wav", "PearlSideStick-S*.wav", ("rim", "stick")),
    ("clap", "HandClap-[HM]*.wav", "HandClap-S*.wav", ("clap",)),
)


def read(path: Path) -> FloatArray:
    """Return a recording, mono, its peak at 1, from its onset on."""
    sound, rate = soundfile.read(path, always_2d=True)
    mono = sound.mean(axis=1)
    if rate != RATE:
        mono = scipy.signal.resample_poly(mono, RATE, rate)
    mono = mono / (np.abs(mono).max() + 1e-9)
    return np.asarray(mono)


def from_onset(sound: FloatArray) -> FloatArray:
    return sound[max(0, int(np.argmax(np.abs(sound) > 0.1)) - 20) :]


def make(
    rng: np.random.Generator,
    voices: list[FloatArray],
    takes: list[FloatArray],
    others: list[FloatArray],
    seconds: float,
) -> tuple[FloatArray, list[float]]:
    """Return a recording, and when the sound is heard."""
    frames = round(seconds * RATE)
    sound = np.zeros(frames)
    place = 0
    while place < frames:
        voice = voices[int(rng.integers(len(voices)))]
        piece = voice[: frames - place]
        sound[place : place + len(piece)] += piece
        place += len(piece) + int(rng.uniform(0.0, 0.5) * RATE)
    level = np.sqrt(np.mean(sound**2))
    sound += rng.standard_normal(frames) * level * 0.01

    def lay(what: FloatArray, at: float) -> None:
        speed = rng.uniform(0.97, 1.03)
        what = np.interp(np.arange(0, len(what) - 1, speed), np.arange(len(what)), what)
        start = round(at * RATE)
        piece = what[: min(frames - start, RATE)]
        sound[start : start + len(piece)] += piece * level * 10 ** (rng.uniform(10.0, 22.0) / 20)

    times = np.arange(1.0, seconds - 1.5, APART_S)
    times = times + rng.uniform(-0.4, 0.4, times.size) * APART_S
    times = np.clip(times, 0.3, seconds - 1.2)
    for time_s in times:
        lay(takes[int(rng.integers(len(takes)))], time_s)
    for time_s in rng.uniform(0.3, seconds - 1.2, round(OTHERS_HZ * seconds)):
        if np.min(np.abs(times - time_s)) > 0.12:
            lay(others[int(rng.integers(len(others)))], time_s)
    return 0.5 * sound / np.abs(sound).max(), sorted(times.tolist())


CURVE: Final = (10, 20, 40, 60)
CURVED: Final = "rim"


def draw_curve(points: dict[str, dict[str, float]], path: Path) -> None:
    """Draw how well sounds are found against how many labels there were."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, curve in points.items():
        labels = [int(key) for key in curve]
        axes.plot(labels, list(curve.values()), marker="o", label=name)
    axes.axhline(0.9, color="0.6", linewidth=1, linestyle="--")
    axes.set(xlabel="labels to learn from", ylabel="F1 in new recordings", ylim=(0, 1.02))
    axes.set_xticks(CURVE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(
    name: str,
    voices: list[Path],
    kits: list[Path],
    patterns: tuple[str, str, tuple[str, ...]],
    folder: Path,
) -> dict[str, Any]:
    learned_from, tested_on, alike = patterns
    takes = [[from_onset(read(p)) for p in kits if p.match(x)] for x in (learned_from, tested_on)]
    distracting = [p for p in kits if not any(word in p.name.lower() for word in alike)]
    random.Random(1).shuffle(distracting)
    others = [[from_onset(read(p)) for p in distracting[k:120:2]] for k in (0, 1)]
    speech = [[read(path) for path in voices[k::2][:12]] for k in (0, 1)]
    rng = np.random.default_rng(5)
    sound, times = make(rng, speech[0], takes[0], others[0], LEARNED_S)
    marks = np.array(times) + rng.normal(0.0, JITTER_S, len(times))
    lines = [f"{start:.6f}\t{start + LABEL_S:.6f}\t{name}\n" for start in marks]
    tests = [make(rng, speech[1], takes[1], others[1], TEST_S) for _ in range(TESTS)]
    settings, curve = TeachSettings(), {}
    for count in CURVE if name == CURVED else CURVE[-1:]:
        # Only as much of the recording as so many labels take.
        frames = len(sound) if count >= len(lines) else round((times[count] - 0.5) * RATE)
        soundfile.write(folder / "learn.flac", sound[:frames], RATE, subtype="PCM_16")
        (folder / "learn.txt").write_text("".join(lines[:count]))
        begun = time.monotonic()
        weights = folder / f"{name}-{count}.onnx"
        given = [folder / "learn.flac"], [folder / "learn.txt"]
        teach_sounds(*given, weights, settings, say=lambda line: None)
        seconds = time.monotonic() - begun
        total, spent = Counts(), 0.0
        for test, truth in tests:
            begun = time.monotonic()
            heard = listen(Recording.from_array(test, RATE), load_taught(weights))
            spent += time.monotonic() - begun
            total += count_onsets(truth, [item.time_s for item in heard], COLLAR_S)
        curve[str(count)] = round(total.f1, 3)
        print(name, count, curve[str(count)], round(seconds), flush=True)
    card = json.loads(weights.with_suffix(".json").read_text())
    return {
        "labels": len(lines),
        "takes": [len(takes[0]), len(takes[1])],
        "hits": total.hits,
        "missed": total.missed,
        "false": total.false,
        "f1": round(total.f1, 3),
        "f1_by_labels": curve,
        "held_out_f1": card["held_out"][name]["f1"],
        "taught_in_s": round(seconds, 1),
        "times_real_time": round(TESTS * TEST_S / spent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--voice-names", default="*", help="which files of it are speech")
    parser.add_argument("--kits", type=Path, required=True)
    parser.add_argument("--only", help="one of the sounds")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/learning-curve.png"))
    parser.add_argument("--output", type=Path, default=Path("results/teach.json"))
    options = parser.parse_args()
    voices = sorted(
        path
        for path in options.voices.glob(options.voice_names)
        if path.suffix in (".flac", ".wav", ".ogg")
    )
    kits = sorted(p for p in options.kits.rglob("*") if p.suffix.lower() in (".flac", ".wav"))
    results = {}
    for name, learned_from, tested_on, alike in SOUNDS:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                results[name] = run(
                    name, voices, kits, (learned_from, tested_on, alike), Path(folder)
                )
            print(name, results[name], flush=True)
    if options.only and options.output.exists():
        # One sound measured anew: the others stay.
        results = {**json.loads(options.output.read_text())["sounds"], **results}
    told = {
        "schema": "declick-teach-bench/1",
        "command": "python benchmarks/teach.py --voices DIR --kits DIR",
        "collar_s": COLLAR_S,
        "sounds": results,
    }
    if CURVED in results:
        draw_curve({CURVED: results[CURVED]["f1_by_labels"]}, options.picture)
    options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
