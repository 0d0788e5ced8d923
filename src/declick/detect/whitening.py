"""The prediction error of a whole tile, forward and backward in time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray


def levinson(autocorrelation: FloatArray) -> FloatArray:
    """Solve many Yule-Walker systems at once.

    Parameters
    ----------
    autocorrelation : ndarray, shape (batch, order + 1)
        Positive definite rows.

    Returns
    -------
    ndarray, shape (batch, order + 1)
        Prediction error filters; the first coefficient is 1.
    """
    batch, lags = autocorrelation.shape
    predictor = np.zeros((batch, lags))
    predictor[:, 0] = 1.0
    error = autocorrelation[:, 0].copy()
    for m in range(1, lags):
        # Written as a sum over an axis, which unlike BLAS does not depend on the batch.
        reflection = -(predictor[:, :m] * autocorrelation[:, m:0:-1]).sum(axis=1) / error
        predictor[:, 1 : m + 1] += reflection[:, None] * predictor[:, m - 1 :: -1][:, :m]
        error *= np.maximum(1.0 - reflection**2, 1e-12)
    return predictor


@lru_cache(maxsize=8)
def _first_lags(size: int, lags: int) -> FloatArray:
    """Return the matrix that turns a Hann-tapered power spectrum into mean correlations."""
    bins = np.arange(size // 2 + 1)
    double = np.full(bins.size, 2.0)
    double[0] = double[-1] = 1.0
    cosines = np.cos(2.0 * np.pi * np.outer(bins, np.arange(lags)) / size)
    return np.asarray(double[:, None] * cosines / (0.375 * size**2))


def whiten(
    signals: FloatArray, *, order: int, hop: int, floor: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the forward and the backward prediction error.

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
    """
    forward, backward = (np.empty(signals.shape, dtype=np.float32) for _ in range(2))
    for number, signal in enumerate(signals):  # one by one they fit into the processor's cache
        forward[number], backward[number] = _whiten_one(signal, order, hop, floor)
    return forward, backward


def _whiten_one(
    signal: FloatArray, order: int, hop: int, floor: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whiten one signal, shape (frames,)."""
    size = 2 * hop
    padded = np.zeros(signal.size + size, dtype=np.float32)
    padded[hop:-hop] = signal
    windows = sliding_window_view(padded, size)[hop // 2 : -hop // 2 : hop]
    spectrum = scipy.fft.rfft(windows, axis=-1)
    # A Hann taper is three neighbouring bins: no second transform is needed for it.
    tapered = 0.5 * spectrum
    tapered[:, 1:-1] -= 0.25 * (spectrum[:, :-2] + spectrum[:, 2:])
    tapered[:, 0] -= 0.5 * spectrum[:, 1].real
    tapered[:, -1] -= 0.5 * spectrum[:, -2].real
    power = np.square(tapered.real, dtype=np.float64)
    power += np.square(tapered.imag, dtype=np.float64)
    # The first lags alone: cheaper than a whole inverse transform.
    correlation = power @ _first_lags(size, order + 1)
    correlation[:, 0] = correlation[:, 0] * (1.0 + 1e-9) + floor**2
    response = scipy.fft.rfft(levinson(correlation).astype(np.float32), size, axis=-1)
    inner = slice(hop // 2, hop // 2 + hop)
    forward = scipy.fft.irfft(spectrum * response, axis=-1)[:, inner]
    np.conj(response, out=response)
    response *= spectrum
    backward = scipy.fft.irfft(response, axis=-1, overwrite_x=True)[:, inner]
    return (
        forward.astype(np.float32, copy=False).reshape(-1),
        backward.astype(np.float32, copy=False).reshape(-1),
    )
