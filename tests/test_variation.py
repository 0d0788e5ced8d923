"""Clean music in other guises, to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.train.variation import vary

RATE = 44100


def strokes(seconds: float = 2.0) -> FloatArray:
    """Return drum strokes of 400 Hz that ring for 60 ms, four a second, in stereo."""
    time = np.arange(round(seconds * RATE)) / RATE
    since = time % 0.25
    wave = np.exp(-since / 0.06) * np.sin(2 * np.pi * 400.0 * since)
    return np.stack([0.5 * wave, 0.3 * wave], axis=1)


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_guise_is_another_sound_of_the_same_form_and_repeats_with_its_seed(
    shares: tuple[float, float, float],
) -> None:
    sound = strokes()
    varied = vary(np.random.default_rng(4), sound, RATE, *shares)
    assert varied.shape[1] == 2
    assert 2 * len(sound) // 3 <= len(varied) <= len(sound)
    assert np.isfinite(varied).all()
    assert not np.array_equal(varied, sound[: len(varied)])
    assert np.array_equal(varied, vary(np.random.default_rng(4), sound, RATE, *shares))


def test_nothing_changes_where_no_share_is_given() -> None:
    sound = strokes()
    assert vary(np.random.default_rng(1), sound, RATE, 0.0, 0.0, 0.0) is sound


def test_speed_moves_the_pitch() -> None:
    sound = strokes()
    peaks = set()
    for seed in range(8):
        varied = vary(np.random.default_rng(seed), sound, RATE, 1.0, 0.0, 0.0)
        power = np.abs(np.fft.rfft(varied[:, 0]))
        peaks.add(round(float(np.argmax(power)) * RATE / len(varied) / 20.0))
    assert len(peaks) > 4


def test_attacks_are_made_to_stand_out_or_not() -> None:
    sound = strokes()
    period = RATE // 4

    def prominence(strikes: FloatArray) -> float:
        level = np.abs(strikes[: 7 * period, 0]).reshape(7, period).mean(axis=0)
        return float(level[: period // 20].mean() / level[period // 5 : period // 2].mean())

    found = [
        prominence(vary(np.random.default_rng(seed), sound, RATE, 0.0, 0.0, 1.0))
        for seed in range(12)
    ]
    assert max(found) > 2.0 * prominence(sound)
    assert min(found) < prominence(sound)


def test_silence_stays_silence() -> None:
    silence = np.zeros((RATE, 2))
    for seed in range(4):
        assert not vary(np.random.default_rng(seed), silence, RATE, 1.0, 1.0, 1.0).any()
