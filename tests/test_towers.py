"""What towers above the music, and is music all the same."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.detect.findings import cover_flat_tops, silence
from declick.detect.sight import (
    Float32Array,
    Sight,
    ViewGeometry,
    describe_instants,
    find_instants,
    see,
)
from declick.detect.survey import IntArray
from declick.detect.towers import is_struck, plain_towers
from declick.detect.trains import return_as_high

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
    assert return_as_high(seen(sound)[0], 0, inner).all()


@pytest.mark.parametrize("turn_s", [60 / 78.26, 1.8])
def test_a_scratch_is_no_train(turn_s: float) -> None:
    sound = hiss(96 * 2048)
    at = np.arange(9000, len(sound), round(turn_s * RATE))
    sound[at] += 0.3
    assert not return_as_high(seen(sound)[0], 0, at).any()


@pytest.mark.parametrize(("top", "whole"), [(60, True), (2, False), (400, False)])
def test_a_core_takes_in_a_clipped_top_with_its_slopes(top: int, whole: bool) -> None:
    sound = np.zeros((2000, 1))
    sound[500:503, 0] = [0.2, 0.5, 0.8]
    sound[503 : 503 + top] = 1.0
    sound[503 + top : 506 + top, 0] = [0.7, 0.4, 0.1]
    heard = silence(sound.shape)
    end = 503 + top
    heard.probability[end - 1 : end + 1] = 0.9
    cover_flat_tops(heard, sound, RATE)
    found = np.flatnonzero(heard.probability[:, 0])
    expected = (500, end + 2) if whole else (end - 1, end)
    assert (found[0], found[-1]) == expected
    assert np.unique(heard.probability).size == 2


def test_a_clipped_top_that_no_core_touches_stays() -> None:
    sound = np.zeros((2000, 2))
    sound[500:540] = 1.0
    heard = silence(sound.shape)
    heard.probability[600:610, 0] = 0.9
    cover_flat_tops(heard, sound, RATE)
    assert np.flatnonzero(heard.probability.any(axis=1)).tolist() == list(range(600, 610))
