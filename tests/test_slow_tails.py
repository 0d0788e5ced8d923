"""Slow tails behind clicks: found where de-emphasis left them, and nothing else taken for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from declick.clicks import Click, FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece
from declick.dsp.chain import Chain, estimate_chain
from declick.dsp.slow_tails import has_slow_tails, look_behind, tail_shapes
from declick.dsp.whitening import prediction_error_filter
from declick.pipeline import restore
from declick.read import Recording
from declick.repair.slow_tails import Core, find_slow_tails
from declick.stages import repair

RATE = 44100
CORE = (22_050, 22_080)
HEIGHTS = np.array([0.16, -0.2])


def music(seconds: float = 1.0, seed: int = 0) -> FloatArray:
    """Coloured noise: an autoregressive process with two resonances."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    poles = np.array([0.99 * np.exp(0.05j), 0.98 * np.exp(0.2j)])
    sound = lfilter([1.0], np.poly(np.concatenate((poles, poles.conj()))).real, noise)
    return np.asarray(0.1 * sound / sound.std())


def with_tail(push: float) -> tuple[FloatArray, FloatArray]:
    sound = music()
    wave = push * HEIGHTS @ tail_shapes(6000, RATE)
    worn = sound.copy()
    worn[CORE[1] : CORE[1] + 6000] += wave
    return sound, worn


def tails(sound: FloatArray, push: float) -> FloatArray | None:
    error_filter = prediction_error_filter([music(seed=1)], 32)
    cores = [Core(CORE, push, error_filter, sound.size, sound.size)]
    return find_slow_tails(sound, cores, sample_rate=RATE).get(CORE)


@pytest.mark.parametrize("push", [1.0, 2.0, -2.0])
def test_a_tail_of_known_heights_is_found(push: float) -> None:
    clean, worn = with_tail(push)
    wave = tails(worn, abs(push))
    assert wave is not None
    behind = slice(CORE[1], CORE[1] + wave.size)
    left = np.sum((worn[behind] - wave - clean[behind]) ** 2)
    assert 10 * np.log10(np.sum((worn - clean)[behind] ** 2) / left) > 10.0


def test_what_a_long_core_is_filled_with_tells_nothing() -> None:
    error_filter = prediction_error_filter([music(seed=1)], 32)
    heard = CORE[1] + 700
    cores = [Core(CORE, 1.0, error_filter, heard, heard)]
    worn = with_tail(1.0)[1]
    wave = find_slow_tails(worn, cores, sample_rate=RATE)[CORE]
    worn[heard:] = 0.0
    np.testing.assert_array_equal(find_slow_tails(worn, cores, sample_rate=RATE)[CORE], wave)


def test_a_slow_tail_that_something_speaks_against_is_left() -> None:
    error_filter = prediction_error_filter([music(seed=1)], 32)
    worn = with_tail(1.0)[1]
    cores = [Core(CORE, 1.0, error_filter, worn.size, worn.size)]
    asked: dict[tuple[int, int], int] = {}

    def contradicted(run: tuple[int, int], wave: FloatArray) -> bool:
        asked[run] = wave.size
        return True

    wave = find_slow_tails(worn, cores, sample_rate=RATE)[CORE]
    assert find_slow_tails(worn, cores, sample_rate=RATE, contradicted=contradicted) == {}
    assert asked == {CORE: wave.size}


def test_the_music_alone_has_none() -> None:
    assert tails(music(), 0.5) is None


def test_a_tail_that_nobody_hears_is_left() -> None:
    assert tails(with_tail(0.02)[1], 0.02) is None


def test_a_louder_sound_has_a_louder_tail() -> None:
    wave, louder = tails(with_tail(1.0)[1], 1.0), tails(-8.0 * with_tail(1.0)[1], 8.0)
    assert wave is not None
    assert louder is not None
    np.testing.assert_allclose(louder, -8.0 * wave, rtol=1e-9)


def test_it_does_not_matter_what_comes_later() -> None:
    sound = with_tail(1.0)[1]
    wave = tails(sound, 1.0)
    later = sound.copy()
    later[CORE[1] + 1200 :] = 0.3
    assert np.array_equal(np.asarray(tails(later, 1.0)), np.asarray(wave))


def test_a_beat_behind_a_click_is_no_tail() -> None:
    sound = music()
    sound[CORE[1] :] += 3.0 * music(seed=2)[CORE[1] :]
    assert look_behind(sound, CORE, 1.0, prediction_error_filter([music(seed=1)], 32), RATE) is None


