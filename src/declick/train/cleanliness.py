"""How clean a sound is: clipping, isolated peaks of the prediction error, silence, bandwidth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.whitening import whiten
from declick.train.manifest import Excluded

_ORDER = 32
_HOP = 1024
_FLOOR = 1e-5  # -100 dB
_TILE_S = 30.0
_SIDE_S = 0.006
_GUARD_S = 0.001  # the prediction error of one click lasts as long as the filter
_APART_S = 0.01
_BAND_DB = 90.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is left out of sound whose cleanliness is not known.

    Parameters
    ----------
    window_s : float
        Length of the pieces that are judged, and left out, one by one.
    isolated_per_minute : float
        Isolated peaks of the prediction error that a window may have, in the most any channel has.
    isolated_sigmas : float
        How far a peak stands above the effective value of 6 ms on either side.
    clipped_runs : int
        Clipped runs that a window may have.
    clip_samples : int
        Samples in a row at full scale that make a clipped run.
    silence_s : float
        Longest digital silence.
    most_excluded : float
        Share of a file that may be left out before the whole file is, 0..1.
    dull_hz : float
        Bandwidth below which a file is flagged.
    """

    window_s: float = 5.0
    isolated_per_minute: float = 4.0
    isolated_sigmas: float = 15.0
    clipped_runs: int = 2
    clip_samples: int = 3
    silence_s: float = 1.0
    most_excluded: float = 0.6
    dull_hz: float = 12000.0


def clipped_runs(samples: FloatArray, length: int) -> NDArray[np.intp]:
    """Return the first frames of runs at full scale, in any channel, ascending.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
        Full scale is 1.
    length : int
        Samples of the same sign in a row that make a run.
    """
    starts = []
    for column in samples.T:
        for full in (column >= 0.9999, column <= -0.9999):
            edges = np.flatnonzero(np.diff(np.concatenate(([0], full.view(np.int8), [0]))))
            first, last = edges[::2], edges[1::2]
            starts.append(first[last - first >= length])
    return np.unique(np.concatenate(starts))


def isolated_peaks(samples: FloatArray, sample_rate: int, sigmas: float) -> list[NDArray[np.intp]]:
    """Return where the prediction error stands alone, per channel.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
    sample_rate : int
    sigmas : float
        Least height in units of the effective values of the 6 ms before and after.
    """
    tile = round(_TILE_S * sample_rate) // _HOP * _HOP
    found: list[list[NDArray[np.intp]]] = [[] for _ in range(samples.shape[1])]
    for start in range(0, samples.shape[0], tile):
        # Tiles overlap by two hops, so that no peak lies at an edge of its tile.
        lead = min(start, 2 * _HOP)
        part = samples[start - lead : start + tile + 2 * _HOP].T
        short = -part.shape[1] % _HOP
        error = whiten(np.pad(part, ((0, 0), (0, short))), order=_ORDER, hop=_HOP, floor=_FLOOR)[0]
        for channel, row in enumerate(error):
            places = _stands_alone(row[: part.shape[1]].astype(np.float64), sample_rate, sigmas)
            places = places[(places >= lead) & (places < lead + tile)] + start - lead
            found[channel].append(places)
    return [np.concatenate(places) for places in found]


def _stands_alone(error: FloatArray, sample_rate: int, sigmas: float) -> NDArray[np.intp]:
    side, guard = round(_SIDE_S * sample_rate), round(_GUARD_S * sample_rate)
    sums = np.concatenate(([0.0], np.cumsum(np.square(error))))
    places = np.flatnonzero(np.abs(error) > sigmas * _FLOOR * 3)
    before, after = np.maximum(places - guard, 0), np.minimum(places + guard, error.size)
    first, last = np.maximum(before - side, 0), np.minimum(after + side, error.size)
    power = np.maximum(sums[before] - sums[first], sums[last] - sums[after]) / side
    # Rounding of the running sum can leave less than nothing.
    level = np.sqrt(np.maximum(power, (3 * _FLOOR) ** 2))
    alone: NDArray[np.intp] = places[np.abs(error[places]) > sigmas * level]
    apart = round(_APART_S * sample_rate)
    return alone[np.diff(alone, prepend=-apart) >= apart]


def silences(samples: FloatArray, length: int) -> list[tuple[int, int]]:
    """Return stretches of at least `length` frames that are 0 in all channels."""
    silent = ~samples.any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.view(np.int8), [0]))))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(start, stop) for start, stop in pairs if stop - start >= length]


def bandwidth(samples: FloatArray, sample_rate: int) -> float:
    """Return the highest frequency within 90 dB of the peak of the mean spectrum, in Hz."""
    mono = samples.mean(axis=1)
    if mono.size < 4096:
        mono = np.pad(mono, (0, 4096 - mono.size))
    frequencies, power = scipy.signal.welch(mono, sample_rate, "blackmanharris", 4096)
    loud = np.flatnonzero(power > power.max() * 10 ** (-_BAND_DB / 10))
    return float(frequencies[loud[-1]]) if loud.size else 0.0


def judge(
    samples: FloatArray, sample_rate: int, limits: Limits, *, known_clean: bool
) -> tuple[Excluded, ...]:
    """Return the stretches of a sound that are not to be drawn.

    Parameters
    ----------
    samples : ndarray, shape (frames, channels)
    sample_rate : int
    limits : Limits
    known_clean : bool
        The sound was made here from clean parts, or its peaks are natural (drums, speech): only
        digital silence is left out.
    """
    frames = samples.shape[0]
    excluded = [
        Excluded(start=start, stop=stop, reason="digital silence")
        for start, stop in silences(samples, round(limits.silence_s * sample_rate))
    ]
    if known_clean:
        return tuple(excluded)
    clips = clipped_runs(samples, limits.clip_samples)
    peaks = isolated_peaks(samples, sample_rate, limits.isolated_sigmas)
    window = round(limits.window_s * sample_rate)
    most = limits.isolated_per_minute * limits.window_s / 60.0
    for start in range(0, frames, window):
        stop = min(start + window, frames)
        counts = [int(np.count_nonzero((p >= start) & (p < stop))) for p in peaks]
        clipped = int(np.count_nonzero((clips >= start) & (clips < stop)))
        if clipped > limits.clipped_runs:
            excluded.append(Excluded(start=start, stop=stop, reason=f"{clipped} clipped runs"))
        elif max(counts) > most:
            reason = f"{max(counts)} isolated peaks"
            excluded.append(Excluded(start=start, stop=stop, reason=reason))
    return tuple(sorted(excluded, key=lambda item: item.start))
