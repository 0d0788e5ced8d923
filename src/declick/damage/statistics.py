"""What all clicks of a record say together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from declick.clicks import Kind
from declick.damage.bank import QUANTILES, BankedClick, Quantiles, Statistics
from declick.damage.measure import ClipRing
from declick.rotation import find_rotation

COUNTED_S = 0.1


def gather_statistics(
    clicks: Sequence[BankedClick],
    *,
    times_s: Sequence[float],
    strengths: Sequence[float] | None,
    kinds: Mapping[Kind, float],
    seconds: float,
    bed: float,
    counts: Sequence[int] | None = None,
    start_s: float = 0.0,
) -> Statistics:
    """Return the statistics of one record.

    Parameters
    ----------
    clicks : sequence of BankedClick
        Those that were measured.
    times_s, strengths : sequence of float
        Of all that were found.
    kinds : mapping from Kind to float
        How many there are of each kind.
    seconds : float
        How much was searched.
    bed : float
        Rms of the noise, full scale 1.
    counts : sequence of int, optional
        Clicks in each tenth of a second; counted from `start_s` on otherwise.
    start_s : float
        Where the search began.
    """
    if seconds <= 0.0:
        return Statistics()
    rings = [click for click in clicks if click.ring_hz]
    thumps = [click for click in clicks if click.thump_hz]
    stereo = [click for click in clicks if click.channels == 2]
    balance = [
        20.0 * math.log10(max(min(abs(click.left), abs(click.right)), 1e-3)) for click in stereo
    ]
    if counts is None:
        counts = count_cells(np.asarray(times_s) - start_s, seconds)
    number = np.asarray(counts, dtype=np.float64)
    rotation = find_rotation(times_s, strengths)
    opposite = sum(click.left * click.right < 0.0 for click in stereo)
    total = max(1, len(clicks))
    return Statistics(
        groove_s=seconds,
        bed_db=20.0 * math.log10(max(bed, 1e-10)),
        rates_hz={kind: kinds[kind] / seconds for kind in sorted(kinds)},
        level_db=_quantiles([click.level_db for click in clicks]),
        width_s=_quantiles([click.width_s for click in clicks]),
        opposite_share=opposite / max(1, len(stereo)),
        balance_db=_quantiles(balance),
        ring_share=len(rings) / total,
        ring_hz=_median([click.ring_hz for click in rings]),
        ring_decay_s=_median([click.ring_decay_s for click in rings]),
        thump_share=len(thumps) / total,
        thump_hz=_median([click.thump_hz for click in thumps]),
        thump_decay_s=_median([click.thump_decay_s for click in thumps]),
        clustering=float(number.var() / number.mean()) if number.any() else 1.0,
        period_s=0.0 if rotation is None else rotation.period_s,
    )


def count_cells(times_s: ArrayLike, seconds: float) -> list[int]:
    """Return how many clicks fall into each tenth of a second."""
    cells = np.floor(np.asarray(times_s, dtype=np.float64) / COUNTED_S).astype(int)
    count = int(seconds / COUNTED_S)
    cells = cells[(cells >= 0) & (cells < count)]
    return [int(value) for value in np.bincount(cells, minlength=count)]


def ring_values(
    ring: ClipRing | None, stop: int, peak: float, rate: int
) -> tuple[float, float, float]:
    """Return frequency, decay and level of a ring; the level is that at the frame `stop`, dB."""
    if ring is None:
        return 0.0, 0.0, 0.0
    level = float(np.max(np.abs(ring.amplitudes)))
    level *= math.exp(-(stop - ring.start) / rate / ring.decay_s)
    return ring.frequency_hz, ring.decay_s, 20.0 * math.log10(max(level / peak, 1e-6))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _quantiles(values: Sequence[float]) -> Quantiles:
    if not values:
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    a, b, c, d, e = (float(value) for value in np.quantile(np.asarray(values), QUANTILES))
    return a, b, c, d, e
