"""Detection and repair as stages: exact, the same however the sound is cut, sensible."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from declick import stretches
from declick.clicks import Click, FloatArray, Kind, Repair
from declick.detect.ar import ArDetector
from declick.errors import SettingsError
from declick.parallel import Workers
from declick.read import Recording
from declick.repair.cores import find_companions
from declick.repair.draw import find_drawn, redraw
from declick.settings import DetectSettings, RepairSettings
from declick.stages import detect, repair
from declick.tiles import Plateaus
from worn import RATE, piece, worn_piece


def run(samples: FloatArray, rate: int = RATE, jobs: int = 1) -> tuple[list[Click], list[Repair]]:
    recording = Recording.from_array(samples, rate)
    with Workers(jobs) as workers:
        found = detect(recording, workers=workers)
        repairs = list(repair(recording, found.clicks, chain=found.chain, workers=workers))
    return found.clicks, repairs


def laid(samples: FloatArray, repairs: list[Repair]) -> FloatArray:
    result = samples.copy()
    for item in repairs:
        if item.made:
            result[item.click.start : item.end, item.click.channel] = item.samples
    return result


def assert_same(one: list[Repair], other: list[Repair]) -> None:
    assert [item.click for item in one] == [item.click for item in other]
    assert [item.method for item in one] == [item.method for item in other]
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first.samples, second.samples)


@pytest.fixture(scope="module")
def reference() -> tuple[list[Click], list[Repair]]:
    return run(worn_piece()[1])


@pytest.mark.parametrize("factor", [4, 8])
def test_plain_ticks_are_found_at_high_sample_rates(factor: int) -> None:
    rate = RATE * factor
    sound = resample_poly(piece(2.0), factor, 1, axis=0)
    # What is resampled from its first frame on begins with what no music does.
    sound *= np.minimum(np.arange(len(sound)) / (0.05 * rate), 1.0)[:, None]
    sound += 1e-5 * np.random.default_rng(5).standard_normal(sound.shape)
    length = round(3e-4 * rate)
    tick = np.hanning(length) * np.sin(np.linspace(0.0, 2.0 * np.pi, length))
    starts = [round(time_s * rate) for time_s in (0.5, 1.0, 1.5)]
    for start in starts:
        around = sound[start - rate // 20 : start + rate // 20]
        level = np.sqrt(np.mean(around**2))
        sound[start : start + length] += 10.0 * level * tick[:, None] * [1.0, 0.7]
    clicks = detect(Recording.from_array(sound, rate)).clicks
    for start in starts:
        assert any(click.start < start + length and click.stop > start for click in clicks)
    assert len(clicks) <= 2 * len(starts) + 2


def test_a_worn_piece_gains(reference: tuple[list[Click], list[Repair]]) -> None:
    clean, worn, truth = worn_piece()
    restored = laid(worn, reference[1])
    gain = 10 * np.log10(np.sum((worn - clean) ** 2) / np.sum((restored - clean) ** 2))
    assert gain > 8.0
    found = np.zeros(worn.shape, dtype=bool)
    for click in reference[0]:
        found[click.start : click.tail, click.channel] = True
    hit = [found[click.start : click.stop, click.channel].any() for click in truth]
    assert np.mean(hit) > 0.8


def test_clicks_are_disjoint_and_ascend(reference: tuple[list[Click], list[Repair]]) -> None:
    clicks = reference[0]
    assert clicks == sorted(clicks)
    for channel in range(2):
        own = [click for click in clicks if click.channel == channel]
        assert all(a.tail <= b.start for a, b in itertools.pairwise(own))
    assert [item.click for item in reference[1]] == clicks


@pytest.mark.parametrize("stretch", [1 << 14, 50_000])
def test_the_result_does_not_depend_on_how_the_work_is_cut(
    stretch: int, monkeypatch: pytest.MonkeyPatch, reference: tuple[list[Click], list[Repair]]
) -> None:
    monkeypatch.setattr(stretches, "STRETCH", stretch)
    assert_same(run(worn_piece()[1])[1], reference[1])


def test_the_result_does_not_depend_on_the_number_of_processes(
    reference: tuple[list[Click], list[Repair]],
) -> None:
    assert_same(run(worn_piece()[1], jobs=2)[1], reference[1])


def test_polarity_does_not_matter(reference: tuple[list[Click], list[Repair]]) -> None:
    clicks, repairs = run(-worn_piece()[1])
    assert clicks == reference[0]
    for item, other in zip(repairs, reference[1], strict=True):
        np.testing.assert_allclose(-item.samples, other.samples, atol=1e-9)


def test_swapped_channels_give_swapped_clicks(
    reference: tuple[list[Click], list[Repair]],
) -> None:
    clicks, _ = run(np.ascontiguousarray(worn_piece()[1][:, ::-1]))
    swapped = sorted((c.start, c.stop, c.tail, 1 - c.channel) for c in clicks)
    assert swapped == sorted((c.start, c.stop, c.tail, c.channel) for c in reference[0])


def test_more_sensitivity_finds_no_fewer_clicks() -> None:
    recording = Recording.from_array(worn_piece()[1], RATE)
    lost = []
    for sensitivity in (0.1, 0.5, 0.9):
        settings = DetectSettings(sensitivity=sensitivity, find_tails=False)
        clicks = detect(recording, settings).clicks
        lost.append(sum(click.stop - click.start for click in clicks))
    assert lost == sorted(lost)
    assert lost[0] < lost[-1]


def test_clean_music_is_hardly_touched() -> None:
    clean = worn_piece()[0]
    _, repairs = run(clean)
    touched = sum(item.samples.size for item in repairs)
    assert touched <= 0.0005 * clean.size


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_silence_stays_silence(channels: int) -> None:
    assert run(np.zeros((RATE, channels)))[0] == []


def test_a_click_in_digital_silence_is_taken_out_whole() -> None:
    samples = np.zeros((2 * RATE, 1))
    samples[RATE : RATE + 8, 0] = [0.1, 0.5, -0.4, 0.3, -0.2, 0.2, -0.1, 0.05]
    _, repairs = run(samples)
    assert np.max(np.abs(laid(samples, repairs))) < 1e-6


@pytest.mark.parametrize("rate", [11025, 44100, 96000])
def test_a_step_from_one_digital_silence_to_another_is_no_click(rate: int) -> None:
    samples = np.zeros((2 * rate, 2))
    samples[rate:] = 0.3
    assert run(samples, rate)[0] == []


@pytest.mark.parametrize("frames", [1, 7, 100, 5000])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_short_recordings_of_any_rate(frames: int, rate: int) -> None:
    samples = np.random.default_rng(3).standard_normal((frames, 2)) * 0.1
    _, repairs = run(samples, rate)
    assert laid(samples, repairs).shape == samples.shape


@pytest.mark.parametrize("detector", ["ar", "auto"])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 48000, 96000, 192000])
def test_a_tick_is_found_at_every_rate(rate: int, detector: str) -> None:
    rng = np.random.default_rng(2)
    time = np.arange(2 * rate) / rate
    music = 0.2 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1234 * time)
    samples = (music + 2e-4 * rng.standard_normal(time.size))[:, None]
    start, width = rate, max(2, round(8e-5 * rate))
    samples[start : start + width, 0] += 0.6 * np.cos(np.pi * np.arange(width) / 2 + 0.5)
    clicks = detect(Recording.from_array(samples, rate), DetectSettings(detector=detector)).clicks
    if detector == "ar":
        assert len(clicks) == 1
        assert abs(clicks[0].start - start) <= 2
        assert abs(clicks[0].stop - (start + width)) <= 3
    else:  # gives up a little more, rather than too little; of two at most one is the filter's
        assert 1 <= len(clicks) <= 1 + (rate > 54_000)
        assert start - 7e-4 * rate <= clicks[0].start <= start + 2
        assert start + width - 3 <= clicks[-1].stop <= start + width + 1.2e-3 * rate
        assert clicks[0].kind is Kind.TICK


def test_forced_methods_mend_every_click() -> None:
    _, worn, _ = worn_piece()
    recording = Recording.from_array(worn, RATE)
    clicks = [Click(20_000, 20_030, 20_030, 0), Click(60_000, 60_003, 60_003, 1)]
    for method in ("ar", "copy", "stereo", "spectrum", "smooth", "spline"):
        repairs = list(repair(recording, clicks, RepairSettings(method=method)))
        assert all(item.made for item in repairs), method
        assert all(np.isfinite(item.samples).all() for item in repairs)


def test_a_drawing_is_taken_as_it_is() -> None:
    worn = worn_piece()[1]
    drawn = worn.copy()
    drawn[1000:1005, 0] = 0.25
    drawn[1020, 0] = -0.25
    drawn[9000, 1] = 0.5
    recording, copy = Recording.from_array(worn, RATE), Recording.from_array(drawn, RATE)
    clicks = find_drawn(recording, copy)
    assert clicks == [Click(1000, 1021, 1021, 0), Click(9000, 9001, 9001, 1)]
    assert np.array_equal(laid(worn, list(redraw(recording, clicks, copy))), drawn)


def test_a_drawing_of_another_recording_is_refused() -> None:
    recording = Recording.from_array(np.zeros((100, 2)), RATE)
    with pytest.raises(SettingsError, match="draw on a copy of the whole recording"):
        find_drawn(recording, Recording.from_array(np.zeros((99, 2)), RATE))


def test_kinds_are_named(reference: tuple[list[Click], list[Repair]]) -> None:
    kinds = {click.kind for click in reference[0]}
    assert Kind.TICK in kinds
    assert Kind.POP in kinds


def test_the_other_channel_is_looked_at_where_one_is_damaged() -> None:
    sound = worn_piece()[0].copy()
    pulse = np.sin(np.pi * np.arange(80) / 80)
    sound[100_000:100_080] += 0.5 * pulse[:, None]
    places = find_companions(
        np.ascontiguousarray(sound[:, 1]),
        [(90_000, 90_010), (90_005, 90_020)],
        [(50_000, 50_040), (100_000, 100_080)],
        sample_rate=RATE,
    )
    assert places == [(100_000, 100_080)]


def test_restore_starts_without_what_it_seldom_needs() -> None:
    code = (
        "import sys; from declick.cli.parser import build_parser; import declick.stages;"
        "build_parser(['restore', 'a.wav']); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    slow = {"scipy.signal", "scipy.ndimage", "scipy.stats", "scipy.interpolate", "scipy.optimize"}
    assert slow.isdisjoint(loaded.stdout.split())


def test_the_same_sound_in_both_channels_gets_the_same_repairs() -> None:
    both = np.repeat(worn_piece()[1][:, :1], 2, axis=1)
    clicks, repairs = run(both)
    left, right = ([c for c in clicks if c.channel == k] for k in (0, 1))
    assert left
    assert [(c.start, c.stop, c.tail) for c in left] == [(c.start, c.stop, c.tail) for c in right]
    mended = laid(both, repairs)
    assert np.array_equal(mended[:, 0], mended[:, 1])


def test_a_silent_channel_is_no_second_opinion() -> None:
    alone = worn_piece()[1][:, :1]
    clicks, _ = run(np.concatenate([np.zeros_like(alone), alone], axis=1))
    mono, _ = run(alone)
    assert [(c.start, c.stop) for c in clicks] == [(c.start, c.stop) for c in mono]
    assert all(click.channel == 1 for click in clicks)


def test_plateaus_spread_to_the_same_probability() -> None:
    rng = np.random.default_rng(8)
    probability = np.repeat(rng.integers(0, 3, (40, 2)), 25, axis=0).astype(np.float32)
    for some in (probability, probability[:, :1], np.zeros((7, 2), np.float32)):
        assert np.array_equal(Plateaus.of(some).spread(), some)


def test_a_probed_tile_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[FloatArray] = []
    listen = ArDetector.__call__

    def count(detector: ArDetector, samples: FloatArray) -> NDArray[np.float32]:
        heard.append(samples)
        return listen(detector, samples)

    monkeypatch.setattr(ArDetector, "__call__", count)
    _, worn, _ = worn_piece()
    detect(Recording.from_array(worn, RATE), DetectSettings(detector="ar"))
    tile = ArDetector(RATE).geometry.tile
    assert len(heard) == -(-len(worn) // tile)