@pytest.mark.parametrize("core", [(44_000, 44_090), (44_070, 44_100)])
def test_at_the_end_of_a_file_nothing_is_fitted(core: tuple[int, int]) -> None:
    error_filter = prediction_error_filter([music(seed=1)], 32)
    assert look_behind(music(), core, 1.0, error_filter, RATE) is None
    assert look_behind(np.zeros(RATE), CORE, 1.0, error_filter, RATE) is None
    assert look_behind(music(), CORE, 0.0, error_filter, RATE) is None


def worn_record(equalisation: str) -> tuple[FloatArray, FloatArray]:
    clean = synthesize_piece(6.0, sample_rate=RATE)
    settings = WearSettings(
        rates_hz={Family.TICK: 4.0}, equalisation=equalisation, cluster_share=0.0, bed=True
    )
    laid = wear(clean, RATE, draw_wear(np.random.default_rng(3), 6.0, settings))
    return laid.clean, laid.worn


def test_so_long_as_no_click_tells_there_may_be_tails() -> None:
    assert has_slow_tails([])


def test_a_record_tells_whether_its_clicks_leave_tails() -> None:
    rng, impulse = np.random.default_rng(5), np.zeros(RATE // 2)
    impulse[RATE // 8] = 1.0
    starts = np.arange(6) * (RATE // 2) + RATE // 8

    class Place:
        channel = 0

        def __init__(self, start: int) -> None:
            self.start, self.stop, self.tail = start, start + 4, start + 4

    for slow in (True, False):
        sound = music(3.0)
        for start in starts:
            sound[start : start + 4] += 1.5
            if slow:
                heights = np.array([0.15, -0.2]) * rng.uniform(0.5, 1.5)
                sound[start + 4 : start + 6004] += 1.5 * heights @ tail_shapes(6000, RATE)

        def read(low: int, high: int, sound: FloatArray = sound) -> FloatArray:
            return Recording.from_array(sound[:, None], RATE).read(low, high)

        chain = estimate_chain(read, [Place(int(start)) for start in starts], sample_rate=RATE)
        assert chain.slow_tails is slow


def test_a_worn_record_gains_behind_its_cores(tmp_path: Path) -> None:
    clean, worn = worn_record("riaa")
    report = tmp_path / "r.json"
    done = restore(Recording.from_array(worn, RATE), tmp_path / "o.wav", report=report)
    assert done.detection.chain.slow_tails
    with Recording.open(tmp_path / "o.wav") as output:
        mended = output.read(0, output.frames)
    untouched = np.ones(worn.shape, dtype=bool)
    before = after = 0.0
    slow = 0
    last = [0, 0]
    for click in json.loads(report.read_text())["clicks"]:
        channel, tail = click["channel"], click["tail"]
        assert click["start"] >= last[channel]
        last[channel] = tail
        untouched[click["start"] : tail, channel] = False
        if "found_tail" in click:
            slow += 1
            assert click["stop"] <= click["found_tail"] < tail
            behind = slice(click["found_tail"], tail), channel
            before += float(np.sum((worn - clean)[behind] ** 2))
            after += float(np.sum((mended - clean)[behind] ** 2))
    assert slow >= 5
    assert 10 * np.log10(before / after) > 3.0
    assert np.array_equal(mended[untouched], worn[untouched])


def test_it_does_not_matter_which_channel_comes_first() -> None:
    worn = worn_record("riaa")[1][: 2 * RATE]
    one, other = (
        restore(Recording.from_array(np.ascontiguousarray(sound), RATE)).samples
        for sound in (worn, worn[:, ::-1])
    )
    assert one is not None
    assert other is not None
    assert not np.array_equal(one, worn)
    np.testing.assert_allclose(other[:, ::-1], one, atol=1e-9)


def test_a_slow_tail_makes_no_click_of_its_own_before_the_next_one() -> None:
    """Whatever lies between two pushes, the error has no steps that it had not before."""
    clean = music()
    for gap in (30, 70, 200):
        worn = clean.copy()
        first, second = (CORE[0], CORE[0] + 4), (CORE[0] + 4 + gap, CORE[0] + 8 + gap)
        for start, stop in (first, second):
            worn[start:stop] += 1.5
            worn[stop : stop + 6000] += 1.5 * HEIGHTS @ tail_shapes(6000, RATE)
        clicks = [Click(start, stop, stop, 0) for start, stop in (first, second)]
        chain = Chain(slow_tails=True)
        mended = worn.copy()
        for done in repair(Recording.from_array(worn[:, None], RATE), clicks, chain=chain):
            assert done.made
            assert done.end <= (second[0] if done.click.start == first[0] else worn.size)
            mended[done.click.start : done.end] = done.samples
        steps = np.abs(np.diff(mended - clean))[CORE[0] - 20 : second[1] + 1200]
        assert steps.max() < 0.1
