"""The events that pass between the stages: `Click` (found) and `Repair` (mended)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Kind(StrEnum):
    """What a click is.

    tick: up to 0.6 ms. pop: 0.6 ms to 10 ms. crackle: one of many small ticks. thump: a click that
    set the tone arm swinging (a falling low-frequency tail). scratch: returns with the rotation of
    the disc. dropout: the music is gone, not covered.
    """

    TICK = "tick"
    POP = "pop"
    CRACKLE = "crackle"
    THUMP = "thump"
    SCRATCH = "scratch"
    DROPOUT = "dropout"


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What was added to the music in some frames of a channel, as far as it can be told.

    Parameters
    ----------
    start : int
        Frame of the recording that the first value is of.
    damage : ndarray of float32, shape (frames,)
    deviation : ndarray of float32, shape (frames,)
        Standard deviation of `damage` from the truth; infinite where nothing is known.
    """

    start: int
    damage: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """Frame behind the last value."""
        return self.start + len(self.damage)

    def cut(self, start: int, stop: int) -> Estimate:
        """Return the same for other frames; nothing is known of those that are new."""
        damage = np.zeros(stop - start, dtype=np.float32)
        deviation = np.full(stop - start, np.inf, dtype=np.float32)
        low, high = max(start, self.start), min(stop, self.stop)
        if low < high:
            there, here = (
                slice(low - start, high - start),
                slice(low - self.start, high - self.start),
            )
            damage[there], deviation[there] = self.damage[here], self.deviation[here]
        return Estimate(start, damage, deviation)

    def joined(self, other: Estimate) -> Estimate:
        """Return both as one; where both know something, the surer counts."""
        first, last = min(self.start, other.start), max(self.stop, other.stop)
        own, their = self.cut(first, last), other.cut(first, last)
        surer = own.deviation <= their.deviation
        return Estimate(
            first,
            np.where(surer, own.damage, their.damage),
            np.where(surer, own.deviation, their.deviation),
        )


def join_estimates(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    """Return what is known of both."""
    if one is None or other is None:
        return one or other
    return one.joined(other)


@dataclass(frozen=True, order=True, slots=True)
class Click:
    """Damage on one channel; half-open frames of the whole recording.

    Parameters
    ----------
    start, stop : int
        The core ``[start, stop)``: the music is lost there.
    tail : int
        End of the tail ``[stop, tail)``: the music is still there, under a ring or a thump.
        ``tail == stop`` where there is none.
    channel : int
        Counted from 0.
    confidence : float
        0..1, how sure the detector is that this is damage.
    kind : Kind
    estimate : Estimate, optional
        What was added to the music, where the detector can tell; two clicks that differ in this
        alone are equal.

    Raises
    ------
    ValueError
        Unless ``0 <= start <= stop <= tail``, ``start < tail``, ``channel >= 0`` and
        ``0 <= confidence <= 1``.
    """

    start: int
    stop: int
    tail: int
    channel: int
    confidence: float = 1.0
    kind: Kind = Kind.TICK
    estimate: Estimate | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.start <= self.stop <= self.tail and self.start < self.tail):
            raise ValueError(
                f"a click needs 0 <= start <= stop <= tail and start < tail, "
                f"got {self.start}, {self.stop}, {self.tail}"
            )
        if self.channel < 0 or not 0.0 <= self.confidence <= 1.0:
            raise ValueError(
                f"a click needs channel >= 0 and confidence in 0..1, "
                f"got {self.channel}, {self.confidence}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """What `click` is replaced by.

    Parameters
    ----------
    click : Click
    samples : ndarray of float64, shape (frames,)
        The sound from ``click.start`` on, to ``click.tail`` at least, and further where the repair
        takes out a slow tail that was not looked for before; empty where the repair was not made
        because leaving the sound alone was expected to be better.
    method : str
        Name of the method ("ar", "copy", ...); "left" where the repair was not made.
    gain_db : float
        Expected gain over leaving the sound alone, in dB, by the evidence beside the click; NaN
        where nothing could be estimated (a forced method, samples given by the user).
    copies : tuple of int
        The other copies of the record that were used, counted from 1.
    why : str
        Why the repair was not made; empty where it was.
    """

    click: Click
    samples: FloatArray = field(repr=False)
    method: str
    gain_db: float = float("nan")
    copies: tuple[int, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        least = self.click.tail - self.click.start
        if self.samples.ndim != 1 or 0 < self.samples.size < least:
            raise ValueError(
                f"{self.click} needs {least} samples or more, got {self.samples.shape}"
            )

    @property
    def made(self) -> bool:
        """Whether the repair changes the sound."""
        return bool(self.samples.size)

    @property
    def end(self) -> int:
        """The frame behind the last that is replaced; the click's tail if nothing is."""
        return max(self.click.tail, self.click.start + int(self.samples.size))


def disjoint_clicks(clicks: Iterable[Click]) -> list[Click]:
    """Make the spans ``[start, tail)`` of each channel disjoint, losing no marked frame.

    Overlapping cores become one (confidence: the greater; kind: of the longer core). Where a
    core begins in an earlier click's tail, that tail ends there and is carried on behind the
    later core. Spans that only touch stay apart. Clicks that are disjoint already come back
    as they were.

    Returns
    -------
    list of Click
        Ascending.
    """
    done: list[Click] = []
    last: dict[int, Click] = {}
    for click in sorted(clicks, key=lambda c: (c.channel, c)):
        before = last.get(click.channel)
        if before is None or click.start >= before.tail:
            if before is not None:
                done.append(before)
            last[click.channel] = click
            continue
        tail = max(before.tail, click.tail)
        if click.start < before.stop:
            longer = max(before, click, key=lambda c: c.stop - c.start)
            stop = max(before.stop, click.stop)
            confidence = max(before.confidence, click.confidence)
            last[click.channel] = Click(
                before.start,
                stop,
                max(stop, tail),
                click.channel,
                confidence,
                longer.kind,
                join_estimates(before.estimate, click.estimate),
            )
        else:
            if click.start > before.start:
                done.append(replace(before, tail=click.start))
            last[click.channel] = replace(click, tail=tail)
    return sorted([*done, *last.values()])
