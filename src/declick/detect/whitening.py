"""The prediction error of a whole tile, forward and backward in time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray

# Samples that are transformed together: no more than fit into the processor's cache.
_TOGETHER = 1 << 15


def levinson(autocorrelation: FloatArray) -> FloatArray:
    """Solve many Yule-Walker systems at once.

    Parameters
    ----------
    autocorrelation : ndarray, shape (order + 1, batch)
        Positive definite columns.

    Returns
    -------
    ndarray, shape (order + 1, batch)
        Prediction error filters; the first coefficient is 1.
    """
    predictor = np.zeros(autocorrelation.shape)
    predictor[0] = 1.0
    error = autocorrelation[0].copy()
    for m in range(1, len(predictor)):
        # einsum, unlike BLAS, does not depend on the batch.
        reflection = np.einsum("ij,ij->j", predictor[:m], autocorrelation[m:0:-1]) / -error
        predictor[1 : m + 1] += reflection * predictor[m - 1 :: -1]
        error *= np.maximum(1.0 - reflection**2, 1e-12)
    return predictor


@lru_cache(maxsize=8)
def _first_lags(size: int, lags: int) -> FloatArray:
    """Return the matrix that turns a Hann-tapered power spectrum into mean correlations."""
    bins = np.arange(size // 2 + 1)
    double = np.full(bins.size, 2.0)
    double[0] = double[-1] = 1.0
    cosines = np.cos(2.0 * np.pi * np.outer(bins, np.arange(lags)) / size)
    # A quarter, since `_tapered_power` is of twice the amplitude.
    return np.asarray(double[:, None] * cosines / (4.0 * 0.375 * size**2))


def whiten(
    signals: NDArray[np.floating], *, order: int, hop: int, floor: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the forward and the backward prediction error, and what predicts.

    Parameters
    ----------
    signals : ndarray, shape (signals, frames)
        `frames` a multiple of `hop`.
    order, hop : int
        Order of the predictor and frames for which it holds; it is estimated over ``2 * hop``.
    floor : float
        Amplitude of white noise that the signals are supposed to hold at least.

    Returns
    -------
    forward, backward : ndarray of float32, shape (signals, frames)
    predictors : ndarray of float32, shape (signals, frames // hop, order + 1)
        Prediction error filters.
    """
    count, frames = signals.shape
    size, hops = 2 * hop, frames // hop
    padded = np.zeros((count, frames + size), dtype=np.float32)
    padded[:, hop:-hop] = signals
    together = max(1, _TOGETHER // size)
    parts = [
        (number, slice(first, first + together))
        for number in range(count)
        for first in range(0, hops, together)
    ]
    windows = sliding_window_view(padded, size, axis=1)[:, hop // 2 : -hop // 2 : hop]
    correlation = np.empty((order + 1, count, hops))
    for number, some in parts:
        power = _tapered_power(scipy.fft.rfft(windows[number, some], axis=-1))
        # The first lags alone: cheaper than a whole inverse transform.
        correlation[:, number, some] = (power @ _first_lags(size, order + 1)).T
    correlation[0] *= 1.0 + 1e-9
    correlation[0] += floor**2
    predictors = levinson(correlation.reshape(order + 1, -1)).astype(np.float32)
    predictors = predictors.T.reshape(count, hops, order + 1)
    forward, backward = (np.empty((count, hops, hop), dtype=np.float32) for _ in range(2))
    # Each hop with what the filter reaches to at both its ends.
    windows = sliding_window_view(padded, hop + 2 * order, axis=1)[:, hop - order :: hop][:, :hops]
    size, inner = scipy.fft.next_fast_len(hop + 2 * order, real=True), slice(order, order + hop)
    for number, some in parts:
        spectrum = scipy.fft.rfft(windows[number, some], size, axis=-1)
        response = scipy.fft.rfft(predictors[number, some], size, axis=-1)
        error = scipy.fft.irfft(spectrum * response, size, axis=-1, overwrite_x=True)
        forward[number, some] = error[:, inner]
        np.conj(response, out=response)
        response *= spectrum
        error = scipy.fft.irfft(response, size, axis=-1, overwrite_x=True)
        backward[number, some] = error[:, inner]
    return forward.reshape(count, -1), backward.reshape(count, -1), predictors


def _tapered_power(spectrum: NDArray[np.complex64]) -> FloatArray:
    """Return the power spectrum of the Hann-tapered sound from the spectrum without a taper."""
    # A Hann taper is three neighbouring bins: no second transform is needed for it.
    parts = spectrum.view(np.float32)
    tapered = np.zeros_like(parts)
    inner = tapered[:, 2:-2]
    np.add(parts[:, :-4], parts[:, 4:], out=inner)
    inner *= np.float32(-0.5)
    inner += parts[:, 2:-2]
    tapered[:, 0] = parts[:, 0] - parts[:, 2]
    tapered[:, -2] = parts[:, -2] - parts[:, -4]
    tapered *= tapered
    return np.add(tapered[:, ::2], tapered[:, 1::2], dtype=np.float64)
