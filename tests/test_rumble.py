"""Rumble hides no clicks: where it is loud, the network is shown the sound without it."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece
from declick.detect.rumble import without_rumble
from declick.detect.sight import ViewGeometry, see
from declick.pipeline import restore
from declick.read import Recording

RATE = 44_100


def swinging(frames: int, level: float) -> FloatArray:
    """Return what a warped record on a cheap turntable adds, shape (frames, 2)."""
    time = np.arange(frames)[:, None] / RATE
    pitches = np.array([4.0, 9.3, 11.1, 14.7, 23.9])
    phases = np.arange(10.0).reshape(5, 2)
    waves = np.sin(2 * np.pi * pitches[:, None] * time[:, None] + phases)
    return np.asarray(level * waves.sum(axis=1))


def test_music_without_rumble_is_shown_as_it_is() -> None:
    tone = np.sin(2 * np.pi * 110.0 * np.arange(3 * RATE)[:, None] / RATE)
    assert without_rumble(tone, RATE) is tone


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 1000, 100_003])
def test_any_length_is_shown_whole(frames: int) -> None:
    for channels in (1, 2, 5):
        shown = without_rumble(np.ones((frames, channels)), RATE)
        assert shown.shape == (frames, channels)
        assert np.isfinite(shown).all()


def test_loud_rumble_goes_and_the_music_stays() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 440.0 * np.arange(3 * RATE)[:, None] / RATE)
    rumble = swinging(len(tone), 0.02)
    inside = slice(RATE // 4, -RATE // 4)
    left = (without_rumble(tone + rumble, RATE) - tone)[inside]
    assert np.std(left) < 0.1 * np.std(rumble)


def test_a_kick_drum_is_no_rumble() -> None:
    time = np.arange(4 * RATE)[:, None] / RATE
    music = 0.1 * np.sin(2 * np.pi * 440.0 * time)
    beat = np.sin(2 * np.pi * 30.0 * time) * np.exp(-(time % 0.5) / 0.05)
    np.testing.assert_array_equal(without_rumble(music + beat, RATE), music + beat)


def test_rumble_that_swells_goes_too() -> None:
    time = np.arange(4 * RATE)[:, None] / RATE
    tone = 0.1 * np.sin(2 * np.pi * 440.0 * time)
    rumble = swinging(len(tone), 0.02) * (1.0 + 0.6 * np.sin(2 * np.pi * 0.55 * time))
    left = (without_rumble(tone + rumble, RATE) - tone)[RATE // 4 : -RATE // 4]
    assert np.std(left) < 0.1 * np.std(rumble)


def test_the_bands_are_shown_with_their_bass() -> None:
    sound = np.random.default_rng(2).normal(0.0, 0.05, (40 * 2048, 2))
    whole = sound + swinging(len(sound), 0.1)
    geometry = ViewGeometry(RATE)
    shown, plain = see(sound, geometry, whole), see(sound, geometry)
    assert shown.coarse[0].mean() > plain.coarse[0].mean() + 0.2
    assert np.abs(shown.coarse - plain.coarse)[3:-3, 8:-8].mean() < 0.05
    np.testing.assert_array_equal(shown.around.forward, plain.around.forward)
    alone = see(sound[:, :1], geometry, whole[:, :1])
    np.testing.assert_array_equal(alone.coarse[:-3], see(whole[:, :1], geometry).coarse[:-3])


def test_clicks_over_rumble_are_mended() -> None:
    pytest.importorskip("onnxruntime")
    piece = synthesize_piece(6.0, sample_rate=RATE)
    settings = WearSettings(rates_hz={Family.TICK: 4.0})
    laid = wear(piece, RATE, draw_wear(np.random.default_rng(3), 6.0, settings))
    rumble = swinging(len(piece), 0.03)
    clean, worn = laid.clean + rumble, laid.worn + rumble
    done = np.asarray(restore(Recording.from_array(worn, RATE)).samples)
    assert np.sum((done - clean) ** 2) < 0.1 * np.sum((worn - clean) ** 2)
    assert np.mean(done == worn) > 0.8
