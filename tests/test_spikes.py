"""Faults of a digital chain, and music that looks like damage."""

from __future__ import annotations

import numpy as np
import pytest

from declick.clicks import FloatArray
from declick.detect.alike import alike_instants
from declick.detect.confidence import FEATURES
from declick.detect.screen import PITCH_DOUBT, pitch_doubt
from declick.detect.sight import ViewGeometry, describe_instants, find_instants, see
from declick.detect.spikes import find_spikes
from declick.pipeline import restore
from declick.read import Recording

RATE = 44100


def music(seconds: float = 4.0, channels: int = 1) -> FloatArray:
    """Chords under noise, different on each channel."""
    rng = np.random.default_rng(3)
    time = np.arange(round(seconds * RATE)) / RATE
    rows = [
        sum(0.1 * np.sin(2 * np.pi * hertz * (1 + k) * time + k) for k in range(3))
        for hertz in (220.0, 277.0)[:channels]
    ]
    return np.stack(rows, axis=1) + 1e-3 * rng.standard_normal((len(time), channels))


@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("channels", [1, 2])
def test_wrong_samples_are_cut_out_and_nothing_else(width: int, channels: int) -> None:
    clean = music(channels=channels)
    worn = clean.copy()
    places = np.arange(20_000, 160_000, 17_001)
    for place in places:
        worn[place : place + width, 0] += 0.2
    out = restore(Recording.from_array(worn, RATE)).samples
    assert out is not None
    near = np.zeros(clean.shape, dtype=bool)
    for place in places:
        near[place - 60 : place + width + 60, 0] = True
    assert np.array_equal(out[~near], worn[~near])
    left, was = (np.sum((sound - clean) ** 2) for sound in (out, worn))
    assert left < 2e-3 * was


def test_wrong_samples_do_not_make_a_worn_record() -> None:
    clean = music(channels=2)
    worn = clean.copy()
    worn[20_000:160_000:5_003, 0] += 0.3
    samples = worn[: len(worn) // 2048 * 2048]
    sight = see(samples, ViewGeometry(RATE))
    frames, _ = find_instants(sight)
    spikes = find_spikes(sight, frames, describe_instants(sight, frames))
    assert len(spikes.start) == 28
    assert spikes.whole.all()
    assert np.array_equal(spikes.stop - spikes.start, np.ones(28))
    assert not spikes.channel.any()


def test_the_onset_of_a_stroke_is_no_wrong_sample() -> None:
    rng = np.random.default_rng(5)
    sound = music(channels=2)
    for place in range(20_000, 160_000, 9_001):
        size = 2000
        stroke = rng.standard_normal(size) * np.exp(-np.arange(size) / 300.0)
        sound[place : place + size] += 0.3 * stroke[:, None]
    samples = sound[: len(sound) // 2048 * 2048]
    sight = see(samples, ViewGeometry(RATE))
    frames, _ = find_instants(sight)
    assert len(frames) > 10
    assert not len(find_spikes(sight, frames, describe_instants(sight, frames)).start)


def test_what_both_channels_have_and_is_no_fault_in_one_is_none_in_the_other() -> None:
    rng = np.random.default_rng(6)
    found = []
    for alike in (False, True):
        sound = music(channels=2)
        for place in range(20_000, 160_000, 9_001):
            pulse, noise = 0.3 * rng.standard_normal(3), rng.standard_normal((48, 2))
            behind = slice(place + 12, place + 60)
            sound[place : place + 3, 0] += pulse
            sound[behind, 0] += 0.01 * noise[:, 0]
            if alike:
                # More goes on behind it in the other channel: there it is an attack.
                sound[place : place + 3, 1] += pulse
                sound[behind, 1] += 0.04 * noise[:, 1]
        samples = sound[: len(sound) // 2048 * 2048]
        sight = see(samples, ViewGeometry(RATE))
        frames, _ = find_instants(sight)
        spikes = find_spikes(sight, frames, describe_instants(sight, frames))
        found.append(int(np.sum(~spikes.whole & (spikes.channel == 0))))
    alone, shared = found
    assert alone > 5
    assert shared < 0.3 * alone


def test_channels_are_alike_but_for_what_one_wall_has() -> None:
    mono = music(channels=1)[: 80 * 2048, 0]
    noise = 1e-5 * np.random.default_rng(1).standard_normal((len(mono), 2))
    sound = np.stack([mono, 0.93 * mono], axis=1) + noise
    sound[40_000:40_020] += 0.3
    sound[90_000:90_020, 0] += 0.3
    sight = see(sound, ViewGeometry(RATE))
    both, one = alike_instants(sight, np.array([40_010, 90_010]))
    assert both
    assert not one
    stereo = music(channels=2)[: 80 * 2048]
    stereo[40_000:40_020] += 0.3
    assert not alike_instants(see(stereo, ViewGeometry(RATE)), np.array([40_010])).any()


def test_a_click_of_a_nearly_mono_record_is_found() -> None:
    mono = music(channels=1)[:, 0]
    clean = np.stack([mono, 0.93 * mono], axis=1)
    clean += 3e-5 * np.random.default_rng(1).standard_normal(clean.shape)
    worn = clean.copy()
    rng = np.random.default_rng(3)
    base = np.diff(np.hanning(22), prepend=0.0) * np.exp(-np.arange(22) / 6.0)
    for place in range(20_000, 160_000, 20_001):
        # No two alike, nor at even distances: what comes again is a machine's.
        shape = 1.5 * base * rng.uniform(0.7, 1.4) * (1.0 + 0.45 * rng.standard_normal(22))
        start = place + int(rng.integers(-7000, 7000))
        worn[start : start + 22] += shape[:, None] * np.array([1.0, 0.93])
    out = restore(Recording.from_array(worn, RATE)).samples
    assert out is not None
    # As stereo, the network finds fewer: 13 dB.
    assert np.sum((out - clean) ** 2) < 0.01 * np.sum((worn - clean) ** 2)


def test_pulses_of_a_pitch_are_doubted() -> None:
    facts = np.zeros((3, 2 * len(FEATURES)), dtype=np.float32)
    facts[:, 0] = 3.0
    facts[0, FEATURES.index("periodicity within 20 ms")] = 1.0
    facts[1:, FEATURES.index("height over the third highest rival")] = 2.0
    assert pitch_doubt(facts).tolist() == [PITCH_DOUBT, 0.0, 0.0]
