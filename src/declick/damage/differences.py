"""Where a rip and its repair differ: the damage as clips and as labels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from declick.clicks import Click, FloatArray, Kind
from declick.damage.bank import Bank, BankedClick, Record
from declick.damage.harvest import (
    CRACKLE_FEWEST,
    CRACKLE_S,
    CRACKLE_SHARE,
    LONG_RING_S,
    TICK_S,
)
from declick.damage.measure import (
    ClipRing,
    find_balance,
    find_core,
    fit_clip_ring,
    octave_spectrum,
    without_ring,
)
from declick.damage.pairs import Pairing, overlapping_blocks
from declick.damage.statistics import gather_statistics, ring_values
from declick.read import Recording

JOINED_S = 1e-3
LONGEST_S = 0.3
AROUND_S = 0.05
# A thump swings on behind its core: the slow part of the difference, over the peak.
SLOW_S, BEHIND_S, THUMP_SHARE = 2e-3, 8e-3, 0.2
# Of the music's level: less than that is laid over it, more hides it.
HIDES = 0.3
# What a repair leaves in the difference is taken to be this far below the peak of the click.
REPAIR_NOISE = 0.02


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place at which a rip and its repair differ.

    Parameters
    ----------
    start, stop : int
        Half-open frames of the rip.
    channels : tuple of int
        Which channels differ.
    """

    start: int
    stop: int
    channels: tuple[int, ...]


def find_differences(
    before: Recording, after: Recording, pairing: Pairing
) -> tuple[list[Difference], list[Difference]]:
    """Find where a rip was repaired.

    Returns
    -------
    clicks, passages : list of Difference
        Ascending; passages are longer than 0.3 s, and so no clicks.
    """
    join = max(1, round(JOINED_S * before.sample_rate))
    spans: list[list[tuple[int, int]]] = [[] for _ in range(before.channels)]
    gains = np.array(pairing.gains)
    for start, rip, repair in overlapping_blocks(before, after, pairing.offset):
        height = np.abs(repair - rip * gains)
        for channel, found in enumerate(spans):
            own = height[:, channel]
            steps = np.diff((own > pairing.floor).astype(np.int8), prepend=0, append=0)
            for low, high in zip(
                np.flatnonzero(steps == 1) + start, np.flatnonzero(steps == -1) + start, strict=True
            ):
                if found and low - found[-1][1] <= join:
                    found[-1] = (found[-1][0], int(high))
                else:
                    found.append((int(low), int(high)))
    longest = LONGEST_S * before.sample_rate
    differences = _united(spans)
    return (
        [item for item in differences if item.stop - item.start <= longest],
        [item for item in differences if item.stop - item.start > longest],
    )


def _united(spans: list[list[tuple[int, int]]]) -> list[Difference]:
    """Join what overlaps in different channels."""
    entries = sorted(
        (low, high, channel) for channel, found in enumerate(spans) for low, high in found
    )
    united: list[Difference] = []
    for low, high, channel in entries:
        if united and low < united[-1].stop:
            last = united[-1]
            channels = tuple(sorted({*last.channels, channel}))
            united[-1] = Difference(start=last.start, stop=max(last.stop, high), channels=channels)
        else:
            united.append(Difference(start=low, stop=high, channels=(channel,)))
    return united


