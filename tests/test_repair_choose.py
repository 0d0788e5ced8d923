"""What a user would notice: the right method, nothing done to sound music, nothing broken."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from declick.clicks import Click, Estimate, Kind, Repair
from declick.repair.choose import repair_passage
from declick.repair.decide import A_BEAT, A_NOTE, AS_EXPECTED, LITTLE_TO_GAIN, SURE_AT_A_NOTE
from declick.repair.passage import Passage, plan_passages
from declick.settings import METHODS, RepairSettings

FloatArray = NDArray[np.float64]
RATE = 44100


def repair(
    sound: FloatArray, clicks: list[Click], rate: int = RATE, **chosen: object
) -> list[Repair]:
    """Read as the pipeline does: zeros outside of the sound."""
    settings = RepairSettings(**chosen)  # type: ignore[arg-type]
    repairs: list[Repair] = []
    for plan in plan_passages(sorted(clicks), sample_rate=rate, settings=settings):
        samples = np.zeros((plan.stop - plan.start, sound.shape[1]))
        lo, hi = max(plan.start, 0), min(plan.stop, len(sound))
        samples[lo - plan.start : hi - plan.start] = sound[lo:hi]
        passage = Passage(
            start=plan.start,
            sample_rate=rate,
            samples=samples,
            valid=(0, len(sound)),
            clicks=tuple(c for c in sorted(clicks) if c.start < plan.stop and c.tail > plan.start),
            own=plan.own,
        )
        repairs += repair_passage(passage, settings=settings)
    return repairs


def tick(start: int, stop: int, channel: int = 0) -> Click:
    return Click(start, stop, stop, channel)


def music(frames: int, channels: int, seed: int) -> FloatArray:
    """Return tones over reverberant noise, differently mixed in each channel."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / RATE
    tones = [
        np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6)) / (1 + number)
        for number, pitch in enumerate((220.0, 331.0, 447.3, 881.0, 1763.0))
    ]
    noise = lfilter([1.0], [1.0, -1.7, 0.8], rng.standard_normal(frames)) * 0.02
    mix = rng.uniform(0.5, 1.0, (5, channels))
    sound = np.stack(tones, axis=1) @ mix + noise[:, None]
    return 0.1 * sound + 1e-4 * rng.standard_normal((frames, channels))


