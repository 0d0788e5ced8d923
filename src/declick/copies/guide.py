"""What a copy says a recording should be: the copy, matched to it by short filters.

Every 0.4 s a filter is fitted by least squares to the sound around, with known damage
left out of both; between two of them the guide is cross-faded. Cartridge, equalization, gain and
what is left of a delay are taken into account so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import LinAlgError, solve_toeplitz

from declick.clicks import FloatArray
from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.stereo import fill_roughly

BoolArray = NDArray[np.bool_]
Run = tuple[int, int]

HOP_S: Final = 0.4
"""A filter is fitted this often, on a grid that is anchored at frame 0, to as much sound on either
side."""

TAPS: Final = 384
"""Length of a filter at 44.1 kHz: a difference of bass takes milliseconds to die away ..."""

AHEAD: Final = 64
"""... and this much of it looks ahead, where an equalization is to be undone."""

ORDER: Final = 2
"""Order of the model that whitens for the fit: between what is heard and what is interpolated."""

ROUGH_S: Final = 0.004
"""Known damage up to this length is filled roughly; longer is left out of the fit."""

LEAST_SHARE: Final = 0.65
"""Less sound than this share of the window fits nothing: the nearest filter is taken."""

GAP_RESIDUAL: Final = 10**-1.2
GAP_RISE: Final = 10.0
"""Where more than this is left of the music, and this many times as much as somewhere before and
somewhere behind, the music is lost, and the filter of its neighbourhood is the right one ..."""

LOUDER: Final = 10.0
"""... and so it is where the filter lets this many times less or more through, in power, than some
before and some behind: what has all but gone is matched to the very silence."""

NEIGHBOURS: Final = 5
"""A neighbourhood is so many filters to either side: past a needle that skips for two seconds."""

LOADING: Final = 1e-5
"""White noise added to the copy's model, relative to its power."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Guide:
    """A copy, matched.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        What the recording should be by this copy; zeros where it is not `held`.
    residual : ndarray of float64, shape (frames,)
        Power of what is left of the recording, relative to the guide's own, by the sound around:
        0.0001 is a null of 40 dB.
    held : ndarray of bool, shape (frames,)
        Where there was enough sound to fit a filter.
    """

    samples: FloatArray
    residual: FloatArray
    held: BoolArray


def reach(sample_rate: float) -> int:
    """Return how many frames beside a stretch its guide depends on."""
    return round(((2 + NEIGHBOURS) * HOP_S + 2 * ROUGH_S) * sample_rate) + _taps(sample_rate)[0] + 2


