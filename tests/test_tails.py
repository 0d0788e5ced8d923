"""Tails are found behind the clicks that have one, and only there."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from declick.clicks import Click, Kind
from declick.detect.rises import attacks_behind, swings_before
from declick.detect.swings import FoundSwing, recurring_swing
from declick.detect.tail_thresholds import TailThresholds
from declick.detect.tails import FoundTail, TailFinder
from declick.dsp.chain import Chain
from declick.dsp.rings import Ring
from declick.dsp.tailfit import is_rival
from declick.dsp.thumps import Swing
from declick.read import Recording
from declick.stretches import stretches_of_clicks

FloatArray = NDArray[np.float64]


def find_tails(samples: FloatArray, cores: list[tuple[int, int]], **known: Any) -> list[FoundTail]:
    return TailFinder(samples, cores, **known).find()


def music(frames: int, sample_rate: float, seed: int = 1) -> FloatArray:
    """Return a chord with slow beats over soft noise, at an effective level of 0.1."""
    return _played(frames, sample_rate, seed).copy()


@cache
def _played(frames: int, sample_rate: float, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / sample_rate
    sound = 0.01 * rng.standard_normal(frames)
    for root in (61.7, 123.5, 311.1, 466.2):
        for partial in range(1, 12):
            if root * partial < 0.4 * sample_rate:
                level = (1.0 + 0.3 * np.sin(2 * np.pi * rng.uniform(1, 4) * time)) / partial**1.5
                phase = 2 * np.pi * root * partial * time + rng.uniform(0, 6.28)
                sound += level * np.sin(phase)
    result: FloatArray = 0.1 * sound / sound.std()
    return result


def ring(frames: int, sample_rate: float, frequency: float, decay: float) -> FloatArray:
    time = np.arange(frames) / sample_rate
    wave: FloatArray = np.exp(-time / decay) * np.cos(2 * np.pi * frequency * time + 1.0)
    return wave


def thump(frames: int, sample_rate: float, decay: float) -> FloatArray:
    time = np.arange(frames) / sample_rate
    phase = 2 * np.pi * (14.0 * time + 80.0 * 0.04 * (1.0 - np.exp(-time / 0.04)))
    wave: FloatArray = np.exp(-time / decay) * np.sin(phase)
    return wave


def ticks(
    sample_rate: int, tail: FloatArray | None = None, seed: int = 1
) -> tuple[FloatArray, list[tuple[int, int]]]:
    """Return four seconds of music with a tick and the tail every half second."""
    sound = music(4 * sample_rate, sample_rate, seed=seed)
    rng = np.random.default_rng(seed)
    cores = []
    for start in range(int(0.7 * sample_rate), int(3.5 * sample_rate), sample_rate // 2):
        core = int(rng.integers(4, 40) * sample_rate / 44100) + 2
        if tail is not None:
            sound[start : start + tail.size] += tail
        sound[start : start + core] += 0.5 * rng.standard_normal(core)
        cores.append((start, start + core))
    return sound, cores


@pytest.mark.parametrize("sample_rate", [8000, 44100, 96000])
def test_no_tails_behind_plain_ticks(sample_rate: int) -> None:
    for seed in (1, 2, 3):
        sound, cores = ticks(sample_rate, seed=seed)
        found = find_tails(sound, cores, sample_rate=sample_rate)
        assert [tail[:2] for tail in found] == [(stop, None) for _, stop in cores]


@pytest.mark.parametrize("sample_rate", [8000, 44100, 192000])
def test_rings_are_found(sample_rate: int) -> None:
    decay = 0.012
    wave = 0.1 * ring(sample_rate // 4, sample_rate, 3100.0, decay)
    sound, cores = ticks(sample_rate, wave)
    found = find_tails(sound, cores, sample_rate=sample_rate)
    lengths = [
        (end - stop) / sample_rate for (end, *_), (_, stop) in zip(found, cores, strict=True)
    ]
    assert sum(2.0 * decay < length <= 0.08 for length in lengths) >= len(cores) - 1
    assert all(tail.kind is None for tail in found)


@pytest.mark.parametrize("sample_rate", [8000, 44100, 192000])
def test_thumps_are_found(sample_rate: int) -> None:
    decay = 0.03
    sound, cores = ticks(sample_rate, 0.4 * thump(sample_rate // 4, sample_rate, decay))
    found = find_tails(sound, cores, sample_rate=sample_rate)
    ends = [(end - stop) / sample_rate for (end, *_), (_, stop) in zip(found, cores, strict=True)]
    assert sum(tail.kind is Kind.THUMP for tail in found) >= len(cores) - 1
    # 0.4 at the core, to 32 dB below an effective level of 0.1.
    assert np.median(ends) == pytest.approx(decay * np.log(0.4 / 0.0025 / np.sqrt(2)), rel=0.2)


def test_known_chain_finds_weaker_rings_and_no_others() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.02 * ring(10000, sample_rate, 4000.0, 0.012))
    right = Chain(rings=((Ring(frequency_hz=4020.0, decay_s=0.011),),))
    wrong = Chain(rings=((Ring(frequency_hz=6000.0, decay_s=0.011),),))
    none = Chain(rings=((),))
    hits = {
        name: sum(
            end > stop
            for (end, *_), (_, stop) in zip(
                find_tails(sound, cores, sample_rate=sample_rate, chain=chain), cores, strict=True
            )
        )
        for name, chain in {"right": right, "wrong": wrong, "none": none}.items()
    }
    assert hits["right"] >= len(cores) - 1
    assert hits["wrong"] == hits["none"] == 0


def test_a_ring_that_no_other_confirms_is_found_where_it_is_beyond_doubt() -> None:
    none = Chain(rings=((),))
    for level, found in ((0.15, True), (0.004, False)):
        sound, cores = ticks(44100, level * ring(4410, 44100, 4000.0, 0.011))
        tails = find_tails(sound, cores, sample_rate=44100, chain=none)
        ends = [tail.end - stop for tail, (_, stop) in zip(tails, cores, strict=True)]
        assert all(end > 400 for end in ends) if found else not any(ends)


def test_a_thump_is_found_more_easily_where_the_other_channel_hears_it() -> None:
    sound, cores = ticks(44100, 0.2 * thump(13_230, 44100, 0.05))
    arm = Swing(decay_s=0.05, first_hz=94.0, last_hz=14.0, fall_s=0.04)
    weak = TailThresholds(expected_evidence=1e9, thump_evidence=1e9, quiet_evidence=1e9)
    finder = TailFinder(sound, cores, sample_rate=44100, thresholds=weak)
    alone = finder.find()
    swings = dict.fromkeys(range(len(cores)), arm)
    assert all(tail.kind is None for tail in finder.find_hidden(alone, swings))
    both = finder.find_hidden(alone, swings, together=swings)
    assert any(tail.kind is Kind.THUMP for tail in both)


def test_what_is_hardly_heard_of_a_thump_does_not_reach_the_next_click() -> None:
    sound, cores = ticks(44100, 0.4 * thump(10000, 44100, 0.03))
    heard, faint = (
        find_tails(sound, cores, sample_rate=44100, thresholds=TailThresholds(thump_end_db=end_db))
        for end_db in (-20.0, -32.0)
    )
    # A click where the music hides it, though it is not over.
    later = [(h.end + 300, h.end + 310) for h in heard]
    assert all(start < tail.end for (start, _), tail in zip(later, faint, strict=True))
    with_later = find_tails(sound, sorted(cores + later), sample_rate=44100)
    for (start, _), tail in zip(later, with_later[::2], strict=True):
        assert start - 300 <= tail.end < start


def test_a_ring_over_loud_music_is_found_where_the_other_channel_hears_it() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.3 * ring(9000, sample_rate, 4100.0, 0.012))
    chain = Chain(rings=((Ring(frequency_hz=4100.0, decay_s=0.012),),))
    # Clicks that hardly stand out of the music set nothing swinging, as far as one can see.
    sound = sound + 8.0 * music(sound.size, sample_rate, seed=7)
    finder = TailFinder(sound, cores, sample_rate=sample_rate, chain=chain)
    alone = finder.find()
    silent = [
        i for i, (tail, (_, stop)) in enumerate(zip(alone, cores, strict=True)) if tail.end == stop
    ]
    assert silent
    both = finder.find_rings_together(alone, silent[1:])
    assert all(both[index].end > cores[index][1] + 400 for index in silent[1:])
    assert both[silent[0]] == alone[silent[0]]
    nothing = TailFinder(sound, cores, sample_rate=sample_rate, chain=Chain(rings=((),)))
    assert nothing.find_rings_together(alone, silent) == alone


def test_no_ring_is_found_together_where_there_is_none() -> None:
    sound, cores = ticks(44100)
    chain = Chain(rings=((Ring(frequency_hz=4100.0, decay_s=0.012),),))
    finder = TailFinder(sound, cores, sample_rate=44100, chain=chain)
    found = finder.find_rings_together(finder.find(), range(len(cores)))
    assert [tail.end for tail in found] == [stop for _, stop in cores]


def test_what_comes_at_once_and_is_no_harder_may_be_the_ring() -> None:
    assert not is_rival(0.9, 1.0, 0.002)
    assert is_rival(1.0, 1.0, 0.002)
    assert is_rival(0.5, 1.0, 0.004)
    assert not is_rival(0.4, 1.0, 0.004)
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.3 * ring(9000, sample_rate, 4100.0, 0.012))
    chain = Chain(rings=((Ring(frequency_hz=4100.0, decay_s=0.012),),))
    both = []
    for start, stop in cores:
        both += [(start, stop), (stop + 90, stop + 110)]
        sound[start:stop] = 2.0
        sound[stop + 90 : stop + 110] = 1.6
    found = find_tails(sound, both, sample_rate=sample_rate, chain=chain)
    for (first, second), (_, stop) in zip(
        zip(found[::2], found[1::2], strict=True), cores, strict=True
    ):
        assert first.end == stop + 90
        assert second.end > stop + 400


def test_attacks_right_behind_a_core_are_no_tails() -> None:
    sample_rate = 44100
    rng = np.random.default_rng(4)
    sound, cores = ticks(sample_rate, seed=4)
    time = np.arange(9000) / sample_rate
    for index, (start, _) in enumerate(cores):
        if index % 2:  # a note with its partials, dying slowly
            hit = sum(
                np.exp(-time / (0.4 / k)) * np.sin(2 * np.pi * 700.0 * k * time) / k
                for k in range(1, 9)
            )
        else:  # a snare
            hit = np.exp(-time / 0.03) * rng.standard_normal(time.size)
        sound[start : start + 9000] += 0.2 * hit
    found = find_tails(sound, cores, sample_rate=sample_rate)
    assert sum(end > stop for (end, *_), (_, stop) in zip(found, cores, strict=True)) <= 1


def test_silence_ends_and_neighbours() -> None:
    assert find_tails(np.zeros(100), [], sample_rate=44100) == []
    cores = [(0, 30), (60, 70), (400, 410), (990, 1000)]
    nothing = find_tails(np.zeros(1000), cores, sample_rate=44100)
    assert [tail[:2] for tail in nothing] == [(stop, None) for _, stop in cores]
    short = music(1000, 44100)
    for end, (_, stop), limit in zip(
        [tail.end for tail in find_tails(short, cores, sample_rate=44100)],
        cores,
        [start for start, _ in cores[1:]] + [1000],
        strict=True,
    ):
        assert stop <= end <= max(limit, stop)


def test_a_tail_ends_before_the_next_core() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.2 * ring(10000, sample_rate, 4000.0, 0.012))
    dense = sorted(cores + [(start + 900, start + 905) for start, _ in cores])
    found = find_tails(sound, dense, sample_rate=sample_rate)
    for (end, *_), (following, _) in zip(found, dense[1:], strict=False):
        assert end <= following
    assert sum(end == start + 900 for (end, *_), (start, _) in zip(found, dense, strict=True)) >= 4


def test_a_thump_goes_on_under_later_ticks() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.4 * thump(10000, sample_rate, 0.03))
    dense = sorted(cores + [(start + 1500, start + 1510) for start, _ in cores])
    for start, stop in dense[1::2]:
        sound[start:stop] += 0.3
    found = find_tails(sound, dense, sample_rate=sample_rate)
    whole = 0
    for (end, kind, *_), (later, later_kind, *_), (start, stop) in zip(
        found[::2], found[1::2], cores, strict=True
    ):
        whole += kind is later_kind is Kind.THUMP and end == start + 1500 and later > stop + 2500
    assert whole >= len(cores) - 1


def test_same_answer_from_any_cut_and_polarity() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.1 * ring(10000, sample_rate, 4000.0, 0.012))
    whole = [tail[:2] for tail in find_tails(sound, cores, sample_rate=sample_rate)]
    assert [tail[:2] for tail in find_tails(-sound, cores, sample_rate=sample_rate)] == whole
    origin = cores[2][0] - int(0.75 * sample_rate)
    end = cores[2][1] + int(0.75 * sample_rate)
    inside = [(a - origin, b - origin) for a, b in cores if a > origin and b < end]
    index = inside.index((cores[2][0] - origin, cores[2][1] - origin))
    part = find_tails(sound[origin:end], inside, sample_rate=sample_rate)
    assert (part[index].end + origin, part[index].kind) == whole[2]


def test_thresholds_can_be_set() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.1 * ring(10000, sample_rate, 4000.0, 0.012))
    strict = TailThresholds(ring_evidence=1e12)
    found = find_tails(sound, cores, sample_rate=sample_rate, thresholds=strict)
    assert [tail[:2] for tail in found] == [(stop, None) for _, stop in cores]


def test_a_drum_behind_a_core_is_no_thump() -> None:
    """It keeps its pitch, where the tone arm sweeps down."""
    sample_rate = 44100
    time = np.arange(sample_rate // 4) / sample_rate
    for hertz in (75.0, 110.0):
        drum = 0.4 * np.exp(-time / 0.03) * np.sin(2 * np.pi * hertz * time)
        sound, cores = ticks(sample_rate, drum)
        found = find_tails(sound, cores, sample_rate=sample_rate)
        assert not any(tail.kind is Kind.THUMP for tail in found)


@pytest.mark.parametrize("rest_hz", [36.0, 50.0])
def test_a_bass_drum_that_sweeps_down_to_its_note_is_no_thump(rest_hz: float) -> None:
    sample_rate = 44100
    time = np.arange(sample_rate // 4) / sample_rate
    cycles = rest_hz * time + (90.0 - rest_hz) * 0.008 * -np.expm1(-time / 0.008)
    drum = 0.4 * np.exp(-time / 0.08) * np.sin(2 * np.pi * cycles)
    sound, cores = ticks(sample_rate, drum)
    found = find_tails(sound, cores, sample_rate=sample_rate)
    assert not any(tail.kind is Kind.THUMP for tail in found)


def test_a_drum_that_is_struck_under_a_long_core_is_no_thump() -> None:
    sample_rate = 44100
    late = round(0.018 * sample_rate)
    time = np.arange(sample_rate // 4) / sample_rate
    for decay_s in (0.04, 0.06):
        # Faster, and not as deep, as an arm swings.
        sweep = 40.0 * time + 80.0 * 0.015 * -np.expm1(-time / 0.015)
        drum = 0.4 * np.exp(-time / decay_s) * np.sin(2 * np.pi * sweep)
        sound, cores = ticks(sample_rate, np.concatenate((np.zeros(late), drum)))
        long = [(start, start + round(0.016 * sample_rate)) for start, _ in cores]
        found = find_tails(sound, long, sample_rate=sample_rate)
        assert not any(tail.kind is Kind.THUMP for tail in found)


def test_a_thump_that_begins_under_a_long_core_shows_in_the_bass_of_the_core() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.3 * thump(sample_rate // 4, sample_rate, 0.04))
    rng = np.random.default_rng(2)
    long = [(start, start + round(0.015 * sample_rate)) for start, _ in cores]
    for start, stop in long:
        # More ticks on the way, which made the core so long.
        for place in rng.integers(start + 200, stop - 20, 4):
            sound[place : place + 8] += 0.2 * rng.standard_normal(8)
    found = find_tails(sound, long, sample_rate=sample_rate)
    assert all(tail.kind is Kind.THUMP for tail in found)


@pytest.mark.parametrize(
    ("begins_ms", "drum"), [(0.0, False), (-20.0, True)], ids=["thump", "drum"]
)
@pytest.mark.parametrize("sample_rate", [22050, 44100, 96000])
def test_what_swings_before_the_click_takes_more_to_be_a_thump(
    begins_ms: float, drum: bool, sample_rate: int
) -> None:
    rng = np.random.default_rng(4)
    sound = 1e-3 * rng.standard_normal(sample_rate)
    core = sample_rate // 2, sample_rate // 2 + 20
    first = core[0] + round(begins_ms * 1e-3 * sample_rate)
    swing = 0.3 * thump(sample_rate // 4, sample_rate, 0.05)
    sound[first : first + swing.size] += swing
    assert swings_before(sound, *core, sample_rate) is drum
    strict = TailThresholds(thump_before_evidence=1e12)
    sound[slice(*core)] += 0.5
    (found,) = find_tails(sound, [core], sample_rate=sample_rate, thresholds=strict)
    assert (found.kind is Kind.THUMP) is not drum


def test_what_rattles_on_behind_the_click_takes_more_to_be_a_thump() -> None:
    sample_rate = 44100
    rng = np.random.default_rng(4)
    sound = 1e-3 * rng.standard_normal(sample_rate)
    core = sample_rate // 2, sample_rate // 2 + 20
    tail = slice(core[1], core[1] + sample_rate // 4)
    sound[tail] += 0.3 * thump(sample_rate // 4, sample_rate, 0.05)
    rattle, rung = sound.copy(), sound.copy()
    rattle[tail] += 0.02 * rng.standard_normal(sample_rate // 4)
    rung[tail] += 0.1 * ring(sample_rate // 4, sample_rate, 4000.0, 0.002)
    strict = TailThresholds(thump_attack_evidence=1e12)
    for one, kind in ((sound, Kind.THUMP), (rung, Kind.THUMP), (rattle, None)):
        assert attacks_behind(one, *core, sample_rate) is (kind is None)
        one[slice(*core)] += 0.5
        (found,) = find_tails(one, [core], sample_rate=sample_rate, thresholds=strict)
        assert found.kind is kind


def test_where_the_recording_begins_or_ends_nothing_tells_of_drums() -> None:
    sound = np.random.default_rng(4).standard_normal(44100)
    for core in ((0, 20), (300, 320), (44000, 44020), (44080, 44100)):
        assert not attacks_behind(sound, *core, 44100)
        assert not swings_before(sound, *core, 44100)
    assert not swings_before(np.zeros(44100), 22050, 22070, 44100)


def test_what_the_end_of_the_recording_cuts_off_takes_more_to_be_a_thump() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.4 * thump(sample_rate // 4, sample_rate, 0.04))
    strict = TailThresholds(thump_cut_evidence=1e12)
    start, stop = cores[-1]
    for heard_ms, kinds in ((120.0, {Kind.THUMP}), (60.0, {None})):
        end = stop + round(heard_ms * 1e-3 * sample_rate)
        found = find_tails(sound[:end], [(start, stop)], sample_rate=sample_rate, thresholds=strict)
        assert {tail.kind for tail in found} == kinds


@pytest.mark.parametrize(("first_hz", "kind"), [(94.0, Kind.THUMP), (190.0, None)])
def test_what_begins_high_takes_more_to_be_a_thump(first_hz: float, kind: Kind | None) -> None:
    sample_rate = 44100
    sound = 1e-3 * np.random.default_rng(4).standard_normal(sample_rate)
    core = sample_rate // 2, sample_rate // 2 + 20
    time = np.arange(sample_rate // 4) / sample_rate
    fall = (first_hz - 14.0) * 0.04 * (1.0 - np.exp(-time / 0.04))
    wave = np.exp(-time / 0.04) * np.sin(2 * np.pi * (14.0 * time + fall))
    sound[core[1] : core[1] + wave.size] += 0.3 * wave
    sound[slice(*core)] += 0.5
    strict = TailThresholds(high_evidence=1e12)
    (found,) = find_tails(sound, [core], sample_rate=sample_rate, thresholds=strict)
    assert found.kind is kind
    if kind is None:
        (found,) = find_tails(sound, [core], sample_rate=sample_rate)
        assert found.kind is Kind.THUMP


def test_stretches_end_where_the_recording_does() -> None:
    recording = Recording.from_array(np.random.default_rng(1).standard_normal((5000, 1)), 44100)
    clicks = [Click(10, 20, 20, 0, 1.0), Click(4900, 4950, 4950, 0, 1.0)]
    (stretch,) = stretches_of_clicks(recording, clicks, context_ms=700.0)
    assert stretch.start == 0
    assert len(stretch.sound) == recording.frames


def test_nothing_is_looked_for_behind_a_doubtful_core() -> None:
    sample_rate = 44100
    sound, cores = ticks(sample_rate, 0.4 * thump(sample_rate // 4, sample_rate, 0.03))
    sure = [index % 2 == 0 for index in range(len(cores))]
    found = find_tails(sound, cores, sample_rate=sample_rate, sure=sure)
    assert [tail.kind is Kind.THUMP for tail in found] == sure


def test_a_ring_of_the_chain_goes_on_under_weaker_clicks_and_attacks() -> None:
    sample_rate = 44100
    sound, (first, *_) = ticks(sample_rate, 0.3 * ring(9000, sample_rate, 4100.0, 0.012))
    chain = Chain(rings=((Ring(frequency_hz=4100.0, decay_s=0.012),),))
    # The ring itself is taken for damage here and there, and a note begins with the click.
    cores = [first, (first[1] + 60, first[1] + 66), (first[1] + 130, first[1] + 134)]
    note = np.sin(2 * np.pi * 700.0 * np.arange(9000) / sample_rate)
    sound[first[0] : first[0] + 9000] += 0.4 * note
    found = find_tails(sound, cores, sample_rate=sample_rate, chain=chain)
    one, two, three = (tail.end for tail in found)
    assert (one, two) == (cores[1][0], cores[2][0])
    assert three - first[1] > 0.03 * sample_rate


def struck(sample_rate: int, level: float) -> tuple[FloatArray, list[tuple[int, int]]]:
    """Return ticks with thumps, and a loud low note that begins with each."""
    time = np.arange(sample_rate // 3) / sample_rate
    note = np.exp(-time / 0.3) * sum(np.sin(2 * np.pi * 98.0 * k * time) / k for k in range(1, 5))
    tail = level * thump(time.size, sample_rate, 0.03) + 0.4 * note
    return ticks(sample_rate, tail, seed=2)


def hidden(sample_rate: int, level: float) -> tuple[int, int, int]:
    """Return how many thumps are found alone and with the arm known, and how many cores are."""
    sound, cores = struck(sample_rate, level)
    finder = TailFinder(sound, cores, sample_rate=sample_rate)
    alone = finder.find()
    arm = Swing(decay_s=0.03, first_hz=94.0, last_hz=14.0, fall_s=0.04)
    known = finder.find_hidden(alone, dict.fromkeys(range(len(cores)), arm))
    first, last = (sum(tail.kind is Kind.THUMP for tail in found) for found in (alone, known))
    return first, last, len(cores)


def test_a_known_swing_is_found_where_a_note_begins() -> None:
    alone, known, all_ = hidden(44100, 0.3)
    assert alone < known
    assert known == all_


def test_a_known_swing_finds_no_thump_in_notes_alone() -> None:
    assert hidden(44100, 0.0)[:2] == (0, 0)


def test_a_weak_thump_that_others_foretell_counts_only_where_the_music_is_calm() -> None:
    sound, cores = ticks(44100, 0.1 * thump(13_230, 44100, 0.03))
    arm = Swing(decay_s=0.03, first_hz=94.0, last_hz=14.0, fall_s=0.04)
    swings = dict.fromkeys(range(len(cores)), arm)

    def count(**values: float) -> int:
        known = TailThresholds(
            expected_evidence=1.0, thump_push=0.0, thump_shortest_ms=1.0, **values
        )
        finder = TailFinder(sound, cores, sample_rate=44100, thresholds=known)
        found = finder.find_hidden(finder.find(), swings)
        return sum(tail.kind is Kind.THUMP for tail in found)

    assert count(restless_evidence=1.0, unrest=1e-3) > 0
    assert count(restless_evidence=1e9, unrest=1e-3) == 0


def test_an_arm_is_known_from_two_thumps_that_agree() -> None:
    swing = Swing(decay_s=0.03, first_hz=94.0, last_hz=14.0, fall_s=0.04)
    near = Swing(decay_s=0.032, first_hz=97.0, last_hz=10.0, fall_s=0.045)
    other = Swing(decay_s=0.03, first_hz=60.0, last_hz=14.0, fall_s=0.04)
    found = [
        FoundSwing(1.0, swing, 1e4),
        FoundSwing(1.001, swing, 1e4),
        FoundSwing(2.0, other, 1e4),
    ]
    # Two channels that hear one thump are one witness.
    assert recurring_swing(found) is None
    found.append(FoundSwing(3.0, near, 1e4))
    known = recurring_swing(found)
    assert known is not None
    assert 94.0 <= known.first_hz <= 97.0
    assert recurring_swing([item._replace(evidence=50.0) for item in found]) is None
    assert recurring_swing([]) is None
