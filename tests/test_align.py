"""The time map between two digitizations: found, refused, kept, and resampled along."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import bilinear, lfilter

from declick.align import Alignment, align, resample_along
from declick.align.refine import Curve
from declick.align.simulate import Turntable, second_copy
from declick.align.summary import summarize
from declick.align.verify import confidence_of, null_of
from declick.errors import NotSameRecordingError, ReadError
from declick.read import Recording

RATE = 32_000
SECONDS = 9.0
Array = NDArray[np.float64]


@lru_cache(maxsize=8)
def song(seed: int, seconds: float = SECONDS) -> Array:
    """Plucked notes with overtones, now and then two at once; left and right differ."""
    rng = np.random.default_rng(seed)
    sound = np.zeros((round(seconds * RATE), 2))
    start = 0.0
    while start < seconds - 0.3:
        length = min(round(rng.uniform(0.4, 1.5) * RATE), len(sound) - round(start * RATE))
        time_s = np.arange(length) / RATE
        pitch = 110.0 * 2 ** (rng.integers(0, 36) / 12)
        note = np.zeros(length)
        for k in range(1, 12):
            level = rng.uniform(0.3, 1.0) / k
            phase = rng.uniform(0, 6.3)
            note += level * np.sin(2 * np.pi * k * pitch * time_s + phase) * np.exp(-k * time_s)
        note[:300] += 0.3 * rng.standard_normal(300) * np.linspace(1, 0, 300)
        pan = rng.uniform(0.2, 0.8)
        first = round(start * RATE)
        sound[first : first + length] += 0.1 * note[:, None] * np.array([pan, 1 - pan])
        start += rng.uniform(0.1, 0.35)
    return sound


def worn(sound: Array, seed: int, noise_db: float = -45.0, clicks_hz: float = 5.0) -> Array:
    rng = np.random.default_rng(seed)
    level = np.sqrt((sound**2).mean())
    dirty = sound + level * 10 ** (noise_db / 20) * rng.standard_normal(sound.shape)
    for _ in range(round(clicks_hz * len(sound) / RATE)):
        width, first = int(rng.integers(2, 30)), int(rng.integers(0, len(sound) - 30))
        push = np.hanning(width + 2)[1:-1] * level * rng.uniform(1, 10)
        dirty[first : first + width] += push[:, None] * rng.uniform(-1, 1, 2)
    return np.asarray(dirty)


def recording(sound: Array, rate: int = RATE) -> Recording:
    return Recording.from_array(sound, rate)


def errors(found: Alignment, turntable: Turntable, rate_b: float = RATE) -> Array:
    """Return errors of delay in frames of B, all over where the map holds."""
    frames = np.concatenate([np.arange(i + 200, k - 200, 37) for i, k in found.stretches()])
    off: Array = found.where(frames) - turntable.where(frames / RATE) * rate_b
    return off


# --- finding it -------------------------------------------------------------------------------


def test_delay_is_found_to_hundredths_of_a_sample() -> None:
    turntable = Turntable(
        speed=1.021, start_s=1.7, wow=0.004, flutter=0.0004, flutter_hz=8.0, drift=0.001
    )
    copy = second_copy(song(1), RATE, turntable, 7.0)
    found = align(recording(worn(song(1), 1)), recording(worn(0.7 * copy, 2)))
    assert np.sqrt((errors(found, turntable) ** 2).mean()) < 0.05
    assert sum(k - i for i, k in found.stretches()) > 6.8 * 1.021 * RATE
    assert np.allclose(found.gain, 0.7, atol=0.05)
    assert np.median(found.residual_db) < -35
    assert not found.swapped

    told = summarize(found)
    assert told.wow == pytest.approx(0.004, rel=0.1)
    assert 1 / told.turn_hz == pytest.approx(1.8, rel=0.05)
    assert told.flutter == pytest.approx(0.0004, rel=0.3)
    assert told.speed == pytest.approx(1 / 1.021, rel=2e-3)

    # B on A's time line nulls against A.
    clean = resample_along(recording(copy), found, 4 * RATE, 7 * RATE)
    left = ((clean - song(1)[4 * RATE : 7 * RATE]) ** 2).mean() / (clean**2).mean()
    assert 10 * np.log10(left) < -40


def test_the_motor_is_known_in_the_pauses() -> None:
    """Between claps nothing is heard, and yet the delay goes on swinging as it did."""
    rng = np.random.default_rng(3)
    claps = np.zeros((round(SECONDS * RATE), 2))
    for start_s in np.arange(0.2, SECONDS - 0.5, 0.3):
        first = round((start_s + rng.uniform(0.0, 0.1)) * RATE)
        burst = rng.standard_normal((4000, 2)) * np.exp(-np.arange(4000) / 400)[:, None]
        claps[first : first + 4000] += 0.2 * burst
    turntable = Turntable(start_s=0.5, wow=0.003, flutter=0.0004, flutter_hz=8.6)
    copy = second_copy(claps, RATE, turntable, 8.0)
    found = align(recording(worn(claps, 1)), recording(worn(copy, 2)))
    assert np.sqrt((errors(found, turntable) ** 2).mean()) < 0.05


def test_an_equalizer_is_not_taken_for_a_delay() -> None:
    """Notes of one pitch are delayed alike by a filter and by the disc; all together they tell."""
    turntable = Turntable(speed=0.99, start_s=0.5, wow=0.003, flutter=0.0003)
    copy = second_copy(song(3), RATE, turntable, 8.0)
    for corner_hz, gain_db in ((2000.0, 4.0), (300.0, -4.0)):
        gain, corner = 10 ** (gain_db / 20), 2 * np.pi * corner_hz
        ends = [np.sqrt(gain), corner], [1 / np.sqrt(gain), corner]
        copy = lfilter(*bilinear(*ends, RATE), copy, axis=0)
    found = align(recording(worn(song(3), 1)), recording(worn(copy, 2)))
    off = errors(found, turntable)
    assert np.sqrt(((off - np.median(off)) ** 2).mean()) < 0.05


def test_the_map_reaches_both_ends() -> None:
    turntable = Turntable(speed=1.02, start_s=-0.8, wow=0.004, wow_phase=1.0)
    first = song(1, 12.0)
    copy = second_copy(first, RATE, turntable, 14.0)
    found = align(recording(worn(first, 1)), recording(worn(0.7 * copy, 2)))
    frames = np.concatenate([np.arange(0.0, 0.5, 0.01), np.arange(11.0, 11.6, 0.01)]) * RATE
    off = found.where(frames) - turntable.where(frames / RATE) * RATE
    assert found.holds(0, round(11.6 * RATE))
    assert np.abs(off).max() < 0.5


@pytest.mark.parametrize(
    ("speed", "start_s", "rate_b"),
    [(1.35, -1.0, RATE), (0.427, 2.0, RATE), (1.07, 1.5, 44_100), (0.94, 4.1, 22_050)],
)
def test_other_speeds_rates_and_beginnings(speed: float, start_s: float, rate_b: int) -> None:
    turntable = Turntable(speed=speed, start_s=start_s, wow=0.002)
    copy = second_copy(song(2), RATE, turntable, 6.0 / speed, rate_b)
    found = align(recording(worn(song(2), 3)), recording(worn(copy, 4), rate_b))
    assert np.median(np.abs(errors(found, turntable, rate_b))) < 0.2
    low, high = found.stretches()[0][0], found.stretches()[-1][1]
    assert low / RATE == pytest.approx(max(0.0, start_s), abs=0.5)
    assert high / RATE == pytest.approx(min(SECONDS, start_s + 6.0), abs=0.5)


def test_swapped_and_inverted_channels() -> None:
    turntable = Turntable(speed=0.98, start_s=1.0)
    first = song(3, 6.0)
    copy = second_copy(first, RATE, turntable, 5.0)
    found = align(recording(first), recording(worn(-0.5 * copy[:, ::-1], 5)))
    assert found.swapped
    assert np.allclose(found.gain, -0.5, atol=0.05)
    found = align(recording(first), recording(worn(copy * [1, -1], 5)))
    assert not found.swapped
    assert np.allclose(np.median(found.gain, axis=0), [1, -1], atol=0.1)
    played = resample_along(recording(copy), found, 3 * RATE, 4 * RATE)
    assert np.abs(played - first[3 * RATE : 4 * RATE]).max() < 0.01


def test_mono_with_stereo() -> None:
    turntable = Turntable(speed=1.01, start_s=1.0)
    first = song(3, 6.0)
    copy = second_copy(first, RATE, turntable, 5.0).mean(axis=1, keepdims=True)
    found = align(recording(first), recording(copy))
    assert found.channels == 2
    assert resample_along(recording(copy), found, 0, 500).shape == (500, 2)
    back = align(recording(copy), recording(first))
    assert back.channels == 1
    assert back.speed == pytest.approx(1 / found.speed, rel=1e-4)


def test_hundreds_of_clicks_a_second() -> None:
    turntable = Turntable(speed=1.01, start_s=0.5, wow=0.002)
    first = song(4, 7.0)
    copy = second_copy(first, RATE, turntable, 6.0)
    found = align(recording(worn(first, 1, -30, 200.0)), recording(worn(copy, 2, -30, 200.0)))
    assert np.median(np.abs(errors(found, turntable))) < 0.1


def test_skipped_groove_and_another_take() -> None:
    turntable = Turntable(speed=1.0, start_s=0.0, wow=0.001)
    copy = second_copy(song(5, 18.0), RATE, turntable, 18.0)
    skipped = np.concatenate([copy[: 7 * RATE], copy[round(8.8 * RATE) :]])
    found = align(recording(song(5, 18.0)), recording(skipped))
    assert found.holds(RATE, 6 * RATE)
    assert found.holds(10 * RATE, 17 * RATE)
    assert not found.holds(6 * RATE, 10 * RATE)
    assert found.where(np.array([13.0 * RATE]))[0] == pytest.approx(11.2 * RATE, abs=60)

    spliced = np.concatenate([copy[: 9 * RATE], song(6)[: 4 * RATE]])
    found = align(recording(song(5, 18.0)[: 13 * RATE]), recording(spliced))
    assert found.stretches()[-1][1] == pytest.approx(9 * RATE, abs=RATE)


def test_dropouts_are_bridged() -> None:
    copy = second_copy(song(7), RATE, Turntable(start_s=0.4, wow=0.003), 8.0)
    torn = worn(song(7), 3)
    torn[4 * RATE : 5 * RATE] = 0.0
    found = align(recording(torn), recording(worn(copy, 4)))
    assert found.holds(3 * RATE, 6 * RATE)
    middle = np.array([4.5 * RATE])
    truth = Turntable(start_s=0.4, wow=0.003).where(middle / RATE) * RATE
    assert found.where(middle)[0] == pytest.approx(truth[0], abs=20)


# --- refusing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["song", "noise", "silence", "tone"])
def test_wrong_material_is_refused(other: str) -> None:
    time_s = np.arange(6 * RATE)[:, None] / RATE
    sounds = {
        "song": song(8, 6.0),
        "noise": 0.1 * np.random.default_rng(1).standard_normal((len(time_s), 2)),
        "silence": np.zeros((len(time_s), 2)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time_s) * np.ones((1, 2)),
    }
    with pytest.raises(NotSameRecordingError, match=r"not the same|silent"):
        align(recording(worn(song(9, 6.0), 1)), recording(sounds[other]))


def test_another_performance_is_refused() -> None:
    # The same notes, each a little sooner or later: it sounds alike.
    rng = np.random.default_rng(4)
    first, second = np.zeros((2, round(SECONDS * RATE), 2))
    for k in range(33):
        note = song(10)[k * 4000 : k * 4000 + 12_000] * np.hanning(12_000)[:, None]
        place = 8000 * k + 500
        first[place : place + 12_000] += note
        place += int(rng.integers(-450, 450))
        second[place : place + 12_000] += note
    with pytest.raises(NotSameRecordingError):
        align(recording(worn(first, 1)), recording(worn(second, 2)))


def test_too_short_is_refused() -> None:
    with pytest.raises(NotSameRecordingError, match=r"lasts 1\.0 s"):
        align(recording(song(1)), recording(song(1)[:RATE]))


# --- the map itself ---------------------------------------------------------------------------


def simple_map(**changes: object) -> Alignment:
    frames = np.arange(0.0, 50_000.0, 441.0)
    values = Alignment(
        sample_rate_a=44_100.0,
        sample_rate_b=48_000.0,
        frames_a=frames,
        frames_b=3_000.25 + frames * 48 / 44.1 + 20 * np.sin(frames / 9000),
        confidence=np.where(frames > 30_000, 0.2, 0.9),
        gain=np.full((len(frames), 2), 0.5),
        swapped=True,
        residual_db=np.full(len(frames), -40.0),
    )
    return replace(values, **changes)  # type: ignore[arg-type]


def test_a_map_survives_json() -> None:
    before = simple_map()
    after = Alignment.from_json(before.to_json())
    frames = np.arange(-100, 51_000, 3.7)
    assert np.abs(after.where(frames) - before.where(frames)).max() < 1e-3
    assert after.swapped
    assert after.stretches() == before.stretches()
    assert after.sample_rate_b == 48_000
    with pytest.raises(ReadError, match="not a time map"):
        Alignment.from_json("[1, 2]")
    with pytest.raises(ReadError, match="declick-alignment/9"):
        Alignment.from_json('{"schema": "declick-alignment/9"}')


def test_where_it_holds() -> None:
    found = simple_map()
    assert found.stretches() == [(0, 29_989)]
    assert found.holds(100, 29_000)
    assert not found.holds(29_000, 31_000)
    assert found.speed == pytest.approx(1.0, abs=0.01)


def test_each_frame_is_resampled_by_itself() -> None:
    found = simple_map()
    b = recording(np.random.default_rng(2).standard_normal((60_000, 2)), 48_000)
    whole = resample_along(b, found, -300, 50_000)
    pieces = [
        resample_along(b, found, i, min(i + 4_999, 50_000)) for i in range(-300, 50_000, 4_999)
    ]
    assert (np.concatenate(pieces) == whole).all()


def test_resampling_is_band_limited() -> None:
    # 21 kHz in B would fold down on A's line if B ran 10 % faster than A; 10 kHz stays itself.
    frames = np.arange(0.0, 40_000.0, 441.0)
    faster = simple_map(
        frames_a=frames,
        frames_b=1.1 * frames + 50,
        sample_rate_b=44_100.0,
        confidence=np.ones(len(frames)),
        gain=np.ones((len(frames), 1)),
        residual_db=np.zeros(len(frames)),
        swapped=False,
    )
    time_s = np.arange(50_000) / 44_100
    for pitch, kept in ((21_500.0, 0.0), (10_000.0, 1.0)):
        tone = np.sin(2 * np.pi * pitch * time_s)
        played = resample_along(recording(tone, 44_100), faster, 2_000, 38_000)[:, 0]
        where = np.arange(2_000, 38_000) * 1.1 + 50
        wanted = kept * np.sin(2 * np.pi * pitch * where / 44_100)
        assert np.abs(played - wanted).max() < 1e-3


def test_of_silence_nothing_is_left_and_nothing_is_sure() -> None:
    rng = np.random.default_rng(6)
    signal = np.where(np.arange(600) < 300, rng.uniform(0.1, 1.0, 600), 0.0)
    anchors = np.arange(0.0, 600 * 441.0, 441.0)
    curve = Curve(
        place_a=anchors,
        place_b=anchors,
        signal=signal,
        residual=1e-3 * signal,
        information=np.ones(600),
    )
    assert np.allclose(null_of(curve)[:250], -30.0)
    assert np.all(null_of(curve)[350:] == -90.0)
    assert np.all(confidence_of(curve)[350:] == 0.0)
