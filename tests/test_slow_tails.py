"""Slow tails behind clicks: found where de-emphasis left them, and nothing else taken for them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from declick.clicks import Click, FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.dsp.chain import Chain, estimate_chain
from declick.dsp.slow_tails import EMPHASES, Behind, Emphasis, SlowTail, choose_emphasis, is_clipped
from declick.dsp.whitening import prediction_error_filter
from declick.pipeline import restore
from declick.read import Recording
from declick.repair.slow_tails import Core, find_slow_tails
from declick.stages import repair
from worn import piece

RATE = 44100
CORE = (22_050, 22_080)
PUSH = np.sin(np.linspace(0.0, 2.0 * np.pi, 30)) + 0.3


def music(seconds: float = 1.0, seed: int = 0) -> FloatArray:
    """Coloured noise: an autoregressive process with two resonances."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    poles = np.array([0.99 * np.exp(0.05j), 0.98 * np.exp(0.2j)])
    sound = lfilter([1.0], np.poly(np.concatenate((poles, poles.conj()))).real, noise)
    return np.asarray(0.1 * sound / sound.std())


def heard(push: FloatArray, emphasis: Emphasis | None = None) -> FloatArray:
    """Return what a push sounds like behind a phono stage, 6000 frames long, its peak 1."""
    emphasis = emphasis or Emphasis()
    sound = np.convolve(push, emphasis.response(6000, RATE))[:6000]
    return np.asarray(sound / np.abs(sound).max())


def with_tail(peak: float, emphasis: Emphasis | None = None) -> tuple[FloatArray, FloatArray]:
    sound = music()
    worn = sound.copy()
    worn[CORE[0] : CORE[0] + 6000] += peak * heard(PUSH, emphasis)
    return sound, worn


def core_of(worn: FloatArray, end: int | None = None) -> Core:
    error_filter = prediction_error_filter([music(seed=1)], 32)
    end = worn.size if end is None else end
    observed = worn[slice(*CORE)].copy()
    return Core(CORE, observed, is_clipped(observed), error_filter, end, end)


def tails(
    worn: FloatArray, clean: FloatArray | None = None, **more: Any
) -> dict[tuple[int, int], FloatArray]:
    """Return the slow tails of a sound whose core is filled, with the music itself by default."""
    filled = worn.copy()
    filled[slice(*CORE)] = (music() if clean is None else clean)[slice(*CORE)]
    emphasis = more.pop("emphasis", Emphasis())
    core = core_of(worn, more.pop("end", None))
    return find_slow_tails(filled, [core], sample_rate=RATE, emphasis=emphasis, **more)


def gain_db(clean: FloatArray, worn: FloatArray, wave: FloatArray) -> float:
    behind = slice(CORE[1], CORE[1] + wave.size)
    left = np.sum((worn[behind] - wave - clean[behind]) ** 2)
    return float(10 * np.log10(np.sum((worn - clean)[behind] ** 2) / left))


@pytest.mark.parametrize("peak", [0.5, 2.0, -2.0])
@pytest.mark.parametrize("emphasis", EMPHASES[:3])
def test_the_push_tells_of_its_tail(peak: float, emphasis: Emphasis) -> None:
    clean, worn = with_tail(peak, emphasis)
    assert gain_db(clean, worn, tails(worn, emphasis=emphasis)[CORE]) > 12.0


def test_a_weak_tail_under_music_is_found_by_its_push() -> None:
    clean, worn = with_tail(0.2)
    assert gain_db(clean, worn, tails(worn)[CORE]) > 6.0


def test_a_push_of_seven_milliseconds_tells_of_its_tail() -> None:
    run = CORE[0], CORE[0] + 300
    clean = music()
    worn = clean.copy()
    push = np.hanning(300) * np.random.default_rng(5).standard_normal(300)
    worn[run[0] : run[0] + 6000] += 0.5 * heard(push)
    behind = Behind(clean, worn[slice(*run)], run, core_of(worn).error_filter, RATE)
    tail = behind.tail(Emphasis())
    assert tail is not None
    damage = (worn - clean)[run[1] : run[1] + tail.wave.size]
    left = float(np.sum((damage - tail.wave) ** 2))
    free = Behind(clean, worn[slice(*run)], run, core_of(worn).error_filter, RATE, clipped=True)
    tail = free.tail(Emphasis())
    assert tail is not None
    assert 4.0 * left < float(np.sum((damage - tail.wave) ** 2))


def test_a_clipped_push_tells_less_but_its_tail_is_found() -> None:
    clean, worn = with_tail(2.0)
    worn[slice(*CORE)] = np.clip(worn[slice(*CORE)], -0.8, 0.8)
    assert is_clipped(worn[slice(*CORE)])
    assert not is_clipped(with_tail(2.0)[1][slice(*CORE)])
    assert gain_db(clean, worn, tails(worn)[CORE]) > 6.0


def test_what_a_long_core_is_filled_with_tells_nothing() -> None:
    end = CORE[1] + 700
    worn = with_tail(1.0)[1]
    wave = tails(worn, end=end)[CORE]
    worn[end:] = 0.0
    np.testing.assert_array_equal(tails(worn, end=end)[CORE], wave)


