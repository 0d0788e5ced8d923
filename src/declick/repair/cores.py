"""Where a core begins and ends, judged by what the music should have been there.

A detector sees the corners of a push: the stretch between the two corners of a pop is smooth, and
its prediction error is small. So where the sound beside a core stands far out of its surroundings,
the whole neighbourhood is interpolated, and the core is taken to be what differs from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.repair.ar import Interpolation, ModelSize, interpolate, interpolate_again

Core = tuple[int, int]


class SettledCore(NamedTuple):
    """A core with its ends settled, and which of the given cores it came from."""

    start: int
    stop: int
    first: int
    last: int


# How far beside a core its neighbourhood reaches where that stands out, and where it does not.
REACH_MS: Final = 3.0
MARGIN_MS: Final = 0.3
# A core that has grown by more than this is interpolated by a model of its own again.
GROWN_MS: Final = 0.5
# How often the ends may move on.
ROUNDS: Final = 4
# How far apart two corners of a pop may be.
BURST_MS: Final = 8.0
# The surroundings whose level is the measure.
SURROUNDINGS_MS: Final = 25.0
# A neighbourhood is looked at where its peak is this many times the surroundings' usual peak.
STANDS_OUT: Final = 1.1
USUAL: Final = 0.8
# ... and behind a core that stands out itself, or is longer than this: what the push leaves behind
# it is slow, and no corner for a detector.
WIDE_MS: Final = 0.35
# A sample is lost where the damage exceeds this share of the level: more gains nothing on real
# clicks, whose weak skirts still hold the music.
LOST_SHARE: Final = 0.2
# ... and this many times the error that the interpolation is expected to have.
LOST_ERRORS: Final = 2.0
# The least part of an extension that must be lost by itself.
LOST_PART: Final = 0.5
# Where the sound from 4 to 12 ms behind a core has this many times the power of that before it, a
# note begins there: what differs from an interpolation is the note.
ONSET_MS: Final = (4.0, 12.0)
ONSET_RISE: Final = 4.0
# A core of another channel is one of this channel, too, where the damage has this share of the
# level and this many times the expected error, as rms.
COMPANION_SHARE: Final = 0.7
COMPANION_ERRORS: Final = 3.0
# Two cores are ends of one gouge where what lies between has been lost by these measures.
LEAST_REST_MS: Final = 0.1
BETWEEN_SHARE: Final = 0.6
BETWEEN_ERRORS: Final = 2.0
# Shorter rests inside a core are lost too: a slow push crosses zero.
REST_MS: Final = 0.7
_ORDER, _CONTEXT = 256, 3072


def settle_cores(
    samples: FloatArray, cores: Sequence[Core], *, sample_rate: float
) -> list[SettledCore]:
    """Return the cores with their ends where the damage ends; corners of one pop are joined.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        One channel, with 60 ms of context around the cores where there is any.
    cores : sequence of (start, stop)
        Half-open frames, ascending and disjoint.
    sample_rate : float
        In Hz.

    Returns
    -------
    list of SettledCore
        Ascending and disjoint; no more of them than before.
    """
    burst = max(2, round(BURST_MS * 1e-3 * sample_rate))
    lost = np.zeros(samples.size, dtype=bool)
    for start, stop in cores:
        lost[start:stop] = True
    settled: list[SettledCore] = []
    index = 0
    while index < len(cores):
        first = last = index
        around = _surroundings(samples, lost, cores[first], sample_rate)
        while (
            last + 1 < len(cores)
            and cores[last + 1][0] - cores[last][1] <= burst
            and cores[last + 1][1] - cores[first][0] <= 3 * burst
            and (
                _stands_out(samples, cores[last][1], cores[last + 1][0], around)
                or _lost_between(samples, cores, first, last + 1, around.level, sample_rate)
            )
        ):
            last += 1
        group = list(cores[first : last + 1])
        bounds = (
            settled[-1].stop if settled else 0,
            cores[last + 1][0] if last + 1 < len(cores) else samples.size,
        )
        others = [*cores[max(0, first - 64) : first], *cores[last + 1 : last + 65]]
        core = _settle(samples, group, others, bounds, around, sample_rate)
        if core is not None:
            settled.append(SettledCore(*core, first, last))
            index = last + 1
            continue
        settled += [
            SettledCore(*core, number, number) for number, core in enumerate(group, start=first)
        ]
        index = last + 1
    return settled


class _Surroundings(NamedTuple):
    """How loud it is around a core: rms level, and the peaks that the music has there."""

    level: float
    peak: float


def _surroundings(
    samples: FloatArray, lost: NDArray[np.bool_], core: Core, sample_rate: float
) -> _Surroundings:
    """Measure the sound around a core, cell by cell, so that no click dominates it."""
    span = round(SURROUNDINGS_MS * 1e-3 * sample_rate)
    cell = max(1, round(2e-3 * sample_rate))
    powers, peaks = [], []
    for start in (core[0] - span, core[1]):
        first = max(0, -(start // cell))
        cells = min(span // cell, (samples.size - start) // cell) - first
        if cells <= 0:
            continue
        low = start + first * cell
        parts = samples[low : low + cells * cell].reshape(cells, cell)
        sound = ~lost[low : low + cells * cell].reshape(cells, cell).any(axis=1)
        parts = parts[sound]
        powers.append(np.einsum("ij,ij->i", parts, parts))
        peaks.append(np.abs(parts).max(axis=1))
    if not sum(part.size for part in powers):
        return _Surroundings(0.0, 0.0)
    power, peak = np.concatenate(powers), np.sort(np.concatenate(peaks))
    usual = float(peak[int(USUAL * (peak.size - 1))])
    return _Surroundings(float(np.sqrt(np.median(power) / cell)), usual)


def _stands_out(samples: FloatArray, low: int, high: int, around: _Surroundings) -> bool:
    """Return whether the sound between two frames is much louder than its surroundings."""
    if high <= low or around.level <= 0.0:
        return False
    return bool(np.abs(samples[low:high]).max() > STANDS_OUT * around.peak)


def _lost_between(
    samples: FloatArray,
    cores: Sequence[Core],
    first: int,
    last: int,
    level: float,
    sample_rate: float,
) -> bool:
    """Return whether the sound between the last two of some cores is not what it should be."""
    low, high = cores[last - 1][1], cores[last][0]
    # A core of the context may go on beyond what is heard of it.
    if high - low < LEAST_REST_MS * 1e-3 * sample_rate or cores[last][1] > samples.size:
        return False
    window = cores[first][0], cores[last][1]
    others = [*cores[max(0, first - 64) : first], *cores[last + 1 : last + 65]]
    if _is_onset(samples, window, sample_rate):
        return False
    difference, error, _ = _difference(samples, window, others, sample_rate)
    rest = difference[low - window[0] : high - window[0]]
    strength = float(np.sqrt(np.mean(rest**2)))
    return strength > max(BETWEEN_SHARE * level, BETWEEN_ERRORS * error)


def _settle(
    samples: FloatArray,
    group: list[Core],
    others: list[Core],
    bounds: Core,
    around: _Surroundings,
    sample_rate: float,
) -> Core | None:
    """Return the core that a group is part of, None where nothing beside it stands out."""
    reach, margin = (round(ms * 1e-3 * sample_rate) for ms in (REACH_MS, MARGIN_MS))
    hull = group[0][0], group[-1][1]
    core = hull
    onset = _is_onset(samples, hull, sample_rate)
    wide = hull[1] - hull[0] > WIDE_MS * 1e-3 * sample_rate
    strong = wide or _stands_out(samples, *hull, around)
    grown = round(GROWN_MS * 1e-3 * sample_rate)
    model: Interpolation | None = None
    for _ in range(ROUNDS):
        low, high = max(core[0] - reach, bounds[0]), min(core[1] + reach, bounds[1])
        left = _stands_out(samples, low, core[0], around)
        right = not onset and (strong or _stands_out(samples, core[1], high, around))
        if not (left or right) and (len(group) == 1 or core != hull):
            break
        low = low if left else max(core[0] - margin, bounds[0])
        high = high if right else min(core[1] + margin, bounds[1])
        difference, error, model = _difference(samples, (low, high), others, sample_rate, model)
        least = max(LOST_SHARE * around.level, LOST_ERRORS * error)
        first, last = _lost(np.flatnonzero(np.abs(difference) > least) + low, core, sample_rate)
        # What goes on beyond the window to the right is a tail, or a louder note.
        last = core[1] if last >= high - 1 else last
        moved = min(first, hull[0]), max(last, hull[1])
        if moved == core:
            break
        if core[0] - moved[0] > grown or moved[1] - core[1] > grown:
            model = None  # it has learned from damage
        core = moved
    return core if core != hull or len(group) > 1 else None


def _is_onset(samples: FloatArray, core: Core, sample_rate: float) -> bool:
    """Return whether it stays louder behind a core: a note begins there, or a tail follows."""
    near, far = (round(ms * 1e-3 * sample_rate) for ms in ONSET_MS)
    before = samples[max(0, core[0] - far) : max(0, core[0] - near)]
    after = samples[core[1] + near : core[1] + far]
    if not before.size or not after.size:
        return False
    return bool(np.mean(after**2) > ONSET_RISE * np.mean(before**2))


def _extension(distances: NDArray[np.intp], rest: int) -> int:
    """Return how far damage goes on: over short rests, and lost for the greater part."""
    breaks = np.flatnonzero(np.diff(distances, prepend=-1) > rest)
    distances = distances[: breaks[0]] if breaks.size else distances
    dense = np.arange(1, distances.size + 1) >= LOST_PART * (distances + 1)
    return int(distances[dense][-1]) + 1 if dense.any() else 0


def _lost(frames: NDArray[np.intp], core: Core, sample_rate: float) -> Core:
    """Return the core that reaches over the frames that differ from the interpolation."""
    rest = round(REST_MS * 1e-3 * sample_rate)
    first = core[0] - _extension((core[0] - 1 - frames[frames < core[0]])[::-1], rest)
    last = core[1] + _extension(frames[frames >= core[1]] - core[1], rest)
    if first == core[0] and last == core[1] and frames.size:
        inside = frames[(frames >= core[0]) & (frames < core[1])]
        if inside.size:
            first, last = int(inside[0]), int(inside[-1]) + 1
    return first, last


def _difference(
    samples: FloatArray,
    window: Core,
    others: Sequence[Core],
    sample_rate: float,
    model: Interpolation | None = None,
) -> tuple[FloatArray, float, Interpolation]:
    """Return a window's difference to a rough interpolation, and the error to expect of that.

    With the model of an earlier window this is quick.
    """
    low, high = window
    near = round(0.06 * sample_rate)
    start, stop = max(0, low - near), min(samples.size, high + near)
    wanted = (low - start, high - start)
    runs = [
        (max(a - start, 0), min(b, stop) - start)
        for a, b in others
        if b > start and a < stop and not (a < high and b > low)
    ]
    runs = sorted([*runs, wanted])
    if model is not None and np.isfinite(model.variance[0]):
        filled = interpolate_again(samples[start:stop], runs, wanted, model)
    else:
        scale = sample_rate / 44100.0
        size = ModelSize(order=round(_ORDER * min(scale, 4.0)), context=round(_CONTEXT * scale))
        filled = interpolate(
            samples[start:stop],
            runs,
            [wanted],
            sizes=[size],
            sample_rate=round(sample_rate),
            rough=True,
        )
    error = float(np.sqrt(filled.error_energy[0] / (high - low)))
    return samples[low:high] - filled.samples[slice(*wanted)], error, filled


def find_companions(
    samples: FloatArray, cores: Sequence[Core], elsewhere: Sequence[Core], *, sample_rate: float
) -> list[Core]:
    """Return the cores of another channel that have damaged this one, too.

    A smooth pop may be plain in one channel and hidden from the detector in the other; the time is
    known, so the sound there need only be compared with its interpolation.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        One channel.
    cores : sequence of (start, stop)
        The cores known in it; they may overlap.
    elsewhere : sequence of (start, stop)
        Cores of another channel, ascending.
    sample_rate : float
        In Hz.
    """
    lost = np.zeros(samples.size, dtype=bool)
    for start, stop in cores:
        lost[max(start, 0) : max(stop, 0)] = True
    edges = np.flatnonzero(np.diff(lost, prepend=False, append=False)).tolist()
    known = list(zip(edges[::2], edges[1::2], strict=True))
    found: list[Core] = []
    for core in elsewhere:
        if core[0] < 0 or core[1] > samples.size or lost[slice(*core)].any():
            continue
        around = _surroundings(samples, lost, core, sample_rate)
        if not _stands_out(samples, *core, around) or _is_onset(samples, core, sample_rate):
            continue
        difference, error, _ = _difference(samples, core, known, sample_rate)
        strength = float(np.sqrt(np.mean(difference**2)))
        if strength > max(COMPANION_SHARE * around.level, COMPANION_ERRORS * error):
            found.append(core)
    return found
