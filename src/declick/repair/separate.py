"""Subtract rings and thumps from the music under them.

After a click's core the music is still there, under a damped sinusoid (a ring) or the swing of the
tone arm (a thump). Both are known but for a few numbers, which are fitted by generalized least
squares under an autoregressive model of the music (`declick.dsp.whitening`), and taken away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Kind
from declick.dsp.chain import Chain, estimate_chain
from declick.dsp.tailfit import bridge, fit_tail_rings, fit_tail_thump

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CONTEXT_MS = 700.0
"""Sound that `subtract_tails` looks at on each side of a tail and its core."""

FADE_S = 0.005
_SHORTEST = 8


def fade_out(frames: int, longest: int) -> FloatArray:
    """Return ones that fall to zero over at most a fifth, as half a cosine."""
    result = np.ones(frames)
    length = max(1, min(frames // 5, longest))
    result[frames - length :] = 0.5 + 0.5 * np.cos(np.pi * (np.arange(length) + 1.0) / length)
    return result


def subtract_tails(
    samples: FloatArray,
    missing: BoolArray,
    tails: Sequence[tuple[int, int, Kind]],
    *,
    sample_rate: float,
    chain: Chain | None = None,
    channel: int = 0,
) -> FloatArray:
    """Return the sound with rings and thumps taken out of its tails.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        One channel, with `CONTEXT_MS` of sound on each side of the tails where there is any.
    missing : ndarray of bool, shape (frames,)
        The cores of all clicks; what they hold is ignored.
    tails : sequence of (stop, tail, kind)
        ``[stop, tail)`` in frames of `samples`, each right after its core. A thump is looked for
        under `Kind.THUMP`, rings under every kind.
    sample_rate : float
        In Hz.
    chain : Chain, optional
        The record's ring frequencies and decays; estimated click by click without it.
    channel : int
        Which channel of the chain this is.

    Returns
    -------
    ndarray of float64, shape (frames,)
        Equal to `samples` to the bit outside ``[stop, tail)``, and wherever no ring and no thump
        stands out from the music.
    """
    result = samples.copy()
    if not tails:
        return result
    guesses = chain.channel_rings(channel) if chain is not None else ()
    sound = bridge(samples, missing)
    order = sorted(tails)
    dirty: BoolArray = np.zeros(samples.size, dtype=bool)
    for stop, tail, _ in order:
        dirty[max(stop, 0) : max(tail, 0)] = True
    for stop, tail, kind in order:
        stop, tail = max(stop, 0), min(tail, samples.size)
        if tail - stop < _SHORTEST:
            continue
        dirty[stop:tail] = False
        taken = np.zeros(tail - stop)
        if kind is Kind.THUMP:
            thump = fit_tail_thump(sound, missing, stop, tail, sample_rate=sample_rate, dirty=dirty)
            if thump is not None:
                taken += thump.samples(np.arange(tail - stop) / sample_rate)
                sound[stop:tail] -= taken
        if kind is not Kind.THUMP or guesses:
            for ring in fit_tail_rings(
                sound, missing, stop, tail, sample_rate=sample_rate, guesses=guesses, dirty=dirty
            ):
                taken += ring.samples(tail - stop)
        if taken.any() and np.isfinite(taken).all():
            taken *= fade_out(tail - stop, round(FADE_S * sample_rate))
            # Cores within the tail are not this function's to touch.
            result[stop:tail] -= np.where(missing[stop:tail], 0.0, taken)
        sound[stop:tail] = bridge(result[stop:tail], missing[stop:tail])
    return result


__all__ = ["CONTEXT_MS", "Chain", "estimate_chain", "subtract_tails"]
