"""Training in small: examples, the loop and its resumption, export, and the detector that runs it.

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

from declick.damage.bank import Bank
from declick.damage.piece import synthesize_piece
from declick.detect.sight import COARSE_ROWS, FACTS, SLOW, ViewGeometry, find_instants, see
from declick.detect.views import COARSE, FINE_ROWS, MIDDLE, SLOW_ROWS, WINDOW, view
from declick.errors import MissingExtraError, ReadError, SettingsError, WriteError
from declick.train.examples import Examples, draw_examples
from declick.train.music import FolderMusic
from declick.train.worn import ExampleSettings

RATE = 44100


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    piece = synthesize_piece(8.0)
    for number in range(4):
        sound = np.roll(piece, 50_000 * number, axis=0)
        soundfile.write(folder / f"piece{number}.flac", sound, RATE, subtype="PCM_24")
    return folder


SMALL = ExampleSettings(seconds=2.0, most=24, modes={"clean": 0.3, "tick": 0.4, "pop": 0.3})


def same(one: Examples, other: Examples) -> bool:
    def arrays(e: Examples) -> list[Any]:
        return [*e.views, e.labels, e.families, e.cores, e.damage, e.tails, e.frames]

    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


# --- examples and views -----------------------------------------------------------------------


def test_an_excerpt_depends_on_its_number_alone(music: Path) -> None:
    source = FolderMusic(music)
    first = draw_examples(5, source, None, SMALL)
    draw_examples(6, source, None, SMALL)
    assert same(first, draw_examples(5, FolderMusic(music), None, SMALL))
    assert not same(first, draw_examples(7, source, None, SMALL))


def test_examples_hold_damage_where_it_was_laid(music: Path) -> None:
    source, settings = FolderMusic(music), replace(SMALL, modes={"tick": 1.0}, top=0.0, mono=0.0)
    drawn = [draw_examples(k, source, None, settings) for k in range(3)]
    labels = np.concatenate([e.labels for e in drawn])
    assert (labels == 1).any(axis=1).sum() >= 5
    for examples in drawn:
        assert len(examples.labels) <= settings.most
        for values in examples.views:
            assert np.isfinite(values).all()
        hit = examples.labels == 1
        # The core of an instant that is damage is near it, and the damage is loud there.
        middle = slice(MIDDLE // 2 - 40, MIDDLE // 2 + 40)
        assert examples.cores[hit][:, middle].any(axis=-1).all()
        assert np.all(np.abs(examples.damage[hit]).max(axis=-1) > 0.1)
        clean = (examples.labels == 0).all(axis=1)
        assert np.abs(examples.damage[clean][..., middle]).max(initial=0.0) < 0.3


def test_clean_music_gives_no_damage(music: Path) -> None:
    examples = draw_examples(1, FolderMusic(music), None, replace(SMALL, modes={"clean": 1.0}))
    assert (examples.labels == 0).all()
    assert not examples.cores.any()


def test_views_do_not_depend_on_the_company() -> None:
    geometry = ViewGeometry(RATE)
    sound = synthesize_piece(3.0)[: 60 * geometry.hop]
    sight = see(sound, geometry)
    frames, _ = find_instants(sight)
    assert len(frames) >= 2
    together, alone = view(sight, frames), view(sight, frames[1:2])
    assert together.fine.shape[1:] == (9, WINDOW)
    assert together.facts.shape[1:] == (FACTS,)
    for all_of_them, one in zip(together, alone, strict=True):
        assert np.array_equal(all_of_them[1:2], one)


def test_an_added_click_is_an_instant() -> None:
    geometry = ViewGeometry(RATE)
    sound = synthesize_piece(3.0)[: 60 * geometry.hop].copy()
    sound[50_000:50_005, 0] += 0.3
    frames, _ = find_instants(see(sound, geometry))
    assert np.abs(frames - 50_002).min() < 16
    assert np.all(np.diff(frames) > 0)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(SettingsError, match="modes"):
        ExampleSettings(modes={"lightning": 1.0})


def test_a_folder_without_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="FLAC"):
        FolderMusic(tmp_path)


# --- training ---------------------------------------------------------------------------------


def tiny(steps: int) -> Any:
    pytest.importorskip("torch")
    from declick.train.network import NetworkSettings
    from declick.train.settings import LoopSettings, TrainSettings

    return TrainSettings(
        examples=SMALL,
        network=NetworkSettings(widths=(8, 8, 12, 16), blocks=(1, 1, 1, 1), context=8),
        loop=LoopSettings(steps=steps, batch=16, pool=6, excerpts_per_step=0.2, warm_up=0.1),
    )


def test_the_recipe_of_the_shipped_weights_is_understood() -> None:
    pytest.importorskip("torch")
    from declick.train.settings import read_settings

    recipes = Path(__file__).parent.parent / "recipes"
    for name in (
        "surface-5/settings.toml",
        "surface-6/first.toml",
        "surface-7/settings.toml",
        "surface-8/settings.toml",
        "surface-9/judge.toml",
        "transfers/judge.toml",
    ):
        assert not {"scratch", "gouge"} & set(read_settings(recipes / name).examples.modes)
    for name in ("surface-9", "transfers"):
        assert read_settings(recipes / name / "writer.toml").network.wide


def test_unknown_recipe_entries_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from declick.train.settings import read_settings

    (tmp_path / "a.toml").write_text("[loop]\nspeed = 3\n")
    with pytest.raises(SettingsError, match="speed"):
        read_settings(tmp_path / "a.toml")


def test_training_goes_on_where_it_stopped(music: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from declick.train.loop import Sources, load_network, train

    torch.set_num_threads(1)
    sources, settings = Sources(music=music), tiny(6)
    said: list[str] = []
    whole = train(settings, sources, tmp_path / "whole", workers=0, device="cpu", say=said.append)
    stopped = iter([False] * 3 + [True] * 100)
    train(settings, sources, tmp_path / "parts", workers=0, device="cpu",
          say=said.append, stop=lambda: next(stopped))  # fmt: skip
    record = json.loads((tmp_path / "parts" / "run.json").read_text())
    assert record["step"] == 3
    again = train(settings, sources, tmp_path / "parts", workers=0, device="cpu", say=said.append)
    assert "goes on from step 3" in said
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    loaded, state = load_network(tmp_path / "parts")
    assert state["step"] == 6
    assert torch.equal(next(loaded.parameters()), next(whole.parameters()))
    with pytest.raises(SettingsError, match="other settings"):
        train(tiny(7), sources, tmp_path / "parts", workers=0, device="cpu", say=said.append)


def test_workers_change_nothing(music: Path) -> None:
    pytest.importorskip("torch")
    from declick.train.loop import Sources, stream

    alone = stream(Sources(music=music), SMALL, 3, 0)
    helped = stream(Sources(music=music), SMALL, 3, 1)
    for _ in range(2):
        assert same(next(alone), next(helped))
    helped.close()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from declick.train.export import export
    from declick.train.network import SurfaceNetwork

    torch.manual_seed(3)
    network = SurfaceNetwork(tiny(1).network)
    path = tmp_path_factory.mktemp("weights") / "tiny.onnx"
    # Whatever stands out is damage to it.
    export(network, path, slope=0.0, offset=6.0)
    return path


def test_export_refuses_what_answers_otherwise(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from declick.train import export as exporting
    from declick.train.network import SurfaceNetwork

    network = SurfaceNetwork(tiny(1).network)
    monkeypatch.setattr(exporting, "largest_difference", lambda *_: 0.1)
    with pytest.raises(WriteError, match="differ"):
        exporting.export(network, tmp_path / "w.onnx")
    assert not list(tmp_path.iterdir())


def test_a_network_that_goes_on_begins_with_what_the_old_one_knew(weights: Path) -> None:
    torch = pytest.importorskip("torch")
    from declick.train.folding import begin_from, read_network

    old = read_network(weights)
    more = replace(old.settings, written=5, blocks=(2, 1, 2, 2), wide=16)
    longer = begin_from(weights, more)
    shapes = (FINE_ROWS, WINDOW), (SLOW_ROWS, WINDOW // SLOW), (COARSE_ROWS, COARSE), (FACTS,)
    views = tuple(torch.randn(4, *shape) for shape in shapes)
    with torch.no_grad():
        before, after = old(*views), longer(*views)
    for name in ("events", "families", "tails", "cores", "damage"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))
    with pytest.raises(ReadError, match="does not fit"):
        begin_from(weights, replace(old.settings, context=old.settings.context + 8))


def test_what_is_known_of_the_damage_lies_where_it_may_be(weights: Path) -> None:
    from declick.detect.neural import NeuralDetector

    detector = NeuralDetector(RATE, weights)
    tile, context = detector.geometry.tile, detector.geometry.context
    sound = synthesize_piece((tile + 2 * context) / RATE + 0.1)[: tile + 2 * context].copy()
    sound[context + 30_000 : context + 30_004, 1] += 0.5
    heard = detector.hear(sound)
    known = np.isfinite(heard.deviation)
    assert known[30_000:30_004, 1].all()
    assert np.array_equal(heard.probability > 0.0, known)
    assert (heard.deviation > 0.0).all()
    assert not heard.damage[~known].any()


def test_the_detector_gives_the_same_for_every_tiling(weights: Path) -> None:
    from declick.detect.neural import NeuralDetector

    detector = NeuralDetector(RATE, weights)
    tile, context = detector.geometry.tile, detector.geometry.context
    sound = synthesize_piece((tile + 2 * context) / RATE + 0.1)[: tile + 2 * context].copy()
    at = context + 30_000
    sound[at : at + 4, 1] += 0.5
    probability = detector(sound)
    assert probability.shape == (tile, 2)
    assert probability[30_000:30_004].max() > 0.9
    assert np.array_equal(probability, NeuralDetector(RATE, weights)(sound.copy()))
    mono = detector(sound[:, 1:])
    assert mono.shape == (tile, 1)
    assert mono[30_000:30_004].max() > 0.9


def test_restoring_with_a_network(weights: Path) -> None:
    from declick.read import Recording
    from declick.settings import DetectSettings
    from declick.stages import detect

    sound = synthesize_piece(2.0)
    sound[40_000:40_004, 0] += 0.5
    settings = DetectSettings(detector="neural", weights=str(weights))
    found = detect(Recording.from_array(sound, RATE), settings)
    assert any(c.channel == 0 and c.start < 40_400 and c.stop > 39_600 for c in found.clicks)


def test_weights_without_their_card_are_refused(weights: Path, tmp_path: Path) -> None:
    from declick.detect.neural import load_weights

    (tmp_path / "w.onnx").write_bytes(weights.read_bytes())
    with pytest.raises(ReadError, match="card"):
        load_weights(tmp_path / "w.onnx")
    (tmp_path / "w.json").write_text(weights.with_suffix(".json").read_text())
    (tmp_path / "w.onnx").write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ReadError, match="card"):
        load_weights(tmp_path / "w.onnx")


def test_without_onnxruntime_the_remedy_is_told(monkeypatch: Any, tmp_path: Path) -> None:
    import sys

    from declick.detect.neural import NeuralDetector

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        NeuralDetector(RATE, tmp_path / "none.onnx")


def test_other_sample_rates_are_refused(tmp_path: Path) -> None:
    from declick.detect.neural import NeuralDetector

    with pytest.raises(ReadError, match="16000"):
        NeuralDetector(16_000, tmp_path / "none.onnx")


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_higher_sample_rates_are_heard(weights: Path, factor: int) -> None:
    from scipy.signal import resample_poly

    from declick.detect.neural import NeuralDetector

    detector = NeuralDetector(RATE * factor, weights)
    native = NeuralDetector(RATE, weights).geometry
    tile, context = detector.geometry.tile, detector.geometry.context
    assert (tile, context) == (native.tile * factor, native.context * factor)
    frames = native.tile + 2 * native.context
    sound = resample_poly(synthesize_piece(frames / RATE + 0.1)[:frames], factor, 1)
    at = context + 30_000 * factor
    sound[at : at + 4 * factor, 1] += 0.5
    probability = detector(sound)
    assert probability.shape == (tile, 2)
    assert probability[30_000 * factor : 30_004 * factor, 1].min() > 0.9


def test_a_bank_without_some_records_keeps_the_rest() -> None:
    from declick.train.worn import without_records

    assert without_records(Bank(), ("x",)).clicks == ()


@pytest.mark.slow
def test_a_network_is_trained_and_written_by_one_command(music: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from declick.cli import main
    from declick.detect.neural import load_weights

    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "[examples]\nseconds = 2.0\nmost = 16\nmodes = {clean = 0.5, tick = 0.5}\n"
        "[network]\nwidths = [8, 8, 12, 16]\nblocks = [1, 1, 1, 1]\ncontext = 8\n"
        "[loop]\nsteps = 3\nbatch = 8\npool = 4\nexcerpts_per_step = 0.2\n"
    )
    words = ["train", recipe, "--music", music, "-o", tmp_path / "run", "--workers", "0", "-q"]
    words += ["--export", tmp_path / "w.onnx"]
    assert main([str(word) for word in words]) == 0
    assert load_weights(tmp_path / "w.onnx").card["parameters"] > 1000
    assert json.loads((tmp_path / "run" / "run.json").read_text())["step"] == 3


def test_weights_can_go_part_of_the_way() -> None:
    torch = pytest.importorskip("torch")
    from declick.train.folding import fold, go_part_way
    from declick.train.network import NetworkSettings, SurfaceNetwork

    settings = NetworkSettings(widths=(8, 8, 12, 16), blocks=(1, 1, 1, 1), context=8)
    torch.manual_seed(1)
    old, new = fold(SurfaceNetwork(settings)), fold(SurfaceNetwork(settings))
    learned = [parameter.detach().clone() for parameter in new.parameters()]
    go_part_way(new, old, 1.0)
    assert all(map(torch.equal, learned, (p.detach() for p in new.parameters())))
    go_part_way(new, old, 0.5)
    for half, before, after in zip(new.parameters(), old.parameters(), learned, strict=True):
        assert torch.allclose(half, 0.5 * (before + after), atol=1e-6)


def test_a_judge_and_a_writer_are_joined(weights: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from declick.train.export import export
    from declick.train.folding import begin_from, fold, join, read_network
    from declick.train.network import SurfaceNetwork

    judge = read_network(weights)
    torch.manual_seed(4)
    writer = fold(SurfaceNetwork(replace(judge.settings, blocks=(1, 2, 1, 1), wide=12)))
    path = tmp_path / "joined.onnx"
    # Refused, were the file's answers others than those of torch.
    export(join(judge, writer), path)
    joined = read_network(path)
    assert joined.settings.writer == writer.settings
    shapes = (FINE_ROWS, WINDOW), (SLOW_ROWS, WINDOW // SLOW), (COARSE_ROWS, COARSE), (FACTS,)
    views = tuple(torch.randn(4, *shape) for shape in shapes)
    with torch.no_grad():
        judged, wrote, both = judge(*views), writer(*views), joined(*views)
        onward = begin_from(path, joined.settings)(*views)
    for name in ("events", "families", "tails"):
        assert torch.equal(getattr(both, name), getattr(judged, name))
    for name in ("cores", "damage", "doubt"):
        # Kept in 16 bits.
        torch.testing.assert_close(getattr(both, name), getattr(wrote, name), rtol=0.02, atol=0.02)
    torch.testing.assert_close(onward.cores, both.cores)
    with pytest.raises(SettingsError, match="no writer apart"):
        join(joined, writer)
