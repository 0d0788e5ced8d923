"""A low note is a train of pulses, not of clicks; a click among them is one all the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from declick.clicks import FloatArray
from declick.detect.sight import ViewGeometry, see
from declick.detect.survey import IntArray
from declick.detect.trains import LONGEST_S, SHORTEST_S, return_alike
from declick.pipeline import restore
from declick.read import Recording

RATE = 44100
GEOMETRY = ViewGeometry(RATE)


def pulses(starts: IntArray, frames: int) -> FloatArray:
    """Return narrow pulses over hiss, shape (frames, 2)."""
    sound = 1e-3 * np.random.default_rng(0).standard_normal((frames, 2))
    shape = np.hanning(12)[:, None]
    for start in starts:
        sound[start : start + len(shape)] += 0.3 * shape
    return sound


def told(starts: IntArray) -> list[bool]:
    """Return which pulses are said to be of a train."""
    sound = pulses(starts, 12 * GEOMETRY.hop)
    return list(return_alike(see(sound, GEOMETRY), 0, starts + 6))


@pytest.mark.parametrize("period_s", [1.1 * SHORTEST_S, 0.0303, 0.95 * LONGEST_S])
def test_all_pulses_of_a_low_note_are_of_a_train(period_s: float) -> None:
    assert all(told(5000 + np.rint(np.arange(7) * period_s * RATE).astype(int)))


@pytest.mark.parametrize(
    "apart",
    [
        [1400, 1400 + 60, 1400],  # not even
        [300] * 8,  # of a pitch that the network knows
        [2 * round(LONGEST_S * RATE)] * 3,
        [1400],  # two clicks are no train
    ],
)
def test_others_are_not(apart: list[int]) -> None:
    assert not any(told(4000 + np.cumsum([0, *apart])))


def bass(hz: float) -> FloatArray:
    """Return notes of a narrow pulse wave, shape (frames, 2)."""
    time, count = np.arange(round(0.45 * RATE)) / RATE, np.arange(1, int(18_000 / hz))
    height = np.sin(0.1 * np.pi * count) / count
    note = height @ np.cos(2 * np.pi * hz * count[:, None] * time)
    note *= np.minimum(time / 0.003, 1.0) * np.minimum((0.45 - time) / 0.02, 1.0)
    sound = np.zeros(2 * RATE)
    for start in (8820, 30870, 52920):
        sound[start : start + note.size] += note
    hiss = 1e-4 * np.random.default_rng(0).standard_normal((sound.size, 2))
    return np.asarray(0.4 * sound[:, None] / np.abs(sound).max() + hiss)


def test_a_bass_on_one_side_alone_is_left_alone() -> None:
    sound = bass(32.7)
    sound[:, 1] = 1e-4 * np.random.default_rng(2).standard_normal(len(sound))
    for side in (sound, -sound, sound[:, ::-1]):
        done = restore(Recording.from_array(side, RATE))
        assert done.totals.repaired < 18  # of 122 that would be: each note's first, and a few


@pytest.mark.parametrize("period", [1024, 2048])
def test_a_buffer_that_fails_again_and_again_is_mended(period: int) -> None:
    rng = np.random.default_rng(0)
    sound = 0.05 * lfilter([1.0], [1.0, -1.6, 0.9], rng.standard_normal((2 * RATE, 2)), axis=0)
    sound = 0.2 * sound / np.abs(sound).max()
    worn = sound.copy()
    faults = np.arange(5000, len(worn) - 5000, period)
    worn[faults, 0] += 0.5
    mended = restore(Recording.from_array(worn, RATE)).samples
    assert mended is not None
    assert np.mean(np.abs(mended - sound)[faults, 0] < 0.1) > 0.95


def test_a_synthesizer_bass_is_left_alone_and_a_click_in_it_is_not() -> None:
    sound = bass(32.7)
    assert restore(Recording.from_array(sound, RATE)).totals.repaired == 0
    worn = sound.copy()
    at = 8820 + round(5.4 * RATE / 32.7)
    worn[at : at + 20] += 0.3 * np.random.default_rng(1).standard_normal((20, 1))
    done = restore(Recording.from_array(worn, RATE))
    assert done.samples is not None
    changed = (done.samples != worn).any(axis=1)
    assert changed[at : at + 20].all()
    period = round(RATE / 32.7)
    assert not changed[: at - period].any()
    assert not changed[at + period :].any()


@pytest.mark.parametrize("hz", [25.0, 31.0])
def test_a_sawtooth_is_left_alone_to_its_ends(hz: float) -> None:
    phase = (hz * np.arange(2 * RATE) / RATE + 0.013) % 1.0
    sound = np.round((1.4 * phase - 0.7)[:, None] * np.ones((1, 2)) * 32767) / 32768
    assert restore(Recording.from_array(sound, RATE)).totals.repaired == 0
