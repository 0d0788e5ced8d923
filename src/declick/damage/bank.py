"""A click bank: real clicks with what was measured of them, and of the records they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Kind

OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Centres of the octaves of `BankedClick.spectrum_db`."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which quantiles `Statistics` holds."""

Quantiles = tuple[float, float, float, float, float]
_NONE: Quantiles = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class BankedClick:
    """One real click, free of the noise around it, its ends faded to zero.

    Parameters
    ----------
    samples : ndarray of float32, shape (frames, channels)
        One or two channels; full scale is 1, at the level that it had on its record.
    sample_rate : int
        In Hz.
    onset : int
        First frame in which it rises out of the noise.
    core_start, core_stop : int
        Frames of the core: where it is above a quarter of its peak, without the ring or thump
        behind it. ``0 <= onset <= core_start < core_stop <= frames``.
    kind : Kind
        tick, pop, crackle or thump.
    peak : float
        Largest magnitude of any sample.
    level_db : float
        The peak over the robust rms of the groove noise; of a pair, over the music around it.
    left, right : float
        How the main part of it is shared between the channels, -1..1; the greater is 1. Opposite
        signs: a vertical push. 1 and 1 for one channel.
    ring_hz, ring_decay_s, ring_level_db : float
        The damped sinusoid behind the core and its amplitude at the end of the core over the
        peak; 0 Hz: none stands out.
    thump_hz, thump_decay_s, thump_level_db : float
        The low-frequency swing behind it, likewise.
    spectrum_db : tuple of float
        Energy in each octave of `OCTAVES_HZ` over the whole, in dB, not below -99.
    record : int
        Index into `Bank.records`.
    time_s : float
        Where on the record.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    onset: int
    core_start: int
    core_stop: int
    kind: Kind
    peak: float
    level_db: float
    left: float = 1.0
    right: float = 1.0
    ring_hz: float = 0.0
    ring_decay_s: float = 0.0
    ring_level_db: float = 0.0
    thump_hz: float = 0.0
    thump_decay_s: float = 0.0
    thump_level_db: float = 0.0
    spectrum_db: tuple[float, ...] = ()
    record: int = 0
    time_s: float = 0.0

    def __post_init__(self) -> None:
        frames = len(self.samples)
        if self.samples.ndim != 2 or self.samples.shape[1] not in (1, 2) or not frames:
            raise ValueError(f"a clip needs the shape (frames, 1 or 2), got {self.samples.shape}")
        if not 0 <= self.onset <= self.core_start < self.core_stop <= frames:
            raise ValueError(
                "a clip needs 0 <= onset <= core_start < core_stop <= frames, got "
                f"{self.onset}, {self.core_start}, {self.core_stop}, {frames}"
            )

    @property
    def channels(self) -> int:
        """One or two."""
        return int(self.samples.shape[1])

    @property
    def width_s(self) -> float:
        """Length of the core."""
        return (self.core_stop - self.core_start) / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a record's silent groove says of its damage.

    Parameters
    ----------
    groove_s : float
        Seconds of silent groove that were searched.
    bed_db : float
        Robust rms of the groove noise, dB of full scale.
    rates_hz : mapping from Kind to float
        Clicks per second of each kind; those too close together to be cut are counted, too.
    level_db : tuple of float
        `QUANTILES` of the peak over the noise.
    width_s : tuple of float
        Of the length of the core.
    opposite_share : float
        Share of the clicks with opposite signs in the channels.
    balance_db : tuple of float
        Of the weaker channel over the stronger.
    ring_share, ring_hz, ring_decay_s : float
        Share of the clicks that ring, and the medians of those that do; 0: none.
    thump_share, thump_hz, thump_decay_s : float
        Likewise.
    clustering : float
        Variance over mean of the number of clicks in a tenth of a second: 1 if they fall at
        random, more if they come in bursts.
    period_s : float
        Of one revolution, where the clicks show it; 0: unknown.
    """

    groove_s: float = 0.0
    bed_db: float = 0.0
    rates_hz: Mapping[Kind, float] = field(default_factory=dict)
    level_db: Quantiles = _NONE
    width_s: Quantiles = _NONE
    opposite_share: float = 0.0
    balance_db: Quantiles = _NONE
    ring_share: float = 0.0
    ring_hz: float = 0.0
    ring_decay_s: float = 0.0
    thump_share: float = 0.0
    thump_hz: float = 0.0
    thump_decay_s: float = 0.0
    clustering: float = 1.0
    period_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where clicks came from.

    Parameters
    ----------
    name : str
        Of the file, without folders.
    sha256 : str
        Of the file; empty for an array.
    sample_rate : int
        In Hz.
    licence, source : str
        On what terms its clips may be used, and where it was found, as far as the user said so.
    statistics : Statistics
    """

    name: str
    sha256: str = ""
    sample_rate: int
    licence: str = ""
    source: str = ""
    statistics: Statistics = Statistics()


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Real clicks of one or several records, in the order in which they were cut."""

    clicks: tuple[BankedClick, ...] = ()
    records: tuple[Record, ...] = ()

    @property
    def statistics(self) -> Statistics:
        """Those of all records as one: means, weighted by the length of their silent groove."""
        return pool([record.statistics for record in self.records])

    def joined(self, other: Bank) -> Bank:
        """Return a bank with the clicks of another behind its own.

        A record that is already here (by its SHA-256) is not taken twice: the other's clips of it
        replace the own ones.
        """
        again = {record.sha256 for record in other.records if record.sha256}
        kept = [k for k, record in enumerate(self.records) if record.sha256 not in again]
        places = {old: new for new, old in enumerate(kept)}
        own = [
            replace(click, record=places[click.record])
            for click in self.clicks
            if click.record in places
        ]
        new = [replace(click, record=click.record + len(kept)) for click in other.clicks]
        return Bank(
            clicks=(*own, *new),
            records=(*(self.records[k] for k in kept), *other.records),
        )


