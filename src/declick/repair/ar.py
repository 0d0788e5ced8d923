"""Long-context iterated autoregressive interpolation.

Janssen, Veldhuis & Vries, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes" (1986); Godsill & Rayner, "Digital Audio Restoration" (1998), chapter 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.solve import Run, solve_missing

FloatArray = NDArray[np.float64]

START_ORDER, START_CONTEXT = 64, 2048
"""Order and context of the first fill at 44.1 kHz: enough to start the iteration from."""

AGAIN_MS = 3.0
"""From this length on a gap is filled twice with the first model, so that it learns from itself."""

WEIGHTING = 2.0
"""Models are weighted by their expected error energy to the minus this."""

NEARBY_SAMPLES = 128
"""How many prediction errors on either side tell how predictable the sound is just there."""


PART_STEP = 64
"""Half the stretch that a model is estimated from is a multiple of so many samples."""


@dataclass(frozen=True, kw_only=True, order=True)
class ModelSize:
    """Order and context (samples in the estimation window) of an autoregressive model."""

    order: int
    context: int


# Longest gap in ms, and the (order, context) at 44.1 kHz of the models that are combined.
_SIZES: tuple[tuple[float, tuple[tuple[int, int], ...]], ...] = (
    (0.45, ((320, 3072), (640, 6144))),
    (1.2, ((512, 4096),)),
    (3.0, ((384, 3072), (800, 8192))),
    (np.inf, ((256, 2048), (512, 4096), (1024, 8192))),
)


def model_sizes(gap: int, sample_rate: int) -> tuple[ModelSize, ...]:
    """Return the models for a gap of `gap` samples, ascending: longer gaps want longer memory.

    Order and context scale with the sample rate, within bounds.
    """
    gap_ms = 1e3 * gap / sample_rate
    rows = next(row[1] for row in _SIZES if gap_ms <= row[0])
    return tuple(scaled_size(order, context, gap, sample_rate) for order, context in rows)


def scaled_size(order: int, context: int, gap: int, sample_rate: int) -> ModelSize:
    """Return the model for a gap of `gap` samples that has this size at 44.1 kHz, or more."""
    scale = sample_rate / 44100
    return ModelSize(
        order=int(min(max(order * scale, 32), 2048)),
        context=max(int(min(max(context * scale, 1024), 32768)), 3 * min(gap, 32768)),
    )


def farthest_look(sizes: Sequence[ModelSize]) -> int:
    """Return how many frames on either side of a gap its models are estimated from, at most."""
    return max(size.context for size in sizes) // 2 + PART_STEP


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Filled sound and how far off it is expected to be.

    `error_energy` has one value per wanted run: the expected sum of squared errors over it;
    infinite where nothing is known. `variance` is the power of the prediction error beside each
    run, `coefficients` the prediction error filter, and `optimism` how many times larger the
    variance is than what the model shows on the sound that taught it; all of the last model.
    """

    samples: FloatArray
    error_energy: tuple[float, ...]
    variance: tuple[float, ...]
    coefficients: FloatArray
    optimism: float = 1.0


