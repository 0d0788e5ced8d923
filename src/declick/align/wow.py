"""What two turning discs do to the delay: a swing once per turn, and one of the motor, on a drift.

It is known before the sound is: in a pause the delay swings on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from declick.clicks import FloatArray

# Turns in a second; each stands for some percent to either side. Where one disc leads the other
# far, a swing is no plain sine, and has a harmonic.
TURNS_HZ: Final = (100 / 3 / 60, 0.75, 78.26 / 60)
_BESIDE: Final = np.linspace(-0.1, 0.1, 21)
_WINDOW_S: Final = 12.0
# Windows in which the speed of turning is looked for.
_MOST: Final = 16
# What is known of this share of the anchors is known no better of the rest.
_WELL: Final = 0.9
# A window with less than this share of anchors that say something says nothing.
_LEAST: Final = 0.1
# Share of the delay's bending that a swing must explain.
_PLAIN: Final = 0.5
# A rate is right to this share: a tenth of a radian in the longest swing of a window.
_FINEST: Final = 2e-4
# Flutter of one rate: of a motor, an idler or a belt.
_FLUTTER_HZ: Final = np.arange(3.0, 18.0, 0.02)


def turning(step_s: float, delay: FloatArray, weight: FloatArray) -> FloatArray:
    """Return drift and swing of a delay.

    Parameters
    ----------
    step_s : float
        Seconds between anchors.
    delay : ndarray, shape (n,)
        At each anchor, in samples.
    weight : ndarray, shape (n,)
        How much is known of it there, in any unit; 0: nothing.

    Returns
    -------
    ndarray, shape (n,)
        Zeros where no swing is plain.
    """
    size = round(_WINDOW_S / step_s)
    count = len(delay)
    if count < size // 2:
        return np.zeros(count)
    size = min(size, count)
    starts = np.unique(np.append(np.arange(0, count - size + 1, max(1, size // 4)), count - size))
    # In pauses noise pretends to know a little: it must not outvote what does.
    trust = np.minimum(weight / max(float(np.quantile(weight, _WELL)), 1e-30), 1.0)
    known = [int(s) for s in starts if (trust[s : s + size] > 0.2).mean() > _LEAST]
    if not known:
        return np.zeros(count)
    chosen = known[:: -(-len(known) // _MOST)]
    windows = _Windows(step_s, delay, trust, chosen, size)
    rates: tuple[float, ...] = ()
    for candidates, harmonics in ((_turns, 2), (_flutter, 1)):
        more = windows.finest(rates, candidates(windows, rates), harmonics)
        if windows.left(more) < (1 - _PLAIN) * windows.left(rates):
            rates = more
    if not rates:
        return np.zeros(count)
    total, share = np.zeros(count), np.full(count, 1e-6)
    bell = np.hanning(size + 2)[1:-1]
    for start in known:
        here = slice(start, start + size)
        total[here] += bell * _fit(step_s, delay[here], trust[here], rates)
        share[here] += bell
    swing: FloatArray = total / share
    return swing


@dataclass(frozen=True, eq=False)
class _Windows:
    """The windows of a delay in which rates are looked for."""

    step_s: float
    delay: FloatArray
    trust: FloatArray
    starts: list[int]
    size: int

    def finest(
        self, known_hz: tuple[float, ...], candidates_hz: FloatArray, harmonics: int
    ) -> tuple[float, ...]:
        """Return rates and the one beside them, with harmonics, that leaves the least."""
        step = 0.01

        def with_rate(rate_hz: float) -> tuple[float, ...]:
            return *known_hz, *(rate_hz * (1 + k) for k in range(harmonics))

        def best(rates_hz: Iterable[float]) -> float:
            return float(min(rates_hz, key=lambda rate_hz: self.left(with_rate(rate_hz))))

        rate_hz = best(candidates_hz)
        while step > _FINEST:
            step /= 3.0
            rate_hz = best(rate_hz * (1.0 + step * np.arange(-2, 3)))
        return with_rate(rate_hz)

    def left(self, rates_hz: tuple[float, ...]) -> float:
        """Return the squares that fits of swings at some rates leave."""
        return sum(float((rest**2).sum()) for rest in self.rests(rates_hz))

    def rests(self, rates_hz: tuple[float, ...]) -> Iterator[FloatArray]:
        """Yield what such a fit leaves of each window, by how much is known of it."""
        for start in self.starts:
            here = slice(start, start + self.size)
            fitted = _fit(self.step_s, self.delay[here], self.trust[here], rates_hz)
            yield np.sqrt(self.trust[here]) * (self.delay[here] - fitted)


def _turns(*_: object) -> FloatArray:
    """Return rates of turning."""
    return np.concatenate([turn * (1.0 + _BESIDE) for turn in TURNS_HZ])


def _flutter(windows: _Windows, rates_hz: tuple[float, ...]) -> FloatArray:
    """Return the rate of the strongest swing beside others."""
    place_s = windows.step_s * np.arange(windows.size)
    wave = np.exp(-2j * np.pi * np.outer(_FLUTTER_HZ, place_s))
    power = np.zeros(len(_FLUTTER_HZ))
    for start, rest in zip(windows.starts, windows.rests(rates_hz), strict=True):
        trust = windows.trust[start : start + windows.size]
        power += np.abs(wave @ (np.sqrt(trust) * rest)) ** 2 / trust.sum()
    return _FLUTTER_HZ[[int(np.argmax(power))]]


def _fit(
    step_s: float, delay: FloatArray, trust: FloatArray, rates_hz: tuple[float, ...]
) -> FloatArray:
    basis = _shapes(step_s, len(delay), rates_hz)
    # A little ridge: a window may say nothing of one half of a turn.
    normal = (basis * trust[:, None]).T @ basis
    normal[np.diag_indices(len(normal))] += 1e-6 * len(delay)
    fitted: FloatArray = basis @ np.linalg.solve(normal, basis.T @ (trust * delay))
    return fitted


@lru_cache(maxsize=2)
def _shapes(step_s: float, count: int, rates_hz: tuple[float, ...]) -> FloatArray:
    """Return what a window is fitted by, shape (count, shapes); all windows by the same."""
    x = np.linspace(-1.0, 1.0, count)
    columns = [np.ones_like(x), x, x**2, x**3]
    for rate_hz in rates_hz:
        angle = 2 * np.pi * rate_hz * step_s * np.arange(count)
        columns += [np.cos(angle), np.sin(angle)]
    shapes: FloatArray = np.stack(columns, axis=1)
    shapes.flags.writeable = False
    return shapes
