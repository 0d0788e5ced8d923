"""Set missing samples to where the errors of linear prediction are least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import solve_toeplitz
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtri, dtrtrs

from declick.dsp.linear_prediction import end_errors, filter_autocorrelation

FloatArray = NDArray[np.float64]
Run = tuple[int, int]
"""Half-open range of missing samples."""

JOINT_SAMPLES = 400
"""Runs whose contexts touch are solved in one system up to this many missing samples."""

TOEPLITZ_SAMPLES = 64
"""Longer single runs are solved by Levinson's recursion in place of Cholesky's factors."""

TRACED_SAMPLES = 32
"""The error of runs of four times that length is told from so many samples, evenly spread."""

FEW_RUNS = 8
"""The matrix of so many runs is put together block by block, of more entry by entry."""

LONGEST_RUN = 8192
"""Longer runs are solved at their two ends alone; their middle is out of reach and stays silent."""

LONGEST_KNOWN = 1200
"""What is known of longer runs is not used: the work grows with the third power of the length."""


class Prior(NamedTuple):
    """What else than the sound around tells of missing samples.

    Parameters
    ----------
    values : ndarray of float64, shape (frames,)
        What the samples are likely to be.
    precision : ndarray of float64, shape (frames,)
        The inverse variance of these, times the variance of the prediction error; 0 where nothing
        is known: the diagonal of a matrix.
    coupling : ndarray of float64, shape (frames,)
        What stands beside its diagonal, in the row of each frame and the column of the next; 0
        in the last of a run.
    """

    values: FloatArray
    precision: FloatArray
    coupling: FloatArray


def solve_missing(
    samples: FloatArray,
    runs: Sequence[Run],
    coefficients: FloatArray,
    *,
    errors_for: Sequence[Run],
    prior: Prior | None = None,
    joint: int = JOINT_SAMPLES,
) -> dict[Run, float]:
    """Set the missing runs, in place, to where the prediction error is least.

    With a prior, to the mean of the posterior: where the prediction error and the distance from
    the prior, each in units of its variance, are least together. Runs further apart than the order
    do not depend on each other; those nearer are solved jointly.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Changed in `runs` alone.
    runs : sequence of (start, stop)
        Ascending and disjoint.
    coefficients : ndarray of float64, shape (order + 1,)
        Prediction error filter.
    errors_for : sequence of (start, stop)
        The runs whose error is to be told.
    prior : Prior, optional
    joint : int
        Up to how many missing samples of several runs are solved jointly.

    Returns
    -------
    dict
        For each run of `errors_for`, the trace of its part of the inverse normal matrix; times
        the variance of the prediction error this is the expected error energy.
    """
    order = coefficients.size - 1
    band = filter_autocorrelation(coefficients)
    traces: dict[Run, float] = {}
    cluster: list[Run] = []
    for start, stop in [run for run in runs if run[1] - run[0] > LONGEST_RUN]:
        samples[start:stop] = 0.0
        ends = [(start, start + LONGEST_RUN // 2), (stop - LONGEST_RUN // 2, stop)]
        parts = solve_missing(samples, ends, coefficients, errors_for=ends)
        traces[start, stop] = sum(parts.values()) * (stop - start) / LONGEST_RUN
    runs = [run for run in runs if run[1] - run[0] <= LONGEST_RUN]
    missing = 0
    for run in [*runs, None]:
        if cluster and (
            run is None or run[0] - cluster[-1][1] >= order or missing + run[1] - run[0] > joint
        ):
            traces.update(_solve_cluster(samples, cluster, coefficients, band, errors_for, prior))
            cluster, missing = [], 0
        if run is not None:
            cluster.append(run)
            missing += run[1] - run[0]
    return traces


def _solve_cluster(
    samples: FloatArray,
    cluster: list[Run],
    coefficients: FloatArray,
    band: FloatArray,
    errors_for: Sequence[Run],
    prior: Prior | None,
) -> dict[Run, float]:
    order = coefficients.size - 1
    for start, stop in cluster:
        samples[start:stop] = 0.0
    right = -np.concatenate([_apply_band(samples, run, band) for run in cluster])
    inner = cluster[0][0] >= order and cluster[-1][1] <= samples.size - order
    if right.size > LONGEST_KNOWN:
        prior = None
    if (
        prior is None
        and len(cluster) == 1
        and right.size > (TOEPLITZ_SAMPLES if inner else JOINT_SAMPLES)
    ):
        # Toeplitz: exact away from the ends; beside an end, good enough for what is so long.
        return _solve_toeplitz(samples, cluster, band, right, errors_for)
    index = np.concatenate([np.arange(*run) for run in cluster])
    matrix = _band_matrix(cluster, index, band)
    for distances, context in (
        (index + 1, samples[:order]),
        (samples.size - index, samples[: -order - 1 : -1]),
    ):
        if min(distances[0], distances[-1]) > order:
            continue
        beside = np.flatnonzero(distances <= order)
        errors = end_errors(coefficients, distances[beside])
        around = end_errors(coefficients, np.arange(1, context.size + 1))
        matrix[np.ix_(beside, beside)] -= errors.T @ errors
        right[beside] += errors.T @ (around @ context)
    if prior is not None:
        values, coupling = prior.values[index], prior.coupling[index[:-1]]
        matrix[np.diag_indices_from(matrix)] += prior.precision[index]
        rows = np.arange(index.size - 1)
        matrix[rows, rows + 1] += coupling
        right += prior.precision[index] * values
        right[:-1] += coupling * values[1:]
        right[1:] += coupling * values[:-1]
    # The transpose is in LAPACK's order already.
    factor, failed = dpotrf(matrix.T, lower=1, overwrite_a=1)
    if failed:
        return {run: float("inf") for run in cluster if run in errors_for}
    samples[index] = dpotrs(factor, right, lower=1)[0]
    traces: dict[Run, float] = {}
    at = 0
    for start, stop in cluster:
        length = stop - start
        if (start, stop) in errors_for:
            traces[start, stop] = _trace_of_inverse(factor[at:, at:], length)
        at += length
    return traces


def _trace_of_inverse(factor: FloatArray, length: int) -> float:
    """Return the trace of the first block of the inverse, by Cholesky's factor of the matrix.

    The block is what the factor's inverse has in those columns, squared.
    """
    size = len(factor)
    if length >= 4 * TRACED_SAMPLES:
        # The errors change slowly along a run.
        rows = (2 * np.arange(TRACED_SAMPLES) + 1) * length // (2 * TRACED_SAMPLES)
        units = np.zeros((size, TRACED_SAMPLES), order="F")
        units[rows, np.arange(TRACED_SAMPLES)] = 1.0
        columns, _ = dtrtrs(factor, units, lower=1, overwrite_b=1)
        return float(np.sum(np.square(columns))) * length / TRACED_SAMPLES
    if 2 * length < size:
        columns, _ = dtrtrs(factor, np.eye(size, length), lower=1, overwrite_b=1)
    else:
        columns = dtrtri(factor, lower=1)[0][:, :length]
    return float(np.sum(np.square(columns)))


def _band_matrix(cluster: Sequence[Run], index: NDArray[np.intp], band: FloatArray) -> FloatArray:
    """Return the rows and columns of some runs of the symmetric Toeplitz matrix with that band.

    Perhaps the upper triangle alone; `index` are the frames of the runs.
    """
    span = int(index[-1] - index[0]) + 1
    lags = np.zeros(max(span, band.size))
    lags[: band.size] = band
    if len(cluster) > FEW_RUNS:
        return lags.take(np.abs(np.subtract.outer(index, index)))
    matrix = np.zeros((index.size, index.size))
    mirrored = np.concatenate((lags[:0:-1], lags))
    step = mirrored.itemsize
    top = 0
    for number, (start, stop) in enumerate(cluster):
        bottom, left = top + stop - start, top
        for low, high in cluster[number:]:
            right = left + high - low
            # Each row is the one above it, moved by one.
            matrix[top:bottom, left:right] = np.ndarray(
                (bottom - top, right - left),
                buffer=mirrored,
                offset=(lags.size - 1 + low - start) * step,
                strides=(-step, step),
            )
            left = right
        top = bottom
    return matrix


def _solve_toeplitz(
    samples: FloatArray,
    cluster: list[Run],
    band: FloatArray,
    right: FloatArray,
    errors_for: Sequence[Run],
) -> dict[Run, float]:
    ((start, stop),) = cluster
    column = np.zeros(max(right.size, band.size))
    column[: band.size] = band
    column = column[: right.size]
    if (start, stop) not in errors_for:
        samples[start:stop] = solve_toeplitz(column, right, check_finite=False)
        return {}
    unit = np.zeros(right.size)
    unit[0] = 1.0
    first = solve_toeplitz(column, unit, check_finite=False)
    samples[start:stop] = _solve_by_first(first, right)
    steps = first**2  # the entries give the diagonal of the inverse (Trench)
    steps[1:] -= first[:0:-1] ** 2
    return {(start, stop): float(np.sum(np.cumsum(steps)) / first[0])}


def _solve_by_first(first: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a symmetric Toeplitz system whose inverse begins with the column `first`.

    The inverse is a difference of two products of triangular Toeplitz matrices, by Gohberg and
    Semencul.
    """
    size = first.size
    shifted = np.concatenate(([0.0], first[:0:-1]))

    def product(column: FloatArray) -> FloatArray:
        upper = np.convolve(column[::-1], right)[size - 1 :]
        return np.convolve(column, upper)[:size]

    return np.asarray((product(first) - product(shifted)) / first[0])


def _apply_band(samples: FloatArray, run: Run, band: FloatArray) -> FloatArray:
    """Return the band matrix times `samples` at the frames of `run` (zeros beyond the ends)."""
    order = band.size - 1
    start, stop = run
    around = np.zeros(stop - start + 2 * order)
    lo, hi = max(start - order, 0), min(stop + order, samples.size)
    around[lo - start + order : hi - start + order] = samples[lo:hi]
    kernel = np.concatenate([band[:0:-1], band])
    if (stop - start) * order < 200_000:
        return np.correlate(around, kernel, "valid")
    size = fft.next_fast_len(around.size, real=True)
    product = fft.irfft(fft.rfft(around, size) * fft.rfft(kernel, size), size)
    return np.asarray(product[2 * order : 2 * order + stop - start], dtype=np.float64)
