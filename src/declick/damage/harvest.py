"""Harvest: cut the real clicks of a record out of its silent groove, and measure them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from declick.clicks import FloatArray, Kind
from declick.damage.bank import Bank, BankedClick, Record
from declick.damage.bed import LEAD_S, bed_errors, bed_level, without_bed
from declick.damage.cutting import fade_ends, without_hiss
from declick.damage.measure import (
    CORE_SHARE,
    find_balance,
    find_core,
    fit_clip_ring,
    octave_spectrum,
    without_ring,
)
from declick.damage.shocks import Shocks, find_shocks
from declick.damage.statistics import count_cells, gather_statistics, ring_values
from declick.damage.swings import ArmSwing, find_swing
from declick.read import Recording

MOST_CLICKS = 4000
WINDOW_S, CONTEXT_S = 20.0, 1.0
QUIET_BEFORE_S, QUIET_AFTER_S = 1.5e-3, 1.5e-3
RELEVANT = 0.1  # of the peak of the click: smaller neighbours are part of its noise
LEAST_LEVEL = 4.0  # over the noise
ENDS_SHARE, ENDS_NOISE = 0.01, 0.5
FADE_S = 0.5e-3
TICK_S = 0.6e-3
LONG_RING_S = 1e-3
CRACKLE_S, CRACKLE_FEWEST, CRACKLE_SHARE = 0.05, 4, 0.3

Progress = Callable[[float], None]


@dataclass
class _Found:
    """What has been gathered from the stretches."""

    clicks: list[BankedClick] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    strengths: list[float] = field(default_factory=list)
    kinds: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    counts: list[int] = field(default_factory=list)
    beds: list[float] = field(default_factory=list)
    seconds: float = 0.0


def harvest(
    recording: Recording,
    stretches: Sequence[tuple[int, int]],
    *,
    licence: str = "",
    source: str = "",
    most: int = MOST_CLICKS,
    progress: Progress | None = None,
) -> Bank:
    """Cut the isolated clicks out of silent groove.

    Parameters
    ----------
    recording : Recording
        Channels are taken in pairs; a last single one, and mono, alone.
    stretches : sequence of (start, stop)
        Frames without music, as `declick.damage.groove.find_groove` gives them.
    licence, source : str
        Kept in the bank.
    most : int
        Clips to keep; of more, a sample is drawn evenly over time.
    progress : callable, optional
        Gets the share that is done.

    Returns
    -------
    Bank
        With one record.
    """
    rate = recording.sample_rate
    found = _Found()
    pairs = [
        list(range(k, min(k + 2, recording.channels))) for k in range(0, recording.channels, 2)
    ]
    windows = [window for stretch in stretches for window in _windows(*stretch, rate)]
    total = sum(core_stop - core_start for _, core_start, core_stop, _ in windows)
    for number, (start, core_start, core_stop, stop) in enumerate(windows):
        sound = recording.read(start, stop)
        quota = math.ceil(most * (core_stop - core_start) / max(1, total * len(pairs)))
        for channels in pairs:
            _harvest_window(
                found,
                sound[:, channels],
                (start, core_start, core_stop),
                rate,
                quota,
                np.random.default_rng(number),
            )
        found.seconds += (core_stop - core_start) / rate
        if progress is not None:
            progress((number + 1) / len(windows))
    record = Record(
        name=recording.path.name if recording.path is not None else recording.name,
        sha256=recording.source_hash() or "",
        sample_rate=rate,
        licence=licence,
        source=source,
        statistics=gather_statistics(
            found.clicks,
            times_s=found.times,
            strengths=found.strengths,
            kinds=found.kinds,
            seconds=found.seconds,
            bed=float(np.median(found.beds)) if found.beds else 1.0,
            counts=found.counts,
        ),
    )
    return Bank(clicks=tuple(found.clicks), records=(record,))


def _windows(start: int, stop: int, rate: int) -> list[tuple[int, int, int, int]]:
    """Cut a stretch into windows with context: (from, core from, core to, to)."""
    size, context = round(WINDOW_S * rate), round(CONTEXT_S * rate)
    count = max(1, round((stop - start) / size))
    edges = np.linspace(start, stop, count + 1).astype(int)
    return [
        (max(start, int(low) - context), int(low), int(high), min(stop, int(high) + context))
        for low, high in pairwise(edges)
    ]


def _harvest_window(
    found: _Found,
    sound: FloatArray,
    place: tuple[int, int, int],
    rate: int,
    quota: int,
    rng: np.random.Generator,
) -> None:
    start, core_start, core_stop = place
    if len(sound) < 0.05 * rate:
        return
    shocks = find_shocks(sound, rate)
    noise = bed_level(sound, rate)
    beds = bed_errors(sound, shocks, rate)
    own = np.flatnonzero(
        (shocks.starts >= core_start - start) & (shocks.starts < core_stop - start)
    )
    times = (shocks.starts[own] + start) / rate
    found.times += times.tolist()
    found.strengths += shocks.peaks[own].tolist()
    found.counts += count_cells(times - core_start / rate, (core_stop - core_start) / rate)
    found.beds.append(float(np.sqrt(np.mean(noise**2))))
    # In any order, so that what is kept of many is a fair sample of them.
    clicks: list[BankedClick] = []
    for index in rng.permutation(own):
        click = cut_click(sound, shocks, int(index), noise, beds, rate, start)
        if click is not None:
            clicks.append(click)
            if len(clicks) == quota:
                break
    # Those that were not cut, or stand too close together for it, are shared out like the others.
    for kind, count in Counter(click.kind for click in clicks).items():
        found.kinds[kind] += len(own) * count / len(clicks)
    found.clicks += sorted(clicks, key=lambda click: click.time_s)


def cut_click(
    sound: FloatArray,
    shocks: Shocks,
    index: int,
    noise: FloatArray,
    beds: FloatArray,
    rate: int,
    origin: int = 0,
) -> BankedClick | None:
    """Cut one shock out of silent groove.

    Parameters
    ----------
    sound : ndarray, shape (frames, channels)
        A stretch of silent groove.
    shocks : Shocks
        Of this stretch.
    index : int
        Which one.
    noise : ndarray, shape (channels,)
        Rms of the noise above the rumble.
    beds : ndarray, shape (tails, channels)
        As `bed_errors` gives them.
    rate : int
        In Hz.
    origin : int
        First frame of the stretch in the recording.

    Returns
    -------
    BankedClick or None
        None where it does not stand alone, or hardly above the noise.
    """
    start, stop = int(shocks.starts[index]), int(shocks.stops[index])
    relevant = np.flatnonzero(shocks.peaks >= RELEVANT * shocks.peaks[index])
    here = int(np.searchsorted(relevant, index))
    before = int(shocks.stops[relevant[here - 1]]) if here else 0
    after = int(shocks.starts[relevant[here + 1]]) if here + 1 < relevant.size else len(sound)
    if start - before < QUIET_BEFORE_S * rate or after - stop < QUIET_AFTER_S * rate:
        return None
    low = start - round(LEAD_S * rate)
    if low < 0:
        return None
    swing = find_swing(sound, shocks, index, float(np.ptp(sound[start:stop], axis=0).max()), rate)
    if swing is not None:
        # Else the rumble would be guessed from the swing behind the clip.
        sound = sound.copy()
        sound[stop : stop + len(swing.waves)] -= swing.waves
    rough, slack = without_bed(sound, start, stop, after, beds, rate)
    quiet, rough = without_hiss(rough, shocks.filters, shocks.scale[start], slack, rate)
    inside = slice(max(0, start - low - 8), stop - low + 8)
    first, last = (k + inside.start for k in find_core(rough[inside], noise, rate))
    peak = float(np.max(np.abs(rough[first:last])))
    if np.max(np.max(np.abs(rough[first:last]), axis=0) / noise) < LEAST_LEVEL:
        return None
    ring = fit_clip_ring(rough, last, shocks.density(start), rate)
    if ring is not None and ring.decay_s > LONG_RING_S:
        struck = without_ring(rough, (first, last), ring, rate)
        first, last = (k + inside.start for k in find_core(struck[inside], noise, rate))
    clip, onset, cut = _finish(rough, quiet, first, last, noise, slack, peak, rate)
    near = np.abs(shocks.starts - start) <= CRACKLE_S * rate
    company = np.count_nonzero(near & (shocks.peaks >= CRACKLE_SHARE * shocks.peaks[index])) - 1
    width_s = (last - first) / rate
    kind = Kind.POP if width_s > TICK_S else Kind.TICK
    if kind is Kind.TICK and company >= CRACKLE_FEWEST:
        kind = Kind.CRACKLE
    left, right = find_balance(rough[first:last])
    thump_hz, thump_decay_s, thump_level_db = 0.0, 0.0, 0.0
    if swing is not None:
        kind = Kind.THUMP
        clip = _with_swing(clip, swing, stop - low - cut)
        thump_hz, thump_decay_s = swing.frequency_hz, swing.decay_s
        thump_level_db = 20.0 * math.log10(float(np.max(np.abs(swing.waves))) / peak)
    level = float(np.max(np.max(np.abs(clip), axis=0) / noise))
    ring_hz, ring_decay_s, ring_level_db = ring_values(ring, last, peak, rate)
    return BankedClick(
        samples=clip.astype(np.float32),
        sample_rate=rate,
        onset=onset,
        core_start=first - cut,
        core_stop=last - cut,
        kind=kind,
        peak=float(np.max(np.abs(clip))),
        level_db=20.0 * math.log10(level),
        left=left,
        right=right,
        ring_hz=ring_hz,
        ring_decay_s=ring_decay_s,
        ring_level_db=ring_level_db,
        thump_hz=thump_hz,
        thump_decay_s=thump_decay_s,
        thump_level_db=thump_level_db,
        spectrum_db=octave_spectrum(clip, rate),
        time_s=(origin + low + first) / rate,
    )


def _with_swing(clip: FloatArray, swing: ArmSwing, start: int) -> FloatArray:
    """Return a clip with the swing behind it."""
    longer = np.zeros((max(len(clip), start + len(swing.waves)), clip.shape[1]))
    longer[: len(clip)] = clip
    longer[start : start + len(swing.waves)] += swing.waves
    return longer


def _finish(
    rough: FloatArray,
    quiet: FloatArray,
    first: int,
    last: int,
    noise: FloatArray,
    slack: FloatArray,
    peak: float,
    rate: int,
) -> tuple[FloatArray, int, int]:
    """Join the core as it is with its quieted tail; return clip, onset and what was cut off."""
    margin = max(2, round(0.15e-3 * rate))
    weight = np.zeros(len(rough))
    weight[max(0, first - margin) : last + margin] = 1.0
    kernel = np.hanning(2 * margin + 1)
    weight = np.convolve(weight, kernel / kernel.sum(), mode="same")[:, None]
    clip = weight * rough + (1.0 - weight) * quiet
    floor = np.maximum(ENDS_NOISE * noise, np.maximum(ENDS_SHARE * peak, 2.0 * slack))
    floor = np.minimum(floor, CORE_SHARE * peak)
    height = np.max(np.abs(clip) / floor, axis=1)
    loud = np.flatnonzero(height >= 1.0)
    fade = max(4, round(FADE_S * rate))
    start = max(0, min(first, int(loud[0])) - fade // 2)
    stop = min(len(clip), max(last, int(loud[-1]) + 1) + 2 * fade)
    onset = max(0, min(first, int(loud[0])) - start)
    return fade_ends(clip[start:stop], max(onset, 1), fade), onset, start
