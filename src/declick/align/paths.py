"""Stretches of the map to about a sample, each without a cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d

from declick.align.bending import add_bending
from declick.align.coarse import Match, find_piece
from declick.align.listen import RATE, Heard
from declick.align.refine import HOP as ANCHOR_HOP
from declick.align.track import HOP, WINDOW, Track, track
from declick.align.walk import Walker
from declick.align.wow import turning
from declick.clicks import FloatArray

# Mean correlation of the waveforms over `_MEAN_S` from which on two recordings go together.
_TOGETHER: Final = 0.09
_MEAN_S: Final = 1.5
# Windows of the shortest stretch, and the seconds of a gap that are worth a search.
_FEWEST: Final = 24
_LEAST_S: Final = 4.0
_MOST_WALKS: Final = 24
# Two walks are the same where they are so close, in samples of the working rate.
_SAME: Final = 400.0
# Pull to the swing of the disc, against that of a window of mean weight.
_NEAR: Final = 1e-2
# Correlation that is found between any two sounds.
_NOISE: Final = 0.06
# How far the first map may bend, third difference over windows, in samples of the working rate.
_BEND: Final = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """A first map, in samples of the working rate: anchors for `refine`."""

    place_a: FloatArray = field(repr=False)
    place_b: FloatArray = field(repr=False)


def find_paths(a: Heard, b: Heard, match: Match) -> list[Path]:
    """Return the stretches in which A and B go together, ascending in A.

    Each walk goes through all of A. Where it does not hold, A is looked up anywhere in B: sound may
    have been cut out of one of them, or be there twice.
    """
    finder = _Finder(a, b, match.ratio)
    finder.follow(match)
    for _ in range(_MOST_WALKS):
        gap = finder.next_gap()
        if gap is None:
            break
        for other in find_piece(a, b, *gap, match.ratio)[:1]:
            finder.follow(other)
    return finder.paths()


class _Finder:
    """Lays walks over each other; each window of A belongs to the one that fits best."""

    def __init__(self, a: Heard, b: Heard, ratio: float) -> None:
        self.a, self.b, self.ratio = a, b, ratio
        self.walker = Walker(a, b, ratio)
        self.places = np.arange(WINDOW // 2, max(WINDOW, len(a.sound)), HOP, dtype=np.float64)
        self.owner = np.full(len(self.places), -1)
        self.best = np.full(len(self.places), _TOGETHER)
        self.tracks: list[Track] = []
        self._tried: list[float] = []

    def follow(self, match: Match) -> None:
        """Walk from a match, and take over where this fits better than what was there."""
        walk = self.walker.walk(match)
        expected = np.interp(self.places / RATE, walk.time_a, walk.time_b) * RATE
        reach = round(0.1 * RATE)
        inside = np.flatnonzero((expected > -reach) & (expected < len(self.b.sound) + reach))
        if len(inside) < _FEWEST:
            return
        part = slice(int(inside[0]), int(inside[-1]) + 1)
        found = track(self.a.sound, self.b.sound, self.places[part], expected[part], self.ratio)
        score, place_b = np.zeros(len(self.places)), expected
        score[part], place_b[part] = found.score, found.place_b
        mean = uniform_filter1d(score, max(1, round(_MEAN_S * RATE / HOP)))
        mine = mean > self.best
        # What is only found on the way of an earlier walk belongs to that one.
        for number, earlier in enumerate(self.tracks):
            same = (self.owner == number) & (np.abs(earlier.place_b - place_b) < _SAME)
            mine &= ~same
        self.owner[mine] = len(self.tracks)
        self.best[mine] = mean[mine]
        self.tracks.append(Track(place_a=self.places, place_b=place_b, score=score))

    def next_gap(self) -> tuple[float, float] | None:
        """Return a stretch of A, in seconds, that is nowhere yet and was not looked up."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.owner < 0, [False]])))
        gaps = [
            (float(self.places[first]) / RATE, float(self.places[last - 1]) / RATE)
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ]
        for start_s, stop_s in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
            if stop_s - start_s < _LEAST_S:
                break
            middle = 0.5 * (start_s + stop_s)
            if all(abs(middle - done) > 1.0 for done in self._tried):
                self._tried.append(middle)
                return start_s, stop_s
        return None

    def paths(self) -> list[Path]:
        """Return the stretches, each of one walk."""
        known = np.flatnonzero(self.owner >= 0)
        if not len(known):
            return []
        # A gap within one walk stays in it: it is bridged, or found not to hold, later.
        ends = np.flatnonzero(np.diff(self.owner[known])) + 1
        runs = [part for part in np.split(known, ends) if len(part) >= _FEWEST]
        return [
            _path(
                self.tracks[int(self.owner[run[0]])],
                slice(int(run[0]), int(run[-1]) + 1),
                self.a,
                self.b,
                self.ratio,
            )
            for run in runs
        ]


def _path(found: Track, here: slice, a: Heard, b: Heard, ratio: float) -> Path:
    """Smooth a track and lay anchors along it."""
    place, where = found.place_a[here], found.place_b[here]
    line = where[0] + (place - place[0]) * ratio
    weight = np.maximum(found.score[here] - _NOISE, 0.0) ** 2
    smooth = line + smoothed(where - line, weight)
    first = max(0.0, place[0] - HOP)
    last = min(float(len(a.sound) - 1), place[-1] + HOP)
    anchors = np.arange(np.ceil(first), last + 1, ANCHOR_HOP)
    on_line = where[0] + (anchors - place[0]) * ratio
    target = on_line + np.interp(anchors, place, smooth - line)
    inside = (target >= 0) & (target <= len(b.sound) - 1)
    return Path(place_a=anchors[inside], place_b=target[inside])


def smoothed(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Return a smooth curve through values of which some are far off."""
    if len(values) < 5:
        return values
    base = np.zeros((4, len(values)))
    add_bending(base, _BEND)
    trust = weight / (weight.mean() + 1e-12)
    steady, curve = np.zeros(len(values)), values
    for scale in (30.0, 10.0, 4.0, 2.0, 2.0):
        robust = trust if curve is values else trust / (1.0 + ((values - curve) / scale) ** 2) ** 2
        bands = base.copy()
        bands[3] += robust
        near = _NEAR if steady.any() else 1e-7
        bands[3] += near
        curve = steady + solveh_banded(bands, robust * (values - steady))
        steady = turning(HOP / RATE, values, robust)
    return curve
