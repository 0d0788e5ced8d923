"""What towers above the music, and is music all the same."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.detect.neural import NeuralDetector, shipped_weights
from declick.detect.survey import IntArray
from declick.detect.towers import is_struck, is_train, plain_towers
from declick.detect.views import (
    Float32Array,
    Sight,
    ViewGeometry,
    describe_instants,
    find_instants,
    see,
)

RATE = 44100


def hiss(frames: int, level: float = 3e-4) -> FloatArray:
    return level * np.random.default_rng(0).standard_normal((frames, 2))


def castanets(frames: int) -> FloatArray:
    """Return strikes, each of which rings on for some milliseconds."""
    sound = hiss(frames)
    time = np.arange(1200) / RATE
    ring = sum(np.sin(2 * np.pi * hz * time) for hz in (2317.0, 3893.0, 5120.0))
    strike = 0.3 * np.exp(-time / 0.006) * ring
    for start in range(6000, frames - 2000, 9001):
        sound[start : start + 1200] += strike[:, None]
    return sound


def seen(sound: FloatArray) -> tuple[Sight, IntArray, Float32Array]:
    sight = see(sound, ViewGeometry(RATE))
    frames = find_instants(sight)[0]
    return sight, frames, describe_instants(sight, frames)


def test_a_strike_that_rings_on_is_left_to_the_network() -> None:
    sight, frames, facts = seen(castanets(32 * 2048))
    assert not plain_towers(sight, frames, facts).any()
    assert is_struck(sight, 0, np.array([6000])).all()


def test_a_click_in_hiss_towers() -> None:
    sound = hiss(32 * 2048)
    sound[30000:30003] += np.array([0.2, -0.3, 0.1])[:, None]
    sight, frames, facts = seen(sound)
    towers = plain_towers(sight, frames, facts).any(axis=1)
    assert towers.any()
    assert np.abs(frames[towers] - 30000).max() < 40


def test_pulses_at_even_distances_are_a_train() -> None:
    sound = hiss(32 * 2048)
    sound[2000::1470] += 0.3
    inner = np.arange(2000 + 5 * 1470, len(sound) - 5 * 1470, 1470)
    assert is_train(seen(sound)[0], 0, inner).all()


@pytest.mark.parametrize("turn_s", [60 / 78.26, 1.8])
def test_a_scratch_is_no_train(turn_s: float) -> None:
    sound = hiss(96 * 2048)
    at = np.arange(9000, len(sound), round(turn_s * RATE))
    sound[at] += 0.3
    assert not is_train(seen(sound)[0], 0, at).any()


def test_a_clipped_click_is_cut_out_whole() -> None:
    detector = NeuralDetector(RATE, shipped_weights())
    geometry = detector.geometry
    frames = geometry.tile + 2 * geometry.context
    time = np.arange(frames) / RATE
    sound = hiss(frames, 1e-3) + 0.1 * np.sin(2 * np.pi * 220.0 * time)[:, None]
    start = geometry.context + 50000
    click = [-0.15, -0.5, -0.8, *[-1.0] * 30, 0.02, *[-1.0] * 3, *-0.8 * np.exp(-np.arange(20) / 6)]
    sound[start : start + len(click), 0] = click
    lost = detector.hear(sound).probability[:, 0] > 0.5
    first = start - geometry.context
    assert lost[first + 1 : first + 37].all()