def bank_differences(
    before: Recording,
    after: Recording,
    pairing: Pairing,
    differences: list[Difference],
    *,
    licence: str = "",
    source: str = "",
) -> tuple[Bank, list[Click]]:
    """Make clips and labels of the places where a rip was repaired.

    The clips are the difference itself, to the sample: the damage, less what the repair failed to
    bring back of the music.

    Parameters
    ----------
    before, after : Recording
    pairing : Pairing
        As `compare_pair` found it; it must be usable.
    differences : list of Difference
    licence, source : str
        Kept in the bank.

    Returns
    -------
    bank : Bank
        With one record; levels are over the music around, since there is no silent groove.
    clicks : list of Click
        Of the rip, channel by channel, ascending.
    """
    rate = before.sample_rate
    gains = np.array(pairing.gains)
    banked: list[BankedClick] = []
    marks: list[tuple[int, int, tuple[int, int, int]]] = []
    sounds: list[float] = []
    for item in differences:
        rip = before.read(item.start, item.stop)
        repair = after.read(item.start - pairing.offset, item.stop - pairing.offset) / gains
        difference = rip - repair
        around = round(AROUND_S * rate)
        music = np.concatenate(
            (
                before.read(item.start - around, item.start),
                before.read(item.stop, item.stop + around),
            )
        )
        level = np.maximum(np.sqrt(np.mean(music**2, axis=0)), 1e-6)
        sounds.append(float(np.sqrt(np.mean(level**2))))
        for pair in range(0, before.channels, 2):
            channels = [k for k in (pair, pair + 1) if k < before.channels]
            if not set(channels) & set(item.channels):
                continue
            shape = _measure(difference[:, channels], rate)
            for k, channel in enumerate(channels):
                if np.any(np.abs(difference[:, channel]) > pairing.floor):
                    span = _span(shape, k, item.start, pairing.floor, HIDES * level[channel])
                    marks.append((len(banked), channel, span))
            banked.append(_banked(shape, level[channels], rate, item.start))
    banked = _in_company(banked)
    clicks = [
        Click(start, stop, tail, channel, 1.0, banked[number].kind)
        for number, channel, (start, stop, tail) in marks
    ]
    overlap = min(before.frames, after.frames + pairing.offset) - max(0, pairing.offset)
    times = [item.start / rate for item in differences]
    statistics = gather_statistics(
        banked,
        times_s=times,
        strengths=[click.peak for click in banked[: len(times)]]
        if len(banked) == len(times)
        else None,
        kinds=Counter(click.kind for click in banked),
        seconds=max(0, overlap) / rate,
        bed=float(np.median(sounds)) if sounds else 1.0,
        start_s=max(0, pairing.offset) / rate,
    )
    record = Record(
        name=before.path.name if before.path is not None else before.name,
        sha256=before.source_hash() or "",
        sample_rate=rate,
        licence=licence,
        source=source,
        statistics=statistics,
    )
    return Bank(clicks=tuple(banked), records=(record,)), sorted(clicks)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A difference, measured.

    Parameters
    ----------
    clip : ndarray, shape (frames, channels)
    fast : ndarray, shape (frames, channels)
        The clip less a long ring and the swing of a thump.
    core : tuple of int
        Half-open frames of the clip.
    ring : ClipRing or None
    kind : Kind
    """

    clip: FloatArray
    fast: FloatArray
    core: tuple[int, int]
    ring: ClipRing | None
    kind: Kind


def _measure(clip: FloatArray, rate: int) -> _Shape:
    """Measure a difference, whose ends tell nothing: they lie where it is zero to the bit."""
    nothing = np.zeros(clip.shape[1])
    peak = float(np.max(np.abs(clip)))
    core = find_core(clip, nothing, rate)
    slow = _slow(clip, rate)
    behind = slow[core[0] + round(BEHIND_S * rate) :]
    fast, thump = clip, bool(np.any(np.abs(behind) >= THUMP_SHARE * peak))
    if thump:
        fast = clip - slow
        core = find_core(fast, nothing, rate)
    density = np.full((2, clip.shape[1]), (REPAIR_NOISE * peak) ** 2)
    ring = fit_clip_ring(clip, core[1], density, rate)
    if ring is not None and ring.decay_s > LONG_RING_S:
        fast = without_ring(fast, core, ring, rate)
        core = find_core(fast, nothing, rate)
    kind = Kind.POP if core[1] - core[0] > TICK_S * rate else Kind.TICK
    return _Shape(clip=clip, fast=fast, core=core, ring=ring, kind=Kind.THUMP if thump else kind)


def _slow(clip: FloatArray, rate: int) -> FloatArray:
    """Return the running mean of 2 ms."""
    reach = max(1, round(0.5 * SLOW_S * rate))
    sums = np.cumsum(np.pad(clip, ((reach + 1, reach), (0, 0))), axis=0)
    return np.asarray((sums[2 * reach + 1 :] - sums[: -2 * reach - 1]) / (2 * reach + 1))


def _span(
    shape: _Shape, channel: int, origin: int, floor: float, hides: float
) -> tuple[int, int, int]:
    """Return where a channel differs, and up to where that hides the music: start, stop, tail."""
    own = np.flatnonzero(np.abs(shape.clip[:, channel]) > floor)
    start, tail = int(own[0]), int(own[-1]) + 1
    hidden = np.flatnonzero(np.abs(shape.fast[start:tail, channel]) > hides)
    stop = start + int(hidden[-1]) + 1 if hidden.size else tail
    return origin + start, origin + stop, origin + tail


def _in_company(clicks: list[BankedClick]) -> list[BankedClick]:
    """Call a tick among many crackle."""
    times, peaks = (np.array([getattr(c, name) for c in clicks]) for name in ("time_s", "peak"))
    return [
        replace(click, kind=Kind.CRACKLE)
        if click.kind is Kind.TICK
        and np.count_nonzero(
            (np.abs(times - click.time_s) <= CRACKLE_S) & (peaks >= CRACKLE_SHARE * click.peak)
        )
        > CRACKLE_FEWEST
        else click
        for click in clicks
    ]


def _banked(shape: _Shape, level: FloatArray, rate: int, start: int) -> BankedClick:
    clip, ring = shape.clip, shape.ring
    first, last = shape.core
    peak = float(np.max(np.abs(clip)))
    left, right = find_balance(clip)
    ring_hz, ring_decay_s, ring_level_db = ring_values(ring, last, peak, rate)
    return BankedClick(
        samples=clip.astype(np.float32),
        sample_rate=rate,
        onset=0,
        core_start=first,
        core_stop=last,
        kind=shape.kind,
        peak=peak,
        level_db=20.0 * math.log10(float(np.max(np.max(np.abs(clip), axis=0) / level))),
        left=left,
        right=right,
        ring_hz=ring_hz,
        ring_decay_s=ring_decay_s,
        ring_level_db=ring_level_db,
        spectrum_db=octave_spectrum(clip, rate),
        time_s=(start + first) / rate,
    )
