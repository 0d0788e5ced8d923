"""The classical detector: what a short linear predictor can foretell neither forward nor backward.

A click stands out of the prediction error (`declick.detect.survey`) on both sides at once; an
attack is followed by sound that goes on. Places that stand out are described by a few numbers
(`declick.detect.places`), and a logistic model turns these into the probability of damage (Godsill
& Rayner 1998, ch. 5, gives the forward detector; the rest is ours).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import ConfidenceModels, load_confidence
from declick.detect.places import describe, digital_places, find_edges, gather, side_score
from declick.detect.spans import PLAIN, PRIOR
from declick.detect.survey import Geometry, IntArray, Surroundings, survey

# A place is looked at where the prediction error exceeds this many times the local scale.
PROPOSAL: Final = 4.5
# ... or this many times, where L-R exceeds PROPOSAL there.
PROPOSAL_WITH_SIDE: Final = 2.0
# L-R weaker than this share of the louder channel, in power: both channels are the same.
SAME_SHARE: Final = 1e-4


def propose(around: Surroundings, channels: int, geometry: Geometry) -> tuple[IntArray, IntArray]:
    """Return channel and cell of every place that stands out.

    A peak of the channel's own prediction error, or a weaker one where L-R stands out: on a mono
    record L-R holds no music at all.
    """
    score = around.peak / around.scale
    side = side_score(score, channels)
    peak = around.peak[:channels]
    # The filter answers to a click over its whole order: that is no second click.
    reach = -(-geometry.order // geometry.cell)
    around_peak = np.pad(peak, ((0, 0), (reach, reach)))
    earlier = sliding_window_view(around_peak, reach, axis=1)[:, : peak.shape[1]].max(axis=-1)
    later = sliding_window_view(around_peak, reach, axis=1)[:, reach + 1 :].max(axis=-1)
    own = score[:channels]
    stands_out = (own > PROPOSAL) | ((side > PROPOSAL) & (own > PROPOSAL_WITH_SIDE))
    channel, cell = np.nonzero((peak >= earlier) & (peak > later) & stands_out)
    return channel, cell


class ArDetector:
    """Probability of damage from the prediction error of a short linear model.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    model : ConfidenceModels, optional
        By default the one that ships with the package.
    """

    finds_whole_cores: Final = False
    """It finds the corners of a push, between which the sound is smooth."""
    prior: Final = PRIOR
    prior_of_specks: Final = PRIOR
    plain: Final = PLAIN

    def __init__(self, sample_rate: float, model: ConfidenceModels | None = None) -> None:
        self.geometry = Geometry(sample_rate)
        self.model = model or load_confidence()

    @property
    def context_ms(self) -> float:
        """Reach to each side, in ms."""
        return 1000.0 * self.geometry.context / self.geometry.sample_rate

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability that each sample of a tile is lost to damage.

        Parameters
        ----------
        samples : ndarray, shape (geometry.tile + 2 * geometry.context, channels)
            A tile on the grid of tiles, with its context.

        Returns
        -------
        ndarray of float32, shape (geometry.tile, channels)
        """
        geometry = self.geometry
        context, channels = geometry.context, samples.shape[1]
        probability = np.zeros(samples.shape, dtype=np.float32)
        if np.any(samples[context:-context] != samples[context]):
            around = survey(samples, geometry)
            channel, cell = propose(around, channels, geometry)
            margin = geometry.hop // 4
            first = (context - margin) // geometry.cell
            last = (len(samples) - context + margin) // geometry.cell
            inside = (cell >= first) & (cell < last)
            channel, cell = channel[inside], cell[inside]
            if len(cell):
                described = describe(around, channel, cell, channels, geometry)
                second = _has_second_opinion(around, cell, channels)
                confidence = self.model(described, second)
                start, stop = find_edges(around, channel, cell, geometry)
                digital, alone = digital_places(samples, channel, start, stop, geometry)
                confidence[digital] = 0.0
                confidence[alone] = 1.0
                for index in np.argsort(confidence, kind="stable"):
                    row = slice(start[index], stop[index])
                    probability[row, channel[index]] = confidence[index]
        return probability[context:-context]


def _has_second_opinion(around: Surroundings, cell: IntArray, channels: int) -> NDArray[np.bool_]:
    """Return where the two channels differ enough for L-R to tell anything."""
    if channels != 2:
        return np.zeros(len(cell), dtype=bool)
    near = cell[:, None] + np.arange(-32, 33)
    row = np.zeros(len(cell), dtype=np.intp)
    left, right, side = (gather(around.power, row + i, near).sum(axis=1) for i in range(3))
    return np.asarray(side > SAME_SHARE * np.maximum(left, right))
