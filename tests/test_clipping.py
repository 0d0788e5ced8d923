"""A click that was clipped is found; music that was clipped is spared."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import Click, FloatArray
from declick.damage.apply import wear
from declick.damage.draw import WearSettings, draw_wear
from declick.damage.model import Family
from declick.read import Recording
from declick.settings import DetectSettings
from declick.stages import detect
from worn import piece

RATE = 44100


def find(samples: FloatArray, detector: str) -> list[Click]:
    clipped = np.round(samples.clip(-1.0, 1.0 - 2**-15) * 2**15) / 2**15
    settings = DetectSettings(detector=detector)
    return detect(Recording.from_array(clipped, RATE), settings).clicks


def music(level: float) -> FloatArray:
    """Music whose highest peak has a level."""
    clean = piece(4.0, seed=4)
    return np.asarray(level * clean / np.abs(clean).max())


@pytest.mark.parametrize("detector", ["auto", "ar"])
@pytest.mark.parametrize("level", [0.1, 0.3])
def test_clipped_thumps_on_quiet_music_are_found(level: float, detector: str) -> None:
    settings = WearSettings(rates_hz={Family.THUMP: 1.0}, level_db=30.0)
    laid = wear(music(level), RATE, draw_wear(np.random.default_rng(3), 4.0, settings))
    clipped = [
        click
        for click in laid.clicks
        if np.count_nonzero(np.abs(laid.worn[click.start : click.tail, click.channel]) == 1.0) > 50
    ]
    assert len(clipped) >= 3
    found = find(laid.worn, detector)
    for truth in clipped:
        assert any(
            click.channel == truth.channel and click.start < truth.stop and click.stop > truth.start
            for click in found
        ), truth


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gain", [1.3, 2.0, 4.0, 8.0])
def test_music_mastered_into_clipping_is_spared(gain: float) -> None:
    assert find(music(gain), "auto") == []
