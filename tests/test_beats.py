from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick import stages
from declick.clicks import Click, FloatArray
from declick.detect.beats import KEEPS_A_BEAT, find_beats, on_beat
from declick.read import Recording
from declick.rotation import PERIODS_S
from runs import read, run, write_worn

RATE = 44100


def kept_of(samples: FloatArray, clicks: list[Click]) -> list[Click]:
    music = find_beats(Recording.from_array(samples, RATE).read, clicks, sample_rate=RATE)
    return [click for click in clicks if click not in music]


@pytest.mark.parametrize("beats_a_minute", [87.0, 105.0, 128.0])
def test_what_keeps_a_beat_is_told_from_what_does_not(beats_a_minute: float) -> None:
    rng = np.random.default_rng(1)
    step = 15.0 / beats_a_minute
    beats = step * rng.choice(160, 50, replace=False) + rng.normal(0.0, 0.003, 50)
    dust = rng.uniform(0.0, 160 * step, 6)
    times = np.concatenate([beats, dust])
    order = np.argsort(times)
    rises = np.where(order < 50, rng.normal(3.0, 4.0, 56), rng.normal(0.0, 4.0, 56))
    found = on_beat(times[order], rises)
    assert found[order < 50].mean() > 0.95
    assert found[order >= 50].sum() <= 4
    # Clicks that somebody put there keep a beat, but have nothing to do with the music.
    assert not on_beat(times[order], rng.normal(-0.5, 4.0, 56)).any()


def test_bursts_keep_no_beat() -> None:
    burst = 0.022 * np.arange(10)
    times = np.concatenate([1.0 + burst, 8.0 + burst])
    assert not on_beat(times, np.full(times.size, 6.0)).any()


def test_what_keeps_no_time_is_no_beat() -> None:
    rng = np.random.default_rng(9)
    times = np.sort(0.5 * np.arange(100) + rng.uniform(-0.11, 0.11, 100))
    assert not on_beat(times, np.full(times.size, 6.0)).any()


@pytest.mark.parametrize("period_s", [0.25, 0.7, 1.1, 2.0])
def test_clicks_that_somebody_put_at_even_distances_keep_no_beat(period_s: float) -> None:
    rng = np.random.default_rng(5)
    times = np.arange(0.37, 60.0, period_s)
    assert not on_beat(times, np.full(times.size, 6.0)).any()
    times += rng.normal(0.0, 2e-4, times.size)
    assert not on_beat(times, np.full(times.size, 6.0)).any()