def test_a_slow_tail_that_something_speaks_against_is_left() -> None:
    worn = with_tail(1.0)[1]
    asked: dict[tuple[int, int], int] = {}

    def contradicted(run: tuple[int, int], wave: FloatArray) -> bool:
        asked[run] = wave.size
        return True

    wave = tails(worn)[CORE]
    assert tails(worn, contradicted=contradicted) == {}
    assert asked == {CORE: wave.size}


def test_a_tail_goes_on_behind_the_next_core() -> None:
    clean, worn = with_tail(1.0)
    after = CORE[1] + 200, CORE[1] + 210
    error_filter = prediction_error_filter([music(seed=1)], 32)
    filled = worn.copy()
    filled[slice(*CORE)] = clean[slice(*CORE)]
    same = filled[slice(*after)].copy()
    second = Core(after, same, False, error_filter, worn.size, worn.size)
    cores = [core_of(worn)._replace(limit=after[0]), second]
    found = find_slow_tails(filled, cores, sample_rate=RATE, emphasis=Emphasis())
    assert 190 < found[CORE].size <= 200
    # By and by, since before that core some of it is left.
    steps = np.diff(worn[after[1] : after[1] + 300] - found[after][:300], prepend=worn[after[1]])
    assert np.abs(steps - np.diff(worn[after[1] - 1 : after[1] + 300])).max() < 0.02
    behind = slice(after[1] + 62, after[1] + 300)
    left = (worn[behind] - found[after][62:300] - clean[behind]) ** 2
    assert 10 * np.log10(np.sum((worn - clean)[behind] ** 2) / np.sum(left)) > 10.0


def test_a_push_that_leaves_no_tail_is_likelier_without_one() -> None:
    sound, error_filter = music(), prediction_error_filter([music(seed=1)], 32)
    for shape in ([0.3, 1.0, 0.4, -1.0], [1.0, 1.0, 1.0, 1.0]):
        core = CORE[0], CORE[0] + 4
        behind = Behind(
            sound, sound[slice(*core)] + 3.0 * np.array(shape), core, error_filter, RATE
        )
        found = [behind.tail(emphasis) for emphasis in EMPHASES]
        assert sum(tail.likelihood for tail in found if tail) < -6.0


def test_a_tail_that_nobody_hears_is_left() -> None:
    assert tails(with_tail(0.002)[1]) == {}


def test_a_louder_sound_has_a_louder_tail() -> None:
    clean, worn = with_tail(1.0)
    wave, louder = tails(worn)[CORE], tails(-8.0 * worn, -8.0 * clean)[CORE]
    np.testing.assert_allclose(louder, -8.0 * wave, rtol=1e-6)


def test_it_does_not_matter_what_comes_later() -> None:
    worn = with_tail(1.0)[1]
    later = worn.copy()
    later[CORE[1] + 1200 :] = 0.3
    assert np.array_equal(tails(later)[CORE], tails(worn)[CORE])


def test_a_beat_behind_a_click_is_no_tail() -> None:
    worn = music()
    worn[CORE[1] :] += 3.0 * music(seed=2)[CORE[1] :]
    worn[slice(*CORE)] += 1.0
    core, error_filter = worn[slice(*CORE)], prediction_error_filter([music(seed=1)], 32)
    filled = worn.copy()
    filled[slice(*CORE)] -= 1.0
    assert Behind(filled, core, CORE, error_filter, RATE).tail(Emphasis()) is None


@pytest.mark.parametrize("core", [(44_000, 44_090), (44_070, 44_100)])
def test_at_the_end_of_a_file_nothing_is_fitted(core: tuple[int, int]) -> None:
    error_filter = prediction_error_filter([music(seed=1)], 32)

    def behind(sound: FloatArray, push: float, core: tuple[int, int]) -> Behind:
        return Behind(sound, sound[slice(*core)] + push, core, error_filter, RATE)

    assert behind(music(), 1.0, core).tail(Emphasis()) is None
    assert behind(np.zeros(RATE), 1.0, CORE).tail(Emphasis()) is None
    assert behind(music(), 0.0, CORE).tail(Emphasis()) is None


@cache
def worn_record(equalisation: str) -> tuple[FloatArray, FloatArray]:
    clean = piece(4.0)
    settings = WearSettings(
        rates_hz={Family.TICK: 4.0}, equalisation=equalisation, cluster_share=0.0, bed=True
    )
    laid = wear(clean, RATE, draw_wear(np.random.default_rng(3), 4.0, settings))
    return laid.clean, laid.worn


def test_so_long_as_no_click_tells_there_may_be_tails() -> None:
    assert choose_emphasis([]) == Emphasis()
    unlikely = SlowTail(np.zeros(1), -1.0, 0.0)
    assert choose_emphasis([[unlikely] * len(EMPHASES)]) is None
    likely = SlowTail(np.zeros(1), 1.0, 5.0)
    assert choose_emphasis([[unlikely] * 4 + [likely, unlikely]]) == EMPHASES[4]


