"""Which of the instants that tower above the music need no network, and which do all the same.

A click towers, out of nothing and gone at once; so do the prediction errors of whatever is struck
and rings on (castanets, a keyed tone), whose ring is foretold, and of a slow pulse or sawtooth.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from declick.clicks import FloatArray
from declick.detect.screen import towering_channels
from declick.detect.survey import FLOOR, IntArray
from declick.detect.trains import is_in_train
from declick.detect.views import Float32Array, Sight

# Behind a click goes on what went on before it: from 1 to 5 ms away to either side the level
# differs by less than this many dB. Behind an attack on castanets or a metronome it is 26 to 42.
LEVEL_DB: Final = 20.0
_NEAR_S, _FAR_S = 1e-3, 5e-3
# A train of pulses: others before and behind, once and twice as far, give or take so many cells, as
# high but for this ratio, no further apart than this: no scratch returns so soon.
_AS_HIGH, _EITHER, _PERIOD_S = 1.6, 1, 0.05
_SHORTEST_CELLS = 6


def plain_towers(sight: Sight, frames: IntArray, facts: Float32Array) -> NDArray[np.bool_]:
    """Return in which channels instants are damage, whatever the network says; shape (n, 2).

    Parameters
    ----------
    sight : Sight
    frames : ndarray of int, shape (n,)
        Of the tile, ascending.
    facts : ndarray of float32, shape (n, 2 * features)
        From `declick.detect.views.describe_instants`.
    """
    towers = towering_channels(facts)
    for channel in range(2):
        which = np.flatnonzero(towers[:, channel])
        if not which.size:
            continue
        spared = is_struck(sight, channel, frames[which])
        spared |= is_train(sight, channel, frames[which])
        spared |= is_in_train(sight, channel, frames[which])
        towers[which[spared], channel] = False
    return towers


def is_struck(sight: Sight, channel: int, frames: IntArray) -> NDArray[np.bool_]:
    """Return behind which frames it is much louder, or softer, than before them."""
    near, far = (round(seconds * sight.geometry.sample_rate) for seconds in (_NEAR_S, _FAR_S))
    energy = np.concatenate(([0.0], np.cumsum(np.square(sight.samples[:, channel]))))

    def level(first: IntArray, last: IntArray) -> FloatArray:
        low, high = (np.clip(edge, 0, energy.size - 1) for edge in (first, last))
        power = (energy[high] - energy[low]) / np.maximum(high - low, 1)
        return np.asarray(power + FLOOR**2)

    before, behind = level(frames - far, frames - near), level(frames + near, frames + far)
    return np.asarray(np.abs(10.0 * np.log10(behind / before)) > LEVEL_DB)


def is_train(sight: Sight, channel: int, frames: IntArray) -> NDArray[np.bool_]:
    """Return which frames have others as high at even distances, two before and two behind."""
    cell = sight.geometry.cell
    peak = sight.around.peak[channel]
    longest = round(_PERIOD_S * sight.geometry.sample_rate / cell)
    pad = 2 * longest + _EITHER
    near = maximum_filter1d(np.pad(peak, pad), 2 * _EITHER + 1)
    at = np.clip(frames // cell, 0, peak.size - 1) + pad
    lags = np.arange(_SHORTEST_CELLS, longest + 1)
    others = near[at[:, None, None] + lags[:, None] * np.array([-2, -1, 1, 2])].min(axis=2)
    return np.asarray(others.max(axis=1) * _AS_HIGH > peak[at - pad])
