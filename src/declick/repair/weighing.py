"""Weigh what interpolation expects against what is left of the observed sound.

Where something is known of the damage that covers the music, what lies under it is not quite lost:
the observed sound less the estimated damage is a second opinion, as good as that estimate. Both
are Gaussian, so their best combination is the mean of the posterior (Godsill & Rayner, "Digital
Audio Restoration" (1998), chapters 4 and 9, where the damage is noise of known variance).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click
from declick.dsp.linear_prediction import autocorrelation, prediction_filter
from declick.repair.ar import (
    Interpolation,
    ModelSize,
    estimation_part,
    farthest_look,
    nearby_variance,
    scaled_size,
    window_sums,
)
from declick.repair.solve import LONGEST_KNOWN, Prior, Run, solve_missing

FloatArray = NDArray[np.float64]

DISTRUST = 1.2
"""Estimates are taken to deviate this many times further than they say ..."""

UNLIKE, CAUTION, MOST_ALIKE = 0.33, 3.0, 0.95
"""... and alike from one sample to the next, the more so the smoother the damage. On tuning music
the correlation of one deviation with the next is about 1 - UNLIKE * sqrt(1 - that of the damage);
this to the power of CAUTION serves best, since estimates err most where interpolation does, too.
"""

ORDER, CONTEXT = 1024, 8192
"""Order and context of the model at 44.1 kHz, for gaps of all lengths ..."""

FIRST_ORDER, PREDICTABLE_DB = 512, 30.0
"""... and order of a first one, which is enough for sound that it predicts less well than this."""

ONE_ESTIMATE_MS = 1.2
"""Up to this length a gap hides so little that one model is as good as two."""

LEVEL_SAMPLES = 256
"""How many frames on either side of a gap tell how loud the sound is there."""

NEIGHBOUR_SAMPLES = 256
"""Gaps that are not asked for are filled too up to this far from those that are."""

JOINT_SAMPLES = 128
"""Where so much is known, gaps are solved in one system up to this many missing samples."""


class Evidence(NamedTuple):
    """What is left of one channel's sound under the damage.

    Parameters
    ----------
    values : ndarray of float64, shape (frames,)
        The observed sound less the estimated damage.
    deviation : ndarray of float64, shape (frames,)
        Standard deviation of `values` from the music, as estimated; infinite where nothing is
        known.
    damage : ndarray of float64, shape (frames,)
        As estimated; 0 where nothing is known.
    """

    values: FloatArray
    deviation: FloatArray
    damage: FloatArray

    def cut(self, start: int, stop: int) -> Evidence:
        """Return the same for some of the frames."""
        return Evidence(*(part[start:stop] for part in self))

    def less(self, guide: FloatArray) -> Evidence:
        """Return what is left of the sound less a known one."""
        return self._replace(values=self.values - guide)

    def tells_of(self, run: Run) -> bool:
        """Return whether a run is better filled with than without it."""
        return run[1] - run[0] <= LONGEST_KNOWN and bool(
            np.isfinite(self.deviation[slice(*run)]).any()
        )

    def prior(self, variance: Mapping[Run, float]) -> Prior:
        """Return how the evidence counts beside prediction errors of a variance in each run.

        The deviations are those of an autoregressive process of the first order, whose inverse
        covariance is tridiagonal; what is unknown parts it in two.
        """
        precision = np.zeros(self.values.size)
        coupling = np.zeros(self.values.size)
        for (start, stop), power in variance.items():
            weight = 1.0 / (DISTRUST * self.deviation[start:stop])
            known = weight > 0.0
            likeness = likeness_of_deviations(self.damage[start:stop][known])
            fresh = 1.0 - likeness**2
            beside = np.pad(known, 1).astype(int)
            neighbours = beside[:-2] + beside[2:]
            own = 1.0 + neighbours * likeness**2 / fresh
            precision[start:stop] = power * own * weight**2
            coupling[start : stop - 1] = -power * likeness / fresh * weight[1:] * weight[:-1]
        return Prior(self.values, precision, coupling)


def likeness_of_deviations(damage: FloatArray) -> float:
    """Return how far estimates of one sample and the next deviate alike (correlation).

    0 where nothing is told, else from `(1 - UNLIKE)**CAUTION`, however rough, to `MOST_ALIKE`.

    Parameters
    ----------
    damage : ndarray of float64, shape (frames,)
        As it is estimated.
    """
    energy = float(damage @ damage) * (damage.size - 1)
    if not energy > 0.0:
        return 0.0
    alike = float(damage[1:] @ damage[:-1]) * damage.size / energy
    likeness = 1.0 - UNLIKE * math.sqrt(min(max(1.0 - alike, 0.0), 1.0))
    return float(min(likeness**CAUTION, MOST_ALIKE))


def gather_evidence(samples: FloatArray, start: int, clicks: Iterable[Click]) -> Evidence | None:
    """Return what the estimates of clicks leave of a channel.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames,)
        The damaged sound of the channel.
    start : int
        Frame of the recording that ``samples[0]`` is.
    clicks : iterable of Click
        Of the channel.

    Returns
    -------
    Evidence or None
        None where there is no estimate.
    """
    deviation = np.full(samples.size, np.inf)
    damage = np.zeros(samples.size)
    nothing = True
    for click in clicks:
        estimate = click.estimate
        if estimate is None:
            continue
        first, last = max(estimate.start - start, 0), min(estimate.stop - start, samples.size)
        if first >= last:
            continue
        part = slice(first + start - estimate.start, last + start - estimate.start)
        told = estimate.deviation[part]
        # Where two clicks know something, the surer counts.
        surer = told < deviation[first:last]
        np.copyto(deviation[first:last], told, where=surer)
        np.copyto(damage[first:last], estimate.damage[part], where=surer)
        nothing = False
    if nothing:
        return None
    values = np.where(np.isfinite(deviation), samples - damage, 0.0)
    return Evidence(values, deviation, damage)


def weighed_size(longest: int, sample_rate: int) -> ModelSize:
    """Return the model for gaps of up to `longest` samples of which something is known."""
    return scaled_size(ORDER, CONTEXT, longest, sample_rate)


def interpolate_weighed(
    samples: FloatArray,
    runs: Sequence[Run],
    wanted: Sequence[Run],
    evidence: Evidence,
    *,
    sample_rate: int,
    earlier: FloatArray | None = None,
) -> Interpolation:
    """Fill missing runs of one channel by what is known of them and of the sound around.

    A model is estimated from a first guess by the evidence alone, and its interpolation without
    any evidence is what the second model of longer gaps is estimated from: what the evidence is
    wrong in must not be taken for music. Only the last fill weighs both.

    Parameters
    ----------
    samples, runs, wanted, sample_rate
        As for `declick.repair.ar.interpolate`.
    evidence : Evidence
        For the frames of `samples`.
    earlier : ndarray, shape (order + 1,), optional
        The prediction error filter that the same runs in nearly the same sound have taught: the
        model is learned from there.

    Returns
    -------
    Interpolation
        A copy of `samples`, with the wanted runs filled and a rough fill in the others.
    """
    longest = max(stop - start for start, stop in wanted)
    size = weighed_size(longest, sample_rate)
    first, last, look = wanted[0][0], wanted[-1][1], farthest_look([size])
    lo, hi = max(0, first - look), min(samples.size, last + look)
    result = samples.copy()
    local, evidence = result[lo:hi], evidence.cut(lo, hi)
    inside = [(max(a, lo) - lo, min(b, hi) - lo) for a, b in runs if b > lo and a < hi]
    targets = [(a - lo, b - lo) for a, b in wanted]
    _guess(local, inside, evidence)
    reach = NEIGHBOUR_SAMPLES
    near = [run for run in inside if run[1] > first - lo - reach and run[0] < last - lo + reach]
    coefficients, optimism, usual = _learn(local, inside, near, targets, size, sample_rate, earlier)
    variance = {
        run: optimism * nearby_variance(local, run, coefficients, otherwise=usual) for run in near
    }
    traces = solve_missing(
        local,
        near,
        coefficients,
        errors_for=targets,
        prior=evidence.prior(variance),
        joint=JOINT_SAMPLES,
    )
    return Interpolation(
        result,
        tuple(variance[run] * traces[run] for run in targets),
        tuple(variance[run] for run in targets),
        coefficients,
        optimism,
    )


def _learn(
    local: FloatArray,
    inside: Sequence[Run],
    near: Sequence[Run],
    targets: Sequence[Run],
    size: ModelSize,
    sample_rate: int,
    earlier: FloatArray | None,
) -> tuple[FloatArray, float, float]:
    """Return the model of a sound whose missing runs `inside` hold a first guess.

    Those `near` the targets are filled, in place, where one estimate is not enough; the first may
    be an `earlier` one.

    Returns
    -------
    coefficients : ndarray, shape (order + 1,)
    optimism : float
        See `Interpolation`.
    power : float
        Of the prediction error.
    """
    known = local.size - sum(stop - start for start, stop in inside)
    part = estimation_part(local, targets, size.context // 2)
    energy, seen = window_sums(*part.window)
    longest = max(stop - start for start, stop in targets)
    order = min(size.order, known // 4)
    lower = min(order, size.order * FIRST_ORDER // ORDER)
    again = longest > ONE_ESTIMATE_MS * 1e-3 * sample_rate
    if again and earlier is not None:
        solve_missing(local, near, earlier, errors_for=(), joint=JOINT_SAMPLES)
    lags = autocorrelation(part.taper(local), order)
    coefficients, power = prediction_filter(lags[: lower + 1])
    if power * 10 ** (PREDICTABLE_DB / 10) > lags[0]:
        order = lower
    if again and earlier is None:
        solve_missing(local, near, coefficients, errors_for=(), joint=JOINT_SAMPLES)
        lags = autocorrelation(part.taper(local), order)
        coefficients, power = prediction_filter(lags)
    elif order > lower:
        coefficients, power = prediction_filter(lags)
    # The errors of the sound that taught the model are too small (Akaike's FPE).
    optimism = (seen + order) / max(seen - order, 0.1 * seen)
    return coefficients, optimism, power / energy


def _guess(samples: FloatArray, runs: Sequence[Run], evidence: Evidence) -> None:
    """Fill runs, in place, as if the music was white noise of the level around them."""
    starts, stops = np.array(runs).T
    known = np.ones(samples.size)
    for start, stop in runs:
        known[start:stop] = 0.0
    low = np.maximum(starts - LEVEL_SAMPLES, 0)
    high = np.minimum(stops + LEVEL_SAMPLES, samples.size)
    energy, count = (
        np.concatenate(([0.0], np.cumsum(row)))[[high, low]] for row in (known * samples**2, known)
    )
    powers = (energy[0] - energy[1]) / np.maximum(count[0] - count[1], 1.0)
    for (start, stop), power in zip(runs, powers, strict=True):
        spread = np.square(evidence.deviation[start:stop])
        samples[start:stop] = evidence.values[start:stop] * power / (power + spread + 1e-30)