def pool(parts: Sequence[Statistics]) -> Statistics:
    """Return the mean of several records' statistics, weighted by their length.

    Means of ring and thump constants are taken over the records that have any.
    """
    parts = [part for part in parts if part.groove_s > 0.0]
    if not parts:
        return Statistics()
    lengths = np.array([part.groove_s for part in parts])

    def mean(name: str, weights: NDArray[np.float64] = lengths) -> Any:
        values = np.array([getattr(part, name) for part in parts])
        if not weights.any():
            return np.zeros(values.shape[1:])
        return np.average(values, axis=0, weights=weights)

    def of_those(name: str, share: str) -> float:
        weights = lengths * [getattr(part, share) > 0.0 for part in parts]
        return float(mean(name, np.asarray(weights)))

    kinds = sorted({kind for part in parts for kind in part.rates_hz})
    rates = {
        kind: float(np.average([part.rates_hz.get(kind, 0.0) for part in parts], weights=lengths))
        for kind in kinds
    }
    turned = lengths * [part.period_s > 0.0 for part in parts]
    return Statistics(
        groove_s=float(lengths.sum()),
        bed_db=float(mean("bed_db")),
        rates_hz=rates,
        level_db=as_quantiles(mean("level_db")),
        width_s=as_quantiles(mean("width_s")),
        opposite_share=float(mean("opposite_share")),
        balance_db=as_quantiles(mean("balance_db")),
        ring_share=float(mean("ring_share")),
        ring_hz=of_those("ring_hz", "ring_share"),
        ring_decay_s=of_those("ring_decay_s", "ring_share"),
        thump_share=float(mean("thump_share")),
        thump_hz=of_those("thump_hz", "thump_share"),
        thump_decay_s=of_those("thump_decay_s", "thump_share"),
        clustering=float(mean("clustering")),
        period_s=float(mean("period_s", np.asarray(turned))),
    )


def as_quantiles(values: Any) -> Quantiles:
    """Return five numbers as `QUANTILES` has them."""
    a, b, c, d, e = (float(value) for value in values)
    return a, b, c, d, e