def interpolate(
    samples: FloatArray,
    runs: Sequence[Run],
    wanted: Sequence[Run],
    *,
    sizes: Sequence[ModelSize],
    sample_rate: int,
    rough: bool = False,
) -> Interpolation:
    """Fill the missing runs of one channel.

    Every missing run is filled by a small model first; then the model is estimated from the
    filled sound and the runs in its reach are filled again: twice with the first of `sizes`, once
    with each further one. The results are averaged, weighted by what each is expected to be off.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        Existing sound only: its ends are taken for the ends of what can be known.
    runs : sequence of (start, stop)
        All missing runs, ascending and disjoint; what `samples` holds there is ignored.
    wanted : sequence of (start, stop)
        Those of them to be filled, at least one; the others serve the estimation.
    sizes : sequence of ModelSize
        Ascending, at least one.
    sample_rate : int
        In Hz.
    rough : bool
        Whether one fill with the first model is enough, for a first look.

    Returns
    -------
    Interpolation
        A copy of `samples`, with the wanted runs filled and zeros or a rough fill in the others.
    """
    result = samples.copy()
    for start, stop in runs:
        result[start:stop] = 0.0
    first, last = wanted[0][0], wanted[-1][1]
    reach = farthest_look(sizes)
    lo, hi = max(0, first - reach), min(samples.size, last + reach)
    local = result[lo:hi]
    inside = [(max(a, lo) - lo, min(b, hi) - lo) for a, b in runs if b > lo and a < hi]
    targets = [(a - lo, b - lo) for a, b in wanted]
    known = local.size - sum(b - a for a, b in inside)
    if known < 4:
        unknown = (float("inf"),) * len(wanted)
        return Interpolation(result, unknown, unknown, np.ones(1))
    longest = max(stop - start for start, stop in wanted)
    small = min(known // 4, int(min(max(START_ORDER * sample_rate / 44100, 16), 256)))
    start_reach = max(round(START_CONTEXT * sample_rate / 44100) // 2, longest)
    tapered = estimation_part(local, targets, start_reach).taper(local)
    coefficients = prediction_filter(autocorrelation(tapered, small))[0]
    solve_missing(local, inside, coefficients, errors_for=())
    fills: list[list[FloatArray]] = [[] for _ in targets]
    errors = np.zeros((len(targets), len(sizes)))
    variances = [0.0] * len(targets)
    for number, size in enumerate(sizes):
        order = min(size.order, known // 4)
        part = estimation_part(local, targets, size.context // 2)
        near = [
            run
            for run in inside
            if run[1] > targets[0][0] - order and run[0] < targets[-1][1] + order
        ]
        # A short gap hides so little that one estimate is as good as two.
        again = not rough and number == 0 and longest > AGAIN_MS * 1e-3 * sample_rate
        for repeat in (False, True) if again else (True,):
            coefficients, power = prediction_filter(autocorrelation(part.taper(local), order))
            traces = solve_missing(local, near, coefficients, errors_for=targets if repeat else ())
        energy, seen = window_sums(*part.window)
        power /= energy
        # The errors of the sound that taught the model are too small (Akaike's FPE).
        optimism = (seen + order) / max(seen - order, 0.1 * seen)
        for index, run in enumerate(targets):
            variances[index] = optimism * nearby_variance(local, run, coefficients, otherwise=power)
            errors[index, number] = variances[index] * traces[run]
            fills[index].append(local[slice(*run)].copy())
    expected = []
    for run, offers, error in zip(targets, fills, errors, strict=True):
        least = float(np.min(error))
        finite = np.isfinite(error) & (error > 0.0)
        weights = np.divide(least, error, out=(error == least).astype(np.float64), where=finite)
        weights = weights**WEIGHTING / np.sum(weights**WEIGHTING)
        local[slice(*run)] = weights @ np.stack(offers)
        expected.append(float(np.sum(weights[weights > 0] * error[weights > 0])))
    return Interpolation(result, tuple(expected), tuple(variances), coefficients, optimism)


def interpolate_again(
    samples: FloatArray, runs: Sequence[Run], wanted: Run, model: Interpolation
) -> Interpolation:
    """Fill one run by the model that an earlier interpolation close by has learned.

    Parameters
    ----------
    samples, runs
        As for `interpolate`.
    wanted : (start, stop)
        One of `runs`.
    model : Interpolation
        The earlier one.

    Returns
    -------
    Interpolation
        A copy of `samples` with the runs filled that matter for the wanted one.
    """
    result = samples.copy()
    reach = model.coefficients.size + NEARBY_SAMPLES
    near = [run for run in runs if run[1] > wanted[0] - reach and run[0] < wanted[1] + reach]
    traces = solve_missing(result, near, model.coefficients, errors_for=[wanted])
    beside = nearby_variance(result, wanted, model.coefficients, otherwise=np.inf)
    variance = model.optimism * beside
    return replace(
        model, samples=result, error_energy=(variance * traces[wanted],), variance=(variance,)
    )


def nearby_variance(
    samples: FloatArray, run: Run, coefficients: FloatArray, *, otherwise: float
) -> float:
    """Return the power of the prediction errors beside a run: of the less predictable side.

    The sound before is predicted forward and the sound behind backward, so that the run itself
    plays no part. `otherwise` is returned where neither side has enough sound.
    """
    order = coefficients.size - 1
    powers = []
    for side in (samples[: run[0]], samples[: run[1] - 1 : -1] if run[1] else samples[::-1]):
        side = side[-NEARBY_SAMPLES - order :]
        if side.size >= order + 16:
            errors = np.convolve(side, coefficients, "valid")
            powers.append(float(np.dot(errors, errors)) / errors.size)
    return max(powers, default=otherwise)


class Part(NamedTuple):
    """Where a model is estimated, and the arguments of its `estimation_window`."""

    cut: slice
    window: tuple[int, float, float]

    def taper(self, samples: FloatArray) -> FloatArray:
        """Return the part of the samples, windowed."""
        return np.asarray(samples[self.cut] * estimation_window(*self.window))


def estimation_part(samples: FloatArray, targets: Sequence[Run], reach: int) -> Part:
    """Return the part that reaches at least that far to both sides of the targets.

    Its length is rounded up, so that few different windows serve all gaps.
    """
    middle = (targets[0][0] + targets[-1][1]) // 2
    half = -(-(targets[-1][1] - middle + reach) // PART_STEP) * PART_STEP
    low, high = max(0, middle - half), min(samples.size, middle + half)
    return Part(slice(low, high), (high - low, float(middle - low), float(reach)))


@lru_cache(maxsize=64)
def window_sums(size: int, centre: float, reach: float) -> tuple[float, float]:
    """Return the energy of a window, and how many samples it is worth."""
    squares = estimation_window(size, centre, reach) ** 2
    energy = float(np.sum(squares))
    return energy, energy**2 / float(np.sum(squares**2))


@lru_cache(maxsize=64)
def estimation_window(size: int, centre: float, reach: float) -> FloatArray:
    """Return a cosine window around `centre`, brought to zero at the ends of the sound.

    Away from the ends it is symmetric; at an end it falls over a quarter of the reach, so that a
    gap beside the end still has most of the weight near it.
    """
    frames = np.arange(size) + 0.5
    left, right = centre + 0.5, size - centre - 0.5
    span = max(left, right)
    window = np.cos(0.5 * np.pi * np.clip((frames - left) / (span + 0.5), -1.0, 1.0))
    taper = max(1.0, min(reach, size) / 4)
    for distance, side in ((frames, left), (size - frames, right)):
        if side < 0.9 * span:
            window *= np.sin(0.5 * np.pi * np.minimum(distance / taper, 1.0))
    window.flags.writeable = False
    return np.asarray(window, dtype=np.float64)
