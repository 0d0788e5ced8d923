"""Stretches of the map to about a sample, each without a cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d

from declick.align.coarse import Match
from declick.align.listen import RATE, Float32Array, Heard, limited
from declick.align.refine import HOP as ANCHOR_HOP
from declick.align.track import HOP, WINDOW, Track, track
from declick.align.walk import Walker
from declick.clicks import FloatArray

# Mean correlation of the waveforms over `_MEAN_S` from which on two recordings go together.
_TOGETHER: Final = 0.09
_MEAN_S: Final = 1.5
# How far the first map may bend, third difference over windows, in samples of the working rate.
_BEND: Final = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """A first map, in samples of the working rate: anchors for `refine`."""

    place_a: FloatArray = field(repr=False)
    place_b: FloatArray = field(repr=False)


def find_paths(a: Heard, b: Heard, match: Match) -> list[Path]:
    """Return the stretches in which A and B go together, ascending in A."""
    walk = Walker(a, b, match.ratio).walk(match)
    places = np.arange(WINDOW // 2, max(WINDOW, len(a.sound)), HOP, dtype=np.float64)
    expected = np.interp(places / RATE, walk.time_a, walk.time_b) * RATE
    reach = round(0.1 * RATE)
    inside = (expected > -reach) & (expected < len(b.sound) + reach)
    if inside.sum() < 8:
        return []
    places, expected = places[inside], expected[inside]
    found = track(_limited(a), _limited(b), places, expected, match.ratio)
    together = uniform_filter1d(found.score, max(1, round(_MEAN_S * RATE / HOP))) > _TOGETHER
    where = np.flatnonzero(together)
    if len(where) < 8:
        return []
    here = slice(int(where[0]), int(where[-1]) + 1)
    return [_path(found, here, a, b, match.ratio)]


def _limited(heard: Heard) -> Float32Array:
    # In pieces with a margin, as wide as the local level looks: half an hour takes little memory.
    piece, margin = 1 << 20, 2048
    held = np.empty_like(heard.sound)
    for start in range(0, len(held), piece):
        low = max(0, start - margin)
        part = limited(heard.sound[low : start + piece + margin].astype(np.float64))
        held[start : start + piece] = part[start - low :][:piece]
    return held


def _path(found: Track, here: slice, a: Heard, b: Heard, ratio: float) -> Path:
    """Smooth a track and lay anchors along it."""
    place, where = found.place_a[here], found.place_b[here]
    line = where[0] + (place - place[0]) * ratio
    smooth = line + smoothed(where - line, np.maximum(found.score[here], 0.0) ** 2)
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
    stencil = np.array([-1.0, 3.0, -3.0, 1.0]) / _BEND
    base = np.zeros((4, len(values)))
    rows = len(values) - 3
    for i in range(4):
        for k in range(i, 4):
            base[3 - (k - i), k : k + rows] += stencil[i] * stencil[k]
    trust = weight / (weight.mean() + 1e-12)
    curve = values
    for scale in (30.0, 10.0, 4.0, 2.0, 2.0):
        robust = trust if curve is values else trust / (1.0 + ((values - curve) / scale) ** 2) ** 2
        bands = base.copy()
        bands[3] += robust + 1e-6
        curve = solveh_banded(bands, (robust + 1e-6) * values)
    return curve
