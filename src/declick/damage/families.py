"""What the clicks of each family are drawn from; docs/damage.md lists it with sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from declick.clicks import Kind
from declick.damage.model import Family

Triangle = tuple[float, float, float]
"""Least, most likely and greatest value of a triangular distribution."""


@dataclass(frozen=True, kw_only=True)
class FamilyRanges:
    """What the clicks of one family are drawn from.

    Parameters
    ----------
    kind : Kind
        What the truth calls them.
    width_s : Triangle
        Of the push (or of the loss of music), on a logarithmic scale.
    level_db : Triangle
        Peak over the music's local rms level.
    halves : tuple of int
        Fewest and most half waves of a push.
    vertical, wall : float
        Shares of the pushes that are vertical (dirt lifts the stylus) and that hurt one wall; the
        rest is lateral. A record leans half way to shares of its own.
    """

    kind: Kind
    width_s: Triangle
    level_db: Triangle
    halves: tuple[int, int] = (2, 4)
    vertical: float = 0.2
    wall: float = 0.25


RANGES: Mapping[Family, FamilyRanges] = {
    Family.TICK: FamilyRanges(
        kind=Kind.TICK, width_s=(0.03e-3, 0.12e-3, 0.5e-3), level_db=(0.0, 5.0, 22.0)
    ),
    Family.POP: FamilyRanges(
        kind=Kind.POP, width_s=(0.6e-3, 0.8e-3, 4e-3), level_db=(5.0, 10.0, 22.0)
    ),
    Family.CRACKLE: FamilyRanges(
        kind=Kind.CRACKLE, width_s=(0.02e-3, 0.06e-3, 0.2e-3), level_db=(-10.0, -6.0, 6.0)
    ),
    Family.RING: FamilyRanges(
        kind=Kind.POP, width_s=(0.2e-3, 0.6e-3, 2e-3), level_db=(6.0, 10.0, 22.0)
    ),
    Family.THUMP: FamilyRanges(
        kind=Kind.THUMP, width_s=(0.4e-3, 1e-3, 4e-3), level_db=(8.0, 12.0, 22.0), wall=0.2
    ),
    Family.SCRATCH: FamilyRanges(
        kind=Kind.SCRATCH,
        width_s=(0.1e-3, 0.3e-3, 1.5e-3),
        level_db=(3.0, 10.0, 20.0),
        vertical=0.3,
        wall=0.6,
    ),
    Family.GOUGE: FamilyRanges(
        kind=Kind.DROPOUT,
        width_s=(0.5e-3, 1.5e-3, 10e-3),
        level_db=(0.0, 6.0, 15.0),
        halves=(3, 9),
        wall=0.6,
    ),
    Family.DROPOUT: FamilyRanges(
        kind=Kind.DROPOUT,
        width_s=(0.5e-3, 3e-3, 20e-3),
        level_db=(-20.0, -12.0, -5.0),
        vertical=0.1,
        wall=0.5,
    ),
}
