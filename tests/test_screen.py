"""The glance before the network: what it lets through, and how it is taught.

And the look of the network: what it says of an instant does not depend on the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from declick.damage.piece import synthesize_piece
from declick.detect.confidence import FEATURES
from declick.detect.screen import Screen, load_screen
from declick.detect.sight import ViewGeometry, describe_instants, find_instants, see
from declick.errors import ReadError
from declick.train.music import FolderMusic
from declick.train.worn import ExampleSettings

RATE = 44100


def described(sound: Any) -> tuple[Any, Any]:
    sight = see(sound, ViewGeometry(RATE))
    frames, _ = find_instants(sight)
    return frames, describe_instants(sight, frames)


@pytest.fixture(scope="module")
def worn() -> tuple[Any, Any]:
    sound = synthesize_piece(3.0)[: 60 * 2048].copy()
    sound[50_000:50_005, 0] += 0.3
    sound[90_000:90_005, 1] -= 0.3
    return described(sound)


def test_plain_clicks_are_let_through(worn: tuple[Any, Any]) -> None:
    frames, facts = worn
    passes = load_screen()(facts)
    for click in (50_002, 90_002):
        assert passes[np.abs(frames - click).argmin()]


def test_an_instant_is_judged_alike_in_any_company_and_either_channel(
    worn: tuple[Any, Any],
) -> None:
    _, facts = worn
    screen = load_screen()
    together = screen(facts)
    alone = np.concatenate([screen(facts[k : k + 1]) for k in range(len(facts))])
    assert np.array_equal(together, alone)
    assert screen(facts[:0]).shape == (0,)
    assert np.array_equal(together, screen(np.roll(facts, len(FEATURES), axis=1)))


def test_the_network_says_the_same_in_any_company() -> None:
    pytest.importorskip("onnxruntime")
    from declick.detect.neural import BATCH, load_weights, shipped_weights

    session, rng = load_weights(shipped_weights()).session, np.random.default_rng(1)
    given = {
        item.name: rng.standard_normal(item.shape, dtype=np.float32)
        for item in session.get_inputs()
    }
    least = np.array([-np.inf], dtype=np.float32)
    everything = session.run(None, {**given, "least": least})
    assert np.array_equal(everything[6], np.arange(BATCH))
    peak = everything[0].max(axis=1)
    for count in (1, 3, 10):
        least[0] = np.sort(peak)[-count]
        told = session.run(None, {**given, "least": least})
        assert np.array_equal(told[6], np.flatnonzero(peak >= least))
        for one, other in zip(told[:3], everything[:3], strict=True):
            assert np.array_equal(one, other)
        for one, other in zip(told[3:6], everything[3:6], strict=True):
            assert np.array_equal(one, other[told[6]])


def test_it_is_taught_by_the_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from declick.detect.neural import shipped_weights
    from declick.train.screen import Teacher, as_values, draw_lessons, teach, tell

    for number in range(4):
        sound = np.roll(synthesize_piece(8.0), 50_000 * number, axis=0)
        soundfile.write(tmp_path / f"{number}.flac", sound, RATE, subtype="PCM_24")
    settings = ExampleSettings(seconds=2.0, most=24, modes={"clean": 0.5, "tick": 0.5})
    teacher = Teacher.read(shipped_weights())
    music = FolderMusic(tmp_path)
    lessons = draw_lessons(teacher, music, None, settings, 12)
    held_out = draw_lessons(teacher, music, None, settings, 4, "valid")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    values = as_values(teach(lessons, steps=200), lessons, held_out)
    torch.set_num_threads(threads)
    values = json.loads(json.dumps(values))
    screen = Screen.of(values)
    assert tell(screen, held_out)["of what it might take for damage"] > 0.9
    assert tell(screen, lessons)["of what it might take for damage"] > 0.9


def test_what_was_taught_with_other_features_is_refused() -> None:
    with pytest.raises(ReadError, match="other features"):
        Screen.of({"features": ["height"]})
