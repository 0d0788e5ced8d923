"""A rip and its repair: the damage comes back to the sample; what is no pair is told."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.signal import resample, resample_poly

from declick.clicks import FloatArray, Kind
from declick.damage.apply import wear
from declick.damage.differences import bank_differences, find_differences
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.pairs import Pairing, compare_pair
from declick.read import Recording
from worn import piece

RATE = 44100
SECONDS = 10.0


@dataclass(frozen=True)
class Planted:
    start: int
    samples: FloatArray


@cache
def pair() -> tuple[FloatArray, FloatArray, tuple[Planted, ...]]:
    """Return a rip and its repair, on a 16-bit grid, and what was planted."""
    rng = np.random.default_rng(2)
    repair = np.round(piece(SECONDS) * 32768)
    rip = repair.copy()
    planted = []
    for number, start in enumerate(range(20000, len(rip) - 20000, 40000)):
        length = int(rng.integers(4, 120))
        samples = rng.integers(600, 9000, (length, 2)) * rng.choice([-1, 1], (length, 2))
        if number % 4 == 0:
            samples[:, 1] = 0
        rip[start : start + length] += samples
        planted.append(Planted(start, samples / 32768))
    return rip / 32768, repair / 32768, tuple(planted)


def compare(rip: FloatArray, repair: FloatArray, *, rate: int = RATE) -> Pairing:
    return compare_pair(Recording.from_array(rip, RATE), Recording.from_array(repair, rate))


@pytest.mark.parametrize("offset", [0, 12345, -777])
def test_planted_damage_comes_back_to_the_sample(offset: int) -> None:
    rip, repair, planted = pair()
    shifted = repair[offset:] if offset > 0 else np.pad(repair, ((-offset, 0), (0, 0)))
    before, after = Recording.from_array(rip, RATE), Recording.from_array(shifted, RATE)
    pairing = compare_pair(before, after)
    assert pairing.usable
    assert pairing.offset == offset
    assert bool(pairing.notes) == bool(offset)
    found, passages = find_differences(before, after, pairing)
    assert not passages
    bank, labels = bank_differences(before, after, pairing, found)
    assert [item.start for item in found] == [item.start for item in planted]
    for click, item in zip(bank.clicks, planted, strict=True):
        assert np.array_equal(click.samples, item.samples.astype(np.float32))
    assert len(labels) == sum(1 + bool(item.samples[:, 1].any()) for item in planted)


@pytest.mark.parametrize(
    ("family", "usual"),
    [
        (Family.TICK, {Kind.TICK}),
        (Family.POP, {Kind.TICK, Kind.POP}),
        (Family.RING, {Kind.TICK, Kind.POP}),
        (Family.THUMP, {Kind.THUMP}),
    ],
)
def test_clicks_are_named_after_their_cores_however_long_they_die_away(
    family: Family, usual: set[Kind]
) -> None:
    settings = WearSettings(rates_hz={family: 0.8}, cluster_share=0.0, bed=False)
    laid = wear(piece(16.0), RATE, draw_wear(np.random.default_rng(3), 16.0, settings))
    before, after = Recording.from_array(laid.worn, RATE), Recording.from_array(laid.clean, RATE)
    pairing = Pairing(gains=(1.0, 1.0), untouched=True)
    found, _ = find_differences(before, after, pairing)
    bank, labels = bank_differences(before, after, pairing, found)
    lengths = [len(click.samples) / RATE for click in bank.clicks]
    assert len(bank.clicks) > 5
    assert np.median(lengths) > 0.01
    assert {click.kind for click in bank.clicks} <= usual
    beside = []
    for click in labels:
        near = [
            true
            for true in laid.clicks
            if true.channel == click.channel and true.start < click.tail and true.tail > click.start
        ]
        beside += [abs(click.stop - near[0].stop) / RATE] if len(near) == 1 else []
    if family is not Family.THUMP:
        assert np.median(beside) < 0.3e-3


def test_a_gain_is_told_and_allowed_for() -> None:
    rip, repair, planted = pair()
    before, after = Recording.from_array(rip, RATE), Recording.from_array(0.8 * repair, RATE)
    pairing = compare_pair(before, after)
    assert pairing.usable
    assert pairing.gains == pytest.approx((0.8, 0.8), rel=1e-4)
    assert "-1.938 dB" in pairing.notes[0]
    found, _ = find_differences(before, after, pairing)
    assert len(found) == len(planted)
    bank, _ = bank_differences(before, after, pairing, found)
    for click, item in zip(bank.clicks, planted, strict=True):
        assert click.samples == pytest.approx(item.samples, abs=1e-4)


def test_an_inversion_is_told_and_allowed_for() -> None:
    rip, repair, planted = pair()
    before, after = Recording.from_array(rip, RATE), Recording.from_array(-repair, RATE)
    pairing = compare_pair(before, after)
    assert pairing.gains == (-1.0, -1.0)
    assert "inverted" in pairing.notes[-1]
    found, _ = find_differences(before, after, pairing)
    bank, _ = bank_differences(before, after, pairing, found)
    assert np.array_equal(bank.clicks[1].samples, planted[1].samples.astype(np.float32))


def test_dither_is_told_and_allowed_for() -> None:
    rip, repair, planted = pair()
    dither = np.random.default_rng(1).triangular(-1, 0, 1, repair.shape) / 32768
    dithered = np.round((repair + dither) * 32768) / 32768
    before, after = Recording.from_array(rip, RATE), Recording.from_array(dithered, RATE)
    pairing = compare_pair(before, after)
    assert pairing.usable
    found, _ = find_differences(before, after, pairing)
    assert len(found) == len(planted)
    for item, true in zip(found, planted, strict=True):
        assert abs(item.start - true.start) <= 1
        assert abs(item.stop - true.start - len(true.samples)) <= 1


def test_another_sample_rate_is_told() -> None:
    rip, repair, _ = pair()
    pairing = compare(rip, resample_poly(repair, 160, 147, axis=0), rate=48000)
    assert "resampled: 48000 Hz" in pairing.faults[0]


def test_another_speed_is_told() -> None:
    rip, repair, _ = pair()
    frames = round(len(repair) * (1 + 200e-6))
    pairing = compare(rip, resample(repair, frames, axis=0))
    assert "speed" in pairing.faults[0]
    assert abs(pairing.speed_ppm) == pytest.approx(200.0, rel=0.05)


def test_a_shift_between_frames_is_told() -> None:
    rip, repair, _ = pair()
    spectrum = np.fft.rfft(repair, axis=0)
    turn = np.exp(-2j * np.pi * 0.4 * np.arange(len(spectrum)) / len(repair))
    pairing = compare(rip, np.fft.irfft(spectrum * turn[:, None], len(repair), axis=0))
    assert "resampled" in pairing.faults[0]
    assert abs(pairing.fraction) == pytest.approx(0.4, abs=0.06)


def test_a_cut_is_told() -> None:
    rip, repair, _ = pair()
    place = 5 * RATE
    pairing = compare(rip, np.delete(repair, np.s_[place : place + 5000], axis=0))
    ((at, frames),) = pairing.edits
    assert frames == 5000
    assert at == pytest.approx(5.0, abs=0.1)
    assert "5000 frames missing near" in pairing.faults[0]


def test_a_lossy_codec_is_told() -> None:
    rip, repair, _ = pair()
    # A codec quantises each band of each short window to a share of its level.
    rng = np.random.default_rng(3)
    blocks = repair[: len(repair) // 1024 * 1024].reshape(-1, 1024, 2)
    spectra = np.fft.rfft(blocks, axis=1)
    spectra[:, 370:] = 0.0
    spectra *= 1.0 + 0.05 * rng.standard_normal(spectra.shape)
    pairing = compare(rip, np.fft.irfft(spectra, 1024, axis=1).reshape(-1, 2))
    assert pairing.lossy
    assert "lossy codec" in pairing.faults[0]
    assert -50.0 < pairing.residual_db < -15.0


def test_noise_reduction_is_told() -> None:
    rip, repair, _ = pair()
    rng = np.random.default_rng(3)
    noisy = rip + 1e-3 * rng.standard_normal(rip.shape)
    pairing = compare(noisy, repair)
    assert not pairing.lossy
    assert "treated all over" in pairing.faults[0]


def test_an_equaliser_is_told() -> None:
    rip, repair, _ = pair()
    duller = repair.copy()
    duller[1:] = 0.9 * repair[1:] + 0.1 * repair[:-1]
    pairing = compare(rip, duller)
    assert not pairing.usable


def test_another_recording_is_told() -> None:
    rip, _, _ = pair()
    other = piece(SECONDS, seed=9)
    rng = np.random.default_rng(4)
    other = rng.permutation(other.reshape(-1, 1764, 2)).reshape(-1, 2)
    pairing = compare(rip, other)
    assert "another digitization or recording" in pairing.faults[0]


def test_mono_and_stereo_are_no_pair() -> None:
    rip, repair, _ = pair()
    assert "channel" in compare(rip, repair[:, :1]).faults[0]


def test_a_replaced_passage_is_no_click() -> None:
    rip, repair, planted = pair()
    faded = repair.copy()
    faded[5 * RATE : 6 * RATE] *= 0.5
    before, after = Recording.from_array(rip, RATE), Recording.from_array(faded, RATE)
    pairing = compare_pair(before, after)
    found, passages = find_differences(before, after, pairing)
    assert len(passages) == 1
    assert passages[0].start == pytest.approx(5 * RATE, abs=50)
    inside = [5 * RATE <= item.start < 6 * RATE for item in planted]
    assert len(found) == len(planted) - sum(inside)


def test_a_rip_that_is_worn_all_over_has_kept_its_level() -> None:
    _, repair, _ = pair()
    wear_there = np.zeros(repair.shape)
    for start in range(1000, len(repair) - 1000, 2000):  # damage in every stretch of the sound
        wear_there[start : start + 300] = 0.4 * np.hanning(300)[:, None] * repair[start]
    rip = np.round((repair + wear_there) * 32768) / 32768
    pairing = compare(rip, repair)
    assert pairing.usable
    assert pairing.gains == (1.0, 1.0)
    assert not pairing.notes
