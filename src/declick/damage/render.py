"""What one click and the groove's noise sound like, at any sample rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.damage.model import Bed, Chain, Damage, Ring, Thump

# Frames before the onset: the converter's filter rings before a pulse, too.
LEAD = 24
# A ring or a thump has ended where it is this much below its beginning.
_END_NEPERS = math.log(1e5)
_LONGEST_S = 3.0
_HIGHEST = 0.45
_HISS_BAND_HZ = (500.0, 15_000.0)


@dataclass(frozen=True, eq=False)
class Wave:
    """The sound of one click on one channel, with the push's peak at 1.

    Parameters
    ----------
    lead : int
        Frames before the onset.
    samples : ndarray of float64, shape (n,)
    core_end : int
        From this frame on there is nothing but a long ring or a thump; n where there is neither.
    """

    lead: int
    samples: FloatArray = field(repr=False)
    core_end: int


def render(
    damage: Damage, sample_rate: float, chain: Chain, *, offset: float = 0.0, decay_db: float = 60.0
) -> Wave:
    """Render the sound of a click.

    A push is a train of half waves (half sines) of the stylus's velocity. Its spectrum is
    known in closed form; it is shaped by the de-emphasis and the converter's filter and brought
    to time once, so the click lies between frames as it likes and nothing folds over at any rate.
    Rings and thump are added in time.

    Parameters
    ----------
    damage : Damage
    sample_rate : float
        In Hz.
    chain : Chain
    offset : float
        By how many frames the onset is later than frame `LEAD`; 0 to 1.
    decay_db : float
        How far below the peak the de-emphasis's slow tail is followed.
    """
    onset = LEAD + offset
    width = damage.width_s * sample_rate
    slow = chain.bass_s * sample_rate * max(decay_db - 20.0, 0.0) / 20.0 * math.log(10.0)
    ringing = [r for r in damage.rings if r.frequency_hz < _HIGHEST * sample_rate and r.decay_s > 0]
    short = [ring for ring in ringing if ring.decay_s <= 1e-3]
    length = onset + width + max(2 * LEAD, slow, *(_duration(r, sample_rate) for r in short), 0.0)
    size = 1 << max(7, math.ceil(math.log2(length)))
    push = _push(damage, onset, size, sample_rate, chain)
    # An FFT is a circle: the little that is left at its end would come before the click.
    push[:LEAD] *= np.linspace(0.0, 1.0, LEAD)
    push[-(size // 8) :] *= np.linspace(1.0, 0.0, size // 8)
    peak = float(np.max(np.abs(push)))
    if peak > 0.0:
        push /= peak
    struck = onset + width * _highest(damage)
    for ring in short:
        _add_ring(push, ring, struck, sample_rate)
    long = [ring for ring in ringing if ring.decay_s > 1e-3]
    if not long and damage.thump is None:
        return Wave(LEAD, push, push.size)
    lasting = [_duration(ring, sample_rate) for ring in long]
    if damage.thump is not None:
        lasting.append(min(damage.thump.decay_s * _END_NEPERS, _LONGEST_S) * sample_rate)
    sound = np.zeros(max(size, math.ceil(onset + width + max(lasting))))
    sound[:size] = push
    for ring in long:
        _add_ring(sound, ring, struck, sample_rate)
    if damage.thump is not None:
        _add_thump(sound, damage.thump, onset + width, sample_rate)
    # The chain makes the push a little longer.
    return Wave(LEAD, sound, math.ceil(onset + width + 2e-4 * sample_rate))


def _duration(ring: Ring, sample_rate: float) -> float:
    return min(ring.decay_s * _END_NEPERS, _LONGEST_S) * sample_rate


def _highest(damage: Damage) -> float:
    """Return where in its width the push strikes hardest, 0..1."""
    if not damage.shape:
        return 0.0
    ends = np.cumsum(damage.lengths)
    highest = int(np.argmax(np.abs(damage.shape)))
    return float(ends[highest] - 0.5 * damage.lengths[highest])


def _push(damage: Damage, onset: float, size: int, sample_rate: float, chain: Chain) -> FloatArray:
    """Return the half waves as they leave the chain, in `size` frames."""
    frequency = np.arange(size // 2 + 1) / size
    spectrum = np.zeros(frequency.size, dtype=np.complex128)
    width = damage.width_s * sample_rate
    begin = onset
    for height, length in zip(damage.shape, damage.lengths, strict=False):
        half = width * length
        spectrum += height * _half_sine(frequency, half, begin)
        begin += half
    return np.asarray(np.fft.irfft(spectrum * _response(size, sample_rate, chain), size))


def _half_sine(frequency: FloatArray, half: float, begin: float) -> NDArray[np.complex128]:
    """Return the spectrum of half a sine wave of a length, from `begin` on, in frames."""
    turns = frequency * half
    rest = 1.0 - 4.0 * turns * turns
    flat = np.abs(rest) < 1e-6
    rest[flat] = 1.0
    bell = np.cos(np.pi * turns) / rest
    bell[flat] = np.pi / 4
    shifted = np.exp(frequency * (-2j * np.pi * (begin + 0.5 * half)))
    return np.asarray((2.0 / np.pi * half) * bell * shifted)


@lru_cache(maxsize=64)
def _response(size: int, sample_rate: float, chain: Chain) -> NDArray[np.complex128]:
    """Return the chain and the converter's filter at the frequencies of an FFT."""
    share = np.arange(size // 2 + 1) / size
    response = de_emphasis(share * sample_rate, chain)
    # The converter lets little pass from 0.40 of the rate on, and nothing from 0.5.
    edge = np.clip((share - 0.40) / 0.10, 0.0, 1.0)
    return np.asarray(response * np.cos(0.5 * np.pi * edge) ** 2)


def de_emphasis(frequency_hz: FloatArray, chain: Chain) -> NDArray[np.complex128]:
    """Return the response of pick-up and phono amplifier: RIAA or another curve, the low cut."""
    s = 2j * np.pi * frequency_hz
    response = np.ones(np.shape(frequency_hz), dtype=np.complex128)
    if chain.bass_s:
        response *= (1.0 + s * chain.turnover_s) / (1.0 + s * chain.bass_s)
    if chain.low_cut_hz:
        response *= s / (s + 2 * np.pi * chain.low_cut_hz)
    if chain.pickup_hz:
        response /= 1.0 + s / (2 * np.pi * chain.pickup_hz)
    return np.asarray(response / (1.0 + s * chain.treble_s))


def _add_ring(sound: FloatArray, ring: Ring, struck: float, sample_rate: float) -> None:
    """Add a damped sinusoid from `struck` on."""
    first = math.ceil(struck)
    last = min(sound.size, first + math.ceil(_duration(ring, sample_rate)))
    seconds = (np.arange(first, last) - struck) / sample_rate
    swing = np.exp(-seconds / ring.decay_s) * np.sin(2 * np.pi * ring.frequency_hz * seconds)
    sound[first:last] += 10 ** (ring.level_db / 20) * swing


def _add_thump(sound: FloatArray, thump: Thump, start: float, sample_rate: float) -> None:
    """Add a swing whose frequency falls (Esquef, Biscainho & Valimaki 2003)."""
    first = math.ceil(start)
    seconds = (np.arange(first, sound.size) - start) / sample_rate
    fallen = thump.fall_s * -np.expm1(-seconds / thump.fall_s) if thump.fall_s > 0 else 0.0
    cycles = thump.end_hz * seconds + (thump.start_hz - thump.end_hz) * fallen
    swing = np.exp(-seconds / thump.decay_s) * np.sin(2 * np.pi * cycles)
    sound[first:] += 10 ** (thump.level_db / 20) * swing


def loss(damage: Damage, sample_rate: float) -> tuple[int, FloatArray]:
    """Return the first frame and how much of the music is lost, 0..1, while it is lost."""
    start = damage.time_s * sample_rate
    stop = start + damage.width_s * sample_rate
    first, last = math.ceil(start), max(math.ceil(start) + 1, math.floor(stop) + 1)
    place = np.arange(first, last)
    fade = max(damage.fade_s * sample_rate, 1e-9)
    rise = np.clip(np.minimum(place - start, stop - place) / fade, 0.0, 1.0)
    return first, (1.0 - damage.keep) * 0.5 * (1.0 - np.cos(np.pi * rise))


def render_bed(
    bed: Bed, chain: Chain, seed: int, frames: int, channels: int, sample_rate: float
) -> FloatArray:
    """Return the noise of the groove, relative to music of rms level 1.

    The groove's walls are rough alike at all frequencies that matter (white in velocity), so the
    hiss has the colour of the de-emphasis; its level counts between 500 Hz and 15 kHz. Rumble is
    vertical: opposite in L and R.

    Returns
    -------
    ndarray of float64, shape (frames, channels)
    """
    from scipy.signal import sosfilt  # half a second to import, and seldom needed

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((channels, frames))
    if channels > 1:
        noise[1:] *= math.sqrt(1.0 - bed.likeness**2)
        noise[1:] += bed.likeness * noise[0]
    sections, gain = _hiss_filter(sample_rate, chain, bed.hump_db)
    sound = np.asarray(sosfilt(sections, noise, axis=-1))
    sound *= gain * 10 ** (bed.hiss_db / 20)
    if bed.rumble_hz < _HIGHEST * sample_rate:
        sections, gain = _rumble_filter(sample_rate, bed.rumble_hz)
        rumble = np.asarray(sosfilt(sections, rng.standard_normal(frames)))
        rumble *= gain * 10 ** (bed.rumble_db / 20)
        for channel in range(channels):
            sound[channel] += rumble if channel % 2 == 0 else -rumble
    return sound.T


@lru_cache(maxsize=16)
def _hiss_filter(sample_rate: float, chain: Chain, hump_db: float) -> tuple[FloatArray, float]:
    """Return second-order sections, and the gain to rms 1 in the band of the hiss."""
    from scipy.signal import sosfreqz

    rows = []
    if chain.bass_s:
        rows.append(_first_order((chain.turnover_s, 1.0), (chain.bass_s, 1.0), sample_rate))
    if chain.treble_s:
        rows.append(_treble_cut(chain.treble_s, sample_rate))
    if chain.low_cut_hz:
        low_s = 1.0 / (2 * np.pi * chain.low_cut_hz)
        rows.append(_first_order((low_s, 0.0), (low_s, 1.0), sample_rate))
    if hump_db and chain.hump_hz < _HIGHEST * sample_rate:
        rows.append(_peaking(chain.hump_hz, 3.0, hump_db, sample_rate))
    sections = np.array(rows or [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    low, high = _HISS_BAND_HZ
    band = np.linspace(low, min(high, 0.5 * sample_rate), 512)
    _, response = sosfreqz(sections, band, fs=sample_rate)
    power = float(np.mean(np.abs(response) ** 2)) * (band[-1] - band[0]) / (0.5 * sample_rate)
    return sections, 1.0 / math.sqrt(power)


@lru_cache(maxsize=16)
def _rumble_filter(sample_rate: float, edge_hz: float) -> tuple[FloatArray, float]:
    """Return second-order sections that pass 8 Hz to `edge_hz`, and the gain to rms 1."""
    from scipy.signal import butter

    sections = butter(2, (8.0, edge_hz), btype="bandpass", fs=sample_rate, output="sos")
    # The noise bandwidth of such a band pass is 1.11 times its width.
    power = 1.11 * (edge_hz - 8.0) / (0.5 * sample_rate)
    return np.asarray(sections), 1.0 / math.sqrt(power)


def _first_order(
    above: tuple[float, float], below: tuple[float, float], sample_rate: float
) -> list[float]:
    """Return ``(a1 s + a0) / (b1 s + b0)`` as a digital section (bilinear transform)."""
    k = 2.0 * sample_rate
    scale = below[0] * k + below[1]
    return [
        (above[0] * k + above[1]) / scale,
        (above[1] - above[0] * k) / scale,
        0.0,
        1.0,
        (below[1] - below[0] * k) / scale,
        0.0,
    ]


def _treble_cut(treble_s: float, sample_rate: float) -> list[float]:
    """Return a first-order low pass that holds up to half the rate, where the bilinear sags."""
    pole = math.exp(-1.0 / (treble_s * sample_rate))
    end = 1.0 / math.hypot(1.0, math.pi * sample_rate * treble_s)
    low, high = 1.0 - pole, end * (1.0 + pole)
    return [0.5 * (low + high), 0.5 * (low - high), 0.0, 1.0, -pole, 0.0]


def _peaking(frequency_hz: float, q: float, gain_db: float, sample_rate: float) -> list[float]:
    """Return a peak (R. Bristow-Johnson's audio EQ cookbook)."""
    gain = 10 ** (gain_db / 40)
    angle = 2 * math.pi * frequency_hz / sample_rate
    alpha = math.sin(angle) / (2 * q)
    scale = 1 + alpha / gain
    return [
        (1 + alpha * gain) / scale,
        -2 * math.cos(angle) / scale,
        (1 - alpha * gain) / scale,
        1.0,
        -2 * math.cos(angle) / scale,
        (1 - alpha / gain) / scale,
    ]
