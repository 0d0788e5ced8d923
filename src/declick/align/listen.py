"""What the search listens to: one working channel, and the levels of bands over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import resample_poly

from declick.clicks import FloatArray
from declick.read import Recording

Float32Array = NDArray[np.float32]

# Both recordings are brought to this rate: the time of groove and stylus is in what it holds, and
# half an hour takes 160 MB.
RATE: Final = 22_050
# Frames of the working rate in a piece of work.
_PIECE: Final = 1 << 19

HOP: Final = 441
FEATURE_HZ: Final = RATE / HOP
_WINDOW: Final = 2048
BANDS_PER_OCTAVE: Final = 12
_LOWEST_HZ, _OCTAVES = 200.0, 5
BANDS: Final = BANDS_PER_OCTAVE * _OCTAVES
# A band is compared with its own mean over this long: EQ and level are gone.
_MEAN_S: Final = 2.0
# What stands out of the sound by more than this many local levels is taken for a click.
_CLICK: Final = 4.0

# Weights of the channels in the working channel: the sum, or the difference where one of them is
# wired the wrong way round.
SUM: Final = (1.0, 1.0)
DIFFERENCE: Final = (1.0, -1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """A recording as the search hears it.

    Parameters
    ----------
    sound : ndarray of float32, shape (n,)
        The working channel at `RATE`.
    features : ndarray of float32, shape (frames, BANDS)
        Levels of bands against their own recent mean, in dB, at `FEATURE_HZ`.
    level_db : ndarray of float32, shape (frames,)
        Of all bands together.
    """

    sound: Float32Array = field(repr=False)
    features: Float32Array = field(repr=False)
    level_db: Float32Array = field(repr=False)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.sound) / RATE


def mix(sound: FloatArray, weights: tuple[float, float]) -> FloatArray:
    """Return the working channel of all channels, shape (frames,)."""
    if sound.shape[1] == 1:
        return sound[:, 0]
    mixed: FloatArray = 0.5 * (weights[0] * sound[:, 0] + weights[1] * sound[:, 1])
    return mixed


def resampled(recording: Recording, start: int, stop: int) -> FloatArray:
    """Return frames ``[start, stop)`` of a recording at the working rate, all channels."""
    rate = round(recording.sample_rate)
    common = gcd(rate, RATE)
    up, down = RATE // common, rate // common
    # Whole periods of the two clocks before the start, so that they stay together.
    first = (start // up) * down
    lead = -(-64 * max(up, down) // (up * down)) * down
    wanted = -(-(stop - (start // up) * up) * down // up) + lead
    sound = recording.read(first - lead, first + wanted)
    if up != down:
        sound = resample_poly(sound, up, down, axis=0)
    skip = lead // down * up + start % up
    return sound[skip : skip + stop - start]


def listen(
    recording: Recording,
    weights: tuple[float, float] = SUM,
    progress: Callable[[float], None] = lambda share: None,
) -> Heard:
    """Read a recording once, in pieces."""
    total = recording.frames * RATE // recording.sample_rate
    count = total // HOP + 1
    sound = np.zeros(total, dtype=np.float32)
    energy = np.zeros((count, BANDS), dtype=np.float32)
    for first in range(0, count, _PIECE // HOP):
        last = min(first + _PIECE // HOP, count)
        low, high = first * HOP - _WINDOW, last * HOP + _WINDOW
        piece = resampled(recording, low, high)
        mine = slice(max(0, low + _WINDOW), min(total, high - _WINDOW))
        sound[mine] = mix(piece, weights)[_WINDOW : _WINDOW + mine.stop - mine.start]
        energy[first:last] = _band_energy(piece[_WINDOW // 2 :], last - first)
        progress(last / count)
    return Heard(
        sound=sound,
        features=_features(energy),
        level_db=(10 * np.log10(energy.sum(axis=1) + 1e-12)).astype(np.float32),
    )


def limited(sound: FloatArray, times: float = _CLICK) -> FloatArray:
    """Brighten one channel and hold back what sticks out of its surroundings by far."""
    bright = np.diff(sound, prepend=sound[:1])
    # The mean of the root is not carried off by clicks.
    level = uniform_filter1d(np.sqrt(np.abs(bright)), round(0.05 * RATE)) ** 2
    limit = times * level + 1e-9
    held: FloatArray = np.clip(bright, -limit, limit)
    return held


def _filters() -> Float32Array:
    """Return the weights of bands over the bins of a spectrum, a triangle for each band."""
    bins = np.arange(_WINDOW // 2 + 1) * RATE / _WINDOW
    octave = np.log2(np.maximum(bins, 1.0) / _LOWEST_HZ)
    distance = np.abs(octave[:, None] * BANDS_PER_OCTAVE - np.arange(BANDS)[None, :])
    # Narrow bands fall between the bins where these are wide apart.
    width = np.maximum(1.0, BANDS_PER_OCTAVE * RATE / _WINDOW / np.log(2) / np.maximum(bins, 1.0))
    triangles: FloatArray = np.maximum(0.0, 1.0 - distance / width[:, None])
    return triangles.astype(np.float32)


def _band_energy(sound: FloatArray, count: int) -> Float32Array:
    window = np.hanning(_WINDOW).astype(np.float32)
    filters = _filters()
    energy = np.zeros((count, BANDS), dtype=np.float32)
    for channel in sound.T[:2]:
        held = limited(channel).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(held, _WINDOW)[::HOP][:count]
        for first in range(0, count, 256):
            spectrum = np.fft.rfft(frames[first : first + 256] * window, axis=1)
            energy[first : first + 256] += (np.abs(spectrum) ** 2).astype(np.float32) @ filters
    return energy


def _features(energy: Float32Array) -> Float32Array:
    # Silence has no features: what lies 50 dB under the loud parts fades away.
    floor = 1e-5 * np.quantile(energy, 0.9) + 1e-12
    level = 10 * np.log10(energy + floor)
    level -= uniform_filter1d(level, round(_MEAN_S * FEATURE_HZ), axis=0)
    level -= 0.7 * level.mean(axis=1, keepdims=True)
    held: FloatArray = np.clip(level, -12.0, 12.0)
    return held.astype(np.float32)
