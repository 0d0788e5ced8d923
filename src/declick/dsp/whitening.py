"""Least squares under an autoregressive model of the music, where some samples are lost.

Something known but for a few numbers (a ring, a thump) lies over the music. The music is white
once it is filtered by its own prediction error filter, so the best fit of the intruder is a plain
least-squares fit of the filtered intruder to the filtered sound: generalized least squares. Lost
samples are further unknowns of the same fit; they are projected out, never guessed.

Source: Godsill & Rayner, Digital Audio Restoration (1998), chapters 4 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import solve_toeplitz
from scipy.linalg.lapack import dgesv, dpotrf, dtrtrs

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
ComplexArray = NDArray[np.complex128]

# A model of ten thousand decibels of range is a model of rounding errors.
_RIDGE = 1e-9
MOST_LOST = 1200
_LARGE = 100_000


def autocorrelation(stretches: Sequence[FloatArray], order: int) -> FloatArray:
    """Sum the autocorrelation of tapered stretches, lags 0 to `order`."""
    total = np.zeros(order + 1)
    for stretch in stretches:
        if stretch.size < 8:
            continue
        size = next_fast_len(stretch.size + order + 1, real=True)
        spectrum = rfft(stretch * np.hanning(stretch.size + 2)[1:-1], size)
        total += irfft(spectrum.real**2 + spectrum.imag**2, size)[: order + 1]
    return total


def prediction_error_filter(stretches: Sequence[FloatArray], order: int) -> FloatArray:
    """Fit the filter that whitens the music, by the autocorrelation method.

    Parameters
    ----------
    stretches : sequence of ndarray
        Music around the place to mend; each is tapered and adds to one autocorrelation.
    order : int
        Lowered where the stretches are too short for it.

    Returns
    -------
    ndarray, shape (order + 1,)
        ``1, a1, a2, ...``; a lone 1 in digital silence.
    """
    order = min(order, sum(stretch.size for stretch in stretches) // 3)
    lags = autocorrelation(stretches, max(order, 0))
    if order < 1 or not lags[0] > 0.0:
        return np.ones(1)
    lags[0] *= 1.0 + _RIDGE
    return np.concatenate(([1.0], solve_toeplitz(lags[:-1], -lags[1:])))


class WhitenedFit:
    """Least-squares fits to one stretch of sound, whitened, with the lost samples projected out.

    Parameters
    ----------
    error_filter : ndarray, shape (order + 1,)
    history : ndarray
        The sound just before the stretch, at best three times as long as the filter; zeros are
        taken for what is wanting.
    sound : ndarray, shape (frames,)
    lost : ndarray of bool, shape (frames,)
        Samples of `sound` that hold no music. At most the first 1200 are unknowns of the fit; the
        rest keep the value that they have.
    weight : ndarray, shape (frames,), optional
        How much each whitened sample counts, 0..1; all alike otherwise. `whiten_powers`, `matched`
        and `calm_variance` know of no weights.

    Attributes
    ----------
    error : ndarray, shape (frames,)
        The whitened sound, the lost samples taken for zero.
    sound_energy : float
        Energy of the whitened sound, the lost samples projected out.
    calm_variance : float
        Variance of the whitened history; NaN without one.
    """

    def __init__(
        self,
        error_filter: FloatArray,
        history: FloatArray,
        sound: FloatArray,
        lost: BoolArray,
        weight: FloatArray | None = None,
    ) -> None:
        self.frames = sound.size
        self.order = error_filter.size - 1
        self.lost = np.flatnonzero(lost)[:MOST_LOST]
        self.error_filter = error_filter
        self._size = next_fast_len(self.frames + 2 * self.order, real=True)
        self._response = rfft(error_filter, self._size)
        known = sound.copy()
        known[self.lost] = 0.0
        lead = history[max(0, history.size - 3 * self.order) :]
        lead = np.concatenate((np.zeros(max(0, self.order - lead.size)), lead))
        size = next_fast_len(lead.size + self.frames + self.order, real=True)
        whole = irfft(rfft(np.concatenate((lead, known)), size) * rfft(error_filter, size), size)
        self.error = whole[lead.size : lead.size + self.frames]
        calm = whole[self.order : lead.size]
        self.calm_variance = float(np.mean(calm**2)) if calm.size else math.nan
        self._weight = weight
        self._answers = self._answer() if self.lost.size else None
        if weight is not None:
            self.error = self.error * weight
        self._factor = self._factorize() if self.lost.size else None
        self._touch = self.see(self.error[None, :])[0]
        self.sound_energy = float(self.error @ self.error) - float(self._touch @ self._touch)

    def _factorize(self) -> FloatArray:
        """Return Cholesky's lower factor of the normal equations of the lost samples."""
        if self._weight is not None and self._answers is not None:
            gram = self._answers.T @ self._answers
            gram[np.diag_indices_from(gram)] *= 1.0 + 1e-10
            return _lower_factor(gram)
        gram = self._lost_gram()
        cut = self.lost + self.order >= self.frames
        if cut.any():
            # Equations beyond the end of the stretch are not there: take them out again.
            rows = np.arange(self.frames, self.frames + self.order)
            steps = rows[:, None] - self.lost[None, cut]
            padded = np.concatenate((self.error_filter, [0.0]))
            beyond = padded[np.minimum(steps, self.order + 1)]
            gram[np.ix_(cut, cut)] -= beyond.T @ beyond
        return _lower_factor(gram)

    def _lost_gram(self) -> FloatArray:
        """Return the products of the lost samples' answers, as if the stretch did not end."""
        span = int(self.lost[-1] - self.lost[0]) + 1
        lags = self.filter_lags(max(span, self.order + 1))
        lags[0] *= 1.0 + 1e-10
        gram: FloatArray
        if span == self.lost.size:
            # One run: each row is the one above it, moved by one.
            mirrored = np.concatenate((lags[span - 1 : 0 : -1], lags[:span]))
            gram = sliding_window_view(mirrored, span)[::-1].copy()
        else:
            gram = lags[np.abs(self.lost[:, None] - self.lost[None, :])]
        return gram

    def _answer(self) -> FloatArray | None:
        """Return the whitened lost samples as columns; None where that would be a large matrix."""
        self._answers_from = int(self.lost[0])
        self._answers_to = min(self.frames, int(self.lost[-1]) + self.order + 1)
        rows = np.arange(self._answers_from, self._answers_to)
        if rows.size * self.lost.size > _LARGE and self._weight is None:
            return None
        steps = rows[:, None] - self.lost[None, :]
        padded = np.concatenate((self.error_filter, [0.0]))
        steps[(steps < 0) | (steps > self.order)] = self.order + 1
        answers: FloatArray = padded[steps]
        if self._weight is not None:
            answers *= self._weight[rows, None]
        return answers

    def _correlate(self, rows: FloatArray) -> FloatArray:
        """Apply the transposed filter."""
        spectrum = rfft(rows, self._size) * np.conj(self._response)
        result: FloatArray = irfft(spectrum, self._size)[..., : self.frames]
        return result

    def whiten(self, columns: FloatArray) -> FloatArray:
        """Filter columns ``(count, frames)`` that are zero before the stretch."""
        spectrum = rfft(columns, self._size) * self._response
        result: FloatArray = irfft(spectrum, self._size)[..., : self.frames]
        return result if self._weight is None else result * self._weight

    def whiten_powers(self, log_poles: ComplexArray, onset: int) -> ComplexArray:
        """Filter ``exp(log_pole * n)`` and ``n * exp(log_pole * n)``, n from `onset`, in one go.

        The answer to a power of the pole is that power times a sum that grows for as long as the
        filter is; nothing needs to be convolved.

        Returns
        -------
        ndarray of complex, shape (2, poles, frames)
        """
        frames = self.frames - onset
        order = min(self.order, frames - 1)
        poles = np.asarray(log_poles)[:, None]
        coarse = np.exp(poles * np.arange(0, frames, 64))
        fine = np.exp(poles * np.arange(64))
        powers = (coarse[:, :, None] * fine[:, None, :]).reshape(len(poles), -1)[:, :frames]
        steps = np.arange(order + 1)
        terms = self.error_filter[: order + 1] * np.exp(-poles * steps)
        sums = np.empty((2, len(poles), frames), dtype=np.complex128)
        np.cumsum(terms, axis=1, out=sums[0, :, : order + 1])
        np.cumsum(terms * steps, axis=1, out=sums[1, :, : order + 1])
        sums[:, :, order + 1 :] = sums[:, :, order : order + 1]
        result = np.zeros((2, len(poles), self.frames), dtype=np.complex128)
        result[0, :, onset:] = powers * sums[0]
        result[1, :, onset:] = powers * (np.arange(frames) * sums[0] - sums[1])
        return result

    def normal_equations(self, white: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the normal equations of a fit of whitened rows ``(count, frames)``.

        Returns
        -------
        tuple of ndarray
            The rows' Gram matrix and their products with the sound, both with the lost samples
            projected out.
        """
        gram = white @ white.T
        right = white @ self.error
        if self._factor is not None:
            seen = self.see(white)
            gram -= seen @ seen.T
            right -= seen @ self._touch
        return gram, right

    def hide(self, columns: FloatArray, onset: int) -> FloatArray:
        """Return how much of whitened columns the lost samples explain, on a stretch without end.

        Parameters
        ----------
        columns : ndarray, shape (count, n)
            Zero before `onset`, where they begin.
        onset : int

        Returns
        -------
        ndarray, shape (count, lost samples)
            Its rows' products are what the columns' Gram matrix loses.
        """
        if self._factor is None:
            return np.zeros((len(columns), 0))
        columns = columns[:, : max(0, int(self.lost[-1]) + self.order + 1 - onset)]
        distance = np.abs(np.arange(columns.shape[1])[:, None] + (onset - self.lost)[None, :])
        seen = columns @ self.filter_lags(int(distance.max(initial=0)) + 1)[distance]
        factor = self._factor
        if self.lost[-1] + self.order >= self.frames:
            factor = _lower_factor(self._lost_gram())
        return solve_lower(factor, seen.T).T

    def see(self, white: FloatArray) -> FloatArray:
        """Return how much of whitened rows the lost samples explain, as `hide` does."""
        if self._factor is None:
            return np.zeros((len(white), 0))
        if self._answers is None:
            seen = self._correlate(white)[:, self.lost]
        else:
            seen = white[:, self._answers_from : self._answers_to] @ self._answers
        return solve_lower(self._factor, seen.T).T

    def lost_equations(self) -> tuple[FloatArray, FloatArray]:
        """Return Cholesky's lower factor of the lost samples' normal equations, and their answer.

        Returns
        -------
        factor : ndarray, shape (lost samples, lost samples)
        touch : ndarray, shape (lost samples,)
            Times the factor: the products of the whitened lost samples with the whitened sound.
        """
        if self._factor is None:
            return np.zeros((0, 0)), np.zeros(0)
        return np.tril(self._factor), self._touch

    def matched(self) -> FloatArray:
        """Return the product of the projected sound with a whitened impulse at every sample."""
        error = self.error
        if self._factor is not None:
            filled = np.zeros(self.frames)
            filled[self.lost] = solve_lower(self._factor, self._touch, transposed=True)
            error = error - self.whiten(filled)
        return self._correlate(error)

    def judge(self, explained: float, numbers: int) -> tuple[float, float]:
        """Return the evidence for a fit, and the unrest of what it leaves.

        Parameters
        ----------
        explained : float
            Whitened energy that the fit explains.
        numbers : int
            How many numbers were fitted.
        """
        degrees = max(self.frames - self.lost.size - numbers, 1)
        left = max(self.sound_energy - explained, 1e-300) / degrees
        unrest = left / self.calm_variance if self.calm_variance > 0.0 else 1.0
        return explained / left, unrest

    def interpolate(self) -> FloatArray:
        """Return the least-squares values of the lost samples (`lost` in order)."""
        if self._factor is None:
            return np.zeros(0)
        return -solve_lower(self._factor, self._touch, transposed=True)

    def filter_lags(self, size: int) -> FloatArray:
        """Return the autocorrelation of the error filter, lags 0 to ``size - 1``, zero-padded."""
        lags = np.zeros(size)
        count = min(size, self.order + 1)
        lags[:count] = irfft(np.abs(self._response) ** 2, self._size)[:count]
        return lags


def _lower_factor(gram: FloatArray) -> FloatArray:
    """Return Cholesky's lower factor."""
    # A symmetric matrix transposed is the same, and in LAPACK's order.
    factor, failed = dpotrf(gram.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the lost samples are not told apart")
    return np.asarray(factor)


def solve_lower(factor: FloatArray, right: FloatArray, *, transposed: bool = False) -> FloatArray:
    """Solve a system whose matrix is a lower factor, or its transpose."""
    solved: FloatArray = dtrtrs(factor, right, lower=1, trans=int(transposed))[0]
    return solved


def solve_fit(gram: FloatArray, right: FloatArray) -> tuple[FloatArray, float]:
    """Solve small normal equations; return the coefficients and the energy that they explain."""
    size = len(gram)
    system = gram.copy()
    diagonal = system.reshape(-1)[:: size + 1]
    diagonal += 1e-12 * float(diagonal.sum()) / max(size, 1) + 1e-300
    _, _, coefficients, failed = dgesv(system, right, overwrite_a=1)
    if failed:
        return np.zeros_like(right), 0.0
    return coefficients, float(right @ coefficients)
