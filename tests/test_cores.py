"""Where a core begins and ends."""

from __future__ import annotations

import numpy as np

from declick.repair.cores import settle_cores


def test_a_core_may_go_on_beyond_what_is_heard() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sound = np.convolve(rng.standard_normal(8000), np.ones(8), "same")
        sound[7700:7990] = 0.0
        settled = settle_cores(sound, [(7700, 7710), (7960, 8040)], sample_rate=44100.0)
        assert [core.start for core in settled][:1] <= [7700]


def test_both_ends_of_a_gouge_are_one_core() -> None:
    frames = np.arange(12000)
    sound = np.sin(0.05 * frames) + 0.3 * np.sin(0.31 * frames + 1.0)
    sound += 1e-3 * np.random.default_rng(1).standard_normal(12000)
    sound[6000:6150] *= 0.02
    (core,) = settle_cores(sound, [(5998, 6006), (6144, 6153)], sample_rate=44100.0)
    assert core.start <= 6000
    assert core.stop >= 6150
