"""Faults of a digital chain: a few wrong samples in sound that is otherwise whole.

No pick-up has heard them, so no attack and no click of a groove is like them: take the few samples
out, and the prediction errors around are as small as if nothing had been. An attack is followed by
its own sound, which nothing that went before foretells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import FEATURES
from declick.detect.sight import Float32Array, Sight
from declick.detect.survey import IntArray

# Wrong samples, how many dB of the energy of the prediction errors goes with them, and how far (as
# a ratio) they must tower above other errors within 10 ms. In 40 minutes of clean music, much of it
# hard on purpose, that was true of four places.
KINDS: Final = ((1, 11.0, 1.2), (5, 14.0, 1.5), (9, 17.0, 1.5))
STANDS_OUT: Final = 4.0
# Of the wrong samples, only those that are off by this share of the one that is off most.
_SHARE: Final = 0.1
_NEAR, _FAR = 6, 400
# The rest is whole where the errors that are left have at most so many times their usual power, and
# of more than one wrong sample so small a share: a groove's tick leaves more, or is weaker.
_USUAL, _LEFT = 4.0, 0.01

# The other channel has the same where its errors are so much like these (correlation), and have so
# large a share of their energy.
_ALIKE, _AS_MUCH = 0.95, 0.25

_SCORE: Final = FEATURES.index("height over the larger scale")


class Spikes(NamedTuple):
    """Where samples are wrong; half-open frames of the tile.

    Parameters
    ----------
    channel, start, stop : ndarray of int, shape (n,)
    whole : ndarray of bool, shape (n,)
        Whether the sound beside them is whole: nothing is left but its usual prediction errors.
    alone : ndarray of bool, shape (n,)
        Whether nothing stands out of the other channel there.
    """

    channel: IntArray
    start: IntArray
    stop: IntArray
    whole: NDArray[np.bool_]
    alone: NDArray[np.bool_]


def find_spikes(sight: Sight, frames: IntArray, facts: Float32Array) -> Spikes:
    """Find the spikes among instants that stand out.

    Parameters
    ----------
    sight : Sight
        At the file's own rate.
    frames : ndarray of int, shape (n,)
    facts : ndarray of float32, shape (n, 2 * features)
        From `declick.detect.sight.describe_instants`.
    """
    found: list[tuple[int, int, int, bool, bool]] = []
    count = len(FEATURES)
    for channel in range(1 if sight.mono else 2):
        own, other = (facts[:, side * count + _SCORE] for side in (channel, 1 - channel))
        for index in np.flatnonzero(own > np.log(STANDS_OUT)).tolist():
            span = _spike_at(sight, channel, int(frames[index]))
            if span is not None:
                found.append((channel, *span, bool(other[index] < np.log(STANDS_OUT))))
    if not sight.mono:
        found = [spike for spike in found if spike[3] or not _is_shared(sight, spike, found)]
    channels, start, stop, whole, alone = np.array(found, dtype=np.intp).reshape(-1, 5).T
    return Spikes(channels, start, stop, whole.astype(bool), alone.astype(bool))


def _is_shared(
    sight: Sight,
    spike: tuple[int, int, int, bool, bool],
    found: Sequence[tuple[int, int, int, bool, bool]],
) -> bool:
    """Return whether the other channel has the same, and it is no fault there: an attack."""
    channel, start, stop = spike[:3]
    near = slice(max(start - _NEAR, 0), stop + _NEAR)
    own, other = (sight.around.forward[side, near].astype(float) for side in (channel, 1 - channel))
    energy, rival, both = own @ own, other @ other, own @ other
    alike = rival > _AS_MUCH * energy and both > _ALIKE * np.sqrt(energy * rival)
    return bool(alike) and not any(
        one != channel and a < stop and start < b for one, a, b, *_ in found
    )


def _spike_at(sight: Sight, channel: int, frame: int) -> tuple[int, int, bool] | None:
    """Return where wrong samples near a frame are, half-open, and whether the rest is whole."""
    around, hop, cell = sight.around, sight.geometry.hop, sight.geometry.cell
    forward, backward = around.forward[channel], around.backward[channel]
    low = max(frame - cell // 2, 0)
    near = slice(low, frame + cell // 2)
    both = np.minimum(np.abs(forward[near]), np.abs(backward[near]))
    middle = low + int(both.argmax())
    if middle < _FAR or middle + _FAR > forward.size:
        return None
    error_filter = around.predictors[channel, middle // hop].astype(np.float64)
    beside = np.abs(
        np.concatenate(
            [
                forward[middle - _FAR : middle - _NEAR],
                forward[middle + error_filter.size + _NEAR : middle + _FAR],
            ]
        )
    )
    rival = float(np.partition(beside, -3)[-3])
    height = float(np.abs(forward[middle - _NEAR : middle + _NEAR]).max())
    for width, least_db, over in KINDS:
        if height <= over * rival:
            continue
        first = middle - width // 2
        error = forward[first : first + width + error_filter.size - 1].astype(np.float64)
        wrong = _wrong_samples(error, error_filter, width)
        left = error - np.convolve(wrong, error_filter)
        if error @ error > 10.0 ** (least_db / 10.0) * (left @ left):
            off = np.flatnonzero(np.abs(wrong) >= _SHARE * np.abs(wrong).max())
            usual = around.scale[channel, min(middle // cell, around.scale.shape[1] - 1)]
            power = float(left @ left)
            whole = power < _USUAL * left.size * usual**2
            whole &= width == 1 or power < _LEFT * float(error @ error)
            return first + int(off[0]), first + int(off[-1]) + 1, whole
    return None


def _wrong_samples(error: FloatArray, error_filter: FloatArray, width: int) -> FloatArray:
    """Return what was added to `width` samples, by least squares, from the prediction errors."""
    columns = np.zeros((error.size, width))
    for column in range(width):
        columns[column : column + error_filter.size, column] = error_filter
    return np.asarray(np.linalg.lstsq(columns, error, rcond=None)[0])
