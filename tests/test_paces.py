"""The network hears sample rates that it was not made for; each frame stays where it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.signal import resample_poly

from declick.clicks import FloatArray, Repair
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.detect.paces import PACES, Pace, geometries, hears, pace_of
from declick.pipeline import restore
from declick.read import Recording
from declick.settings import DetectSettings, Settings
from declick.stages import detect, repair
from worn import piece


@pytest.mark.parametrize(
    ("rate", "pace"),
    [
        (19_999, None),
        (20_000, (2, 1)),
        (22_050, (2, 1)),
        (27_000, (2, 1)),
        (32_000, (3, 2)),
        (37_800, (4, 3)),
        (39_999, (4, 3)),
        (40_000, (1, 1)),
        (48_000, (1, 1)),
        (54_001, None),
        (64_000, None),
        (88_200, (1, 2)),
        (192_000, (1, 4)),
        (768_000, (1, 16)),
    ],
)
def test_which_rates_are_heard(rate: float, pace: tuple[int, int] | None) -> None:
    assert pace_of(rate) == pace
    assert hears(rate) == (pace is not None)


def test_every_rate_from_20_to_54_khz_is_heard() -> None:
    assert all(hears(rate) for rate in range(20_000, 54_001, 50))


@pytest.mark.parametrize("pace", PACES)
def test_frames_are_found_again(pace: Pace) -> None:
    """What is lost of the file is within what is told of the file, and little more."""
    for start in range(40, 60):
        for length in (1, 2, 5, 17):
            heard = np.array([start]), np.array([start + length])
            (first,), (stop,) = pace.in_file(*heard)
            assert stop > first
            step = pace.of / pace.heard
            # No frame that is told lies farther than a step from one that is heard.
            assert first >= (start - 1) * step
            assert stop - 1 <= (start + length) * step
            # All frames of the file that were heard as they are, are told.
            within = [k for k in range(400) if start <= pace.in_heard(k) <= start + length - 1]
            assert all(first <= k < stop for k in within)


@pytest.mark.parametrize(
    "rate", [20_000, 22_050, 24_000, 26_999.5, 27_000.001, 32_000, 36_000, 36_000.001, 39_999.99]
)
def test_tiles_are_whole_frames(rate: float) -> None:
    pace = pace_of(rate)
    assert pace is not None
    file, heard = geometries(rate, pace)
    for own, theirs in ((file.tile, heard.tile), (file.context, heard.context)):
        assert own * pace.heard == theirs * pace.of
    assert heard.context % heard.hop == heard.tile % heard.hop == 0


def test_what_is_put_between_frames_is_the_sound_itself() -> None:
    for pace in PACES[-3:]:
        step = pace.of / pace.heard
        heard = pace.resample(np.sin(0.3 * np.arange(1200.0))[:, None])[:, 0]
        expected = np.sin(0.3 * step * np.arange(heard.size))
        assert np.abs(heard - expected)[50:-50].max() < 1e-3


@cache
def worn_at(rate: int) -> tuple[FloatArray, FloatArray]:
    """Return a clean and a worn piece at a sample rate."""
    clean = resample_poly(piece(4.0), rate // 50, 882)
    # What is resampled from its first frame on begins with what no music does.
    clean *= np.minimum(np.arange(len(clean)) / (0.05 * rate), 1.0)[:, None]
    settings = WearSettings(rates_hz={Family.TICK: 4.0})
    laid = wear(clean, rate, draw_wear(np.random.default_rng(3), 4.0, settings))
    return laid.clean, laid.worn


@pytest.mark.parametrize("rate", [22_050, 32_000, 37_800])
def test_at_low_rates_the_network_mends_more_than_the_linear_model(rate: int) -> None:
    pytest.importorskip("onnxruntime")
    clean, worn = worn_at(rate)
    gains = {}
    for detector in ("auto", "ar"):
        settings = Settings(detect=DetectSettings(detector=detector))
        done = restore(Recording.from_array(worn, rate), settings=settings)
        assert np.array_equal(np.asarray(done.samples)[: rate // 100], worn[: rate // 100])
        left = np.sum((np.asarray(done.samples) - clean) ** 2)
        gains[detector] = 10 * np.log10(np.sum((worn - clean) ** 2) / left)
    assert gains["auto"] > max(gains["ar"] + 1.0, 8.0)


@pytest.mark.parametrize("rate", [88_200, 96_000])
def test_at_high_rates_the_damage_is_known_too(rate: int) -> None:
    """What the network hears at half the rate serves the repair, as at 44.1 kHz."""
    pytest.importorskip("onnxruntime")
    clean, worn = worn_at(rate)
    recording = Recording.from_array(worn, rate)
    clicks = detect(recording).clicks
    known = [click for click in clicks if click.estimate is not None]
    assert len(known) > 0.8 * len(clicks)
    told, guessed = (
        sum(
            np.sum((item.samples - clean[slice(*_span(item)), item.click.channel]) ** 2)
            for item in repair(recording, mended)
            if item.made
        )
        for mended in (known, [replace(click, estimate=None) for click in known])
    )
    assert told < 0.7 * guessed


def _span(item: Repair) -> tuple[int, int]:
    return item.click.start, item.click.start + item.samples.size


@pytest.mark.parametrize("pace", [pace for pace in PACES if pace.of > pace.heard])
def test_what_is_told_at_a_high_rate_is_put_between_as_it_was_thinned_out(pace: Pace) -> None:
    told = np.random.default_rng(1).standard_normal(300)
    whole = resample_poly(told, pace.of, 1)
    for first, last in ((0, 3), (40, 90), (280, 299)):
        frames = np.arange(1000 + first * pace.of, 1000 + last * pace.of)
        between = pace.at(frames, told, 1000 // pace.of)
        expected = whole[frames - 1000 // pace.of * pace.of]
        np.testing.assert_allclose(between, expected, atol=1e-12)


def test_what_is_not_heard_is_what_lies_above() -> None:
    pace, time = Pace(1, 2), np.arange(4000.0)[:, None]
    low, high = np.sin(0.3 * time), np.sin(2.6 * time)
    both = low + high
    above = pace.unheard(both, pace.resample(both))
    np.testing.assert_allclose(above[100:-100], high[100:-100], atol=2e-3)
    assert not pace.unheard(low, pace.resample(low))[100:-100].max() > 2e-3
    assert not Pace(1, 1).unheard(low, low).any()


@pytest.mark.parametrize(
    "rate",
    [
        20_000,  # one rate of each pace
        32_000,
        39_999,
        *(pytest.param(rate, marks=pytest.mark.slow) for rate in (22_050, 27_000, 36_000)),
    ],
)
@pytest.mark.parametrize("frames", [1, 2, 50, 3000])
def test_short_recordings_at_low_rates(frames: int, rate: int) -> None:
    for channels in (1, 3):
        samples = 0.1 * np.random.default_rng(3).standard_normal((frames, channels))
        done = restore(Recording.from_array(samples, rate))
        assert np.asarray(done.samples).shape == samples.shape


@pytest.mark.parametrize("rate", [22_050, 32_000])
def test_a_mono_recording_at_a_low_rate_is_mended_where_its_clicks_are(rate: int) -> None:
    pytest.importorskip("onnxruntime")
    clean, worn = (sound[:, :1] for sound in worn_at(rate))
    done = np.asarray(restore(Recording.from_array(worn, rate)).samples)
    touched = np.flatnonzero((done != worn)[:, 0])
    damaged = np.flatnonzero(np.abs(worn - clean)[:, 0] > 1e-3)
    place = np.searchsorted(damaged, touched).clip(1, damaged.size - 1)
    away = np.minimum(np.abs(touched - damaged[place - 1]), np.abs(touched - damaged[place]))
    assert touched.size
    assert away.max() < 0.02 * rate
    assert np.sum((done - clean) ** 2) < 0.5 * np.sum((worn - clean) ** 2)
