"""Fill the cores of a passage, each by the method that the evidence beside it favours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click
from declick.repair.ar import Interpolation, ModelSize, interpolate, model_sizes
from declick.repair.copy import fill_by_copy
from declick.repair.passage import LONG_CORE_S, Passage
from declick.repair.smooth import fill_by_smoothing, fill_by_spline
from declick.repair.solve import Run
from declick.repair.spectrum import fill_by_spectrum
from declick.repair.stereo import LEAST_COHERENCE, fill_from_channel
from declick.repair.weighing import Evidence, gather_evidence, interpolate_weighed

FloatArray = NDArray[np.float64]

STEREO_ADVANTAGE = 0.8
"""The other channel is preferred where its expected error is below this share of AR's."""

STEREO_SURPRISE = 8.0
"""The other channel is distrusted where it is this many times further from AR than expected.

It is then likely to have been hit by the same click, too weakly to be found.
"""

COPY_ADVANTAGE = 0.5
"""As much for a copy, which was picked for its likeness and so looks better than it is ..."""

COPY_PROMISE = 0.1
"""... and which is looked for where AR is expected to miss this share of the energy around."""

SHORT_CORE_S = 0.0015
"""Up to this length, or with estimates, other channels are tried only where they look alike."""

BEYOND_AR_S = 0.012
"""From this length on, a gap may be filled by the surrounding spectrum ..."""

SAGGING = 0.5
"""... where AR is expected to miss more than this share of the energy around."""


@dataclass(frozen=True, eq=False)
class Fill:
    """What a missing run is filled with; `run` counts from the first existing frame.

    `coefficients` whiten what the method predicts, `error_filter` the music, where it is known.
    """

    run: Run
    samples: FloatArray
    error_energy: float
    method: str
    variance: float = np.nan
    coefficients: FloatArray = field(default_factory=lambda: np.ones(1))
    error_filter: FloatArray | None = None

    def surprise_db(self, difference: FloatArray) -> float:
        """Return the power of the observed sound's prediction errors over the expected, in dB."""
        errors = np.convolve(self.coefficients, difference)
        expected = self.variance * difference.size
        return 10 * math.log10(max(float(np.dot(errors, errors)) / expected, 1e-30))


def fill_cores(
    passage: Passage,
    channel: int,
    own: Sequence[Click],
    clean: Callable[[int], FloatArray],
    method: str,
    earlier: Sequence[Fill] = (),
) -> list[Fill]:
    """Fill the cores of some clicks of a channel.

    Parameters
    ----------
    passage : Passage
    channel : int
    own : sequence of Click
        Of that channel: those whose cores are filled.
    clean : callable
        Gives the sound of a channel, without tails, shape (frames,).
    method : str
        "auto", or the name of the one to use.
    earlier : sequence of Fill
        Of the same cores, before a little more of the sound was cleaned: what they learned is a
        start.

    Returns
    -------
    list of Fill
        One for each run of missing samples that holds a core.
    """
    lo, hi = passage.sound
    runs = [(start - lo, stop - lo) for start, stop in passage.cores(channel)]
    cores = [(click.start - passage.start - lo, click.stop - passage.start - lo) for click in own]
    wanted = [run for run in runs if any(run[0] < b and a < run[1] for a, b in cores)]
    sound = clean(channel)[lo:hi]
    if method == "smooth":
        rate = passage.sample_rate
        return [
            Fill(run, fill_by_smoothing(sound, run, sample_rate=rate), np.nan, "smooth")
            for run in wanted
        ]
    if method == "spline":
        return [Fill(run, fill_by_spline(sound, runs, run), np.nan, "spline") for run in wanted]
    evidence = None
    if method == "auto":
        clicks = [click for click in passage.clicks if click.channel == channel]
        evidence = gather_evidence(sound, passage.start + lo, clicks)
    groups: dict[tuple[ModelSize, ...], list[Run]] = {}
    for run in wanted:
        told = evidence is not None and evidence.tells_of(run)
        sizes = () if told else model_sizes(run[1] - run[0], passage.sample_rate)
        groups.setdefault(sizes, []).append(run)
    known_filters = {fill.run: fill.error_filter for fill in earlier}
    fills: list[Fill] = []
    for sizes, group in groups.items():
        known, learned = None if sizes else evidence, known_filters.get(group[0])
        fills += _fill_group(passage, channel, runs, group, sizes, known, clean, method, learned)
    return fills


