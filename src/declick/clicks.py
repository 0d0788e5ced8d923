"""The events that pass between the stages: `Click` (found) and `Repair` (mended)."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    samples : ndarray of float64, shape (click.tail - click.start,)
        The sound for ``[click.start, click.tail)``; empty where the repair was not made because
        leaving the sound alone was expected to be better.
    method : str
        Name of the method ("ar", "copy", ...); "left" where the repair was not made.
    gain_db : float
        Expected gain over leaving the sound alone, in dB, by the evidence beside the click; NaN
        where nothing could be estimated (a forced method, samples given by the user).
    """

    click: Click
    samples: FloatArray = field(repr=False)
    method: str
    gain_db: float = float("nan")

    def __post_init__(self) -> None:
        expected = self.click.tail - self.click.start
        if self.samples.shape not in ((expected,), (0,)):
            raise ValueError(f"{self.click} needs {expected} samples, got {self.samples.shape}")

    @property
    def made(self) -> bool:
        """Whether the repair changes the sound."""
        return bool(self.samples.size)
