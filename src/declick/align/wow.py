"""What two turning discs do to the delay: a swing once per turn, on a slow drift.

It is known before the sound is: in a pause the delay swings on.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from declick.clicks import FloatArray

# Turns in a second; each stands for some percent to either side.
TURNS_HZ: Final = (100 / 3 / 60, 0.75, 78.26 / 60)
_BESIDE: Final = np.linspace(-0.1, 0.1, 21)
_WINDOW_S: Final = 12.0
# Windows in which the speed of turning is looked for.
_MOST: Final = 16
# A window with less than this share of anchors that say something says nothing.
_LEAST: Final = 0.25
# Share of the delay's bending that a swing must explain.
_PLAIN: Final = 0.5


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
    cap = np.median(weight[weight > 0]) if (weight > 0).any() else 1.0
    trust = np.minimum(weight / cap, 1.0)
    known = [int(s) for s in starts if (trust[s : s + size] > 0.2).mean() > _LEAST]
    if not known:
        return np.zeros(count)
    chosen = known[:: -(-len(known) // _MOST)]
    plain = [_left(step_s, delay, trust, chosen, size, None)]
    rates = [turn * (1 + off) for turn in TURNS_HZ for off in _BESIDE]
    left = [_left(step_s, delay, trust, chosen, size, rate) for rate in rates]
    best = int(np.argmin(left))
    if left[best] > (1 - _PLAIN) * plain[0]:
        return np.zeros(count)
    total, share = np.zeros(count), np.full(count, 1e-6)
    bell = np.hanning(size + 2)[1:-1]
    for start in known:
        here = slice(start, start + size)
        fitted, _ = _fit(step_s, delay[here], trust[here], rates[best])
        total[here] += bell * fitted
        share[here] += bell
    swing: FloatArray = total / share
    return swing


def _left(
    step_s: float,
    delay: FloatArray,
    trust: FloatArray,
    starts: list[int],
    size: int,
    rate_hz: float | None,
) -> float:
    """Return the squares that fits at one speed of turning leave."""
    left = 0.0
    for start in starts:
        here = slice(start, start + size)
        left += _fit(step_s, delay[here], trust[here], rate_hz)[1]
    return left


def _fit(
    step_s: float, delay: FloatArray, trust: FloatArray, rate_hz: float | None
) -> tuple[FloatArray, float]:
    x = np.linspace(-1.0, 1.0, len(delay))
    columns = [np.ones_like(x), x, x**2, x**3]
    if rate_hz is not None:
        angle = 2 * np.pi * rate_hz * step_s * np.arange(len(delay))
        columns += [np.cos(angle), np.sin(angle)]
    basis = np.stack(columns, axis=1)
    root = np.sqrt(trust)
    # A little ridge: a window may say nothing of one half of a turn.
    normal = (basis * trust[:, None]).T @ basis
    normal[np.diag_indices(len(normal))] += 1e-6 * len(delay)
    fitted: FloatArray = basis @ np.linalg.solve(normal, basis.T @ (trust * delay))
    return fitted, float(np.sum((root * (delay - fitted)) ** 2))
