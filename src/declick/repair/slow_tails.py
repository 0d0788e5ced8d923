"""Subtract the slow tails of clicks from the music under them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from declick.dsp.slow_tails import BASS_S, LONGEST_S, look_behind, tail_shapes
from declick.dsp.whitening import FloatArray
from declick.repair.separate import fade_out
from declick.repair.solve import Run

LEAST_EVIDENCE = 6.0
"""From this on a slow tail is taken out; chosen on tuning music."""

LEAST_SHARE = 0.001
"""Of the energy of the music over it; what is weaker nobody hears."""

END_SHARE = 0.02
"""A tail ends where this share of its energy is left."""

_SHORTEST = 8


class Core(NamedTuple):
    """A core that was filled.

    Parameters
    ----------
    run : (int, int)
        Half-open frames.
    push : float
        Peak of the click over what it was filled with.
    error_filter : ndarray, shape (order + 1,)
        Whitens the music around it.
    heard : int
        Frame up to which the sound behind it tells of its slow tail.
    limit : int
        Frame at which its slow tail ends at the latest.
    """

    run: Run
    push: float
    error_filter: FloatArray
    heard: int
    limit: int


def find_slow_tails(
    sound: FloatArray,
    cores: Sequence[Core],
    *,
    sample_rate: float,
    contradicted: Callable[[Run, FloatArray], bool] | None = None,
) -> dict[Run, FloatArray]:
    """Return the slow tails behind cores, each fitted to what those before it leave.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames,)
        With the cores filled.
    cores : sequence of Core
        Ascending.
    sample_rate : float
        In Hz.
    contradicted : callable, optional
        Whether something else speaks against the slow tail behind a core.

    Returns
    -------
    dict of Run to ndarray
        Of those that have one, from the end of the core on.
    """
    found: dict[Run, FloatArray] = {}
    left = sound.copy()
    carried, latest = 0.0, 0
    for run, push, error_filter, heard, limit in cores:
        # What an earlier tail has left behind this core as well may be higher than its own.
        carried *= math.exp((latest - run[1]) / (BASS_S * sample_rate))
        carried, latest = max(push, carried), run[1]
        push = carried
        fit = look_behind(left[:heard], run, push, error_filter, sample_rate)
        if fit is None:
            continue
        heights, evidence = fit.heights()
        if evidence < LEAST_EVIDENCE:
            continue
        behind = left[run[1] : limit]
        wave = _audible(push * heights, behind.size, sample_rate)
        rest = behind[: wave.size] - wave
        if wave.size < _SHORTEST or float(wave @ wave) < LEAST_SHARE * float(rest @ rest):
            continue
        if contradicted is not None and contradicted(run, wave):
            continue
        found[run] = wave
        behind[: wave.size] = rest
    return found


def _audible(heights: FloatArray, longest: int, sample_rate: float) -> FloatArray:
    """Return a slow tail until there is little left of it, or it has to end; it fades out."""
    wave = heights @ tail_shapes(round(LONGEST_S * sample_rate), sample_rate)
    after = np.cumsum(wave[::-1] ** 2)[::-1]
    wave = wave[: min(longest, int(np.argmax(np.append(after, 0.0) <= END_SHARE * after[0])))]
    return np.asarray(wave * fade_out(wave.size, wave.size))
