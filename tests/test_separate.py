"""Rings and thumps are taken out, and the music under them stays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from declick.clicks import Click, Kind
from declick.dsp.rings import Ring
from declick.dsp.slow_tails import Emphasis
from declick.dsp.thumps import FittedThump, Swing
from declick.repair import separate
from declick.repair.separate import Chain, estimate_chain, subtract_tails

FloatArray = NDArray[np.float64]


def music(frames: int, sample_rate: float, seed: int = 1) -> FloatArray:
    """Return a chord with slow beats over soft pink-like noise, at an effective level of 0.1."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / sample_rate
    sound = np.zeros(frames)
    for root in (61.7, 123.5, 311.1, 466.2):
        for partial in range(1, 12):
            if root * partial < 0.4 * sample_rate:
                level = (1.0 + 0.3 * np.sin(2 * np.pi * rng.uniform(1, 4) * time)) / partial**1.5
                phase = 2 * np.pi * root * partial * time + rng.uniform(0, 6.28)
                sound += level * np.sin(phase)
    noise = np.cumsum(rng.standard_normal(frames) * np.sqrt(44100 / sample_rate))
    noise -= np.convolve(noise, np.ones(101) / 101, mode="same")
    sound = sound / sound.std() + 0.02 * noise + 0.003 * rng.standard_normal(frames)
    result: FloatArray = 0.1 * sound / sound.std()
    return result


def ring(frames: int, sample_rate: float, frequency: float, decay: float) -> FloatArray:
    time = np.arange(frames) / sample_rate
    wave: FloatArray = np.exp(-time / decay) * np.cos(2 * np.pi * frequency * time + 1.0)
    return wave


def thump(frames: int, sample_rate: float, decay: float = 0.03) -> FloatArray:
    time = np.arange(frames) / sample_rate
    phase = 2 * np.pi * (14.0 * time + 80.0 * 0.04 * (1.0 - np.exp(-time / 0.04)))
    wave: FloatArray = np.exp(-time / decay) * np.sin(phase)
    return wave


