"""Excerpts that training hears: strokes that are no clicks, and clicks that are rare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.signal

from declick.clicks import FloatArray, Kind
from declick.damage.bank import Bank, BankedClick
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece
from declick.detect.taught import BANDS, REACH
from declick.train import evaluate
from declick.train.evaluate import classical
from declick.train.lesson_draws import draw_excerpts, draw_strokes
from declick.train.lessons import Lesson
from declick.train.machines import gates, grains, pulses, switch, taps
from declick.train.oddity import burst, estrange, vary_bank
from declick.train.strokes import draw_stroke, strike
from declick.train.turntable import hum, rumble
from declick.train.worn import ExampleSettings, WornExcerpt, draw_worn

RATE = 44100
Play = Callable[[np.random.Generator, int, float], FloatArray]
PLAIN = ExampleSettings(
    seconds=2.0, modes={"tick": 1.0}, top=0.0, mono=0.0, hiss=0.0, narrow=0.0, level_db=(3.0, 3.0)
)


class OnePiece:
    """Music that is always the same."""

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        return synthesize_piece(seconds), RATE, "piece"


def draw(seed: int, settings: ExampleSettings) -> WornExcerpt:
    return draw_worn(np.random.default_rng(seed), OnePiece(), None, settings, "train")


def test_a_stroke_begins_at_once_and_rings_on_longer_than_a_click() -> None:
    high = scipy.signal.butter(2, 2000.0, "highpass", fs=RATE)
    for seed in range(20):
        stroke = draw_stroke(np.random.default_rng(seed), RATE, 2)
        assert stroke.shape == (RATE // 4, 2)
        assert np.max(np.abs(stroke)) == pytest.approx(1.0)
        ringing = np.abs(scipy.signal.lfilter(*high, stroke.max(axis=1)))
        heard = np.flatnonzero(ringing > 0.1 * ringing.max())
        assert heard[-1] - heard[0] > 0.003 * RATE
        assert np.max(np.abs(stroke[-3:])) < 1e-3


def test_strokes_lie_over_the_sound_and_repeat_with_their_seed() -> None:
    sound = synthesize_piece(2.0)
    struck = strike(np.random.default_rng(1), sound, RATE)
    assert struck.shape == sound.shape
    assert not np.array_equal(struck, sound)
    assert np.array_equal(struck, strike(np.random.default_rng(1), sound, RATE))
    silence = np.zeros((RATE, 1))
    assert strike(np.random.default_rng(1), silence, RATE) is silence


@pytest.mark.parametrize("play", [pulses, gates, grains, taps])
def test_a_machine_plays_for_as_long_as_it_is_asked_to(play: Play) -> None:
    for seed in range(10):
        sound = play(np.random.default_rng(seed), 2 * RATE, RATE)
        assert sound.shape == (2 * RATE,)
        assert np.isfinite(sound).all()
        assert np.array_equal(sound, play(np.random.default_rng(seed), 2 * RATE, RATE))
    assert any(play(np.random.default_rng(seed), 2 * RATE, RATE).any() for seed in range(3))


def test_pulses_come_again_at_even_distances() -> None:
    even = 0
    for seed in range(10):
        sound = pulses(np.random.default_rng(seed), RATE, RATE)[: RATE // 5]
        likeness = np.correlate(sound, sound, "full")[len(sound) :] / np.sum(sound**2)
        even += float(likeness[RATE // 400 :].max()) > 0.3
    assert even >= 7


def test_machines_lie_over_the_sound_or_cut_it_up_and_never_change_what_they_are_given() -> None:
    sound = synthesize_piece(2.0)
    before = sound.copy()
    for seed in range(20):
        switched = switch(np.random.default_rng(seed), sound, RATE)
        assert switched.shape == sound.shape
        assert np.isfinite(switched).all()
        assert np.array_equal(switched, switch(np.random.default_rng(seed), sound, RATE))
    assert np.array_equal(sound, before)
    silence = np.zeros((RATE, 1))
    assert switch(np.random.default_rng(1), silence, RATE) is silence


def test_machines_do_not_set_the_threshold_of_new_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[ExampleSettings] = []

    def compare(*given: Any, **_: Any) -> dict[str, dict[str, evaluate.Tally]]:
        heard.append(given[3])
        return {"new": {"clean": evaluate.Tally(false=[-2.0], seconds=[60.0])}}

    monkeypatch.setattr(evaluate, "compare", compare)
    offset = evaluate.calibrate(classical, OnePiece(), replace(PLAIN, machines=1.0, strokes=0.5))
    assert offset == pytest.approx(evaluate.default_log_odds() + 2.0)
    assert heard == [replace(PLAIN, machines=0.0, strokes=0.5)]


def test_bursts_take_the_place_of_some_ticks_and_pops_alone() -> None:
    rates = {Family.TICK: 30.0, Family.GOUGE: 2.0}
    drawn = draw_wear(np.random.default_rng(1), 4.0, WearSettings(rates_hz=rates))
    changed = burst(np.random.default_rng(2), drawn)
    pairs = list(zip(drawn.damages, changed.damages, strict=True))
    others = [new for old, new in pairs if new != old]
    assert 0.1 * len(pairs) < len(others) < 0.7 * len(pairs)
    assert all(old == new for old, new in pairs if old.family is Family.GOUGE)
    assert all(new.family is Family.POP and 1e-3 <= new.width_s <= 9e-3 for new in others)
    assert max(len(new.shape) for new in others) > 30
    assert min(len(new.shape) for new in others) <= 2


def test_lateral_clicks_are_exactly_alike_on_both_channels() -> None:
    worn = draw(3, replace(PLAIN, lateral=1.0))
    left, right = np.abs(worn.damage).T
    assert np.any(left)
    # Laid by the level of each channel, which differs.
    shape = left[left > 0] / left.max(), right[left > 0] / right.max()
    assert np.corrcoef(*shape)[0, 1] > 0.9
    sides = np.sign(worn.damage[(left > 1e-3) & (right > 1e-3)])
    assert len({float(a * b) for a, b in sides}) == 1


def test_loud_clicks_are_louder_and_short_ones_shorter() -> None:
    usual = draw(4, PLAIN)
    loud, short = draw(4, replace(PLAIN, loud=1.0)), draw(4, replace(PLAIN, short=1.0))
    assert np.max(np.abs(loud.damage)) > 1.5 * np.max(np.abs(usual.damage))
    lengths = [np.median([c.stop - c.start for c in x.laid.clicks]) for x in (usual, short)]
    assert lengths[1] < min(12, lengths[0])


def test_a_clipped_recording_has_a_level_that_nothing_exceeds() -> None:
    clipped = 0
    for seed in range(8):
        worn = draw(seed, replace(PLAIN, clipped=1.0, loud=1.0))
        peak = np.abs(worn.sound).max()
        clipped += int(np.count_nonzero(np.abs(worn.sound) > 0.9999 * peak) > 3)
    assert clipped >= 6


def _between_harmonics(frequency: FloatArray, power: FloatArray, mains: float) -> float:
    """Return the share of the power that is far from harmonics, at the best speed."""
    shares = []
    for speed in np.arange(0.97, 1.0301, 0.0005):
        away = np.abs(frequency - np.rint(frequency / (speed * mains)) * speed * mains)
        shares.append(power[away > 3.0].sum() / power.sum())
    return float(min(shares))


@pytest.mark.parametrize("make", [rumble, hum])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_a_turntable_adds_has_a_power_of_1_and_repeats_with_its_seed(
    make: Callable[[np.random.Generator, int, int, float], FloatArray], channels: int
) -> None:
    for seed in range(10):
        sound = make(np.random.default_rng(seed), 2 * RATE + 17, channels, RATE)
        assert sound.shape == (2 * RATE + 17, channels)
        assert np.mean(sound**2) == pytest.approx(1.0)
        again = make(np.random.default_rng(seed), 2 * RATE + 17, channels, RATE)
        assert np.array_equal(sound, again)


def test_rumble_lies_below_the_music_and_hum_at_harmonics_of_the_mains() -> None:
    for seed in range(10):
        low = rumble(np.random.default_rng(seed), 2 * RATE, 2, RATE)
        frequency, power = scipy.signal.welch(low, RATE, nperseg=RATE, axis=0)
        assert power[frequency > 250].sum() < 1e-2 * power.sum()
        even = hum(np.random.default_rng(seed), 2 * RATE, 1, RATE)[:, 0]
        frequency, power = scipy.signal.periodogram(even, RATE, "blackman")
        assert power[frequency < 45.0].sum() < 1e-3 * power.sum()
        mains = min((50.0, 60.0), key=lambda hertz: _between_harmonics(frequency, power, hertz))
        assert _between_harmonics(frequency, power, mains) < 0.02


def test_a_turntable_leaves_the_truth_as_it_is() -> None:
    usual = draw(6, PLAIN)
    for settings in (replace(PLAIN, rumble=1.0), replace(PLAIN, hum=1.0)):
        over = draw(6, settings)
        assert np.array_equal(over.damage, usual.damage)
        assert np.array_equal(over.cores, usual.cores)
        added = over.sound - usual.sound
        assert 0.0 < np.std(added) < 1.5 * np.std(usual.laid.clean)


def test_dull_excerpts_have_lost_their_treble_and_that_of_their_clicks() -> None:
    dull = draw(6, replace(PLAIN, dull=1.0))
    for sound, least in ((dull.damage, 1e-6), (dull.sound, 1e-3)):
        frequency, power = scipy.signal.welch(sound, RATE, nperseg=4096, axis=0)
        assert power[frequency > 14000].sum() < least * power.sum()


def test_without_shares_nothing_is_different() -> None:
    zeros = replace(
        PLAIN, machines=0.0, bursts=0.0, strokes=0.0, lateral=0.0, loud=0.0, short=0.0, clipped=0.0
    )
    assert np.array_equal(draw(5, PLAIN).sound, draw(5, zeros).sound)


def test_lessons_are_varied_and_strokes_are_no_targets() -> None:
    rng = np.random.default_rng(1)
    powers = rng.uniform(0.5, 1.0, (BANDS, 2 * REACH + 400)).astype(np.float32)
    lesson = Lesson(powers=powers, onsets=(np.array([150.0]),), hop_s=256 / RATE)
    strokes = draw_strokes(np.random.default_rng(2), 3)
    assert all(stroke.shape[0] == BANDS and stroke.max() == 1.0 for stroke in strokes)
    drawn = [
        draw_excerpts(np.random.default_rng(3), [lesson], 1, 8, given) for given in ((), strokes)
    ]
    (levels, targets), (struck, same) = drawn
    assert levels.shape[0] == targets.shape[0] == 8
    assert targets[::2].max(axis=(1, 2)).min() > 0.9
    assert np.array_equal(targets[0], same[0])
    assert not np.array_equal(levels, struck)


def test_odd_clicks_go_beyond_their_families_and_lost_music_stays_lost() -> None:
    usual = draw_wear(
        np.random.default_rng(1),
        20.0,
        WearSettings(rates_hz={Family.TICK: 5.0, Family.THUMP: 1.0, Family.DROPOUT: 1.0}),
    )
    odd = estrange(np.random.default_rng(2), usual)
    again = estrange(np.random.default_rng(2), usual)
    assert odd == again
    assert len(odd.damages) == len(usual.damages)
    strangest = 0
    for before, after in zip(usual.damages, odd.damages, strict=True):
        if before.family is Family.DROPOUT:
            assert after == before
            continue
        assert (after.family, after.kind, after.time_s) == (
            before.family,
            before.kind,
            before.time_s,
        )
        strangest = max(strangest, len(after.shape))
    assert strangest > 8
    swings = {d.thump.start_hz for d in odd.damages if d.thump is not None}
    assert len(swings) > 3


def test_real_clicks_are_heard_in_other_guises_too() -> None:
    rng = np.random.default_rng(3)
    samples = (rng.standard_normal((400, 2)) * np.hanning(400)[:, None]).astype(np.float32)
    samples /= np.abs(samples).max()
    click = BankedClick(
        samples=samples,
        sample_rate=RATE,
        onset=10,
        core_start=20,
        core_stop=120,
        kind=Kind.POP,
        peak=1.0,
        level_db=20.0,
    )
    bank = Bank(clicks=(click,))
    varied = vary_bank(bank, 5, 3)
    assert varied.clicks[0] is click
    assert len(varied.clicks) == 4
    for other, same in zip(varied.clicks[1:], vary_bank(bank, 5, 3).clicks[1:], strict=True):
        assert np.array_equal(other.samples, same.samples)
        assert other.sample_rate != RATE
        assert np.max(np.abs(other.samples)) == pytest.approx(1.0, rel=1e-5)
        assert not np.any(other.samples[:1])  # a filter without delay would be heard before it
