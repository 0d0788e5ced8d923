"""Beside the first and the last frame of a recording a click is found as anywhere else."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import soundfile

from declick.clicks import Click, FloatArray
from declick.detect.ends import continued
from declick.detect.sight import ViewGeometry
from declick.detect.survey import Geometry
from declick.parallel import Workers
from declick.read import Recording
from declick.settings import DetectSettings
from declick.stages import detect
from worn import piece

RATE = 44100
CLICK = np.array([0.3, 0.9, -0.8, 0.5, -0.4, 0.2])
LENGTH = 20_000


@cache
def whole() -> FloatArray:
    clean = piece(5.0)
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    return np.asarray(clean + 10 ** (-45 / 20) * clean.std() * noise)


def music(frames: int = LENGTH, start: int = 66_150) -> FloatArray:
    """Music that is cut out of the midst."""
    return whole()[start : start + frames].copy()


def find(samples: FloatArray, detector: str = "auto") -> list[Click]:
    recording = Recording.from_array(samples, RATE)
    return detect(recording, DetectSettings(detector=detector)).clicks


@pytest.mark.parametrize("detector", ["auto", "ar"])
@pytest.mark.parametrize("distance", [0, 2, 10, 30, 60, 150])
def test_a_click_beside_an_end_is_found(distance: int, detector: str) -> None:
    for start in (distance, LENGTH - distance - len(CLICK)):
        samples = music()
        samples[start : start + len(CLICK)] += CLICK[:, None] * np.array([0.6, -0.4])
        found = find(samples, detector)
        stop = start + len(CLICK)
        hit = {click.channel for click in found if click.start < stop and click.stop > start}
        assert hit == {0, 1}
        assert all(start - 100 < click.start and click.stop < stop + 100 for click in found)


def test_clicks_of_all_forms_beside_an_end_are_found() -> None:
    rng = np.random.default_rng(3)
    missed = []
    for number in range(24):
        samples = music(start=int(rng.integers(50_000, 90_000)))
        if number % 2:
            samples = samples[:, :1]
        length, distance = int(rng.integers(4, 26)), int(rng.integers(0, 44))
        click = rng.standard_normal(length)
        click *= rng.uniform(0.3, 0.9) / np.abs(click).max()
        start = distance if number % 4 < 2 else LENGTH - distance - length
        samples[start : start + length] += click[:, None] * [[0.6, -0.4], [1.0]][number % 2]
        found = find(samples)
        missed += [number] * (not any(c.start < start + length and c.stop > start for c in found))
    assert len(missed) <= 1
    single = music()
    single[0] = 0.9
    assert {click.channel for click in find(single)} == {0, 1}


def test_a_click_beside_an_end_is_as_sure_where_two_tiles_meet() -> None:
    tile = ViewGeometry(RATE).tile
    sure = []
    for frames in (tile + 3, tile + 100):
        samples = np.tile(music(), (-(-frames // LENGTH), 1))[:frames]
        samples[-12:-6] += 0.9 * CLICK[:, None]
        last = [click for click in find(samples) if click.stop > frames - 12]
        assert {click.channel for click in last} == {0, 1}
        sure += [click.confidence for click in last]
    assert min(sure) > 0.97


@pytest.mark.parametrize("detector", ["auto", "ar"])
def test_a_cut_in_the_music_is_no_click(detector: str) -> None:
    for start in range(50_000, 90_000, 4_321):
        assert find(music(start=start), detector) == []


@pytest.mark.parametrize("silent", [0, 1, 50, 3000])
def test_short_fades_and_digital_silence_at_the_ends_are_no_clicks(silent: int) -> None:
    for length in (10, 100, 1000):
        samples = music()
        samples[:length] *= np.linspace(0.0, 1.0, length)[:, None]
        samples[-length:] *= np.linspace(1.0, 0.0, length)[:, None]
        samples = np.pad(np.round(samples * 32768) / 32768, ((silent, silent), (0, 0)))
        assert find(samples) == []


def test_what_is_found_at_the_ends_does_not_depend_on_how_the_file_is_read() -> None:
    # One tile and a little: the second tile's context holds the end, and the first tile's, too.
    frames = ViewGeometry(RATE).tile + 30
    samples = np.tile(music(), (-(-frames // LENGTH), 1))[:frames]
    for start in (7, frames - 12):
        samples[start : start + len(CLICK)] += 0.9 * CLICK[:, None]
    samples = np.round(samples.clip(-1.0, 0.99) * 2**23) / 2**23
    found = find(samples)
    assert min(click.start for click in found) < 12
    assert max(click.stop for click in found) > frames - 10
    with Workers(2) as workers:
        assert detect(Recording.from_array(samples, RATE), workers=workers).clicks == found
    pipe = io.BytesIO()
    soundfile.write(pipe, samples, RATE, format="WAV", subtype="PCM_24")
    with Recording.from_stream(io.BytesIO(pipe.getvalue())) as recording:
        assert detect(recording).clicks == found


def test_every_tile_hears_the_same_beyond_an_end() -> None:
    geometry = Geometry(RATE)
    sound, reach = music(2 * geometry.context), geometry.context
    whole = continued(np.pad(sound, ((reach, reach), (0, 0))), -reach, len(sound), geometry)
    assert np.array_equal(whole[reach:-reach], sound)
    assert whole[0].any()
    assert whole[-1].any()
    part = np.pad(sound[reach // 2 :], ((0, 2 * reach), (0, 0)))
    later = continued(part, reach // 2, len(sound), geometry)
    assert np.array_equal(later[: len(part) - reach], whole[reach + reach // 2 :])
    assert not later[len(part) - reach :].any()


def test_it_goes_on_as_loud_as_it_was_and_without_a_step() -> None:
    geometry = Geometry(RATE)
    time = np.arange(5000) / RATE
    sound = np.sin(2 * np.pi * 441 * time + 0.3)[:, None]
    reach = geometry.context
    whole = continued(np.pad(sound, ((reach, reach), (0, 0))), -reach, len(sound), geometry)[:, 0]
    for border in (reach, reach + len(sound)):
        assert np.abs(np.diff(whole[border - 60 : border + 60])).max() < 0.08
    assert np.isclose(np.std(whole[: reach // 2]), np.std(sound), rtol=0.1)


def test_silence_goes_on_as_silence() -> None:
    geometry = Geometry(RATE)
    sound = music(3000)
    sound[0] = sound[-1] = 0.0
    padded = np.pad(sound, ((500, 500), (0, 0)))
    assert np.array_equal(continued(padded, -500, len(sound), geometry), padded)


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_next_to_nothing_can_be_continued(frames: int) -> None:
    sound = music(frames)
    padded = np.pad(sound, ((300, 300), (0, 0)))
    assert np.isfinite(continued(padded, -300, frames, Geometry(RATE))).all()


def test_what_is_made_up_goes_in_the_steps_of_the_file() -> None:
    geometry = ViewGeometry(RATE)
    rough = np.round(music() * 128) / 128
    tile = np.zeros((geometry.tile + 2 * geometry.context, 2))
    tile[geometry.context :][: len(rough)] = rough
    whole = continued(tile, -geometry.context, len(rough), geometry)
    assert np.array_equal(whole * 128, np.round(whole * 128))
    assert np.any(whole[geometry.context - 40 : geometry.context])
    square = 0.7 * np.sign(np.sin(2 * np.pi * 1000 * np.arange(LENGTH) / RATE + 0.6))
    tile[geometry.context :][: len(rough)] = square[:, None]
    whole = continued(tile, -geometry.context, len(rough), geometry)
    # Two levels tell no step: what goes on does so at one of them.
    assert np.all(np.abs(whole[geometry.context + len(rough) :][:3]) == 0.7)
    for finest in (5e-324, 1e-30):  # of no file
        whole = continued(tile + finest, -geometry.context, len(rough), geometry)
        assert np.isfinite(whole).all()


def test_the_rounding_of_a_fade_in_eight_bits_is_no_click() -> None:
    faded = piece(3.0) * np.linspace(1.0, 0.0, len(piece(3.0)))[:, None]
    assert not find(np.floor(faded * 128) / 128)
