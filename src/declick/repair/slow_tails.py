"""Subtract the slow tails of clicks from the music under them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from declick.dsp.slow_tails import Behind, Emphasis
from declick.dsp.whitening import FloatArray
from declick.repair.separate import fade_out
from declick.repair.solve import Run

LEAST_LIKELIHOOD = -1.5
"""Of a slow tail over none, in nepers, if it is to be taken out; chosen on tuning music.

Where a record's clicks leave them, nearly all do.
"""

LEAST_SHARE = 1e-4
"""Of the energy of the music over it; what is weaker nobody hears."""

END_SHARE = 0.005
"""A tail ends where this share of its energy is left."""

_SHORTEST = 8


class Core(NamedTuple):
    """A core that was filled.

    Parameters
    ----------
    run : (int, int)
        Half-open frames.
    observed : ndarray
        The sound that was there.
    error_filter : ndarray, shape (order + 1,)
        Whitens the music around it.
    heard : int
        Frame up to which the sound behind it tells of its slow tail.
    limit : int
        Frame at which its slow tail ends at the latest.
    """

    run: Run
    observed: FloatArray
    error_filter: FloatArray
    heard: int
    limit: int


def find_slow_tails(
    sound: FloatArray,
    cores: Sequence[Core],
    *,
    sample_rate: float,
    emphasis: Emphasis,
    contradicted: Callable[[Run, FloatArray], bool] | None = None,
) -> dict[Run, FloatArray]:
    """Return the slow tails behind cores, each fitted to what those before it leave.

    A tail that outlasts the next core goes on behind that one.

    Parameters
    ----------
    sound : ndarray of float64, shape (frames,)
        With the cores filled.
    cores : sequence of Core
        Ascending.
    sample_rate : float
        In Hz.
    emphasis : Emphasis
        That the record was played with.
    contradicted : callable, optional
        Whether something else speaks against the slow tail behind a core.

    Returns
    -------
    dict of Run to ndarray
        Of those that have one, from the end of the core on.
    """
    found: dict[Run, FloatArray] = {}
    tails = np.zeros(sound.size)
    for run, observed, error_filter, heard, limit in cores:
        start, stop = run
        left = (sound - tails)[:heard]
        tail = None
        if stop < left.size:
            core = observed - tails[start:stop]
            tail = Behind(left, core, run, error_filter, sample_rate).tail(emphasis)
        if tail is not None and tail.likelihood >= LEAST_LIKELIHOOD:
            tails[stop : stop + tail.wave.size] += tail.wave
        wave = _audible(tails[stop : max(stop, limit)])
        rest = sound[stop : stop + wave.size] - wave
        if wave.size < _SHORTEST or float(wave @ wave) < LEAST_SHARE * float(rest @ rest):
            continue
        if contradicted is not None and contradicted(run, wave):
            tails[stop:] = 0.0
            continue
        found[run] = wave
    return found


def _audible(wave: FloatArray) -> FloatArray:
    """Return a slow tail until there is little left of it; it fades out."""
    if not wave.any():
        return wave[:0]
    after = np.cumsum(wave[::-1] ** 2)[::-1]
    wave = wave[: int(np.argmax(np.append(after, 0.0) <= END_SHARE * after[0]))]
    return np.asarray(wave * fade_out(wave.size, wave.size))
