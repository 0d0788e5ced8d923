"""A copy matched to a recording, and what is done where it has nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from declick import merging
from declick.beside import repair_beside
from declick.clicks import Click, FloatArray, Kind, Repair
from declick.copies.compare import _without_neighbours
from declick.copies.guide import Guide, Matching, reach
from declick.copies.judge import View
from declick.copies.lay import Copy
from declick.copies.mends import Mends
from declick.detection import Detection
from declick.dsp.chain import Chain
from declick.read import Recording
from declick.repair.choose import _contradicted
from declick.repair.decide import IN_THE_COPY
from declick.repair.passage import Passage
from declick.repair.patches import CLEANED, FILLED, patches
from declick.repair.transfer import Transfer
from declick.settings import RepairSettings

RATE = 44100
SECONDS = 9.0


def music(seconds: float = SECONDS) -> FloatArray:
    """Return coloured noise that swells."""
    rng = np.random.default_rng(5)
    frames = round(seconds * RATE)
    sound = lfilter([0.05], [1.0, -1.7, 0.76], rng.standard_normal(frames))
    swell: FloatArray = 0.2 * sound * (1.2 + np.sin(np.arange(frames) / 9000.0))
    return swell


def guide_of(target: FloatArray, other: FloatArray, span: tuple[int, int]) -> FloatArray:
    nothing = np.zeros(target.size, dtype=bool)
    matching = Matching(target, other, nothing, nothing, start=0, sample_rate=RATE)
    guide = matching.guide(span)
    assert guide.held.all()
    return guide.samples


@pytest.mark.parametrize("left", [0.0, 0.002])
def test_a_second_that_has_all_but_gone_is_not_matched_to_silence(left: float) -> None:
    clean = music()
    target, other = clean.copy(), 0.5 * clean
    lost = slice(4 * RATE, 5 * RATE)
    target[lost] *= left
    guide = guide_of(target, other, (3 * RATE, 6 * RATE))
    error = guide[RATE : 2 * RATE] - clean[lost]
    assert np.sum(error**2) < 0.01 * np.sum(clean[lost] ** 2)


def test_a_guide_does_not_depend_on_what_is_asked_for() -> None:
    rng = np.random.default_rng(6)
    clean = music()
    target = clean + 0.01 * rng.standard_normal(clean.size)
    other = lfilter([0.6, 0.3], [1.0], clean)
    target[4 * RATE : 5 * RATE] = 0.0
    low, high = reach(RATE), clean.size - reach(RATE)
    whole = guide_of(target, other, (low, high))
    for first in range(low, high, 11000):
        last = min(first + 9000, high)
        part = guide_of(target, other, (first, last))
        np.testing.assert_allclose(part, whole[first - low : last - low], atol=1e-9)


def test_a_long_click_of_the_copies_alone_is_not_interpolated_without_one() -> None:
    """Where the copy has nothing after all, what the detector has found is mended, and no more."""
    clean = music(4.0)
    worn = clean.copy()
    found = Click(80000, 80020, 80020, 0)
    worn[found.start : found.stop] += 0.5
    long = Click(78000, 82000, 82000, 0)
    recording = Recording.from_array(worn[:, np.newaxis], RATE)
    deaf = Copy(
        sound=Recording.from_array(np.zeros((worn.size, 1)), RATE),
        number=1,
        name="deaf",
        held=((0, worn.size),),
    )
    (repair,) = repair_beside(recording, [long], [deaf], alone={long: (found,)})
    changed = np.flatnonzero(repair.samples != worn[long.start : long.tail]) + long.start
    assert repair.click == long
    assert repair.method == "ar"
    assert changed.min() >= found.start
    assert changed.max() < found.stop
    error = repair.samples[changed - long.start] - clean[changed]
    assert np.sum(error**2) < 0.05 * 20 * 0.5**2

    (repair,) = repair_beside(recording, [long], [deaf], alone={long: ()})
    assert not repair.made


@pytest.mark.parametrize(("confidence", "left"), [(0.9, True), (1.0, False)])
def test_what_another_copy_plays_just_so_is_music_unless_it_is_beyond_doubt(
    confidence: float, left: bool
) -> None:
    rng = np.random.default_rng(8)
    beat = music(4.0)
    beat[80000:80040] += 0.6 * np.hanning(40) * rng.standard_normal(40)
    first, second = (beat + 1e-4 * rng.standard_normal(beat.size) for _ in range(2))
    recording = Recording.from_array(first[:, np.newaxis], RATE)
    copy = Copy(
        sound=Recording.from_array(0.7 * second[:, np.newaxis], RATE),
        number=1,
        name="B",
        held=((0, beat.size),),
        unsound=((80000, 80040, 0),),  # taken for a click there, too
    )
    click = Click(80000, 80040, 80040, 0, confidence)
    (repair,) = repair_beside(recording, [click], [copy], RepairSettings(keep_weak=True))
    assert (repair.method == "left") is left
    assert repair.why == (IN_THE_COPY if left else "")


def test_the_same_digitization_bears_nothing_out() -> None:
    rng = np.random.default_rng(8)
    worn = music(4.0) + 1e-4 * rng.standard_normal(4 * RATE)
    worn[80000:80040] += 0.6 * np.hanning(40) * rng.standard_normal(40)
    recording = Recording.from_array(worn[:, np.newaxis], RATE)
    held = ((0, worn.size),)
    copy = Copy(sound=recording, number=1, name="B", held=held, unsound=((80000, 80040, 0),))
    click = Click(80000, 80040, 80040, 0, 0.9)
    (repair,) = repair_beside(recording, [click], [copy], RepairSettings(keep_weak=True))
    assert repair.made


def test_a_copy_that_has_the_same_behind_a_click_contradicts_its_slow_tail() -> None:
    rng = np.random.default_rng(8)
    beat = music(2.0)
    wave = 0.2 * np.exp(-np.arange(400) / 140.0)
    beat[40040:40440] += wave  # of the music itself
    first, second = (beat + 1e-4 * rng.standard_normal(beat.size) for _ in range(2))
    zeros, ones = np.zeros((beat.size, 1)), np.ones((beat.size, 1))
    transfer = Transfer(
        samples=second[:, None], played=second[:, None], residual=zeros + 1e-3,
        sound=ones > 0.0, mended=zeros.astype(np.int8), number=1,
    )  # fmt: skip
    click = Click(40000, 40040, 40040, 0)
    passage = Passage(
        start=0, sample_rate=RATE, samples=first[:, None], valid=(0, beat.size),
        clicks=(click,), own=(click,), transfers=(transfer,),
    )  # fmt: skip
    assert _contradicted(passage, 0, (40000, 40040), wave)
    free = replace(passage, samples=(first + np.pad(wave, (40040, beat.size - 40440)))[:, None])
    assert not _contradicted(free, 0, (40000, 40040), wave)
    deaf = replace(passage, transfers=(replace(transfer, sound=ones < 0.0),))
    assert not _contradicted(deaf, 0, (40000, 40040), wave)


@pytest.mark.parametrize(
    ("own", "other", "kept"),
    [
        ((120, 140), (160, 180), (100, 160)),
        ((160, 180), (110, 130), (130, 200)),
        ((110, 190), (130, 150), (100, 200)),
        (None, (110, 130), (100, 200)),
    ],
)
def test_clicks_of_the_copy_beside_those_of_the_recording_are_no_part_of_it(
    own: tuple[int, int] | None, other: tuple[int, int], kept: tuple[int, int]
) -> None:
    known = np.zeros((2, 300), dtype=bool)
    for row, run in zip(known, (own, other), strict=True):
        if run is not None:
            row[slice(*run)] = True
    quiet = np.zeros(300)
    guide = Guide(samples=quiet, residual=quiet, held=quiet == 0.0)
    view = View(0, quiet, guide, quiet, [(100, 200)], (known[0], known[1]), quiet > 0.0)
    assert _without_neighbours(view, (100, 200)) == kept


def test_mends_lie_where_they_belong_however_they_are_cut() -> None:
    rng = np.random.default_rng(3)
    played = rng.standard_normal((400, 2))
    clicks = [Click(20, 30, 90, 0), Click(25, 60, 60, 1), Click(150, 160, 380, 1)]
    repairs = [Repair(c, rng.standard_normal(c.tail - c.start), "ar") for c in clicks]
    left = Repair(Click(95, 99, 99, 0), np.zeros(0), "left")
    mends = Mends.of([*repairs[:2], left, repairs[2]])
    whole, marked = mends.lay_on(played, 0), mends.mark(0, 400, 2)
    expected = played.copy()
    for repair in repairs:
        click = repair.click
        expected[click.start : click.tail, click.channel] = repair.samples
        assert (marked[click.start : click.stop, click.channel] == FILLED).all()
        assert (marked[click.stop : click.tail, click.channel] == CLEANED).all()
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(marked == 0, whole == played)
    for start, stop in ((0, 22), (40, 300), (155, 170), (381, 400), (-10, 50)):
        low, part = max(start, 0), mends.within(start, stop)
        lead = low - start
        got = part.lay_on(np.pad(played[low:stop], ((lead, 0), (0, 0))), start)
        np.testing.assert_array_equal(got[lead:], whole[low:stop])
        np.testing.assert_array_equal(part.mark(start, stop - start, 2)[lead:], marked[low:stop])


@pytest.mark.parametrize(
    ("core_ms", "filled_ms", "gone", "usable"),
    [(5.0, 1.0, True, True), (5.0, 3.0, True, False), (5.0, 1.0, False, False),
     (1.0, 0.2, False, False), (30.0, 6.0, False, True), (30.0, 9.0, False, False)],
)  # fmt: skip
def test_what_was_mended_of_a_copy_serves_where_there_is_nothing_better(
    core_ms: float, filled_ms: float, gone: bool, usable: bool
) -> None:
    core, filled = (round(ms * 44.1) for ms in (core_ms, filled_ms))
    lost, mended = np.zeros(core, dtype=bool), np.zeros(core, dtype=np.int8)
    lost[10 : 10 + filled] = True
    mended[10 : 10 + filled] = FILLED
    assert (patches(lost, mended, core, RATE, gone=gone) == []) is usable
    nothing = np.zeros_like(mended)
    assert patches(lost, nothing, core, RATE, gone=gone) != []


@pytest.mark.parametrize(("both", "length_ms"), [(False, 45), (True, 45), (True, 80)])
def test_a_beat_that_the_copy_s_detector_takes_for_a_thump_stays(
    monkeypatch: pytest.MonkeyPatch, both: bool, length_ms: int
) -> None:
    rng = np.random.default_rng(1)
    start, frames = 4 * RATE, length_ms * RATE // 1000
    time = np.arange(frames) / RATE
    beat = np.zeros(8 * RATE)
    beat[start : start + frames] = 1.2 * np.exp(-time / (0.4 * frames / RATE))
    beat[start : start + frames] *= np.sin(2 * np.pi * (60 * time + np.expm1(-time / 0.02) * -0.8))
    first, second = music(8.0) + beat + 1e-3 * rng.standard_normal((2, beat.size))
    click = Click(start, start + 20, start + frames, 0, 0.95, Kind.THUMP)

    def mend(copy: Recording, clicks: list[Click], **_: Any) -> Iterator[Repair]:
        samples = copy.read(click.start, click.tail)[:, 0] - beat[click.start : click.tail]
        yield Repair(click, samples, "ar")

    found = Detection(clicks=[click], chain=Chain(), rotation=None)
    monkeypatch.setattr(merging, "detect", lambda *_, **__: found)
    monkeypatch.setattr(merging, "repair", mend)
    recording, other = (Recording.from_array(x[:, np.newaxis], RATE) for x in (first, second))
    copy = Copy(sound=other, number=1, name="B", held=((0, beat.size),))
    known = merging.examine(recording, [click] if both else [], [copy])
    mended = repair_beside(
        recording, known.clicks, known.copies, RepairSettings(keep_weak=True), alone=known.alone
    )
    assert not any(repair.made for repair in mended)