def damage(
    clean: FloatArray, start: int, core: int, tail: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Lay a tail over the music from `start` on, and rubbish over the core."""
    damaged = clean.copy()
    length = min(tail.size, clean.size - start)
    damaged[start : start + length] += tail[:length]
    missing = np.zeros(clean.size, dtype=bool)
    missing[start : start + core] = True
    damaged[missing] += np.random.default_rng(3).standard_normal(core)
    return damaged, missing


def gone_db(clean: FloatArray, damaged: FloatArray, mended: FloatArray, span: slice) -> float:
    before = np.sum((damaged - clean)[span] ** 2)
    return float(10 * np.log10(before / np.sum((mended - clean)[span] ** 2)))


@pytest.mark.parametrize("sample_rate", [8000, 44100, 96000, 192000])
def test_ring_goes_and_music_stays(sample_rate: int) -> None:
    frames = int(0.8 * sample_rate)
    clean = music(frames, sample_rate)
    start, core = frames // 2, max(6, int(0.001 * sample_rate))
    wave = 0.1 * ring(frames // 3, sample_rate, 2900.0, 0.012)
    damaged, missing = damage(clean, start, core, wave)
    stop, tail = start + core, start + core + int(0.045 * sample_rate)
    mended = subtract_tails(damaged, missing, [(stop, tail, Kind.POP)], sample_rate=sample_rate)
    assert gone_db(clean, damaged, mended, slice(stop, tail)) > 18.0
    assert np.array_equal(mended[:stop], damaged[:stop])
    assert np.array_equal(mended[tail:], damaged[tail:])


@pytest.mark.parametrize("sample_rate", [8000, 44100, 192000])
def test_thump_goes_and_bass_stays(sample_rate: int) -> None:
    frames = int(1.4 * sample_rate)
    clean = music(frames, sample_rate)
    start, core = frames // 2, max(6, int(0.002 * sample_rate))
    damaged, missing = damage(clean, start, core, 0.3 * thump(frames // 3, sample_rate))
    stop, tail = start + core, start + core + int(0.11 * sample_rate)
    mended = subtract_tails(damaged, missing, [(stop, tail, Kind.THUMP)], sample_rate=sample_rate)
    assert gone_db(clean, damaged, mended, slice(stop, tail)) > 15.0
    assert np.array_equal(mended[:stop], damaged[:stop])
    assert np.array_equal(mended[tail:], damaged[tail:])


def test_clean_music_is_left_alone() -> None:
    sample_rate = 44100
    clean = music(sample_rate, sample_rate, seed=5)
    missing = np.zeros(clean.size, dtype=bool)
    tails = []
    for start in range(12000, 34000, 5000):
        missing[start : start + 20] = True
        tails.append((start + 20, start + 2000, Kind.POP))
        tails.append((start + 20, start + 4400, Kind.THUMP))
    for claimed in tails:
        mended = subtract_tails(clean, missing, [claimed], sample_rate=sample_rate)
        span = slice(claimed[0], claimed[1])
        changed = np.sum((mended - clean)[span] ** 2) / np.sum(clean[span] ** 2)
        assert changed < 10**-3.5


@pytest.mark.parametrize("frequency", [55.0, 440.0, 4000.0])
@pytest.mark.parametrize("kind", [Kind.POP, Kind.THUMP])
def test_pure_tone_is_left_alone(frequency: float, kind: Kind) -> None:
    sample_rate = 44100
    tone = np.sin(2 * np.pi * frequency * np.arange(sample_rate) / sample_rate)
    missing = np.zeros(tone.size, dtype=bool)
    missing[20000:20020] = True
    mended = subtract_tails(tone, missing, [(20020, 24000, kind)], sample_rate=sample_rate)
    assert np.sum((mended - tone) ** 2) < 10**-3.5 * np.sum(tone[20020:24000] ** 2)


def test_silence_and_the_ends_of_the_file() -> None:
    sample_rate = 44100
    silent = np.zeros(3000)
    missing = np.zeros(3000, dtype=bool)
    missing[:40] = True
    missing[2000:2010] = True
    for kind in (Kind.POP, Kind.THUMP):
        tails = [(40, 2000, kind), (2010, 3000, kind)]
        assert np.array_equal(
            subtract_tails(silent, missing, tails, sample_rate=sample_rate), silent
        )
        short = music(3000, sample_rate)
        mended = subtract_tails(short, missing, tails, sample_rate=sample_rate)
        assert np.isfinite(mended).all()
        assert np.array_equal(mended[missing], short[missing])
    everything = np.ones(500, dtype=bool)
    lost = subtract_tails(silent[:500], everything, [(100, 500, Kind.POP)], sample_rate=sample_rate)
    assert np.array_equal(lost, silent[:500])
    assert subtract_tails(silent, missing, [], sample_rate=sample_rate).size == 3000


def test_ring_over_digital_silence_goes() -> None:
    clean = np.zeros(20000)
    damaged, missing = damage(clean, 9000, 30, 0.2 * ring(8000, 44100, 4000.0, 0.01))
    mended = subtract_tails(damaged, missing, [(9030, 12000, Kind.POP)], sample_rate=44100)
    assert np.sum(mended[9030:12000] ** 2) < 1e-3 * np.sum(damaged[9030:12000] ** 2)


def test_ring_under_later_clicks() -> None:
    sample_rate = 44100
    clean = music(sample_rate, sample_rate, seed=7)
    wave = 0.15 * ring(8000, sample_rate, 4000.0, 0.012)
    damaged, missing = damage(clean, 20000, 30, wave)
    rng = np.random.default_rng(5)
    cores = [(20000, 20030), (20500, 20520), (21100, 21110)]
    for start, stop in cores[1:]:
        missing[start:stop] = True
        damaged[start:stop] += rng.standard_normal(stop - start)
    tails = [(20030, 20500, Kind.POP), (20520, 21100, Kind.TICK), (21110, 22000, Kind.TICK)]
    chain = Chain(rings=((Ring(frequency_hz=4010.0, decay_s=0.011),),))
    mended = subtract_tails(damaged, missing, tails, sample_rate=sample_rate, chain=chain)
    known = ~missing[20030:22000]
    before = np.sum((damaged - clean)[20030:22000][known] ** 2)
    after = np.sum((mended - clean)[20030:22000][known] ** 2)
    assert after < 10**-1.5 * before
    assert np.array_equal(mended[missing], damaged[missing])


def test_thump_under_later_clicks_is_one_thump() -> None:
    sample_rate = 44100
    clean = music(2 * sample_rate, sample_rate, seed=8)
    damaged, missing = damage(clean, 44000, 30, 0.3 * thump(9000, sample_rate))
    tails, stop = [], 44030
    for start in range(44400, 48600, 700):
        tails.append((stop, start, Kind.THUMP))
        stop = start + 12
        missing[start:stop] = True
        damaged[start:stop] += 0.3
    tails.append((stop, 49000, Kind.THUMP))
    mended = subtract_tails(damaged, missing, tails, sample_rate=sample_rate)
    known = ~missing[44030:49000]
    before = np.sum((damaged - clean)[44030:49000][known] ** 2)
    assert np.sum((mended - clean)[44030:49000][known] ** 2) < 10**-1.5 * before
    assert np.array_equal(mended[missing], damaged[missing])


def test_a_thump_that_begins_behind_a_later_click_is_none_of_the_first() -> None:
    sample_rate = 44100
    clean = music(4 * sample_rate // 2, sample_rate)
    first, later = sample_rate, sample_rate + round(0.026 * sample_rate)
    damaged, missing = damage(clean, later, 20, 0.8 * thump(sample_rate // 3, sample_rate, 0.05))
    damaged[first : first + 20] += np.random.default_rng(4).standard_normal(20)
    missing[first : first + 20] = True
    tail = later + round(0.15 * sample_rate)
    tails = [(first + 20, later, Kind.THUMP), (later + 20, tail, Kind.THUMP)]
    mended = subtract_tails(damaged, missing, tails, sample_rate=sample_rate)
    assert np.array_equal(mended[:later], damaged[:later])
    assert gone_db(clean, damaged, mended, slice(later + 20, tail)) > 12.0


@pytest.mark.parametrize("factor", [-1.0, 2.0**-10, 2.0**8])
def test_scale_and_polarity(factor: float) -> None:
    clean = music(44100, 44100)
    wave = 0.1 * ring(8000, 44100, 5000.0, 0.012) + 0.2 * thump(8000, 44100)
    damaged, missing = damage(clean, 22000, 30, wave)
    for kind in (Kind.POP, Kind.THUMP):
        tails = [(22030, 26000, kind)]
        one = subtract_tails(damaged, missing, tails, sample_rate=44100)
        two = subtract_tails(factor * damaged, missing, tails, sample_rate=44100)
        np.testing.assert_allclose(two, factor * one, atol=3e-7 * abs(factor))


def test_far_sound_and_core_samples_do_not_matter() -> None:
    clean = music(3 * 44100, 44100)
    damaged, missing = damage(clean, 66000, 30, 0.1 * ring(8000, 44100, 5000.0, 0.012))
    one = subtract_tails(damaged, missing, [(66030, 68000, Kind.POP)], sample_rate=44100)
    other = damaged.copy()
    other[:30000] = 0.0
    other[100000:] = 0.0
    other[missing] = 0.5
    two = subtract_tails(other, missing, [(66030, 68000, Kind.POP)], sample_rate=44100)
    assert np.array_equal(one[66030:68000], two[66030:68000])


def ringing_record(decay: float, frequency: float) -> tuple[FloatArray, list[Click]]:
    sample_rate = 44100
    clean = np.stack((music(8 * sample_rate, 44100, 11), music(8 * sample_rate, 44100, 12)), axis=1)
    rng = np.random.default_rng(2)
    clicks = []
    for start in range(10000, clean.shape[0] - 10000, 11000):
        for channel in range(2):
            core = int(rng.integers(5, 40))
            clicks.append(Click(start, start + core, start + core, channel))
            clean[start : start + core, channel] += rng.standard_normal(core)
            if channel == 0:
                wave = rng.uniform(0.05, 0.3) * ring(6000, sample_rate, frequency, decay)
                clean[start : start + 6000, channel] += wave
    return clean, clicks


def test_chain_is_found_where_there_is_one() -> None:
    record, clicks = ringing_record(0.012, 4100.0)
    chain = estimate_chain(lambda start, stop: record[start:stop], clicks, sample_rate=44100)
    (found,) = chain.channel_rings(0)
    assert found.frequency_hz == pytest.approx(4100.0, rel=0.02)
    assert found.decay_s == pytest.approx(0.012, rel=0.2)
    # One cartridge hears both channels.
    assert chain.channel_rings(1) == (found,)
    assert chain.channel_rings(7) == ()
    assert json.loads(json.dumps(chain.as_dict()))["rings"][0][0]["decay_s"] == found.decay_s


def test_two_clicks_tell_of_a_plain_ring_and_not_of_two() -> None:
    sample_rate = 44100
    for hertz, rings in ((4100.0, 1), (4400.0, 0)):
        record = np.stack([music(4 * sample_rate, sample_rate, seed) for seed in (11, 12)], axis=1)
        clicks = []
        for start, channel, frequency in ((50000, 0, 4100.0), (120000, 1, hertz)):
            record[start : start + 20, channel] += 0.5
            record[start : start + 6000, channel] += 0.3 * ring(6000, sample_rate, frequency, 0.01)
            clicks.append(Click(start, start + 20, start + 20, channel))
        read = lambda start, stop, sound=record: sound[start:stop]  # noqa: E731
        chain = estimate_chain(read, clicks, sample_rate=sample_rate)
        assert [len(chain.channel_rings(channel)) for channel in (0, 1)] == [rings, rings]


def test_a_ring_under_weaker_clicks_is_one_ring() -> None:
    sample_rate = 44100
    clean = music(2 * sample_rate, sample_rate, seed=8)
    damaged, missing = damage(clean, 44000, 30, 0.3 * ring(9000, sample_rate, 4100.0, 0.012))
    damaged[44000:44030] += 0.5
    tails, stop = [], 44030
    for start in range(44060, 44300, 60):
        tails.append((stop, start, Kind.POP))
        stop = start + 8
        missing[start:stop] = True
    tails.append((stop, 46000, Kind.POP))
    chain = Chain(rings=((Ring(frequency_hz=4095.0, decay_s=0.011),),))
    mended = subtract_tails(damaged, missing, tails, sample_rate=sample_rate, chain=chain)
    known = ~missing[44030:46000]
    before = np.sum((damaged - clean)[44030:46000][known] ** 2)
    assert np.sum((mended - clean)[44030:46000][known] ** 2) < 10**-2 * before


def test_chain_of_a_record_without_clicks() -> None:
    assert estimate_chain(lambda start, stop: np.zeros((0, 2)), [], sample_rate=44100) == Chain(
        slow_tails=Emphasis()
    )


def test_a_fit_that_would_add_to_the_sound_is_not_subtracted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between long cores hardly a sample holds a fit: it may come out as anything."""
    sample_rate = 44100
    clean = music(sample_rate, sample_rate)
    wild = FittedThump(
        swing=Swing(decay_s=0.05, first_hz=80.0, last_hz=12.0, fall_s=0.05),
        amplitudes=np.array([3.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        evidence=1e4,
    )
    monkeypatch.setattr(separate, "fit_tail_thump", lambda *_, **__: wild)
    missing = np.zeros(clean.size, dtype=bool)
    missing[20000:20400] = True
    tails = [(20400, 24000, Kind.THUMP)]
    mended = subtract_tails(clean, missing, tails, sample_rate=sample_rate)
    assert np.array_equal(mended, clean)


@pytest.mark.parametrize("kind", [Kind.TICK, Kind.THUMP])
def test_a_note_that_begins_behind_a_click_is_none_of_its_tail(kind: Kind) -> None:
    frames, start, core, late = 40_000, 20_000, 60, 300
    clean = 0.001 * np.random.default_rng(5).standard_normal(frames)
    begun = start + core + late
    wave = thump(8000, 44100.0, 0.05) if kind is Kind.THUMP else ring(8000, 44100.0, 2100.0, 0.02)
    clean[begun : begun + 8000] += 0.3 * wave
    damaged, missing = damage(clean, start, core, np.zeros(0))
    tail = (start + core, start + core + 3000, kind)
    mended = subtract_tails(damaged, missing, [tail], sample_rate=44100.0)
    between = slice(start + core, begun)
    assert np.square(mended[between]).sum() < 4.0 * np.square(clean[between]).sum()
