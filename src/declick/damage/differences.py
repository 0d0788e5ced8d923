"""Where a rip and its repair differ: the damage as clips and as labels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from declick.clicks import Click, FloatArray, Kind
from declick.damage.bank import Bank, BankedClick, Record
from declick.damage.measure import find_balance, find_core, fit_clip_ring, octave_spectrum
from declick.damage.pairs import Pairing, overlapping_blocks
from declick.damage.statistics import gather_statistics, ring_values
from declick.read import Recording

JOINED_S = 1e-3
LONGEST_S = 0.3
TICK_S, THUMP_S = 0.6e-3, 10e-3
AROUND_S = 0.05
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
    clicks: list[Click] = []
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
        kind = _kind((item.stop - item.start) / rate)
        for channel in item.channels:
            own = np.flatnonzero(np.abs(difference[:, channel]) > pairing.floor)
            if own.size:
                first, last = item.start + int(own[0]), item.start + int(own[-1]) + 1
                clicks.append(Click(first, last, last, channel, 1.0, kind))
        for pair in range(0, before.channels, 2):
            channels = [k for k in (pair, pair + 1) if k < before.channels]
            if set(channels) & set(item.channels):
                clip = difference[:, channels]
                banked.append(_banked(clip, level[channels], kind, rate, item.start))
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


def _kind(length_s: float) -> Kind:
    if length_s > THUMP_S:
        return Kind.THUMP
    return Kind.POP if length_s > TICK_S else Kind.TICK


def _banked(clip: FloatArray, level: FloatArray, kind: Kind, rate: int, start: int) -> BankedClick:
    peak = float(np.max(np.abs(clip)))
    first, last = find_core(clip, np.zeros(clip.shape[1]), rate)
    density = np.full((2, clip.shape[1]), (REPAIR_NOISE * peak) ** 2)
    ring = fit_clip_ring(clip, last, density, rate)
    left, right = find_balance(clip)
    ring_hz, ring_decay_s, ring_level_db = ring_values(ring, last, peak, rate)
    return BankedClick(
        samples=clip.astype(np.float32),
        sample_rate=rate,
        onset=0,
        core_start=first,
        core_stop=last,
        kind=kind,
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
