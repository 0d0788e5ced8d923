"""Where both channels hold the same music, the network is shown their mean, as of a mono file.

A mono record comes off a stereo cartridge a little louder on one side, so that L-R is the music
once more, and every click of both walls is in it: seen as stereo, that is an attack in the middle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.detect.findings import Findings
from declick.detect.sight import Sight
from declick.detect.survey import IntArray
from declick.detect.views import local_level

# The channels hold the same where the prediction errors of L-R stay below this share of theirs ...
ALIKE: Final = 0.2
# ... but for what stands out of L-R more than this many times as far: one wall alone has it.
ONE_WALL: Final = 1.5


def alike_instants(sight: Sight, frames: IntArray) -> NDArray[np.bool_]:
    """Return at which instants L-R tells nothing that either channel does not.

    Parameters
    ----------
    sight : Sight
        Of two channels.
    frames : ndarray of int, shape (n,)
        Of the tile.
    """
    if sight.mono or not len(frames):
        return np.zeros(len(frames), dtype=bool)
    around = sight.around
    cell = np.clip(frames // sight.geometry.cell, 0, around.peak.shape[1] - 1)
    scale = around.scale[:, cell]
    near = sliding_window_view(np.pad(around.peak, ((0, 0), (1, 1))), 3, axis=1).max(axis=-1)
    height = near[:, cell] / scale
    same = scale[2] < ALIKE * scale[:2].min(axis=0)
    return np.asarray(same & (height[2] < ONE_WALL * height[:2].min(axis=0)))


def as_both(findings: Findings, mean: Sight, sight: Sight) -> Findings:
    """Return what is said of the mean of both channels as said of each, at its own level."""
    ratio = local_level(sight, findings.frames) / local_level(mean, findings.frames)
    return replace(
        findings,
        damage=(findings.damage * ratio[:, :, None]).astype(findings.damage.dtype),
        deviation=(findings.deviation * ratio[:, :, None]).astype(findings.deviation.dtype),
    )
