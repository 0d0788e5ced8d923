"""Linear prediction against its definitions."""

from __future__ import annotations

import numpy as np
import pytest

from declick.dsp.linear_prediction import (
    REGULARISATION,
    autocorrelation,
    end_errors,
    filter_autocorrelation,
    prediction_filter,
)
from reference import dense_interpolation as dense


@pytest.mark.parametrize(("frames", "lags"), [(1, 0), (1, 5), (7, 3), (7, 12), (500, 64)])
def test_autocorrelation_is_the_sum_of_products(frames: int, lags: int) -> None:
    samples = np.random.default_rng(frames).standard_normal(frames)
    expected = np.zeros(lags + 1)
    reach = min(lags, frames - 1)
    expected[: reach + 1] = dense.autocorrelation(samples, reach)
    np.testing.assert_allclose(autocorrelation(samples, lags), expected, atol=1e-12 * frames)


def test_prediction_filter_solves_the_normal_equations() -> None:
    correlation = dense.autocorrelation(np.random.default_rng(1).standard_normal(400), 40)
    coefficients, variance = prediction_filter(correlation)
    np.testing.assert_allclose(
        coefficients, dense.prediction_filter(correlation, REGULARISATION), atol=1e-12
    )
    assert variance == pytest.approx(float(coefficients @ correlation), rel=1e-6)


def test_prediction_filter_finds_the_process_that_made_the_sound() -> None:
    made = np.array([1.0, -1.6, 0.9, -0.1])
    covariance = dense.process_covariance(made, 4)[0]
    coefficients, variance = prediction_filter(covariance)
    np.testing.assert_allclose(coefficients, made, atol=1e-5)
    assert variance == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("power", [0.0, 1e-310])
def test_silence_predicts_nothing(power: float) -> None:
    coefficients, variance = prediction_filter(np.array([power, 0.0, 0.0]))
    np.testing.assert_array_equal(coefficients, [1.0, 0.0, 0.0])
    assert variance == 0.0


@pytest.mark.parametrize("frequency", [0.0, 0.01, 0.25, 0.5])
def test_pure_tones_stay_finite_and_predictable(frequency: float) -> None:
    samples = np.cos(2 * np.pi * frequency * np.arange(4096)) * np.hanning(4096)
    coefficients, variance = prediction_filter(autocorrelation(samples, 512))
    assert np.all(np.isfinite(coefficients))
    assert variance < 1e-4 * float(samples @ samples)


def test_band_and_end_errors_make_the_inverse_covariance() -> None:
    coefficients, _ = prediction_filter(
        dense.autocorrelation(np.random.default_rng(2).standard_normal(300), 8)
    )
    frames = 30
    inverse = np.linalg.inv(dense.process_covariance(coefficients, frames))
    band = np.zeros(frames)
    band[:9] = filter_autocorrelation(coefficients)
    index = np.arange(frames)
    built = band[np.abs(index[:, None] - index[None, :])]
    for distances in (index + 1, frames - index):
        errors = end_errors(coefficients, distances)
        built -= errors.T @ errors
    np.testing.assert_allclose(built, inverse, atol=1e-9)
