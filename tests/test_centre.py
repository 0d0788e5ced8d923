"""A constant that a sound card has added changes nothing of what is heard or mended."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.centre import centred
from declick.outcome import Restoration
from declick.pipeline import restore
from declick.read import Recording
from worn import worn_piece

RATE = 44100


@cache
def restored_plainly() -> Restoration:
    return restore(Recording.from_array(worn_piece()[1], RATE))


@pytest.mark.parametrize("offset", [0.01, -0.2])
def test_an_offset_changes_no_repair(offset: float) -> None:
    sound = worn_piece()[1]
    plain = restored_plainly()
    moved = restore(Recording.from_array(sound + offset, RATE))
    assert plain.samples is not None
    assert moved.samples is not None
    assert moved.totals.clicks == pytest.approx(plain.totals.clicks, rel=0.05)
    left = moved.samples - offset - plain.samples
    assert np.sum(left**2) < 0.02 * np.sum((plain.samples - sound) ** 2)


def test_a_file_with_an_offset_keeps_it_outside_repairs(tmp_path: Path) -> None:
    source, outputs = tmp_path / "a.wav", [tmp_path / "1.wav", tmp_path / "2.wav"]
    soundfile.write(source, worn_piece()[1] + 0.05, RATE, subtype="PCM_16")
    for jobs, output in enumerate(outputs, start=1):
        with Recording.open(source) as recording:
            done = restore(recording, output, jobs=jobs)
    first, second = (soundfile.read(path, dtype="int16", always_2d=True)[0] for path in outputs)
    assert np.array_equal(first, second)
    before = soundfile.read(source, dtype="int16", always_2d=True)[0]
    changed = np.any(first != before, axis=1)
    assert 0 < changed.sum() == done.totals.frames_changed
    assert abs(first.mean() / 2**15 - 0.05) < 1e-3


def test_music_without_an_offset_is_read_as_it_is() -> None:
    recording = Recording.from_array(worn_piece()[1], RATE)
    assert centred(recording) is recording
    moved = centred(Recording.from_array(worn_piece()[1] + 0.1, RATE))
    assert moved.offset == pytest.approx((0.1, 0.1), abs=0.01)
    assert centred(moved) is moved
