"""Find the thumps behind clicks: the swings of the tone arm.

A thump is told from a drum by its pitch, which falls, and by the push that set it going. The arm
is the same for both channels and for the whole record: how it swings behind plain thumps tells
what to look for behind others, where a note begins with the click or little of the thump is heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.detect.tail_thresholds import TailThresholds
from declick.dsp.chain import count_instants
from declick.dsp.tailfit import core_start, fit_tail_thump
from declick.dsp.thumps import FittedThump, Swing
from declick.dsp.whitening import FloatArray

BoolArray = NDArray[np.bool_]

LONGEST_S: Final = 0.2
APART_S: Final = 0.04

# Swings are alike where their numbers (`Swing.as_vector`) differ by no more than these ratios.
_ALIKE: Final = np.log((1.25, 1.15, 3.0, 1.4))
_PLAIN_EVIDENCE: Final = 300.0
_FEWEST: Final = 2


class FoundSwing(NamedTuple):
    """A thump that was found behind a click at a time."""

    time_s: float
    swing: Swing
    evidence: float


def recurring_swing(found: Sequence[FoundSwing]) -> Swing | None:
    """Return how the arm of a record swings; None where no two thumps agree.

    Parameters
    ----------
    found : sequence of FoundSwing
        Of all channels. One thump that both channels hear counts once.
    """
    plain = [item for item in found if item.evidence >= _PLAIN_EVIDENCE]
    if not plain:
        return None
    vectors = np.array([item.swing.as_vector() for item in plain])
    times = np.array([item.time_s for item in plain])
    alike = (np.abs(vectors[:, None] - vectors[None, :]) <= _ALIKE).all(axis=2)
    counts = [count_instants(times[row]) for row in alike]
    best = int(np.argmax(counts))
    if counts[best] < _FEWEST:
        return None
    return Swing.from_vector(np.median(vectors[alike[best]], axis=0))


def find_thump(
    sound: FloatArray,
    missing: BoolArray,
    dirty: BoolArray,
    stop: int,
    push: float,
    sample_rate: float,
    thresholds: TailThresholds,
    expected: Swing | None = None,
) -> tuple[int, FittedThump | None]:
    """Return where the thump behind a core sinks below the music, and how it goes.

    Parameters
    ----------
    sound : ndarray, shape (frames,)
        Bridged over the cores.
    missing, dirty : ndarray of bool, shape (frames,)
        The cores; likely tails.
    stop : int
        End of the core.
    push : float
        Height of the core.
    sample_rate : float
        In Hz.
    thresholds : TailThresholds
    expected : Swing, optional
        How others go: one like it is looked for; a weak one only where the music is calm.

    Returns
    -------
    (int, FittedThump or None)
        `stop` and None where there is none.
    """
    tail = min(stop + round(LONGEST_S * sample_rate), sound.size)
    if tail - stop < 0.02 * sample_rate:
        return stop, None
    fitted = fit_tail_thump(
        sound,
        missing,
        stop,
        tail,
        sample_rate=sample_rate,
        dirty=dirty,
        passes=1,
        least=thresholds.thump_evidence if expected is None else thresholds.expected_evidence,
        expected=expected,
    )
    if (
        fitted is None
        or not (_like_an_arm if expected is None else _as_expected)(fitted, thresholds)
        or fitted.swing.last_hz > thresholds.thump_last_hz
        or _remaining_pitch(fitted, tail - stop, sample_rate) > thresholds.thump_fall
    ):
        return stop, None
    end = _end(sound, missing, stop, tail, fitted, push, sample_rate, thresholds)
    return end, fitted if end > stop else None


def _like_an_arm(fitted: FittedThump, thresholds: TailThresholds) -> bool:
    """Return whether a thump that no other confirms is none of the music's."""
    swing, evidence = fitted.swing, fitted.evidence
    plain = evidence >= thresholds.plain_evidence
    return (
        fitted.unrest <= (thresholds.plain_unrest if plain else thresholds.unrest)
        and swing.decay_s <= thresholds.thump_decay_s
        and (swing.decay_s >= thresholds.quick_decay_s or evidence >= thresholds.quick_evidence)
        and swing.fall_s >= thresholds.thump_fall_s
        and swing.first_hz >= thresholds.thump_first_hz
        and (swing.first_hz <= thresholds.high_hz or evidence >= thresholds.high_evidence)
    )


def _as_expected(fitted: FittedThump, thresholds: TailThresholds) -> bool:
    """Return whether a thump that others confirm is one: music beside it makes a weak one doubtful.

    What the others tell is how it goes, not that it is there.
    """
    plain = fitted.evidence >= thresholds.restless_evidence
    return plain or fitted.unrest <= thresholds.unrest


def _end(
    sound: FloatArray,
    missing: BoolArray,
    stop: int,
    tail: int,
    fitted: FittedThump,
    push: float,
    sample_rate: float,
    thresholds: TailThresholds,
) -> int:
    """Return where a fitted thump ends; `stop` where it is too short, or the push too weak."""
    start = core_start(missing, stop, round(0.025 * sample_rate))
    before = sound[max(0, start - round(0.2 * sample_rate)) : start]
    level = float(np.sqrt(np.mean(before**2))) if before.size else 0.0
    envelope = _envelope(fitted, tail - stop, sample_rate)

    def lasts(below_db: float) -> int:
        loud = np.flatnonzero(envelope > level * 10.0 ** (below_db / 20.0) + 1e-12)
        return int(loud[-1]) if loud.size else 0

    heard = lasts(thresholds.end_db)
    if not heard or heard < thresholds.thump_shortest_ms * 1e-3 * sample_rate:
        return stop
    if push < thresholds.thump_push * float(np.abs(sound[stop : stop + heard]).max()):
        return stop
    end = stop + max(heard, lasts(thresholds.thump_end_db)) + 1
    # What is hardly heard of it is not worth getting into the way of the next click.
    beyond = missing[stop + heard + 1 : end + 1]
    return stop + heard + max(1, int(np.argmax(beyond))) if beyond.any() else end


def _remaining_pitch(fitted: FittedThump, frames: int, sample_rate: float) -> float:
    """Return the share of the first frequency that is left when most of the energy is through."""
    seconds = np.arange(frames) / sample_rate
    energy = np.cumsum(fitted.samples(seconds) ** 2)
    through = float(seconds[int(np.searchsorted(energy, 0.9 * energy[-1]))])
    swing = fitted.swing
    hertz = swing.last_hz + (swing.first_hz - swing.last_hz) * math.exp(-through / swing.fall_s)
    return hertz / swing.first_hz


def _envelope(fitted: FittedThump, frames: int, sample_rate: float) -> FloatArray:
    """Return the effective level of a thump, falling."""
    amplitude = math.hypot(*fitted.amplitudes[:2]) / math.sqrt(2.0)
    seconds = np.arange(frames) / sample_rate
    return amplitude * np.exp(-seconds / fitted.swing.decay_s)


def hardest(
    edges: NDArray[np.int64], rise: FloatArray, least: float, pushes: FloatArray, apart: float
) -> list[int]:
    """Return the indices of the cores whose rise is enough, and that were pushed hardest nearby.

    A tick on the way to a thump sees the same rise.
    """
    chosen = np.flatnonzero(rise >= least)
    starts, height = edges[chosen, 0], pushes[chosen]
    first = np.searchsorted(starts, starts - apart)
    last = np.searchsorted(starts, starts + apart, side="right")
    return [
        int(index)
        for number, index in enumerate(chosen)
        if int(np.argmax(height[first[number] : last[number]])) + first[number] == number
    ]
