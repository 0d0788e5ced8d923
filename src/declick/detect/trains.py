"""Which instants are pulses of a train: of a note so low that the network takes each for a click.

A pulse of a bass or of a voice comes again a period later, and again; a click does not, and a
scratch only after a whole turn of the disc.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from declick.detect.sight import Sight
from declick.detect.survey import IntArray

# Periods, in s: no scratch returns so soon, and what returns sooner is a higher note, whose pulses
# the network knows, and among which a click may lie.
SHORTEST_S: Final = 0.014
LONGEST_S: Final = 0.05
# From here on something returns; before, it is still the same pulse.
_SOONEST_S: Final = 2e-3
# So much around an instant, in s, is looked for again in the prediction errors before and behind.
_REACH_S: Final = 0.75e-3
# It is there again where the two are as alike (cosine), and as high but for this ratio.
ALIKE: Final = 0.8
AS_HIGH: Final = 1.6
# By how much less likely, in log odds, a pulse of a train is damage.
TRAIN_DOUBT: Final = 8.0
# Every second sample of the prediction errors is enough behind such a low pass; a period need not
# be a whole number of samples, or the same each time.
_STEP: Final = 2
_LOW_PASS: Final = np.array([1.0, 3.0, 3.0, 1.0], dtype=np.float32) / 8.0
# Give or take so many samples of these, or cells.
_EITHER: Final = 1
_SHORTEST_CELLS: Final = 6


def return_as_high(sight: Sight, channel: int, frames: IntArray) -> NDArray[np.bool_]:
    """Return which frames have others as high at even distances, two before and two behind.

    By the cells of the prediction error; the parameters are those of `return_alike`.
    """
    cell = sight.geometry.cell
    peak = sight.around.peak[channel]
    longest = round(LONGEST_S * sight.geometry.sample_rate / cell)
    pad = 2 * longest + _EITHER
    near = maximum_filter1d(np.pad(peak, pad), 2 * _EITHER + 1)
    at = np.clip(frames // cell, 0, peak.size - 1) + pad
    lags = np.arange(_SHORTEST_CELLS, longest + 1)
    others = near[at[:, None, None] + lags[:, None] * np.array([-2, -1, 1, 2])].min(axis=2)
    return np.asarray(others.max(axis=1) * AS_HIGH > peak[at - pad])


def return_alike(sight: Sight, channel: int, frames: IntArray) -> NDArray[np.bool_]:
    """Return which instants come again at even distances: two more of the kind in a row.

    One before and one behind, or two on the same side: a train has a first pulse and a last.

    Parameters
    ----------
    sight : Sight
    channel : int
    frames : ndarray of int, shape (n,)
        Of the tile.
    """
    if not len(frames):
        return np.zeros(0, dtype=bool)
    rate = sight.geometry.sample_rate / _STEP
    reach, soonest, shortest, longest = (
        round(s * rate) for s in (_REACH_S, _SOONEST_S, SHORTEST_S, LONGEST_S)
    )
    far = 2 * longest + _EITHER + reach
    errors = np.convolve(sight.around.forward[channel], _LOW_PASS, "same")[::_STEP]
    errors = np.pad(errors, far)
    energy = np.concatenate(([0.0], np.cumsum(np.square(errors, dtype=np.float64))))
    periods = np.arange(soonest, longest + 1)
    long = periods >= shortest
    result = np.zeros(len(frames), dtype=bool)
    for index, at in enumerate((np.asarray(frames) // _STEP + far).tolist()):
        own = errors[at - reach : at + reach]
        around = errors[at - far : at + far]
        size = own.size
        first = at - far
        last = first + around.size - size + 1
        there = energy[first + size : last + size] - energy[first:last]
        mine = float(own @ own)
        again = (there < AS_HIGH**2 * mine) & (there * AS_HIGH**2 > mine)
        likeness = np.correlate(around, own, "valid")
        again &= likeness * np.abs(likeness) > ALIKE**2 * mine * there
        if np.count_nonzero(again) < 3:
            continue
        # By its distance, less than -far to far: a period is the same but for a sample or so.
        again = maximum_filter1d(again, 2 * _EITHER + 1)
        middle = far - reach
        earliest, before, behind, latest = (
            again[middle + times * periods] for times in (-2, -1, 1, 2)
        )
        in_row = (before & behind) | (earliest & before) | (behind & latest)
        result[index] = bool(in_row[long].any() and not in_row[~long].any())
    return result