def test_a_click_is_clipped_where_it_is_flat_at_its_height() -> None:
    assert is_clipped(np.array([0.1, 0.8, 0.8, 0.8, 0.2]))
    assert is_clipped(np.array([0.1, -0.8, -0.8, -0.8, 0.2]))
    assert not is_clipped(np.array([0.8, -0.8, 0.8, 0.1, 0.8]))
    assert not is_clipped(np.array([0.1, 0.1, 0.1, 0.8]))
    assert not is_clipped(np.zeros(9))
    assert not is_clipped(np.zeros(0))


def test_over_digital_silence_no_tail_is_laid() -> None:
    worn = with_tail(1.0)[1]
    worn[CORE[1] :] = 0.0
    assert tails(worn) == {}


def test_a_weak_click_on_a_loud_tail_gets_no_step_of_its_own() -> None:
    clean = 0.1 * music()
    for gap in (100, 200, 400):
        worn = clean.copy()
        worn[CORE[0] : CORE[0] + 6000] += heard(np.array([0.3, 1.0, 0.4, -1.0]))
        second = CORE[0] + 4 + gap
        worn[second : second + 3] += 0.15
        clicks = [Click(a, b, b, 0) for a, b in ((CORE[0], CORE[0] + 4), (second, second + 3))]
        mended = worn.copy()
        chain = Chain(slow_tails=Emphasis())
        for done in repair(Recording.from_array(worn[:, None], RATE), clicks, chain=chain):
            mended[done.click.start : done.end] = done.samples
        steps = np.abs(np.diff(mended - clean))[second - 20 : second + 100]
        assert steps.max() < 0.005


def test_a_record_tells_whether_its_clicks_leave_tails() -> None:
    rng, impulse = np.random.default_rng(5), np.zeros(RATE // 2)
    impulse[RATE // 8] = 1.0
    starts = np.arange(6) * (RATE // 2) + RATE // 8

    class Place:
        channel = 0

        def __init__(self, start: int) -> None:
            self.start, self.stop, self.tail = start, start + 30, start + 30

    for slow in (*EMPHASES[::2], None):
        sound = music(3.0)
        for start in starts:
            if slow is None:
                sound[start : start + 30] += rng.uniform(1.0, 4.0) * np.hanning(30) * PUSH
            else:
                sound[start : start + 6000] += 4.0 * heard(PUSH + rng.uniform(-0.2, 0.5), slow)

        def read(low: int, high: int, sound: FloatArray = sound) -> FloatArray:
            return Recording.from_array(sound[:, None], RATE).read(low, high)

        chain = estimate_chain(read, [Place(int(start)) for start in starts], sample_rate=RATE)
        assert (chain.slow_tails is None) == (slow is None)


def test_short_clicks_of_a_flat_transfer_leave_no_tails() -> None:
    starts = np.arange(30) * 4410 + 8000
    taken = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sound, clicks = music(3.5, seed), []
        for start in starts:
            length = int(rng.integers(1, 12))
            push = rng.choice([0.3, 1.0, 3.0]) * rng.standard_normal(length)
            sound[start : start + length] += push
            clicks.append(Click(int(start), int(start) + length, int(start) + length, 0))
        record = Recording.from_array(sound[:, None], RATE)
        chain = estimate_chain(record.read, clicks, sample_rate=RATE)
        taken += chain.slow_tails is not None
    assert taken == 0


def test_the_low_cut_of_a_record_is_told() -> None:
    starts = np.arange(30) * 4410 + 8000
    told = 0
    for emphasis in (EMPHASES[0], EMPHASES[2]):
        rng = np.random.default_rng(7)
        sound, clicks = 0.01 * rng.standard_normal(round(3.5 * RATE)), []
        for start in starts:
            push = np.hanning(14)[1:-1] * (rng.standard_normal(12) + 0.5)
            wave = rng.choice([3.0, 10.0]) * heard(push, emphasis)
            sound[start : start + 6000] += wave[: sound.size - start]
            clicks.append(Click(int(start), int(start) + 12, int(start) + 12, 0))
        record = Recording.from_array(sound[:, None], RATE)
        chain = estimate_chain(record.read, clicks, sample_rate=RATE)
        assert chain.slow_tails is not None
        told += chain.slow_tails.low_cut_hz == emphasis.low_cut_hz
    assert told == 2


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
        for start, _ in (first, second):
            worn[start : start + 6000] += 1.5 * heard(np.array([0.3, 1.0, 0.4, -1.0]))
        clicks = [Click(start, stop, stop, 0) for start, stop in (first, second)]
        chain = Chain(slow_tails=Emphasis())
        mended = worn.copy()
        for done in repair(Recording.from_array(worn[:, None], RATE), clicks, chain=chain):
            assert done.made
            assert done.end <= (second[0] if done.click.start == first[0] else worn.size)
            mended[done.click.start : done.end] = done.samples
        steps = np.abs(np.diff(mended - clean))[CORE[0] - 20 : second[1] + 1200]
        assert steps.max() < 0.1