def hit(sound: FloatArray, clicks: list[Click], seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    hurt = sound.copy()
    for click in clicks:
        size = click.stop - click.start
        hurt[click.start : click.stop, click.channel] += rng.choice([-1, 1]) * np.hanning(size + 2)[
            1:-1
        ] + 0.3 * rng.standard_normal(size)
    return hurt


def gain_db(sound: FloatArray, hurt: FloatArray, repairs: list[Repair]) -> float:
    mended = hurt.copy()
    for one in repairs:
        if one.made:
            mended[one.click.start : one.end, one.click.channel] = one.samples
    return float(10 * np.log10(np.sum((hurt - sound) ** 2) / np.sum((mended - sound) ** 2)))


def test_ticks_are_mended_in_order_and_expect_their_gain() -> None:
    sound = music(40_000, 1, 0)
    clicks = [tick(8000, 8011), tick(8300, 8304), tick(20_000, 20_044), tick(30_000, 30_220)]
    hurt = hit(sound, clicks)
    repairs = repair(hurt, clicks)
    assert [one.click for one in repairs] == clicks
    assert all(one.made for one in repairs)
    assert gain_db(sound, hurt, repairs) > 25
    for one in repairs:
        truth = sound[one.click.start : one.click.stop, 0]
        damage = hurt[one.click.start : one.click.stop, 0] - truth
        error = np.sum((one.samples - truth) ** 2)
        assert one.gain_db == pytest.approx(10 * np.log10(np.sum(damage**2) / error), abs=12)


def test_music_that_was_never_hurt_is_left_alone() -> None:
    sound = music(120_000, 1, 1)
    clicks = [tick(at, at + 11) for at in range(5000, 115_000, 1000)]
    repairs = repair(sound, clicks)
    assert sum(one.made for one in repairs) <= 0.05 * len(clicks)
    assert {one.method for one in repairs if not one.made} == {"left"}
    assert {one.why for one in repairs if not one.made} <= {LITTLE_TO_GAIN, AS_EXPECTED}
    assert all(one.made for one in repair(sound, clicks[:9], keep_weak=False))


def test_the_other_channel_is_used_where_it_holds_the_same_music() -> None:
    rng = np.random.default_rng(2)
    wild = lfilter([1.0], [1.0, -0.9], rng.standard_normal(30_000))  # hardly predictable
    sound = np.stack([wild, 0.7 * np.roll(wild, 1)], axis=1)
    sound += 1e-3 * rng.standard_normal(sound.shape)
    clicks = [tick(9000, 9044, 0), tick(20_000, 20_011, 1)]
    hurt = hit(10 * sound, clicks)
    repairs = repair(hurt, clicks)
    assert [one.method for one in repairs] == ["stereo", "stereo"]
    assert gain_db(10 * sound, hurt, repair(hurt, clicks, method="ar", keep_weak=False)) < 10
    assert gain_db(10 * sound, hurt, repairs) > 20
    both = [tick(9000, 9044, 0), tick(9010, 9030, 1)]  # both are hurt at once: no use
    assert {one.method for one in repair(hit(sound, both), both, keep_weak=False)} == {"ar"}


def test_a_neighbour_hit_too_weakly_to_be_found_is_not_copied_over() -> None:
    rng = np.random.default_rng(3)
    tone = music(30_000, 1, 3)[:, 0]
    sound = np.stack([tone, tone], axis=1) + 1e-4 * rng.standard_normal((30_000, 2))
    pulse = np.hanning(13)[1:-1]
    hurt = sound.copy()
    hurt[9000:9011, 0] += pulse
    hurt[9000:9011, 1] -= 0.1 * pulse
    (one,) = repair(hurt, [tick(9000, 9011, 0)])
    assert one.method == "ar"
    assert np.sum((one.samples - sound[9000:9011, 0]) ** 2) < 1e-3 * np.sum(pulse**2)


def test_a_repeated_sound_is_copied() -> None:
    rng = np.random.default_rng(4)
    loop = lfilter([1.0], [1.0, -0.9], rng.standard_normal(15_000))
    sound = np.tile(loop, 4)[:, None] * 0.01
    clicks = [tick(33_000, 33_500)]
    hurt = hit(sound, clicks)
    (one,) = repair(hurt, clicks)
    assert one.method == "copy"
    assert gain_db(sound, hurt, [one]) > 40


def test_a_long_gap_does_not_sag() -> None:
    rng = np.random.default_rng(5)
    sound = 0.1 * lfilter([1.0], [1.0, -0.9], rng.standard_normal(60_000))[:, None]
    clicks = [tick(30_000, 31_500)]
    (one,) = repair(hit(sound, clicks), clicks)
    assert one.method == "spectrum"
    middle = one.samples[500:1000]
    assert 0.5 < np.mean(middle**2) / np.mean(sound**2) < 2.0
    (flat,) = repair(hit(sound, clicks), clicks, method="ar")
    assert np.mean(flat.samples[500:1000] ** 2) < 0.3 * np.mean(sound**2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_forced_methods_are_always_made_even_at_the_ends(method: str, channels: int) -> None:
    sound = music(9000, channels, 6)
    last = channels - 1
    clicks = [
        tick(0, 9, 0),
        tick(4000, 4003, 0),
        tick(4100, 4111, last),
        tick(4120, 4620, 0),
        tick(8990, 9000, last),
    ]
    for one in repair(hit(sound, clicks), clicks, method=method, keep_weak=False):
        assert one.made
        assert np.all(np.isfinite(one.samples))
        assert np.max(np.abs(one.samples)) < 3.0
        if method != "auto":
            assert np.isnan(one.gain_db)


@pytest.mark.parametrize("method", METHODS)
def test_silence_stays_silent(method: str) -> None:
    hurt = np.zeros((30_000, 2))
    clicks = [tick(9000, 9011, 0), tick(9000, 9011, 1), tick(20_000, 20_600, 0)]
    for click in clicks:
        hurt[click.start : click.stop, click.channel] = 0.5
    for one in repair(hurt, clicks, method=method):
        if method != "smooth":
            assert one.made
            assert not one.samples.any()
        assert np.all(np.isfinite(one.samples))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_all_of_a_tiny_file_may_be_missing(method: str, frames: int) -> None:
    sound = np.random.default_rng(frames).standard_normal((frames, 1))
    for clicks in ([tick(0, frames)], [tick(frames // 2, frames // 2 + 1)]):
        for one in repair(sound, clicks, method=method):
            assert np.all(np.isfinite(one.samples))
            assert one.made or method == "auto"


@pytest.mark.parametrize("rate", [8000, 11025, 96000, 192000])
def test_other_sample_rates(rate: int) -> None:
    time = np.arange(rate) / rate
    sound = 0.3 * np.sin(2 * np.pi * 440 * time)[:, None]
    sound += 1e-5 * np.random.default_rng(0).standard_normal(sound.shape)
    clicks = [tick(rate // 3, rate // 3 + rate // 1000), tick(rate // 2, rate // 2 + rate // 100)]
    hurt = hit(sound, clicks)
    assert gain_db(sound, hurt, repair(hurt, clicks)) > 40


def test_gain_polarity_and_channel_order_carry_over() -> None:
    sound = music(30_000, 2, 7)
    clicks = [tick(9000, 9011, 0), tick(9500, 9530, 1), tick(20_000, 20_300, 0)]
    hurt = hit(sound, clicks)
    plain = {one.click: one for one in repair(hurt, clicks)}
    for one in repair(-2.0 * hurt, clicks):
        np.testing.assert_allclose(one.samples, -2.0 * plain[one.click].samples, atol=1e-9)
        assert one.method == plain[one.click].method
    swapped = [Click(c.start, c.stop, c.tail, 1 - c.channel) for c in clicks]
    for one in repair(hurt[:, ::-1], swapped):
        twin = plain[Click(one.click.start, one.click.stop, one.click.tail, 1 - one.click.channel)]
        np.testing.assert_array_equal(one.samples, twin.samples)


def test_dense_crackle_is_solved_jointly() -> None:
    sound = music(60_000, 1, 8)
    rng = np.random.default_rng(8)
    starts = np.sort(rng.choice(np.arange(2000, 58_000, 40), 260, replace=False))
    clicks = [tick(int(at), int(at) + int(rng.integers(4, 16))) for at in starts]
    assert any(b.start - a.stop < 40 for a, b in pairwise(clicks))
    hurt = hit(sound, clicks)
    assert gain_db(sound, hurt, repair(hurt, clicks)) > 20


def test_a_neighbour_outside_the_group_is_not_taken_for_music() -> None:
    sound = music(30_000, 1, 9)
    own, neighbour = tick(10_000, 10_011), tick(10_015, 10_040)
    hurt = hit(sound, [own, neighbour])
    passage = Passage(
        start=7000,
        sample_rate=RATE,
        samples=hurt[7000:13_000],
        valid=(0, 30_000),
        clicks=(own, neighbour),
        own=(own,),
    )
    (one,) = repair_passage(passage, settings=RepairSettings())
    assert np.sum((one.samples - sound[10_000:10_011, 0]) ** 2) < 1e-3


def test_a_tail_is_subtracted_and_the_core_filled() -> None:
    sound = music(120_000, 1, 10)
    click = Click(60_000, 60_012, 62_000, 0, kind=Kind.POP)
    hurt = hit(sound, [tick(60_000, 60_012)])
    time = np.arange(1988) / RATE
    hurt[60_012:62_000, 0] += 0.3 * np.exp(-time / 0.012) * np.sin(2 * np.pi * 4000 * time + 0.4)
    (one,) = repair(hurt, [click])
    assert one.samples.shape == (2000,)
    assert gain_db(sound, hurt, [one]) > 15


@pytest.mark.parametrize("rings_on", [True, False])
def test_an_attack_that_is_taken_for_known_damage_is_spared(rings_on: bool) -> None:
    """What a network believes to know of it would take the beginning of a drum stroke away."""
    sound = music(2 * RATE, 1, seed=5)
    sound += 0.01 * np.random.default_rng(5).standard_normal(sound.shape)
    start, length = RATE, 150
    time = np.arange(RATE // 4) / RATE
    stroke = 0.4 * np.exp(-time / 0.06) * np.sin(2 * np.pi * 140.0 * time)
    if not rings_on:
        stroke = stroke[:length] * np.hanning(length)
    worn = sound.copy()
    worn[start : start + stroke.size, 0] += stroke
    damage = stroke[:length].astype(np.float32)
    known = Estimate(start, damage, np.full(length, 0.02, dtype=np.float32))
    click = Click(start, start + length, start + length, 0, 0.99, estimate=known)
    (repair_made,) = repair(worn, [click])
    assert repair_made.made is not rings_on
    assert repair_made.why == (A_NOTE if rings_on else "")
    # A detector that is as sure as that has heard more than an attack.
    assert repair(worn, [replace(click, confidence=SURE_AT_A_NOTE)])[0].made
    # Behind a note no ring and no thump was found; a tail may be that of the click before, though.
    swinging = replace(click, tail=click.stop + 1000)
    assert repair(worn, [swinging])[0].made
    before = Click(start - 2000, start - 1990, start, 0)
    _, after = repair(worn, [before, swinging])
    assert after.made is not rings_on


def test_no_note_begins_where_the_same_push_is_mended_in_the_other_channel() -> None:
    sound = music(2 * RATE, 2, seed=5)
    sound += 0.01 * np.random.default_rng(5).standard_normal(sound.shape)
    start, length = RATE, 150
    time = np.arange(RATE // 4) / RATE
    push = 0.4 * np.exp(-time / 0.06) * np.sin(2 * np.pi * 140.0 * time)
    worn = sound.copy()
    worn[start : start + push.size, 0] += push
    worn[start : start + length, 1] += push[:length] * np.hanning(length)
    clicks = []
    for channel in (0, 1):
        damage = (worn - sound)[start : start + length, channel].astype(np.float32)
        known = Estimate(start, damage, np.full(length, 0.02, dtype=np.float32))
        clicks.append(Click(start, start + length, start + length, channel, 0.99, estimate=known))
    assert [made.made for made in repair(worn, clicks)] == [True, True]
    assert [made.made for made in repair(worn, clicks[:1])] == [False]


@pytest.mark.parametrize(
    ("confidence", "crackle", "height", "made"),
    [
        (0.99, True, 1.5, False),  # a beat of the music, taken for one more click
        (1.0, True, 1.5, True),  # beyond doubt
        (0.99, False, 1.5, True),  # nothing else has happened to the record there
        (0.99, True, 8.0, True),  # much louder than the music
    ],
)
def test_a_beat_amid_crackle_is_left_alone(
    confidence: float, crackle: bool, height: float, made: bool
) -> None:
    rng = np.random.default_rng(4)
    sound = music(3 * RATE, 1, 5)
    level = np.sqrt(np.mean(sound**2))
    burst = np.hanning(400) * rng.standard_normal(400)
    sound[RATE : RATE + 400, 0] += height * level * burst / np.abs(burst).max()
    specks = [tick(RATE + k * 600, RATE + k * 600 + 6) for k in range(-8, 9) if k] * crackle
    beat = Click(RATE, RATE + 400, RATE + 400, 0, confidence)
    repairs = repair(sound, [*specks, beat], keep_weak=True)
    mended = next(r for r in repairs if r.click == beat)
    assert mended.made is made
    assert mended.why == ("" if made else A_BEAT)
