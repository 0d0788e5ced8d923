"""From one match, a walk through both recordings: where each second of A is in B."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from declick.align.coarse import Match, shifted_bands
from declick.align.listen import BANDS_PER_OCTAVE, FEATURE_HZ, Heard
from declick.clicks import FloatArray

STEP_S: Final = 1.0
# What is compared at each step, and how far beside the expected place.
_WINDOW_S: Final = 4.0
_REACH_S: Final = 0.24
# Below this correlation of the features, the walk goes straight on.
_SURE: Final = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """Steps of a walk.

    Parameters
    ----------
    ratio : float
        Seconds of B for a second of A.
    time_a, time_b : ndarray, shape (n,)
        In seconds.
    score : ndarray, shape (n,)
        Correlation of the features around each step.
    """

    ratio: float
    time_a: FloatArray = field(repr=False)
    time_b: FloatArray = field(repr=False)
    score: FloatArray = field(repr=False)


class Walker:
    """Walks through two recordings at one ratio of speed."""

    def __init__(self, a: Heard, b: Heard, ratio: float) -> None:
        self.a, self.b, self.ratio = a, b, ratio
        self._bands = shifted_bands(b.features, BANDS_PER_OCTAVE * float(np.log2(ratio)))

    def compare(self, time_a: float, time_b: float, ratio: float) -> tuple[float, float]:
        """Return how much later in B the match is best, in seconds of B, and its score."""
        half = round(0.5 * _WINDOW_S * FEATURE_HZ)
        reach = round(_REACH_S * FEATURE_HZ)
        middle = round(time_a * FEATURE_HZ)
        rows = np.arange(max(0, middle - half), min(len(self.a.features), middle + half + 1))
        if len(rows) < half // 2:
            return 0.0, 0.0
        mine = self.a.features[rows].astype(np.float64)
        wide = np.arange(rows[0] - reach, rows[-1] + reach + 1)
        place = (time_b + (wide / FEATURE_HZ - time_a) * ratio) * FEATURE_HZ
        low = np.floor(place).astype(np.int64)
        inside = (low >= 0) & (low < len(self._bands) - 1)
        low = np.clip(low, 0, len(self._bands) - 2)
        weight = (place - np.floor(place))[:, None]
        theirs = (self._bands[low] * (1 - weight) + self._bands[low + 1] * weight) * inside[:, None]
        views = np.lib.stride_tricks.sliding_window_view(theirs, len(rows), axis=0)
        raw = np.einsum("lkw,wk->l", views, mine)
        power = np.convolve((theirs**2).sum(axis=1), np.ones(len(rows)), "valid")
        own = float((mine**2).sum())
        score = raw / np.sqrt(own * np.maximum(power, 0.2 * own) + 1e-9)
        peak = int(np.argmax(score))
        shift = peak - reach + vertex(score, peak)
        return shift / FEATURE_HZ * ratio, float(score[peak])

    def sharpened(self, match: Match) -> Match:
        """Find the ratio around a match more exactly."""
        best = match
        for step in (0.006, 0.003, 0.0015, 0.0008):
            for factor in (1 - step, 1 + step):
                ratio = best.ratio * factor
                shift, score = self.compare(match.time_a, best.time_b, ratio)
                if score > best.score or best is match:
                    best = Match(
                        score=score,
                        time_a=match.time_a,
                        time_b=best.time_b + shift,
                        ratio=ratio,
                    )
        return best

    def walk(self, match: Match) -> Walk:
        """Walk from a match to both ends of A."""
        steps = [(match.time_a, match.time_b, match.score)]
        for direction in (-1.0, 1.0):
            time_a, time_b, slope = match.time_a, match.time_b, self.ratio
            done = []
            end = 0.0 if direction < 0 else self.a.duration_s
            # The last step is a shorter one: beyond it nothing is known of where B is.
            while (step := min(STEP_S, direction * (end - time_a))) > 0.0:
                time_a = end if step < STEP_S else time_a + direction * step
                time_b += direction * step * slope
                shift, score = self.compare(time_a, time_b, self.ratio)
                if score > _SURE:
                    time_b += 0.6 * shift
                    # The speed drifts slowly; a disc's wow is left to what comes after.
                    slope += 0.05 * direction * shift / STEP_S
                    slope = float(np.clip(slope, 0.985 * self.ratio, 1.015 * self.ratio))
                done.append((time_a, time_b, score))
            steps = done[::-1] + steps if direction < 0 else steps + done
        columns = np.array(steps).T
        return Walk(ratio=self.ratio, time_a=columns[0], time_b=columns[1], score=columns[2])


def vertex(values: FloatArray, peak: int) -> float:
    """Return where a parabola through a peak has its vertex, -0.5..0.5 beside it."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    left, middle, right = values[peak - 1 : peak + 2]
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
