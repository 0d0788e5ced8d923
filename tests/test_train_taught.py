"""A sound that somebody taught, and tuning to one's own records, in small.

Skipped where torch, onnx or onnxruntime are not installed (the extra ``train``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from declick.cli import main
from declick.clicks import FloatArray
from declick.detect.neural import load_weights
from declick.detect.taught import is_taught, listen, load_taught, pick_peaks
from declick.errors import LabelError, ReadError
from declick.read import Recording
from worn import worn_piece

RATE = 22050


def knocks(seed: int, seconds: float = 30.0) -> tuple[FloatArray, list[float]]:
    """Return noise with hums, in which something knocks, and when it does."""
    rng = np.random.default_rng(seed)
    sound = 0.01 * rng.standard_normal(round(seconds * RATE))
    time = np.arange(round(0.12 * RATE)) / RATE
    knock = np.exp(-time / 0.012) * np.sin(2 * np.pi * 1800 * time)
    hum = np.exp(-time / 0.03) * np.sin(2 * np.pi * 300 * time)
    onsets = []
    for at in np.arange(0.5, seconds - 0.6, 0.75):
        at = float(at + rng.uniform(-0.15, 0.15))
        start = round(at * RATE)
        meant = rng.uniform() < 0.5
        sound[start : start + time.size] += rng.uniform(0.1, 0.4) * (knock if meant else hum)
        onsets += [at] if meant else []
    return sound, onsets


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("taught")
    sound, onsets = knocks(1)
    soundfile.write(folder / "a.wav", sound, RATE)
    lines = [f"{at:.4f}\t{at + 0.04:.4f}\tknock\n" for at in onsets]
    (folder / "a.txt").write_text("".join(lines))
    words = ["train", "--labels", folder / "a.txt", folder / "a.wav", "--steps", "60", "-q"]
    assert main([str(word) for word in [*words, "-o", folder / "knock.onnx"]]) == 0
    return folder / "knock.onnx"


def test_a_taught_sound_is_found_in_another_recording(taught: Path, tmp_path: Path) -> None:
    assert is_taught(taught)
    sound, onsets = knocks(2)
    soundfile.write(tmp_path / "b.wav", sound, RATE)
    assert main(["detect", str(tmp_path / "b.wav"), "--weights", str(taught), "-q"]) == 0
    lines = (tmp_path / "b.labels.txt").read_text().splitlines()
    found = [float(line.split("\t")[0]) for line in lines]
    assert all(line.split("\t")[2].startswith("knock ") for line in lines)
    hits = sum(min(abs(at - other) for other in found) < 0.05 for at in onsets)
    assert hits >= 0.85 * len(onsets)
    assert len(found) - hits <= 0.15 * len(onsets)


def test_what_is_heard_does_not_depend_on_the_tile(taught: Path, monkeypatch: Any) -> None:
    sound, _ = knocks(3, seconds=8.0)
    recording = Recording.from_array(sound, RATE)
    whole = listen(recording, load_taught(taught))
    monkeypatch.setattr("declick.detect.taught.TILE", 256)
    again = listen(recording, load_taught(taught))
    assert [round(item.time_s, 6) for item in whole] == [round(item.time_s, 6) for item in again]


def test_taught_weights_without_their_card_are_refused(taught: Path, tmp_path: Path) -> None:
    (tmp_path / "w.onnx").write_bytes(taught.read_bytes() + b"x")
    (tmp_path / "w.json").write_text(taught.with_suffix(".json").read_text())
    with pytest.raises(ReadError, match="card"):
        load_taught(tmp_path / "w.onnx")


def test_a_taught_sound_cannot_restore(taught: Path) -> None:
    with pytest.raises(ReadError, match="label sounds and cannot restore"):
        load_weights(taught)


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from declick.train.taught import TeachSettings, teach_sounds

    soundfile.write(tmp_path / "a.wav", knocks(1, 5.0)[0], RATE)
    (tmp_path / "a.txt").write_text("1.0\t1.1\tknock\n")
    with pytest.raises(LabelError, match="30 to 60"):
        teach_sounds([tmp_path / "a.wav"], [tmp_path / "a.txt"], tmp_path / "w.onnx",
                     TeachSettings())  # fmt: skip


def test_of_peaks_too_near_the_greater_one_counts() -> None:
    assert pick_peaks([0, 2, 3, 2, 0, 0, 5, 0], 1.0, 2) == [2, 6]


def test_onsets_are_matched_once_each() -> None:
    from declick.train.onsets import count_onsets

    counts = count_onsets([1.0, 2.0, 3.0], [1.02, 1.03, 3.5], 0.05)
    assert (counts.hits, counts.missed, counts.false) == (1, 2, 2)


# --- tuning -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name)
    torch = pytest.importorskip("torch")
    from declick.train.export import export
    from declick.train.network import NetworkSettings, SurfaceNetwork

    torch.manual_seed(5)
    torch.set_num_threads(1)
    small = NetworkSettings(widths=(8, 8, 12, 16), blocks=(1, 1, 1, 2), context=8)
    path = tmp_path_factory.mktemp("base") / "base.onnx"
    export(SurfaceNetwork(small), path)
    return path


def test_the_network_comes_back_from_the_exported_file(base: Path) -> None:
    from declick.train.export import largest_difference
    from declick.train.folding import fold, read_network

    network = read_network(base)
    assert network.settings.blocks == (1, 1, 1, 2)
    assert largest_difference(network, base) < 1e-4
    assert largest_difference(fold(network), base) < 1e-4


def test_what_is_no_network_cannot_be_tuned(taught: Path) -> None:
    from declick.train.folding import read_network

    with pytest.raises(ReadError, match="network"):
        read_network(taught)


def test_tuning_learns_what_differs(base: Path) -> None:
    torch = pytest.importorskip("torch")
    from declick.train.folding import read_network
    from declick.train.pairs import as_excerpt
    from declick.train.tune import TuneSettings, bank_of, gather, part_pairs, tune
    from declick.train.worn import ExampleSettings

    clean, worn, clicks = worn_piece()
    pair = as_excerpt(worn, clean, clicks, 44100, name="side")
    learned, held = part_pairs([pair], 0.25)
    assert len(learned[0].sound) + len(held[0].sound) == len(worn)
    assert bank_of(learned).clicks
    settings = TuneSettings(steps=12, batch=16, laid=2, known=2)
    lessons = gather(learned, settings, examples=ExampleSettings(seconds=2.0, most=24))
    network, said = read_network(base), list[str]()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuned = tune(network, lessons, settings, say=said.append)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert any(not torch.equal(before[n], value) for n, value in tuned.state_dict().items())
    again = tune(network, gather(learned, settings, examples=ExampleSettings(seconds=2.0, most=24)),
                 settings, say=said.append)  # fmt: skip
    assert all(map(torch.equal, tuned.state_dict().values(), again.state_dict().values()))
    near = tune(network, lessons, replace(settings, steps=2, way=0.0), say=said.append)
    assert all(map(torch.equal, before.values(), near.state_dict().values()))


@pytest.mark.slow
def test_tuning_by_one_command(base: Path, tmp_path: Path) -> None:
    clean, worn, _ = worn_piece()
    soundfile.write(tmp_path / "x-before.flac", worn, 44100, subtype="PCM_24")
    soundfile.write(tmp_path / "x-after.flac", clean, 44100, subtype="PCM_24")
    words = ["train", "--from", base, "--pairs", tmp_path, "-o", tmp_path / "mine.onnx"]
    assert main([str(word) for word in [*words, "--steps", "3", "-q"]]) == 0
    card = json.loads((tmp_path / "mine.json").read_text())
    assert card["from"] == "base"
    assert card["tuned"]["held_out"] == 1


def test_train_says_what_it_needs(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    assert main(["train", "--from", "x.onnx", "-o", str(tmp_path / "m.onnx")]) == 2
    assert "--pairs" in capsys.readouterr().err
    assert main(["train", "-o", str(tmp_path / "m")]) == 2
    assert "RECIPE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("peak", "floor", "expected"),
    [
        (8.0, -8.0, (0.0, 0.75)),  # every threshold does: near what suits most
        (-5.0, -8.0, (0.75, 0.75)),  # none does
        (6.0, 3.0, (3.0, 6.0)),  # the half way would find nothing but false ones
    ],
)
def test_the_threshold_of_a_sound(peak: float, floor: float, expected: tuple[float, float]) -> None:
    from declick.train.lessons import Lesson
    from declick.train.onsets import choose_threshold

    columns = 4000
    said = np.full((1, columns), -9.0, dtype=np.float32)
    said[0, 100::50] = floor
    onsets = np.arange(125.0, columns - 50, 400.0)
    said[0, onsets.astype(int)] = peak
    powers = np.zeros((1, 1), dtype=np.float32)
    lesson = Lesson(powers=powers, onsets=(onsets,), hop_s=256 / 44100)
    least, counts = choose_threshold([said], [lesson], 0, 0.05)
    assert expected[0] <= least <= expected[1]
    assert counts.hits == (0 if peak < 0.0 else len(onsets))
    assert counts.false == 0
