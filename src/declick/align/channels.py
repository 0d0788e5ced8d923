"""Which channel of B is which of A, how loud, and of what polarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d
from scipy.signal import medfilt

from declick.align.coarse import Match
from declick.align.listen import DIFFERENCE, RATE, SUM, limited, mix, resampled
from declick.align.model import HOLDS
from declick.align.refine import read_at
from declick.align.track import HOP, WINDOW, along, correlations
from declick.clicks import FloatArray
from declick.read import Recording

# What is listened to around a match.
_AROUND_S: Final = 3.0
# A gain is measured on so much sound, about so often, at most at so many places.
_WINDOW_S: Final = 1.0
_EVERY_S: Final = 5.0
_MOST: Final = 240


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """Which sums of channels agree best.

    Parameters
    ----------
    score : float
        Mean correlation of the waveforms.
    mix_a, mix_b : tuple of float
        Weights of the channels of A and of B.
    sign : float
        -1 where the polarity is opposite.
    """

    score: float
    mix_a: tuple[float, float] = SUM
    mix_b: tuple[float, float] = SUM
    sign: float = 1.0


def find_wiring(a: Recording, b: Recording, match: Match) -> Wiring:
    """Try sums and differences of the channels around a match."""
    reach = round(_AROUND_S * RATE)
    middle_a, middle_b = round(match.time_a * RATE), round(match.time_b * RATE)
    wide = round((reach + 4 * WINDOW) * match.ratio)
    sound_a = resampled(a, middle_a - reach - WINDOW, middle_a + reach + WINDOW)
    sound_b = resampled(b, middle_b - wide, middle_b + wide)
    places = np.arange(WINDOW, 2 * reach + WINDOW, HOP, dtype=np.float64)
    expected = wide + (places - reach - WINDOW) * match.ratio
    expected += match.time_b * RATE - middle_b - (match.time_a * RATE - middle_a) * match.ratio
    best = Wiring(score=-1.0)
    for mix_a in (SUM, DIFFERENCE) if sound_a.shape[1] > 1 else (SUM,):
        mine = mix(sound_a, mix_a).astype(np.float32)
        # A difference of equal channels is nothing but noise.
        share_a = _share(sound_a, mix_a)
        for mix_b in (SUM, DIFFERENCE) if sound_b.shape[1] > 1 else (SUM,):
            theirs = mix(sound_b, mix_b).astype(np.float32)
            weight = min(1.0, 4 * share_a, 4 * _share(sound_b, mix_b)) ** 0.5
            scores = correlations(mine, theirs, places, expected, match.ratio)
            for sign in (1.0, -1.0):
                found = along(np.float32(sign) * scores, places, expected, match.ratio)
                score = weight * float(found.score.mean())
                # The sums, unless another pair is clearly better.
                bonus = 0.02 if (mix_a, mix_b) == (SUM, SUM) else 0.0
                if score + bonus > best.score:
                    best = Wiring(score=score + bonus, mix_a=mix_a, mix_b=mix_b, sign=sign)
    return best


def _share(sound: FloatArray, weights: tuple[float, float]) -> float:
    """Return how much of the energy a mix has, 0..1."""
    total = float((sound[:, :2] ** 2).mean())
    return float((mix(sound, weights) ** 2).mean()) / (total + 1e-20)


def find_gains(
    a: Recording, b: Recording, place_a: FloatArray, place_b: FloatArray, confidence: FloatArray
) -> tuple[FloatArray, bool]:
    """Measure the gain of each channel along the map.

    Parameters
    ----------
    a, b : Recording
    place_a, place_b, confidence : ndarray, shape (n,)
        The map, in samples of the working rate.

    Returns
    -------
    gain : ndarray, shape (n, channels of A)
    swapped : bool
    """
    sure = np.flatnonzero(confidence >= HOLDS)
    if not len(sure):
        return np.ones((len(place_a), a.channels)), False
    step = max(1, len(sure) // max(1, min(_MOST, round(len(sure) * 0.02 / _EVERY_S))))
    places, direct, crossed = [], [], []
    agreement = np.zeros(2)
    half = round(0.5 * _WINDOW_S * RATE)
    for anchor in sure[step // 2 :: step]:
        middle = round(place_a[anchor])
        near = slice(max(0, anchor - 80), anchor + 80)
        # Anchors beyond a cut would bend the spline.
        steady = np.abs(place_a[near] - middle) < 2 * half
        if steady.sum() < 4:
            continue
        spline = CubicSpline(place_a[near][steady], place_b[near][steady])
        mine = resampled(a, middle - half, middle + half)
        where = spline(np.arange(middle - half, middle + half, dtype=np.float64))
        low = int(where.min()) - 32
        theirs = resampled(b, low, int(where.max()) + 32)
        on_a = np.stack([read_at(c.astype(np.float32), where - low) for c in theirs.T], axis=1)
        places.append(float(middle))
        own = np.arange(mine.shape[1])
        straight = np.minimum(own, on_a.shape[1] - 1)
        other = np.minimum(own ^ 1, on_a.shape[1] - 1) if mine.shape[1] == 2 else straight
        direct.append([_gain(mine[:, k], on_a[:, straight[k]]) for k in own])
        crossed.append([_gain(mine[:, k], on_a[:, other[k]]) for k in own])
        agreement += [
            sum(abs(c) * (mine[:, k] ** 2).mean() for k, (_, c) in enumerate(pairs))
            for pairs in (direct[-1], crossed[-1])
        ]
    if not places:
        return np.ones((len(place_a), a.channels)), False
    # Channels that are alike belong to their own sides.
    swapped = a.channels == 2 and b.channels == 2 and agreement[1] > 1.02 * agreement[0]
    measured = np.array([[gain for gain, _ in pairs] for pairs in (crossed if swapped else direct)])
    gains = np.empty((len(place_a), a.channels))
    for channel in range(a.channels):
        column = measured[:, channel]
        good = np.isfinite(column) & (column != 0)
        if not good.any():
            gains[:, channel] = 1.0
            continue
        held = column[good]
        if len(held) >= 5:
            padded = np.pad(held, 2, mode="edge")
            held = medfilt(padded, 5)[2:-2]
        gains[:, channel] = np.interp(place_a, np.array(places)[good], held)
    return gains, bool(swapped)


def _gain(mine: FloatArray, theirs: FloatArray) -> tuple[float, float]:
    """Return the gain of one over the other and their correlation, clicks held back."""
    # Treble that one of them has lost is the filter's business.
    x, y = (uniform_filter1d(limited(sound, 3.0), 8)[8:-8] for sound in (mine, theirs))
    power, other, product = float(x @ x), float(y @ y), float(x @ y)
    if power <= 1e-14 * len(x) or other <= 1e-14 * len(y):
        return np.nan, 0.0
    correlation = product / np.sqrt(power * other)
    # Noise is in both: the ratio of their levels, with the sign of what they share.
    return float(np.sign(product) * np.sqrt(other / power)), float(correlation)
