"""Weigh what interpolation expects against what is left of the observed sound.

Where something is known of the damage that covers the music, what lies under it is not quite lost:
the observed sound less the estimated damage is a second opinion, as good as that estimate. Both
are Gaussian, so their best combination is the mean of the posterior (Godsill & Rayner, "Digital
Audio Restoration" (1998), chapters 4 and 9, where the damage is noise of known variance).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

from declick.clicks import Estimate
from declick.dsp.linear_prediction import filter_autocorrelation

FloatArray = NDArray[np.float64]

DISTRUST = 2.2
"""Estimates are taken to deviate this many times further than they say; chosen on tuning music."""

LONGEST = 1200
"""Longer gaps are interpolated alone: the work grows with the third power of their length."""


def weigh(
    interpolated: FloatArray,
    coefficients: FloatArray,
    variance: float,
    observed: FloatArray,
    estimate: Estimate,
) -> tuple[FloatArray, float]:
    """Return the likeliest sound in a gap, and the error energy to be expected.

    Parameters
    ----------
    interpolated : ndarray, shape (frames,)
        What the sound around leads one to expect.
    coefficients : ndarray
        Prediction error filter of the sound; its first value is 1.
    variance : float
        Power of the prediction error.
    observed : ndarray, shape (frames,)
        The damaged sound.
    estimate : Estimate
        Of the damage in the same frames.

    Returns
    -------
    samples : ndarray, shape (frames,)
    error_energy : float
        Expected sum of squared errors.
    """
    frames = interpolated.size
    band = filter_autocorrelation(coefficients)[:frames]
    precision = toeplitz(np.pad(band, (0, frames - band.size)))
    # In units of the prediction error, so that the system is well scaled.
    known = variance / np.square(DISTRUST * estimate.deviation.astype(np.float64))
    precision[np.diag_indices(frames)] += known
    factor, info = dpotrf(precision, lower=1, overwrite_a=1)
    if info:
        return interpolated, np.inf
    surprise = observed - estimate.damage - interpolated
    step, _ = dpotrs(factor, known * surprise, lower=1)
    inverse, _ = dpotri(factor, lower=1)
    return interpolated + step, float(variance * np.trace(inverse))
