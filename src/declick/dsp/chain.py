"""What one playback chain adds to every click, estimated once per record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from declick.dsp.rings import FittedRing, Ring
from declick.dsp.slow_tails import EMPHASES, Behind, Emphasis, SlowTail, choose_emphasis, is_clipped
from declick.dsp.tailfit import BoolArray, bridge, clean_stretches, core_start, fit_tail_rings
from declick.dsp.thumps import Swing
from declick.dsp.whitening import FloatArray, WhitenedFit, prediction_error_filter

MOST_CLICKS = 40
MOST_RINGS = 2
ISOLATED_S = 0.03
# What a ring follows is a knock: after a longer core there is little left of it to see.
LONGEST_CORE_S = 0.006
WINDOW_S = 0.3
SLOW_ORDER_S = 512 / 44100
PROBE_S = 0.045
# What rings shorter than this is over within two milliseconds, and interpolated with the core.
SHORTEST_DECAY_S = 0.6e-3
FREQUENCY_SPREAD = 0.02
# Behind how many clicks, and what share of those looked at, a ring comes back; behind fewer where
# each of them shows plainly, and nearly to the Hertz, the same.
FEWEST_CLICKS = 4
FEWEST_SHARE = 0.12
FEWEST_PLAIN = 2
PLAIN_EVIDENCE = 150.0
PLAIN_SPREAD = 0.004
PLAIN_DECAY = 1.4
WIDEST_DECAY = 3.0
# What the channels hear within this time is one click.
TOGETHER_S = 0.01


class Apply(Protocol):
    """What `map` does with a function of one item."""

    def __call__(
        self, function: Callable[[_Probe], _Probed], items: Iterable[_Probe], /
    ) -> Iterable[_Probed]:
        """Return the results in order."""


class Placed(Protocol):
    """What is asked of a click: frames of its core and tail, and its channel."""

    @property
    def start(self) -> int:
        """First frame of the core."""

    @property
    def stop(self) -> int:
        """End of the core."""

    @property
    def tail(self) -> int:
        """End of the tail."""

    @property
    def channel(self) -> int:
        """Counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What one playback chain adds to clicks.

    Parameters
    ----------
    rings : tuple of tuple of Ring
        For each channel, the most frequent first; empty where the chain does not ring.
    swing : Swing, optional
        How the tone arm swings after a thump, where several have told.
    slow_tails : Emphasis, optional
        The de-emphasis that leaves them behind clicks, where one does.
    """

    rings: tuple[tuple[Ring, ...], ...] = ()
    swing: Swing | None = None
    slow_tails: Emphasis | None = None

    def channel_rings(self, channel: int) -> tuple[Ring, ...]:
        """Return the rings of one channel; none where the channel is unknown."""
        return self.rings[channel] if 0 <= channel < len(self.rings) else ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return asdict(self)


def estimate_chain(
    read: Callable[[int, int], FloatArray],
    clicks: Sequence[Placed],
    *,
    sample_rate: float,
    apply: Apply = map,
) -> Chain:
    """Estimate the rings and slow tails of a record from its clicks.

    At most 40 clicks per channel are looked at: those that stand alone, with the longest tails,
    then the longest cores, then the earliest. A ring counts where it has the same frequency
    behind several of them, on either channel of a pair: one cartridge hears both.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives frames of the whole record, ``(frames, channels)``, with zeros
        beyond its ends.
    clicks : sequence
        `declick.clicks.Click` or alike, of the whole record, all channels.
    sample_rate : float
        In Hz.
    apply : callable
        ``apply(function, items)`` gives the results in order, perhaps of several processes.

    Returns
    -------
    Chain
        With one entry per channel up to the highest in `clicks`.
    """
    channels = 1 + max((click.channel for click in clicks), default=-1)
    rings: list[tuple[Ring, ...]] = []
    slow: list[Sequence[SlowTail]] = []
    for first in range(0, channels, 2):
        pair = range(first, min(first + 2, channels))
        found: list[_FoundRing] = []
        most = 0
        for channel in pair:
            own = sorted(
                (click for click in clicks if click.channel == channel),
                key=lambda click: (click.start, click.stop, click.tail),
            )
            fitted, seen, looked_at = _behind(read, own, channel, sample_rate, apply)
            found += fitted
            slow += seen
            most = max(most, looked_at)
        rings += [_recurring(found, most)] * len(pair)
    return Chain(rings=tuple(rings), slow_tails=choose_emphasis(slow))


@dataclass(frozen=True, kw_only=True)
class _FoundRing:
    """A ring behind a click at a time."""

    ring: Ring
    evidence: float
    time_s: float


def _isolated(clicks: Sequence[Placed], sample_rate: float) -> list[int]:
    """Return the indices of the clicks to look at, in order of time."""
    distance, longest = (round(s * sample_rate) for s in (ISOLATED_S, LONGEST_CORE_S))
    alone = [
        index
        for index, click in enumerate(clicks)
        if click.stop - click.start <= longest
        and (index == 0 or click.start - clicks[index - 1].stop >= distance // 3)
        and (index + 1 == len(clicks) or clicks[index + 1].start - click.stop >= distance)
    ]
    alone.sort(
        key=lambda k: (
            clicks[k].stop - clicks[k].tail,
            clicks[k].start - clicks[k].stop,
            clicks[k].start,
        )
    )
    return sorted(alone[:MOST_CLICKS])


def _behind(
    read: Callable[[int, int], FloatArray],
    clicks: Sequence[Placed],
    channel: int,
    sample_rate: float,
    apply: Apply,
) -> tuple[list[_FoundRing], list[Sequence[SlowTail]], int]:
    """Return the rings behind the chosen clicks, their slow tails, and how many were looked at."""
    window = round(WINDOW_S * sample_rate)
    starts = np.array([click.start for click in clicks])
    chosen = _isolated(clicks, sample_rate)

    def probe(index: int) -> _Probe:
        click = clicks[index]
        origin = max(0, click.start - window)
        end = click.stop + window
        sound = np.asarray(read(origin, end), dtype=np.float64)[:, channel]
        missing: BoolArray = np.zeros(sound.size, dtype=bool)
        near = np.searchsorted(starts, (origin - window, end))
        for other in clicks[near[0] : near[1]]:
            missing[max(0, other.start - origin) : max(0, other.stop - origin)] = True
        tail = click.stop + round(PROBE_S * sample_rate)
        if index + 1 < len(clicks):
            tail = min(tail, clicks[index + 1].start)
        return _Probe(
            sound=sound,
            missing=missing,
            stop=click.stop - origin,
            tail=min(tail - origin, sound.size),
            sample_rate=sample_rate,
        )

    probed = list(apply(_fit_probe, map(probe, chosen)))
    found = [
        _FoundRing(
            ring=fitted.ring,
            evidence=fitted.evidence,
            time_s=clicks[index].start / sample_rate,
        )
        for index, (rings, _) in zip(chosen, probed, strict=True)
        for fitted in rings
        if fitted.ring.decay_s >= SHORTEST_DECAY_S
    ]
    return found, [slow for _, slow in probed if slow], len(chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Probe:
    """The sound of one channel around a click that stands alone."""

    sound: FloatArray
    missing: BoolArray
    stop: int
    tail: int
    sample_rate: float


class _Probed(NamedTuple):
    """What follows a click: rings, and a slow tail under each of `EMPHASES` if the click tells."""

    rings: list[FittedRing]
    slow: Sequence[SlowTail]


def _fit_probe(probe: _Probe) -> _Probed:
    """Fit what follows a click (in a worker)."""
    sound, missing, stop = bridge(probe.sound, probe.missing), probe.missing, probe.stop
    rate = probe.sample_rate
    rings = fit_tail_rings(sound, missing, stop, probe.tail, sample_rate=rate, passes=1)
    start = core_start(missing, stop, round(LONGEST_CORE_S * rate))
    for ring in rings:
        sound[stop : probe.tail] -= ring.samples(probe.tail - stop)
    foul = np.zeros(sound.size, dtype=bool)
    foul[start : probe.tail] = True
    order = round(SLOW_ORDER_S * rate)
    error_filter = prediction_error_filter(clean_stretches(sound, foul, order // 2), order)
    # What comes after the next click began belongs to both.
    sound = sound[: probe.tail]
    fit = WhitenedFit(error_filter, sound[:start], sound[start:], missing[start : probe.tail])
    sound[start + fit.lost] = fit.interpolate()
    core = probe.sound[start:stop]
    clipped = is_clipped(core)
    behind = Behind(sound, core, (start, stop), error_filter, rate, clipped=clipped)
    slow = [tail for emphasis in EMPHASES if (tail := behind.tail(emphasis)) is not None]
    return _Probed(rings, slow if len(slow) == len(EMPHASES) else [])


def _recurring(found: list[_FoundRing], looked_at: int) -> tuple[Ring, ...]:
    """Return the rings whose frequency comes back behind several clicks."""
    fewest = max(FEWEST_CLICKS, FEWEST_SHARE * looked_at)
    rings: list[Ring] = []
    while found and len(rings) < MOST_RINGS:
        frequency = np.log([item.ring.frequency_hz for item in found])
        decay = np.log([item.ring.decay_s for item in found])
        weight = np.array([item.evidence for item in found])
        time_s = np.array([item.time_s for item in found])
        apart = np.abs(frequency[:, None] - frequency[None, :])
        shrunk = np.abs(decay[:, None] - decay[None, :])
        # A short ring is broad: its frequency cannot be known better than its bandwidth.
        width = np.maximum(FREQUENCY_SPREAD, 0.1 / np.exp(frequency + decay))
        near = (apart <= width[:, None]) & (shrunk <= np.log(WIDEST_DECAY))
        count = np.array([count_instants(time_s[row]) for row in near])
        best = int(np.lexsort((-weight, -count))[0])
        plain = (apart[best] <= PLAIN_SPREAD) & (shrunk[best] <= np.log(PLAIN_DECAY))
        plain &= weight >= PLAIN_EVIDENCE
        enough = count_instants(time_s[plain]) >= max(FEWEST_PLAIN, FEWEST_SHARE * looked_at)
        if count[best] < fewest and not enough:
            break
        members = near[best]
        rings.append(
            Ring(
                frequency_hz=float(np.exp(_weighted_median(frequency[members], weight[members]))),
                decay_s=float(np.exp(_weighted_median(decay[members], weight[members]))),
            )
        )
        found = [item for item, gone in zip(found, members, strict=True) if not gone]
    return tuple(rings)


def count_instants(time_s: FloatArray) -> int:
    """Return how many times there are, those of one click counted once."""
    return int(np.count_nonzero(np.diff(np.sort(time_s)) > TOGETHER_S)) + bool(time_s.size)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