def test_thumps_at_uneven_distances_keep_no_beat() -> None:
    rng = np.random.default_rng(7)
    samples = np.cumsum(rng.normal(0.0, 0.003, (30 * RATE, 1)), axis=0)
    samples -= np.convolve(samples[:, 0], np.full(999, 1 / 999), "same")[:, None]
    time = np.arange(RATE // 5) / RATE
    thump = 0.5 * np.exp(-time / 0.05) * np.sin(2 * np.pi * 40 * time)
    clicks = []
    for at in ((0.5 + np.arange(28) + rng.normal(0.0, 0.004, 28)) * RATE).astype(int).tolist():
        samples[at : at + 60, 0] += 0.5 * np.hanning(60)
        samples[at + 60 : at + 60 + thump.size, 0] += thump
        clicks.append(Click(at, at + 60, at + 60, 0))
    assert kept_of(samples, clicks) == clicks


@pytest.mark.parametrize(("frames", "ticks"), [(200, 60), (20, 0)])
def test_drums_keep_the_beat_among_the_ticks_of_a_worn_record(frames: int, ticks: int) -> None:
    rng = np.random.default_rng(6)
    samples = rng.normal(0.0, 1e-3, (30 * RATE, 1))
    beats = 0.5 + 0.25 * rng.choice(110, 40, replace=False) + rng.normal(0.0, 0.003, 40)
    drums = [Click(at, at + frames, at + frames, 0) for at in (beats * RATE).astype(int).tolist()]
    for click in drums[::2]:
        samples[click.stop : click.stop + 2000] += rng.normal(0.0, 1e-2, (2000, 1))
    dust = [Click(at, at + 20, at + 20, 0) for at in rng.integers(1000, 29 * RATE, ticks).tolist()]
    kept = kept_of(samples, sorted([*drums, *dust]))
    assert set(dust) <= set(kept)
    assert len(kept) <= ticks + 2


@pytest.mark.parametrize("seed", range(20))
def test_clicks_at_random_keep_no_beat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for rate in (0.6, 1.0, 3.0, 9.0):
        times = np.sort(rng.uniform(0.0, 300.0, int(300 * rate)))
        assert not on_beat(times, np.full(times.size, 6.0)).any()
    assert not on_beat([], []).any()


@pytest.mark.parametrize("period_s", [1.004 * 1.8, 1.333, 60 / 78.26, 60 / 80, 60 / 71.29])
@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_a_scratch_keeps_no_beat(period_s: float, ticks: int) -> None:
    rng = np.random.default_rng(ticks)
    # However its ticks are spread over the turn: evenly, too.
    for angles in (np.arange(ticks) / ticks, rng.uniform(0.0, 1.0, ticks)):
        turns = np.arange(round(60.0 / period_s))
        times = (period_s * (turns[:, None] + angles)).reshape(-1)
        times = np.concatenate([times + rng.normal(0.0, 3e-4, times.size), rng.uniform(0, 60, 5)])
        assert not on_beat(np.sort(times), np.full(times.size, 6.0)).any()


def drum(rng: np.random.Generator) -> FloatArray:
    """Return a hit that begins as suddenly as a click, and rings on."""
    time = np.arange(RATE // 10) / RATE
    hit = np.exp(-time / 0.03) * (np.sin(2 * np.pi * 180 * time) + 0.3 * rng.normal(size=time.size))
    hit[:40] += 2.0 * rng.normal(size=40)
    return 0.2 * hit


def test_a_sound_that_comes_again_is_music() -> None:
    rng = np.random.default_rng(2)
    samples = rng.normal(0.0, 1e-3, (4 * RATE, 2))
    hit, places = drum(rng), [20_011, 51_234, 90_007, 140_500]
    for place in places:
        samples[place : place + hit.size] += hit[:, None]
    samples[120_000:120_010] += 0.5
    clicks = [
        Click(place + slip, place + 60 + slip, place + 60 + slip, channel)
        for slip, place in zip((0, 3, -5, 20), places, strict=True)
        for channel in (0, 1)
    ]
    tick = Click(120_000, 120_010, 120_010, 0)
    kept = kept_of(samples, sorted([*clicks, tick]))
    assert kept == [tick]
    # The same a little softer each time may be anything.
    softer = samples.copy()
    for place, share in zip(places, (0.0, 0.3, 0.5, 0.65), strict=True):
        softer[place : place + hit.size] -= share * hit[:, None]
    assert kept_of(softer, clicks) == clicks
    # Two of a kind are none too many: what is left of a chord may be as alike.
    assert kept_of(samples, clicks[:4]) == clicks[:4]


def test_a_click_that_comes_again_over_other_music_is_damage() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(0.0, 0.01, (6 * RATE, 1))
    pulse = 0.6 * np.hanning(30)
    time = np.arange(2000) / RATE
    ring = 0.3 * np.exp(-time / 0.01) * np.sin(2 * np.pi * 4000 * time)
    clicks = []
    for place in (30_000, 80_000, 130_000, 180_000, 230_000):
        samples[place : place + 30, 0] += pulse
        samples[place + 30 : place + 2030, 0] += ring
        clicks.append(Click(place, place + 30, place + 30, 0))
    assert kept_of(samples, clicks) == clicks


def test_clicks_on_a_steady_tone_are_damage() -> None:
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)[:, None]
    clicks = []
    for at in range(RATE // 2, 4 * RATE - RATE // 4, RATE // 2):
        samples[at : at + 3] += 0.6
        clicks.append(Click(at, at + 3, at + 3, 0))
    assert kept_of(samples, clicks) == clicks


@pytest.mark.parametrize("period_s", [*PERIODS_S, 60 / 80, 60 / 76.59, 60 / 71.29])
def test_a_scratch_with_its_thump_over_silent_groove_is_damage(period_s: float) -> None:
    rng = np.random.default_rng(4)
    samples = rng.normal(0.0, 1e-4, (12 * RATE, 1))
    time = np.arange(RATE // 5) / RATE
    thump = 0.3 * np.exp(-time / 0.05) * np.sin(2 * np.pi * 40 * time)
    clicks = []
    for turn in range(6):
        place = 5000 + round(turn * 1.003 * period_s * RATE)
        samples[place : place + 60, 0] += 0.5 * np.hanning(60)
        samples[place + 60 : place + 60 + thump.size, 0] += thump
        clicks.append(Click(place, place + 60, place + 60, 0))
    assert kept_of(samples, clicks) == clicks


def test_clicks_at_the_ends_and_in_silence_are_kept() -> None:
    samples = np.zeros((RATE, 1))
    samples[[0, 20_000, 30_000, RATE - 1]] = 1.0
    clicks = [Click(at, at + 1, at + 1, 0) for at in (0, 20_000, 30_000, RATE - 1)]
    assert kept_of(samples, clicks) == clicks
    assert kept_of(samples, []) == []


def test_what_keeps_a_beat_is_told_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rip = write_worn(tmp_path / "rip.wav")
    monkeypatch.setattr(stages, "find_beats", lambda _read, clicks, **_: set(clicks[2:6:2]))
    done = run("restore", rip, "--json")
    notice = "2 clicks on a beat of the music: left alone (--no-spare-beats mends them, too)"
    assert notice in done.json["notices"]
    assert notice in done.err
    assert notice in run("detect", rip).err
    told = json.loads((tmp_path / "rip.declicked.json").read_text())["clicks"]
    beats = [click for click in told if click.get("why") == KEEPS_A_BEAT]
    assert [click["method"] for click in beats] == ["left", "left"]
    assert done.json["totals"]["left"] >= 2
    before, after = read(rip), read(tmp_path / "rip.declicked.wav")
    for click in beats:
        span = slice(click["start"], click["stop"]), click["channel"]
        assert np.array_equal(before[span], after[span])
    labels = (tmp_path / "rip.labels.txt").read_text().splitlines()
    assert len(labels) == len(told) - 2
    # What a report has spared a run like it spares.
    like = tmp_path / "rip.declicked.json"
    assert run("repair", rip, tmp_path / "again.wav", "--like", like).status == 0
    assert np.array_equal(read(tmp_path / "again.wav"), after)
    assert json.loads((tmp_path / "again.json").read_text())["clicks"] == told
    # What is drawn there is taken there.
    drawn = before.copy()
    for click in beats:
        drawn[click["start"] : click["stop"], click["channel"]] = 0.0
    soundfile.write(tmp_path / "drawn.wav", drawn, RATE)
    arguments = ("--like", like, "--draw", tmp_path / "drawn.wav", "-o", tmp_path / "d.wav")
    assert run("repair", rip, *arguments).status == 0
    taken = read(tmp_path / "d.wav")
    for click in beats:
        assert not taken[click["start"] : click["stop"], click["channel"]].any()
    # Where nothing is to be spared, they are mended.
    done = run("restore", rip, tmp_path / "all.wav", "--no-spare-beats", "--json")
    assert done.json["notices"] == []
    every = json.loads((tmp_path / "all.json").read_text())["clicks"]
    assert sum(click["made"] for click in every) > sum(click["made"] for click in told)
