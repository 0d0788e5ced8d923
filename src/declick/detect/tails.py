"""Find the rings and thumps that follow the cores of clicks, and where they end.

Two looks. A cheap one, over all cores at once: is there a narrow band (a ring), or the lowest
octaves (a thump), louder just after the core than before it and later on? Where there is, a fit
under a model of the music (`declick.dsp.tailfit`) decides. A drum or a note that begins at the
core is louder in many bands and stays so after the fit; it is let alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

from declick.clicks import Kind
from declick.detect.swings import APART_S, LONGEST_S, find_thump, tallest
from declick.detect.tail_thresholds import TailThresholds
from declick.dsp.chain import PLAIN_SPREAD, Chain
from declick.dsp.rings import FittedRing, Ring
from declick.dsp.tailfit import RIVAL_PUSH, bridge, core_start, fit_tail_rings
from declick.dsp.thumps import FittedThump, Swing

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

context_ms = 700.0
"""Sound before and after a core that `find_tails` looks at; less is enough at a file's ends."""

_RING_WINDOW_S = 0.011
_THUMP_WINDOW_S = 0.07
_LONGEST_RING_S = 0.08
_CORES_AT_ONCE = 256
_SHORTEST_FIT_S = 0.003


DEFAULT_THRESHOLDS: Final = TailThresholds()


class FoundTail(NamedTuple):
    """What follows a core.

    Parameters
    ----------
    end : int
        The core's end where nothing does.
    kind : Kind or None
        `Kind.THUMP` for a thump.
    thump : FittedThump or None
        That begins here.
    rise_db : float
        Of the bass, over before and later; -inf where nobody looked.
    """

    end: int
    kind: Kind | None = None
    thump: FittedThump | None = None
    rise_db: float = -math.inf


def find_tails(
    samples: FloatArray,
    cores: Sequence[tuple[int, int]],
    *,
    sample_rate: float,
    chain: Chain | None = None,
    channel: int = 0,
    sure: Sequence[bool] | None = None,
    swings: Mapping[int, Swing] | None = None,
    thresholds: TailThresholds = DEFAULT_THRESHOLDS,
) -> list[FoundTail]:
    """Say for each core whether a ring or a thump follows it, and where that ends.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        One channel, with `context_ms` around the cores where there is any.
    cores : sequence of (start, stop)
        Half-open frames of `samples`, ascending: where the music is lost.
    sample_rate : float
        In Hz.
    chain : Chain, optional
        The record's rings: they are found at a lower level, and no others are looked for. Thumps
        like its swing are found, too, where they hide.
    channel : int
        Which channel of the chain this is.
    sure : sequence of bool, optional
        Which cores may have set anything swinging; by default all.
    swings : mapping from int to Swing, optional
        How the other channel swings behind a core of this one, by its index.
    thresholds : TailThresholds

    Returns
    -------
    list of FoundTail
        For each core; none ends beyond the start of the next core.
    """
    result = [FoundTail(stop) for _, stop in cores]
    if not cores:
        return result
    missing: BoolArray = np.zeros(samples.size, dtype=bool)
    for start, stop in cores:
        missing[start:stop] = True
    sound = bridge(samples, missing)
    edges = np.array(cores, dtype=np.int64)
    guesses = chain.channel_rings(channel) if chain is not None else ()
    expected = bool(guesses)
    ring_rise, thump_rise = (np.full(len(cores), -np.inf) for _ in range(2))
    # Between the cores the two do not differ, so that a core's peak is that up to the next one.
    pushes = np.maximum.reduceat(np.abs(samples - sound), edges[:, 0])
    strong = pushes >= thresholds.core_level * _levels(sound, edges, sample_rate)
    if sure is not None:
        strong &= np.array(sure)
    swings = swings or {}
    strong[list(swings)] = True
    if not strong.any():
        return result
    hertz = [ring.frequency_hz for ring in guesses]
    ring_rise[strong], thump_rise[strong] = _rises(sound, edges[strong], sample_rate, hertz)
    ring_least = thresholds.ring_rise_db * (0.75 if expected else 1.0)
    thump_least = thresholds.thump_rise_db
    # Where a tail is likely, the sound is no yardstick for the music beside another core.
    ring_dirt = _mark(samples.size, edges, ring_rise >= ring_least, _LONGEST_RING_S * sample_rate)
    thump_dirt = _mark(
        samples.size, edges, thump_rise >= thump_least, 0.6 * LONGEST_S * sample_rate
    )
    limits = [start for start, _ in cores[1:]] + [samples.size]
    arm = chain.swing if chain is not None else None
    if arm is not None:
        thump_least = thresholds.expected_rise_db
    for index in np.flatnonzero(strong).tolist():
        result[index] = result[index]._replace(rise_db=float(thump_rise[index]))
    chosen = tallest(edges, thump_rise, thump_least, APART_S * sample_rate)
    for index in sorted({*chosen, *swings}):
        start, stop = cores[index]
        if stop - start < thresholds.thump_core_ms * 1e-3 * sample_rate:
            continue
        end, thump = find_thump(
            sound,
            missing,
            thump_dirt,
            stop,
            float(pushes[index]),
            sample_rate,
            thresholds,
            swings.get(index, arm),
        )
        if thump is not None:
            result[index] = result[index]._replace(thump=thump)
            _carry(result, cores, limits, index, end, Kind.THUMP)
    if chain is not None and not expected:
        return result
    reached = 0
    for index in np.flatnonzero(strong).tolist():
        # Where a ring comes into a click there is no sound before it to rise over.
        if ring_rise[index] < ring_least and cores[index][0] > reached:
            continue
        if result[index].kind is Kind.THUMP:
            continue
        stop = cores[index][1]
        longest = min(stop + round(_LONGEST_RING_S * sample_rate), samples.size)
        # What rings on under a weaker core does not end there.
        tail = _rival(index, edges, pushes, longest)
        if tail - stop < _SHORTEST_FIT_S * sample_rate:
            continue
        rings = fit_tail_rings(
            sound,
            missing,
            stop,
            tail,
            sample_rate=sample_rate,
            guesses=guesses,
            fresh=not expected,
            dirty=ring_dirt,
            passes=1,
        )
        ends = [
            _ring_end(sound, missing, stop, ring, sample_rate, thresholds, guesses)
            for ring in rings
        ]
        reached = max(reached, max(ends, default=stop))
        _carry(result, cores, limits, index, min(max(ends, default=stop), tail), None)
    return result