class Matching:
    """One channel of a copy, to be matched to one of a recording.

    Parameters
    ----------
    target, other : ndarray of float64, shape (frames,)
        The recording and the copy on its time line, with `reach` beyond what is wanted where there
        is any.
    lost, other_lost : ndarray of bool, shape (frames,)
        Their known damage, and where they are not the same music.
    start : int
        Frame of the recording that index 0 is.
    sample_rate : float
        In Hz.
    """

    def __init__(
        self,
        target: FloatArray,
        other: FloatArray,
        lost: BoolArray,
        other_lost: BoolArray,
        *,
        start: int,
        sample_rate: float,
    ) -> None:
        self._sounds, self._lost = (target, other), (lost, other_lost)
        self._start, self._rate = start, sample_rate
        self._hop = round(HOP_S * sample_rate)
        self._level = _Levels(target, other, lost | other_lost)
        # Stretches that are near each other have filters in common.
        self._fits: dict[int, _Fit | None] = {}
        self._cells: dict[int, _Cell] = {}

    def guide(self, span: Run, other: FloatArray | None = None) -> Guide:
        """Return what the recording should be by the copy.

        Parameters
        ----------
        span : (start, stop)
            Indices wanted.
        other : ndarray of float64, shape (frames,), optional
            What the copy is taken to play in place of what the filters are fitted to.

        Returns
        -------
        Guide
            Of ``stop - start`` frames. What comes out for a frame does not depend on `span`.
        """
        low, high = span
        hop = self._hop
        other = self._sounds[1] if other is None else other
        first, last = (self._start + low) // hop, -(-(self._start + high) // hop)
        filters = [self._filter(cell) for cell in range(first, last + 1)]
        samples, residual = np.zeros(high - low), np.ones(high - low)
        held = np.zeros(high - low, dtype=bool)
        fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(hop) + 0.5) / hop)
        for cell, (before, after) in enumerate(pairwise(filters), start=first):
            here = cell * hop - self._start
            lo, hi = max(here, low), min(here + hop, high)
            if lo >= hi or before is None or after is None:
                continue
            weight = fade[lo - here : hi - here]
            sound = [_apply(other, fit.taps, (lo, hi), self._rate) for fit in (before, after)]
            inside = slice(lo - low, hi - low)
            samples[inside] = sound[0] + weight * (sound[1] - sound[0])
            residual[inside] = before.residual + weight * (after.residual - before.residual)
            held[inside] = True
        return Guide(samples=samples, residual=residual, held=held)

    def _filter(self, cell: int) -> _Fit | None:
        """Return the filter of a cell, or one of its neighbourhood where that is the right one."""
        own = self._fit(cell)
        sides = [[cell + way * near for near in range(1, NEIGHBOURS + 1)] for way in (-1, 1)]
        ratios = [[self._level.ratio(self._window(near)) for near in side] for side in sides]
        uneven = _stands_out(self._level.ratio(self._window(cell)), ratios)
        if own is None or own.residual > GAP_RESIDUAL or uneven:
            return _replaced(own, [[self._fit(near) for near in side] for side in sides])
        return own

    def _fit(self, cell: int) -> _Fit | None:
        if cell not in self._fits:
            before, behind = self._cell(cell - 1), self._cell(cell)
            self._fits[cell] = _fit(before, behind, self._window(cell), self._rate)
        return self._fits[cell]

    def _cell(self, cell: int) -> _Cell:
        """Return both sounds between two filters, as they are fitted."""
        if cell not in self._cells:
            rough = round(ROUGH_S * self._rate)
            low = cell * self._hop - self._start
            cut = slice(*np.clip((low, low + self._hop), 0, self._sounds[0].size).tolist())
            around = slice(max(cut.start - 2 * rough, 0), cut.stop + 2 * rough)
            inside = slice(cut.start - around.start, cut.stop - around.start)
            sounds, kept = [], np.ones(cut.stop - cut.start, dtype=bool)
            for sound, mask in zip(self._sounds, self._lost, strict=True):
                long, short = _by_length(runs_of(mask[around]), rough)
                sounds.append(fill_roughly(sound[around], short)[inside])
                for start, stop in long:
                    kept[max(start - inside.start, 0) : max(stop - inside.start, 0)] = False
            self._cells[cell] = _Cell(np.stack(sounds), kept)
        return self._cells[cell]

    def _window(self, cell: int) -> Run:
        middle = cell * self._hop - self._start
        return middle - self._hop, middle + self._hop


class _Cell(NamedTuple):
    """Both sounds, shape (2, frames), known damage filled; all but what is `kept` is too long."""

    sounds: FloatArray
    kept: BoolArray


@dataclass(frozen=True, eq=False)
class _Fit:
    taps: FloatArray
    residual: float
    gain: float


def _taps(sample_rate: float) -> tuple[int, int]:
    """Return the length of a filter, and how much of it looks ahead."""
    scale = min(max(sample_rate / 44100.0, 0.2), 2.2)
    return round(TAPS * scale), round(AHEAD * scale)


def _by_length(runs: Sequence[Run], most: int) -> tuple[list[Run], list[Run]]:
    """Return the runs that are longer than that, and those that are not."""
    long = [run for run in runs if run[1] - run[0] > most]
    return long, [run for run in runs if run[1] - run[0] <= most]


