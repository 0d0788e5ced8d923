"""Linear prediction: autocorrelation, Levinson's recursion, the inverse covariance it implies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import solve_toeplitz

FloatArray = NDArray[np.float64]

# White noise added to the model, relative to the signal's power: -90 dB keeps pure tones and DC
# well-conditioned and lies below the noise of any record.
REGULARISATION = 1e-9


def autocorrelation(samples: FloatArray, lags: int) -> FloatArray:
    """Return the autocorrelation sums of `samples` at lags 0 to `lags`.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
    lags : int
        Largest lag; sums beyond the end of `samples` are 0.

    Returns
    -------
    ndarray of float64, shape (lags + 1,)
    """
    reach = min(lags, samples.size - 1) if samples.size else 0
    size = fft.next_fast_len(max(1, samples.size + reach), real=True)
    spectrum = fft.rfft(samples, size)
    sums = fft.irfft(spectrum.real**2 + spectrum.imag**2, size)
    result = np.zeros(lags + 1)
    result[: reach + 1] = sums[: reach + 1]
    return result


def prediction_filter(
    correlation: FloatArray, *, regularisation: float = REGULARISATION
) -> tuple[FloatArray, float]:
    """Solve the Yule-Walker equations by Levinson's recursion.

    Parameters
    ----------
    correlation : ndarray of float64, shape (order + 1,)
        Autocorrelation at lags 0 to order.
    regularisation : float
        Power of white noise added to the model, relative to ``correlation[0]``.

    Returns
    -------
    filter : ndarray of float64, shape (order + 1,)
        Prediction error filter, ``filter[0] == 1``; ``1, 0, 0, ...`` for silence.
    variance : float
        Power of the prediction error, in the unit of `correlation`.
    """
    coefficients = np.zeros(correlation.size)
    coefficients[0] = 1.0
    power = float(correlation[0])
    if not power > np.finfo(np.float64).tiny * 1e20:
        return coefficients, 0.0
    scaled = correlation / power
    if scaled.size > 1:
        column = scaled[:-1].copy()
        column[0] += regularisation
        coefficients[1:] = solve_toeplitz(column, -scaled[1:], check_finite=False)
    variance = power * max(float(np.dot(coefficients, scaled)) + regularisation, regularisation)
    return coefficients, variance


def filter_autocorrelation(coefficients: FloatArray) -> FloatArray:
    """Return ``b[k] = sum_i a[i] a[i + k]``: the inverse covariance of the process, per lag.

    Far from the ends of a stretch the inverse covariance matrix of an autoregressive process is
    Toeplitz with these diagonals (times 1 / variance), and 0 beyond the order.
    """
    return autocorrelation(coefficients, coefficients.size - 1)


def end_errors(coefficients: FloatArray, distances: NDArray[np.intp]) -> FloatArray:
    """Return the prediction errors beyond an end of the sound, one column per sample.

    The full filter autocorrelation also counts the errors of predicting the zeros beyond the end
    from the sound; subtracting the product of these columns leaves the exact inverse covariance
    of a finite stretch (Gohberg and Semencul).

    Parameters
    ----------
    coefficients : ndarray of float64, shape (order + 1,)
    distances : ndarray of int, shape (n,)
        Distance of each sample from the first frame beyond the end, at least 1.

    Returns
    -------
    ndarray of float64, shape (order, n)
    """
    order = coefficients.size - 1
    lags = np.arange(order)[:, None] + distances[None, :]
    padded = np.append(coefficients, 0.0)
    errors: FloatArray = padded[np.minimum(lags, order + 1)]
    return errors
