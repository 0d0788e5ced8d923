"""Planted clicks are harvested from synthetic groove noise; silent groove is found in a rip."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from declick.clicks import FloatArray, Kind
from declick.damage.bank import Bank
from declick.damage.bed import bed_level
from declick.damage.groove import find_groove
from declick.damage.harvest import harvest
from declick.read import Recording
from worn import piece

RATE = 44100
NOISES = ("white", "hiss", "rumble")


@dataclass(frozen=True)
class Planted:
    start: int
    stop: int
    ring_hz: float


def groove_noise(noise: str, seconds: float, *, seed: int = 1) -> FloatArray:
    """Return white noise, darker hiss, or hiss with a rumble as strong as itself."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((round(seconds * RATE), 2))
    if noise == "white":
        return 1e-3 * white
    hiss = sosfilt(butter(1, 4000.0, fs=RATE, output="sos"), white, axis=0)
    hiss *= 1e-3 / hiss.std()
    if noise == "hiss":
        return np.asarray(hiss)
    band = butter(2, (15.0, 45.0), "bandpass", fs=RATE, output="sos")
    rumble = sosfilt(band, rng.standard_normal(white.shape), axis=0)
    return np.asarray(hiss + 1e-3 * rumble / rumble.std())


def plant(sound: FloatArray, *, seed: int = 3, scale: float | None = None) -> list[Planted]:
    """Lay ticks, pops, double swings and rings over noise, 6 to 300 times as high."""
    rng = np.random.default_rng(seed)
    scale = float(bed_level(sound, RATE).max()) if scale is None else scale
    planted = []
    time_s = 0.3
    while time_s < len(sound) / RATE - 0.3:
        kind = rng.choice(["tick", "pop", "double", "ring"])
        shortest, longest = (0.6e-3, 3e-3) if kind == "pop" else (0.1e-3, 0.6e-3)
        width = RATE * float(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
        push = np.sin(np.pi * (np.arange(int(width)) + 0.5) / width * (1 + (kind == "double")))
        height = scale * float(np.exp(rng.uniform(np.log(6.0), np.log(300.0))))
        hertz, wave = 0.0, push
        if kind == "ring":
            hertz, decay = float(rng.uniform(2500.0, 6000.0)), float(rng.uniform(0.5e-3, 12e-3))
            height = max(height, 30.0 * scale)
            time = np.arange(int(6.0 * decay * RATE)) / RATE
            ring = 0.4 * np.exp(-time / decay) * np.sin(2.0 * np.pi * hertz * time)
            wave = np.concatenate((push, ring))
        shares = np.array([1.0, rng.uniform(-1.0, 1.0)])[:: rng.choice([-1, 1])]
        start = round(time_s * RATE)
        sound[start : start + wave.size] += rng.choice([-1, 1]) * height * wave[:, None] * shares
        planted.append(Planted(start, start + push.size, hertz))
        time_s += wave.size / RATE + float(rng.uniform(0.02, 0.12))
    return planted


@cache
def harvested(noise: str) -> tuple[tuple[Planted, ...], Bank]:
    sound = groove_noise(noise, 8.0)
    planted = plant(sound)
    return tuple(planted), harvest(Recording.from_array(sound, RATE), [(0, len(sound))])


def matches(planted: tuple[Planted, ...], bank: Bank) -> dict[int, int]:
    """Return which click is which planted one, one to one: their cores must overlap."""
    found: dict[int, int] = {}
    for index, click in enumerate(bank.clicks):
        start = click.time_s * RATE
        stop = start + click.core_stop - click.core_start
        for number, item in enumerate(planted):
            if number not in found.values() and start < item.stop + 8 and stop > item.start - 8:
                found[index] = number
                break
    return found


@pytest.mark.parametrize("noise", NOISES)
def test_planted_clicks_are_harvested(noise: str) -> None:
    planted, bank = harvested(noise)
    found = matches(planted, bank)
    assert len(planted) > 80
    assert len(found) / len(planted) >= 0.95
    assert len(found) / len(bank.clicks) >= 0.95


@pytest.mark.parametrize("noise", NOISES)
def test_their_rings_have_the_right_frequency(noise: str) -> None:
    planted, bank = harvested(noise)
    found = matches(planted, bank)
    rings = {index: number for index, number in found.items() if planted[number].ring_hz}
    heard = [index for index in rings if bank.clicks[index].ring_hz]
    assert len(heard) >= 0.95 * len(rings)
    for index in heard:
        true_hz = planted[rings[index]].ring_hz
        assert bank.clicks[index].ring_hz == pytest.approx(true_hz, rel=0.02)
    told = [index for index, click in enumerate(bank.clicks) if click.ring_hz]
    assert len(told) <= 1.1 * len(rings)


def test_clips_fade_to_nothing_at_both_ends() -> None:
    _, bank = harvested("rumble")
    for click in bank.clicks:
        ends = np.abs(click.samples[[0, -1]]).max()
        assert ends <= 0.02 * click.peak + 1e-6
        assert click.peak == pytest.approx(float(np.abs(click.samples).max()))


def test_a_clip_is_the_click_without_the_noise() -> None:
    noise = groove_noise("rumble", 3.0)
    time = np.arange(441) / RATE
    wave = 0.2 * np.exp(-time / 1e-3) * np.sin(2.0 * np.pi * 3000.0 * time)
    sound = noise.copy()
    sound[66150 : 66150 + 441] += wave[:, None] * [1.0, -0.5]
    bank = harvest(Recording.from_array(sound, RATE), [(0, len(sound))])
    (click,) = bank.clicks
    start = round(click.time_s * RATE) - click.core_start - 66150
    true = np.zeros((len(click.samples), 2))
    true[-start : -start + 441] = (wave[:, None] * [1.0, -0.5])[: len(true) + start]
    error = click.samples - true
    # Of the noise is left what lies under the core.
    assert np.sum(error**2) < 1e-3 * np.sum(true**2)
    assert click.ring_hz == pytest.approx(3000.0, rel=0.01)
    assert click.left == 1.0
    assert click.right == pytest.approx(-0.5, abs=0.03)


def test_noise_alone_gives_no_clicks() -> None:
    for noise in NOISES:
        sound = groove_noise(noise, 6.0, seed=8)
        assert not harvest(Recording.from_array(sound, RATE), [(0, len(sound))]).clicks


def test_statistics_tell_the_rate_and_the_turn() -> None:
    sound = groove_noise("white", 20.0)
    turns = np.round(np.arange(0.4, 19.5, 1.8) * RATE).astype(int)
    for start in turns:
        sound[start : start + 9] += 0.05 * np.hanning(9)[:, None]
    statistics = harvest(Recording.from_array(sound, RATE), [(0, len(sound))]).statistics
    assert statistics.groove_s == pytest.approx(20.0)
    assert statistics.period_s == pytest.approx(1.8, rel=1e-3)
    assert sum(statistics.rates_hz.values()) == pytest.approx(turns.size / 20.0)
    assert statistics.bed_db == pytest.approx(-60.0, abs=0.5)
    assert statistics.opposite_share == 0.0


def test_mono_and_many_channels_are_harvested() -> None:
    sound = groove_noise("hiss", 2.0)
    planted = plant(sound)
    mono = harvest(Recording.from_array(sound[:, :1] + sound[:, 1:], RATE), [(0, len(sound))])
    assert {click.channels for click in mono.clicks} == {1}
    three = np.column_stack((sound, sound[:, 0]))
    bank = harvest(Recording.from_array(three, RATE), [(0, len(sound))])
    assert sum(click.channels == 2 for click in bank.clicks) >= 0.9 * len(planted)
    assert sum(click.channels == 1 for click in bank.clicks) > 0.5 * len(planted)


def test_no_more_clips_are_kept_than_asked_for() -> None:
    sound = groove_noise("hiss", 3.0)
    plant(sound)
    bank = harvest(Recording.from_array(sound, RATE), [(0, len(sound))], most=10)
    assert len(bank.clicks) == 10
    all_of_them = harvest(Recording.from_array(sound, RATE), [(0, len(sound))])
    rates = [sum(some.statistics.rates_hz.values()) for some in (bank, all_of_them)]
    assert rates[0] == pytest.approx(rates[1])


def test_too_short_a_stretch_gives_nothing() -> None:
    sound = groove_noise("hiss", 1.0)
    assert not harvest(Recording.from_array(sound, RATE), [(100, 900)]).clicks
    assert not harvest(Recording.from_array(sound, RATE), []).clicks


# --- silent groove ----------------------------------------------------------------------------


def a_side(*, seed: int = 5) -> tuple[FloatArray, list[tuple[float, float]]]:
    """Return lead-in, music, a gap, music, run-out, with clicks all over; the silent seconds."""
    noise = groove_noise("hiss", 40.0, seed=seed)
    music = piece(10.0, seed)
    for start_s in (4.0, 17.0):
        start = round(start_s * RATE)
        noise[start : start + len(music)] += music
    plant(noise, seed=seed, scale=1e-3)
    return noise, [(0.0, 4.0), (14.0, 17.0), (27.0, 40.0)]


def test_silent_groove_is_found() -> None:
    side, silent = a_side()
    found = [(a / RATE, b / RATE) for a, b in find_groove(Recording.from_array(side, RATE))]
    assert len(found) == len(silent)
    for (low, high), (start, stop) in zip(found, silent, strict=True):
        assert start <= low <= start + 1.5
        assert stop - 1.5 <= high <= stop


def test_all_of_a_silent_recording_is_silent_groove() -> None:
    sound = groove_noise("rumble", 6.0)
    plant(sound)
    assert find_groove(Recording.from_array(sound, RATE)) == [(0, len(sound))]


def test_music_and_digital_silence_are_no_silent_groove() -> None:
    music = piece(12.0)
    assert not find_groove(Recording.from_array(music, RATE))
    assert not find_groove(Recording.from_array(np.zeros((5 * RATE, 2)), RATE))
    assert not find_groove(Recording.from_array(music[:500], RATE))
    tone = 1e-3 * np.sin(2.0 * np.pi * 1000.0 * np.arange(6 * RATE) / RATE)
    assert not find_groove(Recording.from_array(tone, RATE))


def test_a_needle_that_is_up_is_no_groove() -> None:
    side, silent = a_side()
    up = 1e-5 * np.random.default_rng(1).standard_normal((4 * RATE, 2))
    whole = np.concatenate((up, side))
    found = find_groove(Recording.from_array(whole, RATE))
    assert len(found) == len(silent)
    assert found[0][0] >= 4 * RATE


def test_a_thump_is_cut_with_its_swing() -> None:
    sound = groove_noise("hiss", 14.0)
    time = np.arange(round(0.25 * RATE)) / RATE
    phase = 15.0 * time + 60.0 * 0.06 * (1.0 - np.exp(-time / 0.06))
    swing = np.exp(-time / 0.035) * np.sin(2.0 * np.pi * phase)
    push = np.sin(np.pi * np.arange(40) / 40)
    places = range(RATE, 13 * RATE, RATE)
    for number, start in enumerate(places):
        sound[start : start + 40] += 0.06 * push[:, None] * [1.0, 0.6]
        if number % 2:
            sound[start + 40 : start + 40 + swing.size] += 0.036 * swing[:, None] * [1.0, 0.6]
    bank = harvest(Recording.from_array(sound, RATE), [(0, len(sound))])
    thumps = [click for click in bank.clicks if click.kind is Kind.THUMP]
    assert {round(click.time_s) % 2 for click in thumps} == {0}
    assert len(thumps) >= 5
    for click in thumps:
        assert click.thump_decay_s == pytest.approx(0.035, rel=0.3)
        assert len(click.samples) > 0.08 * RATE


def test_the_comparison_in_the_docs_is_the_measured_one() -> None:
    root = Path(__file__).resolve().parent.parent
    values = json.loads((root / "results" / "real_clicks.json").read_text(encoding="utf-8"))
    text = (root / "docs" / "damage.md").read_text(encoding="utf-8")
    entries = [values[name] for name in ("real", "before", "synthetic")]
    widths = [" · ".join(f"{x:.2f}" for x in entry["width_ms"][1:4]) for entry in entries]
    assert f"| width of the core, ms (quartiles) | {' | '.join(widths)} |" in text
    shares = [f"{100 * entry['opposite_share']:.0f} %" for entry in entries]
    assert f"| opposite in left and right | {' | '.join(shares)} |" in text
    rings = [f"{100 * entry['ring_share']:.0f} %" for entry in entries]
    assert f"| a ring stands out | {' | '.join(rings)} |" in text
