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
from declick.dsp.rings import Ring
from declick.dsp.tailfit import (
    LONGEST_CORE_S,
    adds,
    bridge,
    core_start,
    fit_tail_rings,
    fit_tail_thump,
    is_rival,
)
from declick.dsp.thumps import Swing

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CONTEXT_MS = 700.0
"""Sound that `subtract_tails` looks at on each side of a tail and its core."""

FADE_S = 0.005
_SHORTEST = 8
_BETTER_FIT = 1.5
# A thump that has this share of a piece's energy, and makes it no weaker when it is taken out, is
# not in it; of 269 that were in theirs one did so.
_SHARE = 0.3


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
    guesses = chain.channel_rings(channel) if chain is not None else ()
    arm = chain.swing if chain is not None else None
    order = [
        (max(stop, 0), min(tail, samples.size), kind)
        for stop, tail, kind in sorted(tails)
        if min(tail, samples.size) - max(stop, 0) >= _SHORTEST
    ]
    work = _Separation(samples, missing, order, sample_rate)
    pushes = [work.push(stop) for stop, _, _ in order]
    for pieces in _spans(order, missing, pushes, sample_rate):
        if pieces[0][2] is Kind.THUMP:
            work.subtract_thumps([piece[:2] for piece in pieces], arm)
        under = pieces[0][2] is not Kind.THUMP and len(pieces) > 1 and bool(guesses)
        if under:
            # One ring under weaker cores; what they add to it is in the pieces.
            work.subtract_rings(pieces[0][0], pieces[-1][1], guesses, fresh=False)
        for stop, tail, kind in pieces:
            if kind is not Kind.THUMP or guesses:
                fresh = kind is not Kind.THUMP and not under
                # Under a thump only the chain's rings are looked for: its swing hides any other.
                work.subtract_rings(stop, tail, guesses, fresh=fresh)
    return work.result


def _spans(
    tails: Sequence[tuple[int, int, Kind]],
    missing: BoolArray,
    pushes: Sequence[float],
    sample_rate: float,
) -> list[list[tuple[int, int, Kind]]]:
    """Put the pieces of tails that go on under later clicks together.

    A ring behind a core that was pushed hard enough is its own.
    """
    spans: list[list[tuple[int, int, Kind]]] = []
    first_push = 0.0
    for piece, push in zip(tails, pushes, strict=True):
        if spans and (piece[2] is Kind.THUMP) == (spans[-1][-1][2] is Kind.THUMP):
            end = spans[-1][-1][1]
            joined = end <= piece[0] and missing[end : piece[0]].all()
            after_s = (end - spans[-1][0][0]) / sample_rate
            if joined and (piece[2] is Kind.THUMP or not is_rival(push, first_push, after_s)):
                spans[-1].append(piece)
                continue
        spans.append([piece])
        first_push = push
    return spans


class _Separation:
    """The sound of one channel while its tails are taken out, one after the other."""

    def __init__(
        self,
        samples: FloatArray,
        missing: BoolArray,
        tails: Sequence[tuple[int, int, Kind]],
        sample_rate: float,
    ) -> None:
        self.result = samples.copy()
        self._missing = missing
        self._rate = sample_rate
        self._sound = bridge(samples, missing) if tails else samples
        # Tails that still hold their rings are no yardstick for the music.
        self._dirty: BoolArray = np.zeros(samples.size, dtype=bool)
        for stop, tail, _ in tails:
            self._dirty[stop:tail] = True

    def push(self, stop: int) -> float:
        """Return the peak of what the core that ends at `stop` has over a line through it."""
        start = core_start(self._missing, stop, round(LONGEST_CORE_S * self._rate))
        core = slice(start, stop)
        return float(np.abs(self.result[core] - self._sound[core]).max(initial=0.0))

    def subtract_thumps(self, pieces: Sequence[tuple[int, int]], expected: Swing | None) -> None:
        """Take one thump out of all pieces, or of all from a later one on; or one out of each."""
        end = pieces[-1][1]
        for number, (stop, tail) in enumerate(pieces):
            wave, more = self._fit_thump(stop, end, expected), number + 1 < len(pieces)
            if more and wave is not None and self._grows(stop, tail, wave):
                # It begins behind a later core.
                continue
            if not self._take(stop, end, wave) and more:
                for one in pieces[number:]:
                    self._take(*one, self._fit_thump(*one, expected))
            return

    def _fit_thump(self, stop: int, tail: int, expected: Swing | None) -> FloatArray | None:
        """Return the thump in ``[stop, tail)``, if there is one."""
        self._dirty[stop:tail] = False
        thump = None
        for swing in (expected, None) if expected is not None else (None,):
            fitted = fit_tail_thump(
                self._sound,
                self._missing,
                stop,
                tail,
                sample_rate=self._rate,
                dirty=self._dirty,
                expected=swing,
            )
            # What is known of the arm counts for more than a fit that is only a little closer.
            if fitted is not None and (
                thump is None or fitted.evidence > _BETTER_FIT * thump.evidence
            ):
                thump = fitted
        if thump is None:
            return None
        return thump.samples(np.arange(tail - stop) / self._rate)

    def _grows(self, stop: int, tail: int, wave: FloatArray) -> bool:
        """Return whether a piece gets louder without a wave: that is not in it."""
        heard, wave = self.result[stop:tail], wave[: tail - stop]
        return adds(heard, wave) and float(wave @ wave) > _SHARE * float(heard @ heard)

    def subtract_rings(self, stop: int, tail: int, guesses: Sequence[Ring], *, fresh: bool) -> None:
        """Take the rings out of ``[stop, tail)``: expected ones, and with `fresh` others, too."""
        self._dirty[stop:tail] = False
        rings = fit_tail_rings(
            self._sound,
            self._missing,
            stop,
            tail,
            sample_rate=self._rate,
            guesses=guesses,
            fresh=fresh,
            dirty=self._dirty,
        )
        if rings:
            self._take(stop, tail, np.sum([ring.samples(tail - stop) for ring in rings], axis=0))

    def _take(self, stop: int, tail: int, wave: FloatArray | None) -> bool:
        """Take a wave out of ``[stop, tail)``; say whether there was one, and it was in there."""
        if wave is None or not np.isfinite(wave).all():
            return False
        span = slice(stop, tail)
        known = ~self._missing[span]
        wave = np.where(known, wave * fade_out(tail - stop, round(FADE_S * self._rate)), 0.0)
        heard, rest = self.result[span][known], (self.result[span] - wave)[known]
        if not float(rest @ rest) < float(heard @ heard):
            # Between long cores little holds a fit: what adds to the sound was not in it.
            return False
        self.result[span] -= wave
        self._sound[span] = bridge(self.result[span], self._missing[span])
        return True


__all__ = ["CONTEXT_MS", "Chain", "estimate_chain", "subtract_tails"]
