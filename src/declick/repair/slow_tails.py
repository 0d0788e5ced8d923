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

MOST_SHARE = 0.5
"""Of the click's peak a slow tail begins with at most."""

CLEARANCE_S = 1.4e-3
"""A slow tail is taken out up to so long before the next click: so each repair stays its own.

What goes on behind that core is taken out there by and by, in the same time.
"""

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
        The sound that was there, without rings and thumps.
    clipped : bool
        Whether the click was recorded too loud.
    error_filter : ndarray, shape (order + 1,)
        Whitens the music around it.
    heard : int
        Frame up to which the sound behind it tells of its slow tail.
    limit : int
        Frame up to which the slow tail is taken out behind this core; none if it lies before that.
    """

    run: Run
    observed: FloatArray
    clipped: bool
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
    for core in cores:
        run, limit = core.run, core.limit
        stop = run[1]
        own = _own_tail(sound, tails, core, sample_rate, emphasis)
        rise = np.minimum(np.arange(sound.size - stop) / (CLEARANCE_S * sample_rate), 1.0)
        wave = tails[stop:] * rise
        tails[stop : stop + own.size] += own
        wave[: own.size] += own
        wave = _audible(wave[: max(0, limit - stop)])
        behind = sound[stop : stop + wave.size]
        rest = behind - wave
        if wave.size < _SHORTEST or float(wave @ wave) < LEAST_SHARE * float(rest @ rest):
            continue
        if 2 * np.count_nonzero(behind) < wave.size:
            # Over digital silence a tail would be heard that nobody recorded.
            continue
        if contradicted is not None and contradicted(run, wave):
            tails[stop:] = 0.0
            continue
        found[run] = wave
    return found


def _own_tail(
    sound: FloatArray, tails: FloatArray, core: Core, sample_rate: float, emphasis: Emphasis
) -> FloatArray:
    """Return the slow tail of one click, as far as it is heard; empty where it has none.

    `tails` are those of the clicks before it.
    """
    start, stop = core.run
    left = (sound - tails)[: core.heard]
    if stop >= left.size:
        return left[:0]
    pushed = core.observed - tails[start:stop]
    behind = Behind(left, pushed, core.run, core.error_filter, sample_rate, clipped=core.clipped)
    tail = behind.tail(emphasis)
    if tail is None or tail.likelihood < LEAST_LIKELIHOOD:
        return left[:0]
    return left[:0] if abs(tail.wave[0]) > MOST_SHARE * behind.peak else tail.wave


def _audible(wave: FloatArray) -> FloatArray:
    """Return a slow tail until there is little left of it; it fades out."""
    if not wave.any():
        return wave[:0]
    after = np.cumsum(wave[::-1] ** 2)[::-1]
    wave = wave[: int(np.argmax(np.append(after, 0.0) <= END_SHARE * after[0]))]
    return np.asarray(wave * fade_out(wave.size, wave.size))