def _carry(
    result: list[FoundTail],
    cores: Sequence[tuple[int, int]],
    limits: Sequence[int],
    index: int,
    end: int,
    kind: Kind | None,
) -> None:
    """Let a tail reach its end, in place: under the clicks that follow, their tails carry it."""
    while index < len(cores) and cores[index][1] < end:
        found = result[index]
        longest = max(found.end, min(end, limits[index]))
        if longest > cores[index][1]:
            result[index] = found._replace(end=longest, kind=kind or found.kind)
        index += 1


def _rival(index: int, edges: NDArray[np.int64], pushes: FloatArray, end: int) -> int:
    """Return where the next core before `end` begins that was pushed hard enough, or `end`."""
    for other in range(index + 1, len(edges)):
        if edges[other, 0] >= end:
            break
        if pushes[other] >= RIVAL_PUSH * pushes[index]:
            return int(edges[other, 0])
    return end


def _levels(sound: FloatArray, edges: NDArray[np.int64], sample_rate: float) -> FloatArray:
    """Return the level of the sound before each core."""
    reach = max(1, round(0.025 * sample_rate))
    power = np.concatenate(([0.0], np.cumsum(sound**2)))
    low = np.maximum(edges[:, 0] - reach, 0)
    high = edges[:, 0]
    level = np.sqrt(np.maximum(power[high] - power[low], 0.0) / np.maximum(high - low, 1))
    return np.asarray(level + 1e-9)


def _windows(sound: FloatArray, starts: NDArray[np.int64], window: FloatArray) -> FloatArray:
    """Return the power spectra of windows; those beyond the ends see zeros."""
    size = window.size
    outside = (starts < 0) | (starts + size > sound.size)
    cut = np.empty((starts.size, size))
    if sound.size >= size:
        cut[:] = sliding_window_view(sound, size)[np.where(outside, 0, starts)]
    for index in np.flatnonzero(outside):
        start = int(starts[index])
        low, high = max(start, 0), min(start + size, sound.size)
        cut[index] = 0.0
        if low < high:
            cut[index, low - start : high - start] = sound[low:high]
    cut -= cut.mean(axis=1, keepdims=True)
    cut *= window
    spectrum = rfft(cut, axis=1, overwrite_x=True)
    power: FloatArray = spectrum.real**2 + spectrum.imag**2
    return power


