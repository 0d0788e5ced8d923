"""Where B begins in A, and how much faster one of them was played, to some hundredths of a second.

Levels of bands on a logarithmic frequency scale are compared: another speed moves them along both
axes. Both recordings may begin anywhere, or be a fragment of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from declick.align.listen import (
    BANDS,
    BANDS_PER_OCTAVE,
    FEATURE_HZ,
    Float32Array,
    Heard,
)

# Speeds of discs against each other; each stands for 8 % to either side.
_DISCS: Final = (1.0, 45 / (100 / 3), 78.26 / (100 / 3), 78.26 / 45, 2.0)
_AROUND: Final = 0.085
# The features of a probe still fit where the speed is wrong by half of this.
_STEP: Final = 0.012
_PROBES: Final = 10
_PROBE_S: Final = 8.0
# Peaks that each probe may name.
_PEAKS: Final = 2


@dataclass(frozen=True, kw_only=True, order=True)
class Match:
    """A moment of A that sounds like a moment of B.

    Parameters
    ----------
    score : float
        Correlation of the features, -1..1.
    time_a, time_b : float
        Middle of what was compared, in seconds.
    ratio : float
        Seconds of B for a second of A.
    """

    score: float
    time_a: float
    time_b: float
    ratio: float


def ratios_to_try(any_speed: bool) -> list[list[float]]:
    """Return ratios of speed, the likely ones first, then the mistaken speeds of disc."""
    centres = [[1.0]]
    if any_speed:
        centres.append([c for disc in _DISCS[1:] for c in (disc, 1.0 / disc)])
    steps = round(np.log1p(_AROUND) / _STEP)
    grid = np.exp(_STEP * np.arange(-steps, steps + 1))
    return [[float(c * g) for c in group for g in grid] for group in centres]


def find_matches(a: Heard, b: Heard, ratios: list[float]) -> list[Match]:
    """Look for pieces of the shorter recording anywhere in the longer one.

    Returns
    -------
    list of Match
        The best first.
    """
    if a.duration_s > b.duration_s:
        turned = find_matches(b, a, [1.0 / ratio for ratio in ratios])
        return [
            Match(score=m.score, time_a=m.time_b, time_b=m.time_a, ratio=1.0 / m.ratio)
            for m in turned
        ]
    search = _Search(b.features)
    found = [
        match
        for centre, probe in _probes(a)
        for ratio in ratios
        for match in search.find(probe, centre, ratio)
    ]
    return sorted(found, reverse=True)


def _probes(heard: Heard) -> Iterator[tuple[float, Float32Array]]:
    """Yield pieces of features and the times of their middles, where most is going on."""
    length = min(round(_PROBE_S * FEATURE_HZ), len(heard.features))
    power = np.concatenate(
        [[0.0], np.cumsum((heard.features.astype(np.float64) ** 2).mean(axis=1))]
    )
    busy = power[length:] - power[:-length]
    count = min(_PROBES, max(1, 2 * len(heard.features) // length - 1))
    for part in np.array_split(np.arange(len(busy)), count):
        if not len(part):
            continue
        start = int(part[np.argmax(busy[part])])
        if busy[start] > 0:
            yield (start + 0.5 * (length - 1)) / FEATURE_HZ, heard.features[start : start + length]


def ranked(matches: list[Match]) -> list[Match]:
    """Return one match for each way to lay B over A, the one with most agreeing probes first."""
    ways: list[list[Match]] = []
    for match in matches:
        for way in ways:
            first = way[0]
            apart = match.time_a - first.time_a
            off = match.time_b - first.time_b - apart * first.ratio
            # The ratio of a probe is rough, and turntables drift.
            if abs(off) < 0.15 + 0.012 * abs(apart) * first.ratio:
                way.append(match)
                break
        else:
            ways.append([match])

    def votes(way: list[Match]) -> float:
        best: dict[float, float] = {}
        for match in way:
            best[match.time_a] = max(best.get(match.time_a, 0.0), match.score)
        # Weak correlations are everywhere, and count for little.
        return sum(score**3 for score in best.values())

    return [way[0] for way in sorted(ways, key=votes, reverse=True)]


def find_piece(a: Heard, b: Heard, start_s: float, stop_s: float, ratio: float) -> list[Match]:
    """Look for a piece of A anywhere in B, at about one ratio of speed."""
    features = a.features[round(start_s * FEATURE_HZ) : round(stop_s * FEATURE_HZ)]
    if len(features) < FEATURE_HZ:
        return []
    search = _Search(b.features)
    found = [
        replace(match, time_a=match.time_a + start_s)
        for centre, probe in _probes(replace(a, features=features))
        for match in search.find(probe, centre, ratio)
    ]
    return sorted(found, reverse=True)


class _Search:
    """Correlates probes with all of one recording's features."""

    def __init__(self, features: Float32Array) -> None:
        self.features = features
        power = (features.astype(np.float64) ** 2).sum(axis=1)
        self.power = np.concatenate([[0.0], np.cumsum(power)])
        self.typical = float(power.mean()) + 1e-9
        # Shorter than the longest probe on both sides: a part of it may hang over.
        self.size = next_fast_len(len(features) + round(2.6 * _PROBE_S * FEATURE_HZ) + 1, True)
        self.spectrum = rfft(features, self.size, axis=0).T.copy()

    def find(self, probe: Float32Array, centre_s: float, ratio: float) -> list[Match]:
        """Return the best places of a probe at one ratio."""
        bent = shifted_bands(stretched(probe, ratio), -BANDS_PER_OCTAVE * np.log2(ratio))
        length = len(bent)
        spectrum = rfft(bent, self.size, axis=0).T
        product = np.einsum("kf,kf->f", self.spectrum, spectrum.conj())
        raw = irfft(product, self.size)
        # The probe may begin before the recording: negative starts are at the end.
        start = np.arange(-(length // 2), len(self.features) - length // 2)
        correlation = raw[start]
        low, high = np.maximum(start, 0), np.minimum(start + length, len(self.features))
        power = self.power[high] - self.power[low]
        own = float((bent.astype(np.float64) ** 2).sum())
        score = correlation / np.sqrt(own * np.maximum(power, 0.3 * length * self.typical) + 1e-9)
        matches = []
        for _ in range(_PEAKS):
            peak = int(np.argmax(score))
            if score[peak] <= 0:
                break
            time_b = (start[peak] + 0.5 * (length - 1)) / FEATURE_HZ
            matches.append(
                Match(score=float(score[peak]), time_a=centre_s, time_b=time_b, ratio=ratio)
            )
            score[max(0, peak - 25) : peak + 26] = 0.0
        return matches


def stretched(features: Float32Array, ratio: float) -> Float32Array:
    """Play features in `ratio` times their time."""
    count = max(2, round(len(features) * ratio))
    middle = 0.5 * (len(features) - 1)
    place = np.clip((np.arange(count) - 0.5 * (count - 1)) / ratio + middle, 0, len(features) - 1)
    low = np.minimum(place.astype(np.int64), len(features) - 2)
    weight = (place - low)[:, None].astype(np.float32)
    bent: Float32Array = features[low] * (1 - weight) + features[low + 1] * weight
    return bent


def shifted_bands(features: Float32Array, bands: float) -> Float32Array:
    """Move features up by some bands; what comes from outside is 0."""
    place = np.arange(BANDS) - bands
    low = np.floor(place).astype(np.int64)
    weight = (place - low).astype(np.float32)
    padded = np.pad(features, ((0, 0), (1, 2)))
    left, right = np.clip(low + 1, 0, BANDS + 1), np.clip(low + 2, 0, BANDS + 1)
    moved: Float32Array = padded[:, left] * (1 - weight) + padded[:, right] * weight
    return moved
