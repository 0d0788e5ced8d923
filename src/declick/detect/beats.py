"""Which clicks are the beats of a machine.

The network sees half a second. Over more of a record a drum is told from damage by what clicks
hardly do: it keeps a beat that the music rises with, or it is the same sound again, with the same
sound behind it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import rfft

from declick.clicks import Click, FloatArray
from declick.detect.spans import SPECK_MS

BoolArray = NDArray[np.bool_]
Read = Callable[[int, int], FloatArray]

# Clicks of all channels this close are one instant; those of so long are looked at together ...
_INSTANT_S: Final = 0.02
_WINDOW_S: Final = 30.0
# ... if they fall on at least so many beats; where there are more, none of them is one.
_FEWEST, _MOST_HZ = 15, 10.0
# Beats a second, down to sixteenth notes, tried in steps of so much, by times rounded to so many s.
_BEATS_HZ: Final = (1.0, 9.0)
_STEPS_HZ: Final = 1.0 / (6.0 * _WINDOW_S)
_ROUNDED_S: Final = 1.0 / 256.0
# They keep a beat where the mean of their phases, as a vector, is so long, and its square times
# their number so much: of windows of independent clicks one in 600 does so by chance, with all
# beats tried (Rayleigh's test). Those on the beat are those within this share of it.
_TOGETHER, _EVIDENCE = 0.85, 13.0
_ON_BEAT: Final = 0.12
# Onsets of drums, as the network finds them, scatter by more than so many s; what is more exact is
# taken for clicks that somebody has put there.
_EXACT_S: Final = 1e-3
# First differences, which hardly hear a thump, are louder behind a beat than before it, in dB of
# the median of all, over so many s from this far on. At places that have nothing to do with the
# music they are as often softer: the median of 60 was never above .3.
_RISE_DB: Final = 1.5
_RISE_S: Final = (0.002, 0.025)

# A turn of the disc, in s, at least and at most: 33 1/3, 45, and 70 to 82 rpm, for old 78s differ.
# A scratch, which may thump, is as regular as a beat, but most of its clicks come again after a
# turn, to so many s.
_TURNS_S: Final = ((1.782, 1.818), (1.32, 1.347), (60 / 82, 60 / 70))
_TRIED: Final = np.concatenate(
    [np.arange(shortest, longest, 1e-3) for shortest, longest in _TURNS_S]
)
_RETURNS_S: Final = 1.5e-3
_MOST_RETURN: Final = 0.5

# A sound from where it changes most, and what is behind it, in three parts between these s: in the
# last no ring of the pick-up goes on. Each is alike (cosine) and as loud (ratio) in so many others
# of the channel. Compared are the last so many, so far away in s, but none whole turns away: there
# a scratch comes again, and over silent groove nothing but its thump is heard behind it.
_PARTS_S: Final = (-0.002, 0.002, 0.024, 0.1)
_NEAR_CORE_S: Final = 1e-3
_ALIKE: Final = 0.9
_AS_LOUD: Final = 1.2
_OTHERS: Final = 2
_COMPARED, _NEAR_S, _FAR_S = 48, 0.05, 4.0
# Behind a beat it is louder than before (power): under clicks a tone goes on, and comes again, too.
_BEFORE_S: Final = (-0.024, -0.002)
_LOUDER: Final = 4.0

# The record is read in blocks, with this much around the clicks in each.
_BLOCK_S, _MARGIN_S = 10.0, 0.11


KEEPS_A_BEAT: Final = "keeps a beat"
"""Why a click is left alone."""


def find_beats(read: Read, clicks: Sequence[Click], *, sample_rate: float) -> set[Click]:
    """Return the clicks that are music.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives frames of the whole record, ``(frames, channels)``, with zeros
        beyond its ends.
    clicks : sequence of Click
        Ascending, of the whole record.
    sample_rate : float
        In Hz.

    Returns
    -------
    set of Click
        Those on the beat of a machine, and those that come again with what is behind them.
    """
    music: set[Click] = set()
    rises: dict[Click, float] = {}
    before: dict[int, deque[_Excerpt]] = {}
    for own in _excerpts(read, clicks, sample_rate):
        rises[own.click] = own.rise_db
        others = before.setdefault(own.click.channel, deque(maxlen=_COMPARED))
        for other in others:
            if min(own.others, other.others) < _OTHERS and own.is_like(other, sample_rate):
                own.others += 1
                other.others += 1
                music.update(one.click for one in (own, other) if one.others >= _OTHERS)
        others.append(own)
    # Among the ticks of a worn record it is the longer clicks that keep a beat.
    longer = [click for click in clicks if click.stop - click.start > SPECK_MS * 1e-3 * sample_rate]
    for some in (clicks, longer):
        times = [click.start / sample_rate for click in some]
        beats = on_beat(times, [rises[click] for click in some])
        music.update(click for click, beat in zip(some, beats, strict=True) if beat)
    return music


def on_beat(times_s: ArrayLike, rises_db: ArrayLike) -> BoolArray:
    """Return which clicks fall on the beat of a machine, as most around them do.

    Parameters
    ----------
    times_s : array-like, shape (clicks,)
        Times of clicks of all channels, ascending.
    rises_db : array-like, shape (clicks,)
        By how much the sound is louder behind each than before it.

    Returns
    -------
    ndarray of bool, shape (clicks,)
        Those on the beat of any half minute in which there is one.
    """
    times, rises = np.asarray(times_s, dtype=np.float64), np.asarray(rises_db, dtype=np.float64)
    result = np.zeros(times.size, dtype=bool)
    if not times.size:
        return result
    instants = times[np.diff(times, prepend=-math.inf) > _INSTANT_S]
    starts = np.arange(times[0], times[-1] + 1e-9, 0.5 * _WINDOW_S)
    for start in starts.tolist():
        within = instants[slice(*np.searchsorted(instants, (start, start + _WINDOW_S)))] - start
        if not _FEWEST <= within.size <= _MOST_HZ * _WINDOW_S:
            continue
        beat = _beat(within)
        if beat is None:
            continue
        some = slice(*np.searchsorted(times, (start, start + _WINDOW_S)))
        turn = (times[some] - start) * beat.hertz - beat.phase
        near = np.abs(turn - np.round(turn)) <= _ON_BEAT
        if near.any() and float(np.median(rises[some][near])) >= _RISE_DB:
            result[some] |= near
    return result


class _Beat(NamedTuple):
    """Beats a second, and the phase of the first, in beats."""

    hertz: float
    phase: float


def _beat(times: FloatArray) -> _Beat | None:
    """Return the beat that some times keep; None where there is none."""
    rounded = np.bincount((times / _ROUNDED_S).astype(np.intp))
    spectrum = np.abs(rfft(rounded, round(1.0 / (_STEPS_HZ * _ROUNDED_S))))
    lowest, highest = (round(hertz / _STEPS_HZ) for hertz in _BEATS_HZ)
    hertz = (lowest + int(np.argmax(spectrum[lowest:highest]))) * _STEPS_HZ
    vector = np.exp(2j * math.pi * hertz * times).mean()
    together, phase = float(np.abs(vector)), float(np.angle(vector)) / (2.0 * math.pi)
    if together < _TOGETHER or together**2 * times.size < _EVIDENCE:
        return None
    beats = np.round(times * hertz - phase)
    # Bursts, too, lie together.
    if np.unique(beats).size < _FEWEST:
        return None
    late = times - np.polyval(np.polyfit(beats, times, 1), beats)
    if float(np.median(np.abs(late))) < _EXACT_S or _returns(times):
        return None
    return _Beat(hertz, phase)


def _returns(times: FloatArray) -> bool:
    """Return whether most of some times come again after a turn of the disc."""
    for period in _TRIED:
        again = np.zeros(times.size, dtype=bool)
        for turn in (-period, period):
            low, high = (times + turn + reach for reach in (-_RETURNS_S, _RETURNS_S))
            again |= np.searchsorted(times, high) > np.searchsorted(times, low)
        if np.count_nonzero(again) >= _MOST_RETURN * times.size:
            return True
    return False


class _Excerpt:
    """A click and what is behind it, in first differences, from where the sound changes most.

    Parameters
    ----------
    click : Click
    change : ndarray, shape (frames,)
        First differences of its channel.
    start, stop : int
        Where the click is in `change`, with `_MARGIN_S` and more on each side.
    sample_rate : float
        In Hz.

    Attributes
    ----------
    rise_db : float
        By how much the sound is louder behind the click than before it.
    others : int
        How many are like it.
    """

    def __init__(
        self, click: Click, change: FloatArray, start: int, stop: int, sample_rate: float
    ) -> None:
        self.click, self.others = click, 0
        near, far = (round(s * sample_rate) for s in _RISE_S)
        rise = change[stop + near : stop + far], change[start - far : start - near]
        behind, before = (float(part @ part) + 1e-30 for part in rise)
        self.rise_db = 10.0 * math.log10(behind / before)
        low = start - round(_NEAR_CORE_S * sample_rate)
        at = low + int(np.argmax(np.abs(change[low:stop])))
        edges = [at + round(s * sample_rate) for s in _PARTS_S]
        self._parts = [change[first:last].copy() for first, last in pairwise(edges)]
        self._energies = [float(part @ part) for part in self._parts]
        first, last = (at + round(s * sample_rate) for s in _BEFORE_S)
        calm = change[first:last]
        self._is_attack = self._energies[1] > _LOUDER * float(calm @ calm)

    def is_like(self, other: _Excerpt, sample_rate: float) -> bool:
        """Return whether this is the same sound again, with the same behind it."""
        apart = abs(self.click.start - other.click.start) / sample_rate
        if not (self._is_attack and other._is_attack and _NEAR_S < apart < _FAR_S):
            return False
        if _is_turn(apart):
            return False
        energies = list(zip(self._energies, other._energies, strict=True))
        if not all(0.0 < mine < its * _AS_LOUD**2 < mine * _AS_LOUD**4 for mine, its in energies):
            return False
        return all(
            float(mine @ its) > _ALIKE * math.sqrt(energy * other_energy)
            for mine, its, (energy, other_energy) in zip(
                self._parts, other._parts, energies, strict=True
            )
        )


def _is_turn(seconds: float) -> bool:
    """Return whether a time may be that of whole turns of the disc."""
    return any(
        math.ceil(seconds / longest) <= math.floor(seconds / shortest)
        for shortest, longest in _TURNS_S
    )


def _excerpts(read: Read, clicks: Sequence[Click], sample_rate: float) -> Iterator[_Excerpt]:
    """Yield what is compared of each click."""
    block, margin = (round(s * sample_rate) for s in (_BLOCK_S, _MARGIN_S))
    for number, group in groupby(clicks, key=lambda click: click.start // block):
        own = list(group)
        low = number * block - margin
        change = np.diff(read(low, max(click.stop for click in own) + margin), axis=0)
        for click in own:
            start, stop = click.start - low, click.stop - low
            yield _Excerpt(click, change[:, click.channel], start, stop, sample_rate)