def _fit(before: _Cell, behind: _Cell, window: Run, sample_rate: float) -> _Fit | None:
    """Fit one filter to two cells; None where there is not enough sound."""
    size, ahead = _taps(sample_rate)
    length = window[1] - window[0]
    kept = np.concatenate((before.kept, behind.kept))
    if kept.size < LEAST_SHARE * length:
        return None
    begin = max(-window[0], 0)
    taper = np.where(kept, _hann(length)[begin : begin + kept.size], 0.0)
    if float(taper.sum()) < LEAST_SHARE * 0.5 * length:
        return None
    sounds = np.concatenate((before.sounds, behind.sounds), axis=1)
    coefficients = prediction_filter(autocorrelation(sounds[0] * taper, ORDER))[0]
    first, second = (np.convolve(sound, coefficients)[: kept.size] * taper for sound in sounds)
    auto = autocorrelation(second, size - 1)
    power = float(np.dot(first, first))
    if not (auto[0] > 1e-12 * power and power > 0.0):
        return None
    auto[0] *= 1.0 + LOADING
    padded = fft.next_fast_len(first.size + size, real=True)
    spectra = fft.rfft(np.stack([first, second]), padded)
    cross = fft.irfft(spectra[0] * spectra[1].conj(), padded)
    lags = np.concatenate([cross[-ahead:], cross[: size - ahead]]) if ahead else cross[:size]
    try:
        taps = solve_toeplitz(auto, lags, check_finite=False)
    except LinAlgError:
        return None
    guide = _apply(sounds[1], taps, (0, kept.size), sample_rate)
    weight = taper**2
    left, matched, heard = (
        float(np.dot(weight, sound**2)) for sound in (sounds[0] - guide, guide, sounds[1])
    )
    return _Fit(taps=taps, residual=left / max(matched, 1e-30), gain=matched / max(heard, 1e-30))


@lru_cache(maxsize=4)
def _hann(length: int) -> FloatArray:
    window = np.hanning(length + 2)[1:-1]
    window.flags.writeable = False
    return window


def _apply(sound: FloatArray, taps: FloatArray, span: Run, sample_rate: float) -> FloatArray:
    """Return the filtered sound of a span."""
    ahead = _taps(sample_rate)[1]
    low, high = span[0] - (taps.size - 1 - ahead), span[1] + ahead
    part = np.zeros(high - low)
    inside = slice(max(low, 0), min(high, sound.size))
    part[inside.start - low : inside.stop - low] = sound[inside]
    size = fft.next_fast_len(part.size, real=True)
    product = fft.irfft(fft.rfft(part, size) * fft.rfft(taps, size), size)
    return np.asarray(product[taps.size - 1 : part.size])


class _Levels:
    """How loud one sound is beside another, where both are undamaged."""

    def __init__(self, target: FloatArray, other: FloatArray, lost: BoolArray) -> None:
        self._sums = [
            np.concatenate([[0.0], np.cumsum(np.where(lost, 0.0, sound**2))])
            for sound in (target, other)
        ]

    def ratio(self, window: Run) -> float:
        """Return the ratio of their powers; NaN where nothing is heard of them."""
        low, high = (min(max(edge, 0), self._sums[0].size - 1) for edge in window)
        one, two = (float(sums[high] - sums[low]) for sums in self._sums)
        return one / two if min(one, two) > 0.0 else np.nan


def _stands_out(value: float, sides: Sequence[Sequence[float]]) -> bool:
    """Return whether a value is far below, or far above, something on either side of it."""
    known = [[other for other in side if np.isfinite(other)] for side in sides]
    if not all(known):
        return False
    below = value * LOUDER < min(max(side) for side in known)
    return below or value > LOUDER * max(min(side) for side in known)


def _replaced(own: _Fit | None, sides: Sequence[Sequence[_Fit | None]]) -> _Fit | None:
    """Return a neighbour's fit where there is none, or the music is not the same; else its own.

    Of the neighbours the nearest counts that leaves little and is as strong as most; of two as
    near, the one with the less residual.
    """
    if own is not None:
        known = [[fit for fit in side if fit is not None] for side in sides]
        least = [min((fit.residual for fit in side), default=np.inf) for side in known]
        lost = own.residual > GAP_RESIDUAL and own.residual > GAP_RISE * max(least)
        if not (lost or _stands_out(own.gain, [[fit.gain for fit in side] for side in known])):
            return own

    near = [(i, fit) for side in sides for i, fit in enumerate(side) if fit is not None]
    usual = np.median([fit.gain for _, fit in near if fit.residual <= GAP_RESIDUAL] or [1.0])

    def order(item: tuple[int, _Fit]) -> tuple[bool, int, float]:
        distance, fit = item
        odd = not usual / LOUDER < fit.gain < usual * LOUDER
        return odd or fit.residual > GAP_RESIDUAL, distance, fit.residual

    return min(near, key=order, default=(0, None))[1]


def runs_of(mask: BoolArray) -> list[Run]:
    """Return the runs ``[start, stop)`` of a mask, ascending."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
