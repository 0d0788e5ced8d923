"""Other copies of a record: what A has lost comes from B, and nothing of B's damage comes along."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from declick.align import Alignment, align
from declick.align.origin import Digitization
from declick.align.simulate import Turntable, second_copy
from declick.clicks import FloatArray, Kind
from declick.copies.facts import check_fit, describe_copy, notices_of
from declick.copies.lay import Copy, lay_along
from declick.copies.losses import split_losses
from declick.copies.walls import find_walls
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.dsp.thumps import Swing, swing_columns
from declick.errors import NotSameRecordingError, SettingsError
from declick.outcome import Restoration
from declick.pipeline import Second, restore
from declick.read import Recording
from declick.report import read_report
from declick.twins import refuse_twins
from declick.write import Written
from runs import run
from worn import piece

RATE = 44100
SECONDS = 5.0
SHORT = 3 * RATE  # frames of A that are enough where one place is looked at
TURNTABLE = Turntable(speed=1.013, start_s=-0.5, wow=0.002, flutter=0.0003)
OTHER = Turntable(speed=0.99, start_s=-0.2, wow=0.001, wow_phase=2.0)


@cache
def music() -> FloatArray:
    """Return A without damage, with the noise of its groove."""
    clean = piece(SECONDS)
    return clean + noise(1, clean)


def noise(seed: int, sound: FloatArray) -> FloatArray:
    level = 10 ** (-45 / 20) * np.sqrt((sound**2).mean())
    added: FloatArray = level * np.random.default_rng(seed).standard_normal(sound.shape)
    return added


@cache
def copy_of(turntable: Turntable = TURNTABLE, seed: int = 2, clicks_hz: float = 2.0) -> FloatArray:
    """Return B: another turntable, its own noise and its own clicks."""
    clean = piece(SECONDS)
    sound = second_copy(clean, RATE, turntable, (SECONDS + 0.6) / turntable.speed)
    sound = 0.7 * sound + noise(seed, sound)
    rates = {Family.TICK: clicks_hz, Family.POP: 0.25 * clicks_hz}
    settings = WearSettings(rates_hz=rates, bed=False)
    rng = np.random.default_rng(seed)
    return wear(sound, RATE, draw_wear(rng, len(sound) / RATE, settings)).worn


def known_map(turntable: Turntable = TURNTABLE, frames: int | None = None) -> Alignment:
    anchors = np.arange(0.0, (frames or len(music())) + 2205, 2205)
    count = len(anchors)
    return Alignment(
        sample_rate_a=RATE,
        sample_rate_b=RATE,
        frames_a=anchors,
        frames_b=turntable.where(anchors / RATE) * RATE,
        confidence=np.ones(count),
        gain=np.ones((count, 2)),
        residual_db=np.full(count, -40.0),
    )


def merged(sound: FloatArray, *others: tuple[FloatArray, Alignment]) -> Restoration:
    seconds = [
        Second(recording=Recording.from_array(other[: needed(found, sound)], RATE), alignment=found)
        for other, found in others or [(copy_of(), known_map())]
    ]
    return restore(Recording.from_array(sound, RATE), seconds=seconds)


def needed(found: Alignment, sound: FloatArray) -> int:
    """Return how much of a copy is worth hearing for a sound that may be a beginning of A."""
    return int(found.where(np.array([float(len(sound))]))[0]) + RATE // 4


def samples_of(done: Restoration | Written) -> FloatArray:
    assert done.samples is not None
    return done.samples


def gain_db(before: FloatArray, after: FloatArray, spans: list[tuple[int, int]]) -> float:
    bad = sum(float(np.sum((before - music()[: len(before)])[a:b] ** 2)) for a, b in spans)
    left = sum(float(np.sum((after - music()[: len(after)])[a:b] ** 2)) for a, b in spans)
    return 10 * float(np.log10(bad / left))


def with_dropouts() -> tuple[FloatArray, list[tuple[int, int]]]:
    sound, spans = music().copy(), []
    for at, milliseconds in ((1.0, 2), (1.7, 5), (2.6, 10), (3.4, 20), (4.3, 50)):
        start, length = round(at * RATE), milliseconds * RATE // 1000
        sound[start : start + length] = 0.0
        spans.append((start, start + length))
    return sound, spans


def test_dropouts_come_back_under_their_name_and_the_rest_stays_bit_for_bit() -> None:
    sound, spans = with_dropouts()
    done = merged(sound)
    after = samples_of(done)
    assert gain_db(sound, after, spans) > 20.0
    assert done.totals.by_kind["dropout"] >= 8
    start, stop = spans[3]
    clicks = done.detection.clicks
    assert {c.kind for c in clicks if c.start < stop and c.stop > start} == {Kind.DROPOUT}
    touched = np.zeros(sound.shape, dtype=bool)
    for click in clicks:
        touched[click.start : click.tail, click.channel] = True
    np.testing.assert_array_equal(after[~touched], sound[~touched])
    assert touched.mean() < 0.03


def test_short_losses_that_fade_come_back() -> None:
    """A hole of 2 ms with soft edges is mostly edge: its difference alone looks like B's click."""
    sound, spans = music()[:SHORT].copy(), []
    length, fade = 88, 22
    hole = np.zeros(length)
    hole[:fade] = 0.5 + 0.5 * np.cos(np.pi * np.arange(fade) / fade)
    hole[-fade:] = hole[:fade][::-1]
    for start in range(RATE // 2, len(sound) - RATE // 2, RATE // 4):
        sound[start : start + length] *= hole[:, np.newaxis]
        spans.append((start, start + length))
    after = samples_of(merged(sound))
    gains = [gain_db(sound, after, [span]) for span in spans]
    assert sum(gain > 10.0 for gain in gains) >= 0.8 * len(gains)


def test_a_loss_is_told_from_a_click_of_the_other_copy() -> None:
    sound = music()[:, 0]
    place = (2 * RATE, 2 * RATE + 400)
    other = sound + noise(8, sound)
    nothing = np.zeros(sound.size, dtype=bool), np.zeros(sound.size, dtype=bool)
    torn = sound.copy()
    torn[place[0] + 100 : place[1] - 100] = 0.0
    wide = (place[0] - 300, place[1] + 300)
    for pair, who in (((torn, other), 0), ((other, torn), 1)):
        parts = split_losses(*pair, wide, nothing, RATE)
        assert [part[1] for part in parts] == [None, who, None]
        assert parts[1][0] == pytest.approx((place[0] + 100, place[1] - 100), abs=100)
        assert parts[0][0][0] == wide[0]
        assert parts[-1][0][1] == wide[1]
    clicked = other.copy()
    clicked[slice(*place)] += 30.0 * np.std(sound) * np.random.default_rng(1).standard_normal(400)
    assert split_losses(sound, clicked, place, nothing, RATE) == [(place, None)]


@pytest.mark.parametrize("known_ms", [4, 30])
def test_a_loss_is_told_though_the_copy_clicks_at_both_its_ends(known_ms: int) -> None:
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(RATE)
    first, second = sound + 1e-4 * rng.standard_normal((2, RATE))
    low, high, width = 20000, 20000 + RATE // 10, known_ms * RATE // 1000
    first[low:high] = 0.0
    known = np.zeros((2, RATE), dtype=bool)
    known[1, low - 5 : low + width] = known[1, high - width : high + 5] = True
    place = low - 50, high + 50
    assert split_losses(first, second, place, (known[0], known[1]), RATE) == [(place, 0)]


@pytest.mark.parametrize("pitch_hz", [60.0, 90.0, 130.0])
def test_bass_that_crosses_zero_is_no_loss(pitch_hz: float) -> None:
    rng = np.random.default_rng(4)
    time_s = np.arange(RATE // 4) / RATE
    place = (5000, 5176)
    nothing = np.zeros(time_s.size, dtype=bool), np.zeros(time_s.size, dtype=bool)
    for phase in np.arange(0.0, 6.28, 0.1):
        sound = 0.2 * np.sin(2 * np.pi * pitch_hz * time_s + phase)
        first, second = sound + 2e-4 * rng.standard_normal((2, time_s.size))
        second[place[0] - 100 : place[0] + 300] += 0.5 * np.hanning(400)  # a thump of the copy
        assert split_losses(first, second, place, nothing, RATE) == [(place, None)]


def test_a_needle_lifted_for_a_second_is_bridged() -> None:
    sound = music()[:SHORT].copy()
    start = RATE
    sound[start : start + RATE] = noise(5, sound)[start : start + RATE]
    after = samples_of(merged(sound, (copy_of(TURNTABLE, 2, 0.0), known_map())))
    assert gain_db(sound, after, [(start, start + RATE)]) > 20.0


def test_ticks_gain_more_than_from_one_copy_alone() -> None:
    settings = WearSettings(rates_hz={Family.TICK: 4.0, Family.POP: 1.0}, bed=False)
    drawn = draw_wear(np.random.default_rng(3), SHORT / RATE, settings)
    laid = wear(music()[:SHORT], RATE, drawn)
    spans = [(click.start, click.tail) for click in laid.clicks]
    alone = samples_of(restore(Recording.from_array(laid.worn, RATE), mono_record=False))
    assert gain_db(laid.worn, samples_of(merged(laid.worn)), spans) > 3.0 + gain_db(
        laid.worn, alone, spans
    )


def test_damage_of_the_other_copy_does_not_come_along() -> None:
    other = copy_of().copy()
    other[RATE : RATE + 900] = 0.0
    other[2 * RATE : 2 * RATE + 300] += 0.3 * np.hanning(300)[:, None]
    done = merged(music()[:SHORT], (other, known_map()))
    difference = samples_of(done) - music()[:SHORT]
    assert np.sum(difference**2) < 1e-4 * np.sum(music()[:SHORT] ** 2)
    assert "dropout" not in done.totals.by_kind


def test_a_loss_comes_back_from_a_copy_that_has_a_click_just_there() -> None:
    """The copy is mended by itself first: by how much is told by what it is without its click."""
    turntable = Turntable()
    clean, at, length = copy_of(turntable, 2, 0.0), 3 * RATE, 20 * RATE // 1000
    sound, spans = music()[: at + RATE // 2].copy(), [(at, at + length)]
    sound[at : at + length] = 0.0
    clicked = clean.copy()
    clicked[at + 300 : at + 340] += np.random.default_rng(1).uniform(-0.8, 0.8, (40, 1))
    swung = clean.copy()
    swing = Swing(first_hz=60.0, last_hz=20.0, fall_s=0.04, decay_s=0.05)
    thump = 0.15 * swing_columns(swing.as_vector()[None], np.arange(RATE // 5) / RATE)[0, 0]
    swung[at - 1000 :][: thump.size] += thump[:, None]
    swung[at - 1020 : at - 1000] += 0.8
    table = known_map(turntable)
    best = gain_db(sound, samples_of(merged(sound, (clean, table))), spans)
    assert best > 25.0
    for other in (clicked, swung):
        done = merged(sound, (other, table))
        assert gain_db(sound, samples_of(done), spans) > 18.0
        assert done.totals.by_method["second copy"] == 2


@pytest.mark.parametrize("seed", [8, 9, pytest.param(6, marks=pytest.mark.slow)])
def test_a_worn_copy_changes_nothing_of_a_clean_recording(seed: int) -> None:
    """Neither its tails come along, nor is what its mends miss taken for damage here."""
    rates = {Family.TICK: 6.0, Family.POP: 3.0, Family.RING: 1.0, Family.THUMP: 1.0}
    settings = WearSettings(rates_hz=rates, bed=False)
    drawn = draw_wear(np.random.default_rng(seed), SECONDS, settings)
    other = wear(copy_of(TURNTABLE, 2, 0.0), RATE, drawn).worn
    np.testing.assert_array_equal(samples_of(merged(music(), (other, known_map()))), music())


def test_a_fault_of_the_pressing_is_mended_from_the_copy_itself() -> None:
    turntable = Turntable()
    fault = np.zeros((40, 2))
    fault[:] = (np.exp(-np.arange(40) / 8) * np.cos(2.0 * np.arange(40)))[:, None]
    at = 2 * RATE
    first, second = music()[:SHORT].copy(), copy_of(turntable, 2, 0.0).copy()
    first[at : at + 40] += fault
    second[at : at + 40] += 0.7 * fault
    done = merged(first, (second, known_map(turntable)))
    hit = [click for click in done.detection.clicks if click.start < at + 40 and click.stop > at]
    assert hit
    assert "second copy" not in done.totals.by_method


def test_three_copies_vote() -> None:
    sound = music()[:SHORT].copy()
    at = round(1.5 * RATE)
    # Half as loud is neither a click nor a dropout: two copies cannot tell who is wrong.
    sound[at : at + 900] *= 0.5
    done = merged(sound, (copy_of(), known_map()), (copy_of(OTHER, 7), known_map(OTHER)))
    assert gain_db(sound, samples_of(done), [(at, at + 900)]) > 15.0


def test_the_command_reports_and_can_be_undone(tmp_path: Path) -> None:
    sound, _ = with_dropouts()
    rip, other, table = tmp_path / "a.wav", tmp_path / "b.flac", tmp_path / "map.json"
    soundfile.write(rip, sound, RATE, subtype="PCM_24")
    soundfile.write(other, copy_of(), RATE, subtype="PCM_24")
    table.write_text(known_map().to_json())
    out, taken, labels = tmp_path / "out.wav", tmp_path / "taken.wav", tmp_path / "out.txt"
    done = run("restore", rip, "-o", out, "--second", other, "--map", table, "--removed", taken,
               "--labels", labels, "-j", "1")  # fmt: skip
    assert done.status == 0, done.err
    # As an earlier version wrote it.
    assert "map.json: does not say which files it is of" in done.err
    report = read_report(tmp_path / "out.json")
    assert report.copies[0]["name"] == "b.flac"
    assert report.copies[0]["residual_db"] < -25
    used = [entry for entry in report.entries if entry.method == "second copy"]
    assert report.copies[0]["repairs"] == len(used) > 5
    assert all(entry.copies == (1,) for entry in used)
    assert len(labels.read_text().splitlines()) >= len(report.entries)
    back = tmp_path / "back.wav"
    assert run("undo", out, "--by-method", "second copy", "-o", back).status == 0
    facts = read_report(tmp_path / "back.json").copies[0]
    assert (facts["name"], facts["repairs"]) == ("b.flac", 0)
    restored, source = (soundfile.read(path)[0] for path in (back, rip))
    for entry in used:
        here = slice(entry.click.start, entry.click.tail), entry.click.channel
        np.testing.assert_array_equal(restored[here], source[here])


def test_another_piece_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    rip, other, out = tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "out.wav"
    soundfile.write(rip, music()[:SHORT], RATE)
    rng = np.random.default_rng(0)
    soundfile.write(other, 0.1 * rng.standard_normal((SHORT, 2)), RATE)
    done = run("restore", rip, "-o", out, "--second", other, "-j", "1")
    assert done.status == 1
    assert "b.wav" in done.fault
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_a_map_that_matches_nothing_is_refused() -> None:
    other = np.random.default_rng(0).standard_normal((len(music()), 2)) * 0.1
    with pytest.raises(NotSameRecordingError, match="restore without it"):
        merged(music()[:SHORT], (other, known_map(Turntable())))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--second", "b.wav", "--map", "m", "--map", "n"), "one for each"),
        (("--second", "b.wav", "--mono-record"), "not used together"),
        (("c.wav", "-o", "out", "--second", "b.wav"), "one by one"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(name, music()[:RATE], RATE)
    done = run("restore", "a.wav", *arguments)
    assert done.status == 2
    assert words in done.fault


def test_a_copy_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    rip, other = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(rip, music()[:RATE], RATE)
    soundfile.write(other, copy_of()[:RATE], RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "c.flac", soundfile.read(other, dtype="int16")[0], RATE)
    for given in ([other, other], [other, tmp_path / "c.flac"], [rip], [other, rip]):
        seconds = [word for path in given for word in ("--second", path)]
        done = run("restore", rip, *seconds, "-o", tmp_path / "out.wav")
        assert done.status == 2
        assert f"{given[-1]}: holds the same samples as" in done.fault
    refuse_twins([Recording.open(other)], Recording.open(rip))


def test_a_map_of_other_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rip, other, table = tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "map.json"
    soundfile.write(rip, music(), RATE, subtype="PCM_24")
    soundfile.write(other, copy_of(), RATE, subtype="PCM_24")
    soundfile.write(tmp_path / "c.wav", copy_of(OTHER, 7), RATE, subtype="PCM_24")
    monkeypatch.setattr("declick.cli.aligning.align", lambda *_: known_map())
    assert run("align", rip, other, "-o", table).status == 0
    with Recording.open(rip) as a, Recording.open(other) as b:
        origin = Digitization.of(a), Digitization.of(b)
        loaded = Alignment.from_json(table.read_text())
        assert loaded.origin == origin
        Second(recording=b, alignment=loaded).find_map(a, lambda stage, share: None)
    out = tmp_path / "out.wav"
    words: list[str | Path] = ["-o", out, "-j", "1", "--map", table, "--second"]
    done = run("restore", rip, *words, tmp_path / "c.wav")
    assert done.status == 2
    assert f"the map given for {tmp_path / 'c.wav'} is one of other files (a.wav and b.wav)" in (
        done.fault
    )
    assert "is the way back" in run("restore", other, *words, rip).fault
    # The same sound under another name, in another container, is the same.
    sound, rate = soundfile.read(other, dtype="int32")
    soundfile.write(tmp_path / "d.flac", sound, rate, subtype="PCM_24")
    with Recording.open(tmp_path / "d.flac") as copy:
        assert origin[1].is_of(copy)
    assert not out.exists()


def test_a_map_of_other_recordings_is_refused() -> None:
    other = Recording.from_array(copy_of(), 48000)
    with pytest.raises(SettingsError, match="other recordings"):
        Second(recording=other, alignment=known_map()).find_map(
            Recording.from_array(music(), RATE), lambda stage, share: None
        )


def test_a_copy_that_covers_a_part_is_used_there_alone() -> None:
    sound, spans = with_dropouts()
    found = known_map()
    done = merged(sound, (copy_of()[: round(3.2 * RATE)], found))
    after = samples_of(done)
    assert gain_db(sound, after, spans[:2]) > 15.0
    assert gain_db(sound, after, spans[4:]) < 1.0
    assert any("is not there from 0:02" in notice for notice in done.notices)


def test_walls_of_a_mono_record_mend_each_other() -> None:
    mono = piece(SECONDS).mean(axis=1)
    sound = np.repeat(mono[:, None], 2, axis=1)
    sound += noise(1, sound)
    damaged = sound.copy()
    damaged[2 * RATE : 2 * RATE + 441, 0] = 0.0
    recording = Recording.from_array(damaged, RATE)
    assert find_walls(recording) is not None
    done = restore(recording)
    after = samples_of(done)[2 * RATE : 2 * RATE + 441, 0]
    error = np.sum((after - sound[2 * RATE : 2 * RATE + 441, 0]) ** 2)
    assert error < 0.01 * np.sum(sound[2 * RATE : 2 * RATE + 441, 0] ** 2)
    assert done.totals.by_method.get("other wall")
    assert "mono record" in done.notices[0]
    assert not restore(recording, mono_record=False).totals.by_method.get("other wall")


def test_walls_that_are_both_worn_are_not_mended_from_each_other() -> None:
    mono = piece(SECONDS)[: 2 * RATE].mean(axis=1)
    sound = np.repeat(mono[:, None], 2, axis=1)
    sound += noise(3, sound)
    settings = WearSettings(rates_hz={Family.CRACKLE: 120.0, Family.TICK: 4.0}, bed=False)
    laid = wear(sound, RATE, draw_wear(np.random.default_rng(3), 2.0, settings))
    recording = Recording.from_array(laid.worn, RATE)
    assert find_walls(recording, asked=True) is not None
    beside, alone = (
        float(np.sum((samples_of(restore(recording, mono_record=walls)) - laid.clean) ** 2))
        for walls in (True, False)
    )
    assert beside < 1.1 * alone


def test_narrow_stereo_keeps_what_differs() -> None:
    """Short notes in one channel of what is nearly mono: music, since nothing has clicked."""
    mono = piece(SECONDS).mean(axis=1)
    level = np.sqrt(np.mean(mono**2))
    time = np.arange(round(0.06 * RATE)) / RATE
    note = np.exp(-time / 0.02) * np.minimum(time / 0.004, 1.0)
    rng = np.random.default_rng(0)
    side = 10 ** (-50 / 20) * level * rng.standard_normal(mono.size)
    for at in np.arange(0.5, 4.8, 0.37):
        start = round(at * RATE)
        hertz = rng.uniform(300.0, 1500.0)
        side[start : start + time.size] += 0.5 * level * note * np.sin(2 * np.pi * hertz * time)
    recording = Recording.from_array(np.stack([mono + side, mono - 0.2 * side], axis=1), RATE)
    assert find_walls(recording) is not None
    assert restore(recording).totals.frames_changed == 0


def test_stereo_music_is_not_taken_for_a_mono_record() -> None:
    recording = Recording.from_array(music(), RATE)
    assert find_walls(recording) is None
    with pytest.raises(SettingsError, match="without --mono-record"):
        find_walls(Recording.from_array(np.random.default_rng(0).normal(size=(RATE, 2)), RATE),
                   asked=True)  # fmt: skip


def test_twice_the_same_channel_is_no_second_copy() -> None:
    same = np.repeat(music()[:, :1], 2, axis=1)
    assert find_walls(Recording.from_array(same, RATE)) is None


def wide_music() -> FloatArray:
    """Strokes in the right channel alone, over what both have."""
    sound = music().copy()
    rng = np.random.default_rng(5)
    length = round(0.02 * RATE)
    for at in np.arange(0.31, SECONDS - 0.1, 0.23):
        stroke = np.exp(-np.arange(length) / (0.002 * RATE)) * rng.standard_normal(length)
        sound[round(at * RATE) :][:length, 1] += 0.15 * stroke
    return sound


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda copy: 1e-3 * copy, id="very quiet"),
        pytest.param(lambda copy: copy[:, :1], id="left channel alone"),
        pytest.param(lambda copy: copy.clip(-0.6 * copy.max(), 0.6 * copy.max()), id="clipped"),
    ],
)
def test_a_copy_of_another_kind_does_not_make_damage_of_the_music(
    change: Callable[[FloatArray], FloatArray],
) -> None:
    sound = (wide_music() + noise(1, music()))[:SHORT]
    other = second_copy(wide_music()[:SHORT], RATE, TURNTABLE, SHORT / RATE) + 1e-4
    done = merged(sound, (change(other), known_map()))
    changed = np.any(samples_of(done) != sound, axis=1)
    assert np.mean(changed) < 1e-3


def bright_music() -> FloatArray:
    """Return music with hi-hats: bursts of noise that begin at 7 kHz."""
    rng = np.random.default_rng(8)
    sound = music().copy()
    high = scipy.signal.butter(4, 7000, "high", fs=RATE, output="sos")
    for place in range(4000, len(sound) - 6000, 9973):
        burst = rng.standard_normal((5000, 2)) * np.exp(-np.arange(5000) / 900.0)[:, None]
        sound[place : place + 5000] += 0.06 * scipy.signal.sosfilt(high, burst, axis=0)
    return sound


@pytest.mark.parametrize("top_hz", [10000.0, 14000.0])
def test_a_dull_copy_makes_no_damage_of_what_it_lacks(top_hz: float) -> None:
    sound = bright_music()[:SHORT]
    taps = scipy.signal.firwin(255, top_hz, fs=RATE)[:, None]
    dull = scipy.signal.fftconvolve(sound, taps, mode="same", axes=0)
    other = second_copy(dull, RATE, TURNTABLE, SHORT / RATE)
    other = other + 1e-4 * np.random.default_rng(5).standard_normal(other.shape)
    done = merged(sound, (other, known_map()))
    assert np.mean(np.any(samples_of(done) != sound, axis=1)) < 2e-3
    assert done.copies[0]["top_hz"] == pytest.approx(top_hz, rel=0.1)
    assert any("kHz" in notice for notice in done.notices)


def test_a_very_quiet_copy_lies_as_well_as_a_loud_one() -> None:
    first, second = (Recording.from_array(x[:SHORT], RATE) for x in (music(), copy_of()))
    quiet = Recording.from_array(1e-3 * copy_of()[:SHORT], RATE)
    frames = np.arange(0.0, first.frames, 441.0)
    apart = align(first, quiet).where(frames) - align(first, second).where(frames)
    assert np.abs(apart).max() < 0.01


def test_laying_along_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (Recording.from_array(x, RATE) for x in (music(), copy_of()))
    with lay_along(first, second, known_map(), number=1) as copy:
        assert copy.sound.frames == first.frames
        assert len(list(tmp_path.iterdir())) == 1
        laid = copy.sound.read(2 * RATE, 4 * RATE) / 0.7
    assert not list(tmp_path.iterdir())
    left = np.median((laid - music()[2 * RATE : 4 * RATE]) ** 2)
    assert left < 1e-3 * np.median(music()[2 * RATE : 4 * RATE] ** 2)


def test_facts_name_the_parts_that_do_not_fit() -> None:
    copy = Copy(
        sound=Recording.from_array(music(), RATE), number=1, name="x/b.flac", held=((0, 40 * RATE),)
    )
    hop = RATE // 10
    residual = np.full(400, -35.0)
    residual[100:150] = -3.0
    facts = describe_copy(copy, residual, hop, sample_rate=RATE, used=3)
    assert facts["unfit_s"] == [[10.0, 15.0]]
    assert notices_of([facts], 50.0) == [
        "b.flac: is not there from 0:40 to 0:50: not used there",
        "b.flac: does not fit from 0:10 to 0:15: not used there",
    ]
    check_fit(copy, residual)
    with pytest.raises(NotSameRecordingError, match="another mastering"):
        check_fit(copy, np.full(400, -8.0))
    json.dumps(facts)


def test_the_recording_itself_is_no_second_copy() -> None:
    settings = WearSettings(rates_hz={Family.TICK: 2.0}, bed=False)
    drawn = draw_wear(np.random.default_rng(3), SHORT / RATE, settings)
    sound = wear(music()[:SHORT], RATE, drawn).worn
    done = merged(sound, (0.8 * sound, known_map(Turntable())))
    assert "second copy" not in done.totals.by_method
    assert notices_of(done.copies, SHORT / RATE) == [
        "the array: is the same digitization as the recording, with the same damage: "
        "nothing can be mended from it"
    ]


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(tmp_path: Path) -> None:
    sound, _ = with_dropouts()
    soundfile.write(tmp_path / "a.wav", np.tile(sound, (6, 1)), RATE, subtype="PCM_24")
    soundfile.write(tmp_path / "b.wav", np.tile(music(), (6, 1)), RATE, subtype="FLOAT")
    for jobs in ("1", "2"):
        done = run("restore", tmp_path / "a.wav", "-o", tmp_path / f"{jobs}.wav", "--second",
                   tmp_path / "b.wav", "-j", jobs)  # fmt: skip
        assert done.status == 0, done.err
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


@pytest.mark.parametrize("at_s", [0.0, SECONDS - 0.2])
def test_silence_of_the_other_copy_never_comes_in(at_s: float) -> None:
    """At the ends of a file a loss is no dip between sound and sound."""
    clean = piece(SECONDS)
    other = clean + noise(2, clean)
    first = round(at_s * RATE)
    other[first : first + round(0.2 * RATE)] *= 1e-4
    still = Turntable()
    done = merged(clean + noise(1, clean), (other, known_map(still)))
    away = np.sum((samples_of(done) - music()) ** 2)
    assert away < 1e-3 * np.sum(music()[first : first + round(0.2 * RATE)] ** 2)
