"""Which of the instants that tower above the music need no network, and which do all the same.

A click towers, out of nothing and gone at once; so do the prediction errors of whatever is struck
and rings on (castanets, a keyed tone), whose ring is foretold, and of a slow pulse or sawtooth.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.screen import towering_channels
from declick.detect.sight import Float32Array, Sight
from declick.detect.survey import FLOOR, IntArray
from declick.detect.trains import return_alike, return_as_high

# Behind a click goes on what went on before it: from 1 to 5 ms away to either side the level
# differs by less than this many dB. Behind an attack on castanets or a metronome it is 26 to 42.
LEVEL_DB: Final = 20.0
_NEAR_S, _FAR_S = 1e-3, 5e-3


def plain_towers(sight: Sight, frames: IntArray, facts: Float32Array) -> NDArray[np.bool_]:
    """Return in which channels instants are damage, whatever the network says; shape (n, 2).

    Parameters
    ----------
    sight : Sight
    frames : ndarray of int, shape (n,)
        Of the tile, ascending.
    facts : ndarray of float32, shape (n, 2 * features)
        From `declick.detect.sight.describe_instants`.
    """
    towers = towering_channels(facts)
    for channel in range(2):
        which = np.flatnonzero(towers[:, channel])
        if not which.size:
            continue
        spared = is_struck(sight, channel, frames[which])
        spared |= return_as_high(sight, channel, frames[which])
        spared |= return_alike(sight, channel, frames[which])
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
