"""What a copy says a recording should be: the copy, matched to it by short filters.

Every 0.4 s a filter is fitted by least squares to the sound around, with known damage
left out of both; between two of them the guide is cross-faded. Cartridge, equalization, gain and
what is left of a delay are taken into account so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

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
"""A filter is fitted this often, on a grid that is anchored at frame 0 ..."""

WINDOW_S: Final = 0.4
"""... to the sound that far on either side."""

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
somewhere behind, the music is lost, and the filter of its neighbourhood is the right one."""

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
    return round((HOP_S + WINDOW_S) * sample_rate) + _taps(sample_rate)[0] + 2


def follow(
    target: FloatArray,
    other: FloatArray,
    lost: BoolArray,
    other_lost: BoolArray,
    *,
    start: int,
    span: Run,
    sample_rate: float,
) -> Guide:
    """Match one channel of a copy to one of a recording.

    Parameters
    ----------
    target, other : ndarray of float64, shape (frames,)
        The recording and the copy on its time line, with `reach` beyond `span` where there is any.
    lost, other_lost : ndarray of bool, shape (frames,)
        Their known damage, and where they are not the same music.
    start : int
        Frame of the recording that index 0 is.
    span : (start, stop)
        Indices wanted.
    sample_rate : float
        In Hz.

    Returns
    -------
    Guide
        Of ``stop - start`` frames. What comes out for a frame does not depend on `span`.
    """
    hop, width = round(HOP_S * sample_rate), round(WINDOW_S * sample_rate)
    low, high = span
    first, last = (start + low) // hop, -(-(start + high) // hop)
    cells = [
        _fit(
            target,
            other,
            lost,
            other_lost,
            (cell * hop - start - width, cell * hop - start + width),
            sample_rate,
        )
        for cell in range(first, last + 1)
    ]
    filled = _nearest(_without_gaps(cells))
    samples, residual = np.zeros(high - low), np.ones(high - low)
    held = np.zeros(high - low, dtype=bool)
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(hop) + 0.5) / hop)
    for index in range(len(cells) - 1):
        here = (first + index) * hop - start
        lo, hi = max(here, low), min(here + hop, high)
        before, after = filled[index], filled[index + 1]
        if lo >= hi or before is None or after is None:
            continue
        weight = fade[lo - here : hi - here]
        sound = [_apply(other, fit.taps, (lo, hi), sample_rate) for fit in (before, after)]
        inside = slice(lo - low, hi - low)
        samples[inside] = sound[0] + weight * (sound[1] - sound[0])
        residual[inside] = before.residual + weight * (after.residual - before.residual)
        held[inside] = True
    return Guide(samples=samples, residual=residual, held=held)


@dataclass(frozen=True, eq=False)
class _Fit:
    taps: FloatArray
    residual: float


def _taps(sample_rate: float) -> tuple[int, int]:
    """Return the length of a filter, and how much of it looks ahead."""
    scale = min(max(sample_rate / 44100.0, 0.2), 2.2)
    return round(TAPS * scale), round(AHEAD * scale)


def _fit(
    target: FloatArray,
    other: FloatArray,
    lost: BoolArray,
    other_lost: BoolArray,
    window: Run,
    sample_rate: float,
) -> _Fit | None:
    """Fit one filter; None where there is not enough sound."""
    size, ahead = _taps(sample_rate)
    rough = round(ROUGH_S * sample_rate)
    low, high = max(window[0], 0), min(window[1], target.size)
    length = window[1] - window[0]
    if high - low < LEAST_SHARE * length:
        return None
    here = slice(low, high)
    taper = _hann(length)[low - window[0] : high - window[0]].copy()
    sounds = []
    for sound, mask in ((target, lost), (other, other_lost)):
        runs = runs_of(mask[here])
        for start, stop in runs:
            if stop - start > rough:
                taper[start:stop] = 0.0
        sounds.append(fill_roughly(sound[here], [run for run in runs if run[1] - run[0] <= rough]))
    if float(taper.sum()) < LEAST_SHARE * 0.5 * length:
        return None
    coefficients = prediction_filter(autocorrelation(sounds[0] * taper, ORDER))[0]
    first, second = (np.convolve(sound, coefficients)[: high - low] * taper for sound in sounds)
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
    guide = _apply(sounds[1], taps, (0, high - low), sample_rate)
    weight = taper**2
    left = float(np.dot(weight, (sounds[0] - guide) ** 2))
    return _Fit(taps=taps, residual=left / max(float(np.dot(weight, guide**2)), 1e-30))


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


def _without_gaps(cells: Sequence[_Fit | None]) -> list[_Fit | None]:
    """Drop the fits of places where the music is not the same, between others where it is."""
    left = [np.inf if cell is None else cell.residual for cell in cells]
    kept: list[_Fit | None] = []
    for index, cell in enumerate(cells):
        sides = min(left[:index], default=np.inf), min(left[index + 1 :], default=np.inf)
        gap = left[index] > GAP_RESIDUAL and left[index] > GAP_RISE * max(sides)
        kept.append(None if gap else cell)
    return kept


def _nearest(cells: Sequence[_Fit | None]) -> list[_Fit | None]:
    """Give cells without a fit that of the nearest; of two as near, the less residual."""
    known = [index for index, cell in enumerate(cells) if cell is not None]
    result: list[_Fit | None] = []
    for index in range(len(cells)):
        if not known:
            result.append(None)
            continue

        def distance(other: int, index: int = index) -> tuple[int, float]:
            fit = cells[other]
            return abs(other - index), fit.residual if fit is not None else np.inf

        result.append(cells[min(known, key=distance)])
    return result


def runs_of(mask: BoolArray) -> list[Run]:
    """Return the runs ``[start, stop)`` of a mask, ascending."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def mask_of(
    spans: Iterable[tuple[int, int, int]], *, start: int, frames: int, channels: int
) -> BoolArray:
    """Return where spans ``(start, stop, channel)`` lie in a stretch, shape (frames, channels)."""
    mask = np.zeros((frames, channels), dtype=bool)
    for low, high, channel in spans:
        mask[max(low - start, 0) : max(high - start, 0), channel] = True
    return mask
