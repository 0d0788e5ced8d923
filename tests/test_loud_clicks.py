"""What no network needs to be asked about is mended, however unlike what it has learned from."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.pipeline import restore
from declick.read import Recording
from worn import piece

RATE = 44100
AT = (88_200, 121_345, 158_760)


@cache
def music() -> FloatArray:
    clean = piece(5.0)
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    return np.asarray(clean + 10 ** (-45 / 20) * clean.std() * noise)


SHAPES = {
    "impulse": np.array([1.0]),
    "step out and back": np.array([0.7, -0.7]),
    "knock": np.exp(-np.arange(40) / 8) * np.cos(2.0 * np.arange(40)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_loud_clicks_that_are_the_same_left_and_right_are_mended(name: str) -> None:
    """L-R shows nothing of them, and they are louder than any record's."""
    clean = music()
    worn = clean.copy()
    for at in AT:
        worn[at : at + len(SHAPES[name])] += SHAPES[name][:, None]
    done = restore(Recording.from_array(worn, RATE), mono_record=False)
    assert done.samples is not None
    for at in AT:
        near = slice(at - 100, at + 200)
        before = np.sum((worn - clean)[near] ** 2)
        after = np.sum((done.samples - clean)[near] ** 2)
        assert 10 * np.log10(before / after) > 15.0


def test_the_music_alone_has_none() -> None:
    clean = music()
    done = restore(Recording.from_array(clean, RATE), mono_record=False)
    assert np.array_equal(np.asarray(done.samples), clean)


def test_short_clean_files_stay_as_they_are() -> None:
    """Silence around a file is no reason to take all of it for a click."""
    clean = music()[66_150:]
    for frames in (*range(1, 200, 23), 300, 500):
        part = np.ascontiguousarray(clean[:frames])
        done = restore(Recording.from_array(part, RATE), mono_record=False)
        assert np.array_equal(np.asarray(done.samples), part)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e6, 1e10, 3e38])
def test_a_broken_sample_of_a_float_file_is_mended(value: float) -> None:
    worn = music()[66_150:100_000].astype(np.float32)
    clean = worn.copy()
    worn[15_000] = -value
    done = restore(Recording.from_array(worn, RATE), mono_record=False)
    mended = np.asarray(done.samples)
    assert np.abs(mended[15_000] - clean[15_000]).max() < 0.05
    outside = np.r_[0:14_900, 15_100 : len(worn)]
    assert np.array_equal(mended[outside], clean[outside])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exponent", [15, 60, 120])
def test_floats_of_any_size_are_sound(exponent: int) -> None:
    worn = music()[66_150:100_000].copy()
    worn[15_000:15_040] += SHAPES["knock"][:, None]
    done = [
        restore(Recording.from_array(worn * unit, RATE), mono_record=False)
        for unit in (1.0, 2.0**exponent)
    ]
    (click, _), (louder, _) = (item.detection.clicks for item in done)
    assert (click.start, click.stop) == (louder.start, louder.stop)
    one, other = (np.asarray(item.samples) for item in done)
    assert np.allclose(one * 2.0**exponent, other, rtol=0.0, atol=1e-4 * 2.0**exponent)
