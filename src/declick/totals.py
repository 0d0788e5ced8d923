"""Sums over the repairs of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from declick.clicks import FloatArray, Repair


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Sums over a report.

    Parameters
    ----------
    clicks, repaired, left : int
        ``clicks == repaired + left``.
    frames_changed : int
        Frames in which the output is not as the source, on whatever channel.
    seconds_changed : float
    by_kind, by_method : mapping of str to int
        Clicks of each kind and method.
    removed_db : float or None
        Energy taken out by all repairs together (`energy_db`); None where it was not measured.
    """

    clicks: int
    repaired: int
    left: int
    frames_changed: int
    seconds_changed: float
    by_kind: Mapping[str, int]
    by_method: Mapping[str, int]
    removed_db: float | None


def energy_db(difference: FloatArray) -> float | None:
    """Return the energy of what was taken out, in dB re one full-scale sample.

    Parameters
    ----------
    difference : ndarray of float64
        Source minus output, full scale 1.0.

    Returns
    -------
    float or None
        ``10 log10(sum(difference**2))``; None where nothing was taken out.
    """
    energy = float(np.sum(np.square(difference)))
    return 10.0 * math.log10(energy) if energy > 0.0 else None


class Tally:
    """Count repairs as they pass.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self.clicks = self._made = 0
        self._energy: float | None = None
        self._by_kind: Counter[str] = Counter()
        self._by_method: Counter[str] = Counter()

    def add(self, repair: Repair, *, removed_db: float | None = None) -> None:
        """Count the next repair; they come in ascending order of their start."""
        click = repair.click
        self.clicks += 1
        self._by_kind[click.kind.value] += 1
        self._by_method[repair.method] += 1
        if repair.made:
            self._made += 1
        if removed_db is not None:
            self._energy = (self._energy or 0.0) + 10.0 ** (removed_db / 10.0)

    def totals(self, *, frames_changed: int) -> Totals:
        """Return the sums so far; only who writes the samples knows how many frames changed."""
        removed_db = 10.0 * math.log10(self._energy) if self._energy else None
        return Totals(
            clicks=self.clicks,
            repaired=self._made,
            left=self.clicks - self._made,
            frames_changed=frames_changed,
            seconds_changed=round(frames_changed / self._sample_rate, 6),
            by_kind=dict(sorted(self._by_kind.items())),
            by_method=dict(sorted(self._by_method.items())),
            removed_db=None if removed_db is None else round(removed_db, 2) + 0.0,
        )
