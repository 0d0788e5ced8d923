"""How good a restoration is: pure functions of arrays and events, each with its convention.

Everywhere: `clean` is what a perfect repair returns (music and its noise bed), `worn` is what a
tool was given, `restored` what it gave back; float64, shape (frames, channels), full scale 1.
An error is the difference from `clean`. Spans are half-open frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from declick.clicks import Click, FloatArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# A sample counts as changed if it moved by more than this: one step of a 16-bit file.
EPSILON = 2.0**-15
# Neighbouring changes (or cores) up to this far apart are one event.
FUSE_S = 1e-3
# A found event may lie this far beside the true one.
COLLAR_S = 2e-3
# A tool that changes more than this share of all frames finds no events: it modulates everything.
EVERYTHING = 0.5
# The rounding noise of a 24-bit file, per sample: no error is smaller.
_ROUNDING = (2.0**-23) ** 2 / 12


@dataclass(frozen=True, kw_only=True, order=True)
class Event:
    """Damage at one time, over all channels: core ``[start, stop)`` and tail ``[stop, tail)``."""

    start: int
    stop: int
    tail: int


def events_of(clicks: Iterable[Click], sample_rate: float) -> list[Event]:
    """Fuse true clicks over channels: cores less than `FUSE_S` apart are one event.

    Parameters
    ----------
    clicks : iterable of Click
    sample_rate : float
        In Hz.

    Returns
    -------
    list of Event
        Ascending; the cores are disjoint, the tails may reach into later events.
    """
    reach = round(FUSE_S * sample_rate)
    events: list[Event] = []
    for click in sorted(clicks):
        if events and click.start - events[-1].stop <= reach:
            last = events.pop()
            events.append(
                Event(
                    start=last.start,
                    stop=max(last.stop, click.stop),
                    tail=max(last.tail, click.tail),
                )
            )
        else:
            events.append(Event(start=click.start, stop=click.stop, tail=click.tail))
    return events


def error_energy(clean: FloatArray, sound: FloatArray, where: BoolArray | None = None) -> float:
    """Return the energy of ``sound - clean``, never below the rounding noise of 24 bits.

    Parameters
    ----------
    clean, sound : ndarray, shape (frames, channels)
    where : ndarray of bool, same shape, optional
        The samples that count; all by default.
    """
    error = sound - clean
    if where is not None:
        error = error[where]
    return float(np.sum(error**2)) + _ROUNDING * error.size


def snr_gain_db(
    clean: FloatArray, worn: FloatArray, restored: FloatArray, where: BoolArray | None = None
) -> float:
    """Return by how much the error fell, in dB.

    Convention: energy of the worn error over that of the restored one, both over the same samples
    (`where`: all by default) and both with the rounding noise of 24 bits added, so that a perfect
    repair has a finite gain. NaN if there is no damage on these samples.
    """
    if where is not None and not where.any():
        return float("nan")
    before = error_energy(clean, worn, where)
    size = clean.size if where is None else int(np.count_nonzero(where))
    if before <= 2 * _ROUNDING * size:
        return float("nan")
    return float(10 * np.log10(before / error_energy(clean, restored, where)))


def damaged_samples(clean: FloatArray, worn: FloatArray, sample_rate: float) -> BoolArray:
    """Return which samples damage has moved, by more than `EPSILON`.

    Convention: gaps of up to `FUSE_S` between moved samples of a channel count as moved (a ring
    crosses zero), and so does the same time at both ends.
    """
    moved = np.abs(worn - clean) > EPSILON
    reach = round(FUSE_S * sample_rate)
    return np.asarray(scipy.ndimage.maximum_filter1d(moved, 2 * reach + 1, axis=0))


def touched_frames(worn: FloatArray, restored: FloatArray) -> BoolArray:
    """Return the frames that a tool changed in any channel by more than `EPSILON`."""
    return np.asarray((np.abs(restored - worn) > EPSILON).any(axis=1))


def touched_per_minute(worn: FloatArray, restored: FloatArray, sample_rate: float) -> float:
    """Return how many frames a tool changed per minute (see `touched_frames`)."""
    minutes = len(worn) / sample_rate / 60
    return float(np.count_nonzero(touched_frames(worn, restored)) / minutes)


def spans_of(mask: BoolArray, fuse: int = 0) -> IntArray:
    """Return the runs of a mask as spans; runs up to `fuse` frames apart are one.

    Returns
    -------
    ndarray of int, shape (spans, 2)
        Half-open, ascending.
    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    if not starts.size:
        return np.zeros((0, 2), dtype=np.int64)
    apart = starts[1:] - stops[:-1] > fuse
    kept = np.stack([starts[np.r_[True, apart]], stops[np.r_[apart, True]]], axis=1)
    return kept.astype(np.int64)


def found_spans(worn: FloatArray, restored: FloatArray, sample_rate: float) -> IntArray | None:
    """Return what a tool took for events: stretches of touched frames, fused over `FUSE_S`.

    A tool gives sound only, so its changes are its events. Convention: None if it touches more
    than half of all frames; such a tool modulates everything, and no events can be told.
    """
    touched = touched_frames(worn, restored)
    if touched.size and np.mean(touched) > EVERYTHING:
        return None
    return spans_of(touched, round(FUSE_S * sample_rate))