def _mark(size: int, edges: NDArray[np.int64], chosen: BoolArray, frames: float) -> BoolArray:
    """Return the sound behind the chosen cores."""
    marked: BoolArray = np.zeros(size, dtype=bool)
    for stop in edges[chosen, 1]:
        marked[stop : stop + round(frames)] = True
    return marked


def _decaying(seconds: float, sample_rate: float) -> FloatArray:
    """Return a window that rises within an eighth and then falls, like a tail."""
    size = max(32, round(seconds * sample_rate))
    rise = size // 8
    up = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise)
    down = 0.5 + 0.5 * np.cos(np.pi * (np.arange(size - rise) + 0.5) / (size - rise))
    return np.concatenate((up, down))


def _rises(
    sound: FloatArray, edges: NDArray[np.int64], sample_rate: float, expected: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return how many dB the most risen high band, and the bass, exceed before and later.

    Where rings are expected, only bands near their frequencies count, and only what was before:
    later the next click may ring.
    """
    short = _decaying(_RING_WINDOW_S, sample_rate)
    long = _decaying(_THUMP_WINDOW_S, sample_rate)
    hertz = np.arange(short.size // 2 + 1) * (sample_rate / short.size)
    high = (hertz >= 1200.0) & (hertz <= 0.45 * sample_rate)
    near = np.array([any(abs(f - ring) < 0.08 * ring for ring in expected) for f in hertz[high]])
    near = near if near.any() else np.ones_like(near)
    bass = slice(1, max(2, math.ceil(120.0 * long.size / sample_rate)))
    rings, thumps = [], []
    for begin in range(0, len(edges), _CORES_AT_ONCE):
        start, stop = edges[begin : begin + _CORES_AT_ONCE].T
        after = _windows(sound, stop, short)[:, high]
        quiet = np.maximum(
            _windows(sound, start - short.size, short)[:, high],
            _windows(sound, start - 2 * short.size, short)[:, high],
        )
        if not expected:
            later = _windows(sound, stop + round(0.055 * sample_rate), short)[:, high]
            quiet = np.maximum(quiet, later)
        floor = 1e-4 * quiet.mean(axis=1, keepdims=True) + 1e-30
        rise = 10.0 * np.log10((after + floor) / (quiet + floor))
        # An attack lifts all bands, a ring one.
        rings.append(rise[:, near].max(axis=1) - np.maximum(np.median(rise, axis=1), 0.0))
        loud = _windows(sound, stop, long)[:, bass].sum(axis=1)
        still = np.maximum(
            _windows(sound, start - long.size, long)[:, bass].sum(axis=1),
            _windows(sound, stop + 2 * long.size, long)[:, bass].sum(axis=1),
        )
        thumps.append(10.0 * np.log10((loud + 1e-30) / (still + 1e-30)))
    return np.concatenate(rings), np.concatenate(thumps)


def _ring_end(
    sound: FloatArray,
    missing: BoolArray,
    stop: int,
    fitted: FittedRing,
    sample_rate: float,
    thresholds: TailThresholds,
    expected: Sequence[Ring],
) -> int:
    """Return where a ring sinks below the music of its band; `stop` where it is not credible."""
    least = thresholds.chain_evidence if expected else thresholds.ring_evidence
    if fitted.evidence < least:
        return stop
    # Music that begins at a click does not have the chain's frequency, nearly to the Hertz.
    plain = fitted.evidence >= thresholds.ring_evidence and any(
        abs(fitted.ring.frequency_hz / ring.frequency_hz - 1.0) < PLAIN_SPREAD for ring in expected
    )
    if fitted.unrest > thresholds.unrest and not plain:
        return stop
    start = core_start(missing, stop, round(0.025 * sample_rate))
    size = round(0.1 * sample_rate)
    before = sound[max(0, start - size) : start]
    if before.size < 64:
        return stop
    power = rfft(before * np.hanning(before.size))
    hertz = np.arange(power.size) * (sample_rate / before.size)
    near = np.abs(np.log2(np.maximum(hertz, 1.0) / fitted.ring.frequency_hz)) < 0.5
    level = math.sqrt(2.0 * float(np.sum(np.abs(power[near]) ** 2)) / (0.375 * before.size**2))
    target = level * 10.0 ** (thresholds.end_db / 20.0) + 1e-12
    ratio = abs(fitted.amplitude) / (math.sqrt(2.0) * target)
    seconds = fitted.ring.decay_s * min(math.log(max(ratio, 1.0)), 7.0)
    frames = round(seconds * sample_rate)
    return stop + frames if seconds * 1e3 >= thresholds.shortest_ms else stop