def _fill_group(
    passage: Passage,
    channel: int,
    runs: Sequence[Run],
    group: Sequence[Run],
    sizes: Sequence[ModelSize],
    evidence: Evidence | None,
    clean: Callable[[int], FloatArray],
    method: str,
    earlier: FloatArray | None,
) -> list[Fill]:
    """Fill runs of one size, or of which something is known, by what promises to be best."""
    lo, hi = passage.sound
    rate = passage.sample_rate
    sound = clean(channel)[lo:hi]
    if evidence is None:
        base = interpolate(sound, runs, group, sizes=sizes, sample_rate=rate)
    else:
        base = interpolate_weighed(sound, runs, group, evidence, sample_rate=rate, earlier=earlier)
    ar = {fill.run: fill for fill in _fills(base, group, "ar")}
    best = dict(ar)
    short = method == "auto" and max(b - a for a, b in group) <= SHORT_CORE_S * rate

    def offer(fill: Fill, share: float) -> None:
        rival = best[fill.run]
        forced = method == fill.method and (
            rival.method != method or fill.error_energy < rival.error_energy
        )
        if forced or (method == "auto" and fill.error_energy < share * rival.error_energy):
            best[fill.run] = fill

    if method in ("auto", "stereo"):
        for other in range(passage.samples.shape[1]):
            if other == channel:
                continue
            found = fill_from_channel(
                base.samples,
                runs,
                group,
                clean(other)[lo:hi],
                [(a - lo, b - lo) for a, b in passage.cores(other)],
                base.coefficients,
                sizes=sizes[:1] if short else sizes,  # what is left to predict needs less memory
                evidence=evidence,
                sample_rate=rate,
                least_coherence=LEAST_COHERENCE if short or evidence is not None else 0.0,
            )
            if found is None:
                continue
            for fill in _fills(found[1], found[0], "stereo"):
                change = fill.samples - ar[fill.run].samples
                trusted = np.dot(change, change) < STEREO_SURPRISE * ar[fill.run].error_energy
                if method == "stereo" or trusted:
                    offer(fill, STEREO_ADVANTAGE)
    for run, plain in ar.items():
        length = run[1] - run[0]
        missed = 0.0
        if method == "auto" and length > LONG_CORE_S * rate:
            missed = best[run].error_energy / max(_energy_beside(sound, runs, run), 1e-30)
        promising = missed > COPY_PROMISE
        if method == "copy" or promising:
            # What a copy lacks around the gap it lacks within.
            most = missed if promising else math.inf
            copied = fill_by_copy(sound, runs, run, sample_rate=rate, most_missed=most)
            if copied is not None:
                offer(_fills(copied, [run], "copy")[0], COPY_ADVANTAGE)
        sags = (
            best[run] is plain
            and length > BEYOND_AR_S * rate
            and plain.error_energy > SAGGING * _energy_beside(sound, runs, run)
        )
        if method == "spectrum" or (method == "auto" and sags):
            drawn = fill_by_spectrum(sound, runs, run, base, plain.error_energy)
            best[run] = replace(plain, samples=drawn, method="spectrum")
    return [replace(fill, error_filter=base.coefficients) for fill in best.values()]


def _fills(result: Interpolation, runs: Sequence[Run], method: str) -> list[Fill]:
    return [
        Fill(run, result.samples[slice(*run)], error, method, variance, result.coefficients)
        for run, error, variance in zip(runs, result.error_energy, result.variance, strict=True)
    ]


def _energy_beside(sound: FloatArray, runs: Sequence[Run], run: Run) -> float:
    """Return the energy that the run would have with the mean power of its surroundings."""
    length = run[1] - run[0]
    lo, hi = max(run[0] - length, 0), min(run[1] + length, sound.size)
    known = np.ones(hi - lo, dtype=bool)
    for a, b in runs:
        if b > lo and a < hi:
            known[max(a, lo) - lo : min(b, hi) - lo] = False
    beside = sound[lo:hi][known]
    return float(np.dot(beside, beside)) * length / max(beside.size, 1)