def match_spans(true: IntArray, found: IntArray, collar: int) -> list[tuple[int, int]]:
    """Pair true spans with found ones, as many as can be, each at most once.

    Convention: a pair may be formed if the found span meets the true one widened by `collar`
    frames at both ends; maximum bipartite matching, as in mir_eval.

    Parameters
    ----------
    true, found : ndarray of int, shape (n, 2)
        Ascending.
    collar : int
        In frames.

    Returns
    -------
    list of (int, int)
        Index of the true span, index of the found one.
    """
    if not len(true) or not len(found):
        return []
    first = np.searchsorted(found[:, 1], true[:, 0] - collar, side="right")
    last = np.searchsorted(found[:, 0], true[:, 1] + collar, side="left")
    counts = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(true)), counts)
    offsets = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = np.repeat(first, counts) + offsets
    graph = csr_matrix((np.ones(rows.size), (rows, columns)), shape=(len(true), len(found)))
    matched = maximum_bipartite_matching(graph, perm_type="column")
    return [(row, int(column)) for row, column in enumerate(matched) if column >= 0]


@dataclass(frozen=True, kw_only=True)
class Detected:
    """How many events were found: `hits` of `true`, and `false` ones where no damage is."""

    true: int
    hits: int
    false: int

    @property
    def recall(self) -> float:
        """Hits among the true events; NaN without any."""
        return self.hits / self.true if self.true else float("nan")

    @property
    def precision(self) -> float:
        """Hits among hits and false alarms; NaN if nothing was found."""
        found = self.hits + self.false
        return self.hits / found if found else float("nan")


def count_detected(
    events: Sequence[Event], found: IntArray, damaged: BoolArray, sample_rate: float
) -> Detected:
    """Count hits and false alarms.

    Convention: cores are matched with found spans (`match_spans`, collar `COLLAR_S`). A found span
    that is left over is false only if no damaged frame lies in it: second pieces of one repair and
    repairs of damage too weak to count as an event are neither right nor wrong.

    Parameters
    ----------
    events : sequence of Event
    found : ndarray of int, shape (n, 2)
    damaged : ndarray of bool, shape (frames, channels)
    sample_rate : float
        In Hz.
    """
    true = np.array([(event.start, event.stop) for event in events], dtype=np.int64).reshape(-1, 2)
    pairs = match_spans(true, found, round(COLLAR_S * sample_rate))
    taken = {column for _, column in pairs}
    before = np.r_[0, np.cumsum(damaged.any(axis=1))]
    empty = before[found[:, 1]] == before[found[:, 0]]
    false = sum(bool(empty[index]) for index in range(len(found)) if index not in taken)
    return Detected(true=len(true), hits=len(pairs), false=false)


def event_gains_db(
    clean: FloatArray, worn: FloatArray, restored: FloatArray, events: Sequence[Event]
) -> FloatArray:
    """Return by how much the error of each event fell, in dB.

    Convention: error energy over ``[start, tail)`` and all channels; what lies there of other
    events counts, too.
    """
    return np.array(
        [
            10
            * np.log10(
                error_energy(clean[e.start : e.tail], worn[e.start : e.tail])
                / error_energy(clean[e.start : e.tail], restored[e.start : e.tail])
            )
            for e in events
        ]
    )


def gap_sdr_db(clean: FloatArray, restored: FloatArray, clicks: Sequence[Click]) -> FloatArray:
    """Return the signal-to-error ratio in each core, in dB.

    Convention: energy of the clean sound over that of the error, over ``[start, stop)`` of the
    click's own channel; NaN for an empty core.
    """
    values = np.full(len(clicks), np.nan)
    for index, click in enumerate(clicks):
        if click.stop > click.start:
            core = slice(click.start, click.stop), slice(click.channel, click.channel + 1)
            energy = float(np.sum(clean[core] ** 2)) + _ROUNDING * (click.stop - click.start)
            values[index] = 10 * np.log10(energy / error_energy(clean[core], restored[core]))
    return values


def off_target_energy(worn: FloatArray, restored: FloatArray, damaged: BoolArray) -> float:
    """Return the energy of what a tool took out of undamaged samples (see `damaged_samples`).

    In dB over the music: ``10 * log10(off_target_energy / sum(clean**2))``.
    """
    return float(np.sum((restored - worn)[~damaged] ** 2))


def log_spectral_distance_db(
    clean: FloatArray,
    sound: FloatArray,
    events: Sequence[Event],
    sample_rate: float,
    *,
    around_s: float = 0.05,
) -> float:
    """Return the log-spectral distance around events, in dB; 0 is perfect.

    Convention: 2048-frame Hann windows, hop 512, channels apart; the windows whose centre lies
    within `around_s` of an event's core; power spectra from 50 Hz to 16 kHz with a floor 90 dB
    under the excerpt's greatest; root mean square over frequency, mean over windows and channels.
    NaN without events or if the sound is shorter than a window.
    """
    size, hop = 2048, 512
    if not events or len(clean) < size:
        return float("nan")
    centres = np.arange(0, len(clean) - size + 1, hop) + size // 2
    reach = round(around_s * sample_rate)
    edges = np.zeros(len(clean) + 1, dtype=np.int64)
    for event in events:
        edges[max(0, event.start - reach)] += 1
        edges[min(len(clean), event.stop + reach)] -= 1
    chosen = [int(index) * hop for index in np.flatnonzero(np.cumsum(edges)[centres] > 0)]
    if not chosen:
        return float("nan")
    window = scipy.signal.windows.hann(size, sym=False)[:, None]
    low, high = round(50 * size / sample_rate), round(16000 * size / sample_rate)

    def power(sound: FloatArray, start: int) -> FloatArray:
        spectrum = np.fft.rfft(sound[start : start + size] * window, axis=0)
        return np.asarray(np.abs(spectrum[low : high + 1]) ** 2)

    spectra = [(power(clean, start), power(sound, start)) for start in chosen]
    floor = 1e-9 * max(float(true.max()) for true, _ in spectra) + 1e-20
    distances = [
        np.sqrt(np.mean((10 * np.log10((got + floor) / (true + floor))) ** 2, axis=0))
        for true, got in spectra
    ]
    return float(np.mean(distances))
