"""Where a copy is damaged within a gap that it is to fill, and whether it can all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.repair.ar import interpolate, model_sizes
from declick.repair.solve import Run
from declick.repair.stereo import fill_roughly

FloatArray = NDArray[np.float64]

CLEANED: Final = 1
FILLED: Final = 2
"""Of what was mended of a copy by itself: something was taken out of its music, or that was lost
and has been interpolated."""

PATCH_S: Final = 0.003
PATCHED: Final = 0.1
"""Ticks of the copy up to this length, and this share of a core in all, are mended first ..."""

SHORT_S: Final = 0.005
"""... where the core has at least this length."""

LOSS_S: Final = 0.02
LOSS_PATCHED: Final = 0.5
COVER_PATCHED: Final = 0.25
LOSS_PATCH_S: Final = 0.03
"""A gap longer than this, and any loss, takes the copy as it was mended by itself where no more of
the core than the first share (the second where the music is not gone but covered) was interpolated
there. A gap longer than that takes it with as much other damage, too, of which what is not longer
than the last length is interpolated here."""

MOST_HOLES: Final = 0.7
"""More of a gap must not be damaged in the copy."""


def patches(
    lost: NDArray[np.bool_],
    mended: NDArray[np.int8],
    core: int,
    sample_rate: int,
    *,
    gone: bool,
) -> list[Run] | None:
    """Return where a copy is damaged within a gap.

    Parameters
    ----------
    lost : ndarray of bool, shape (frames,)
        Its damage, from the gap's start to the end of its tail.
    mended : ndarray of int8, as `lost`
        What was mended of that; see `Transfer`.
    core : int
        Frames of the gap without its tail.
    sample_rate : int
        In Hz.
    gone : bool
        Whether the recording has no music there: then much is better than nothing.

    Returns
    -------
    list of (start, stop), or None
        None where it is more than a trifle.
    """
    long = core > LOSS_S * sample_rate
    most = LOSS_PATCHED if gone else COVER_PATCHED
    if (gone or long) and np.count_nonzero(mended[:core] == FILLED) <= most * core:
        lost = lost & (mended == 0)
    edges = np.flatnonzero(np.diff(lost, prepend=False, append=False)).tolist()
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    within = [(start, min(stop, core)) for start, stop in runs if start < core]
    longest = max((stop - start for start, stop in within), default=0)
    if long:
        # Better the copy with its clicks mended, as well as that can be done, than nothing.
        few = np.count_nonzero(lost) <= most * lost.size
        longest_patch = LOSS_PATCH_S * sample_rate
        return [run for run in runs if run[1] - run[0] <= longest_patch] if few else None
    short = core < SHORT_S * sample_rate
    if within and (short or longest > PATCH_S * sample_rate):
        return None
    lost_core = sum(stop - start for start, stop in within)
    if lost_core > PATCHED * core or np.count_nonzero(lost) > MOST_HOLES * lost.size:
        return None
    return runs


def patch(guide: FloatArray, runs: Sequence[Run], sample_rate: int) -> FloatArray:
    """Return a copy's sound with its own damage interpolated."""
    short = [run for run in runs if run[1] - run[0] <= PATCH_S * sample_rate]
    result = fill_roughly(guide, runs)
    for run in runs:
        if run not in short:
            sizes = model_sizes(run[1] - run[0], sample_rate)[:1]
            filled = interpolate(guide, runs, [run], sizes=sizes, sample_rate=sample_rate)
            result[slice(*run)] = filled.samples[slice(*run)]
    return result
