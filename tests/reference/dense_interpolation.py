"""Obvious, slow interpolation: whole matrices, straight from the definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

FloatArray = NDArray[np.float64]


def autocorrelation(samples: FloatArray, lags: int) -> FloatArray:
    return np.array([np.dot(samples[: samples.size - k], samples[k:]) for k in range(lags + 1)])


def prediction_filter(correlation: FloatArray, regularisation: float) -> FloatArray:
    order = correlation.size - 1
    matrix = toeplitz(correlation[:order]) + regularisation * correlation[0] * np.eye(order)
    return np.concatenate([[1.0], np.linalg.solve(matrix, -correlation[1:])])


def process_covariance(coefficients: FloatArray, frames: int) -> FloatArray:
    """Covariance matrix of the stationary process with unit excitation, from its spectrum."""
    size = 1 << 16
    spectrum = 1.0 / np.abs(np.fft.fft(coefficients, size)) ** 2
    return toeplitz(np.fft.ifft(spectrum).real[:frames])


def conditional_mean(
    samples: FloatArray, missing: NDArray[np.bool_], coefficients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the filled sound and the conditional covariance of the missing samples."""
    inverse = np.linalg.inv(process_covariance(coefficients, samples.size))
    gap = inverse[np.ix_(missing, missing)]
    filled = samples.copy()
    cross = inverse[np.ix_(missing, ~missing)]
    filled[missing] = np.linalg.solve(gap, -cross @ samples[~missing])
    return filled, np.linalg.inv(gap)


def janssen(
    samples: FloatArray,
    runs: Sequence[tuple[int, int]],
    models: Sequence[tuple[int, FloatArray]],
    regularisation: float,
) -> FloatArray:
    """Fill by estimating a model from the filled sound and filling again, once per model.

    A model is given by its order and its estimation window.
    """
    missing = np.zeros(samples.size, dtype=bool)
    for start, stop in runs:
        missing[start:stop] = True
    filled = np.where(missing, 0.0, samples)
    for order, window in models:
        coefficients = prediction_filter(autocorrelation(filled * window, order), regularisation)
        filled, _ = conditional_mean(filled, missing, coefficients)
    return filled
