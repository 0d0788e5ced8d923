"""Fill the cores of a passage's clicks, each by the method that the evidence beside it favours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Repair
from declick.repair.ar import Interpolation, ModelSize, interpolate, model_sizes
from declick.repair.copy import fill_by_copy
from declick.repair.passage import LONG_CORE_S, Passage
from declick.repair.smooth import fill_by_smoothing, fill_by_spline
from declick.repair.solve import Run
from declick.repair.spectrum import fill_by_spectrum
from declick.repair.stereo import LEAST_COHERENCE, fill_from_channel
from declick.repair.transfer import Offer, fill_from_transfers, is_shared
from declick.repair.weighing import (
    Evidence,
    gather_evidence,
    interpolate_weighed,
)
from declick.settings import RepairSettings

if TYPE_CHECKING:
    from declick.dsp.chain import Chain

FloatArray = NDArray[np.float64]

LEAST_GAIN_DB = 2.0
"""A repair is made only where at least this gain over leaving the sound alone is expected ..."""

LEAST_SURPRISE_DB = 5.0
"""... and where what is there is this much less predictable than the sound beside it.

Of clicks claimed on clean music less than 1 % pass both; with broadband damage of -40 to +10 dB
relative to the music this has the largest net gain.
"""

CERTAIN_GAIN_DB = 8.0
"""With as much expected gain, smooth (predictable) damage is mended too ..."""

CERTAIN_KNOWN_DB = 4.0
"""... and with as much where the damage is not only found, but known."""

ATTACK_DB, ATTACK_S, ATTACK_SURPRISE_DB = 3.0, 0.01, 10.0
"""Where the sound behind a click is this much louder than before, a note begins: what is known of
the click is less sure, and it must surprise by so much besides.
"""

FAINT_CORE_S, FAINT_DB, FAINT_BESIDE_S = 0.005, 8.0, 0.05
SURE = 0.9995
CROWD, CROWD_S = 10, 0.25
"""Among so many clicks, within so much to either side, what is longer than this, and whose peak
stands out of the level of the sound around by less than this, is mended only where the detector is
as sure. A beat of a drum or of a synthesizer is as long and as loud, and crackle on it lets the
detector doubt no longer: there such repairs do twelve times as much harm as good.
"""

SURE_OF_PRESSING = 0.99
"""What another copy plays just so is a fault of the pressing if the detector is as sure; else it is
music.
"""

TAILS_BESIDE_S = 0.025
"""Neighbours' tails are subtracted too where they come this close to the own clicks."""

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


def repair_passage(
    passage: Passage, *, settings: RepairSettings, chain: Chain | None = None
) -> list[Repair]:
    """Mend the own clicks of a passage.

    Tails are subtracted first, so that neither ring nor thump is taken for music; then the cores
    are filled from the cleaned surroundings.

    Parameters
    ----------
    passage : Passage
    settings : RepairSettings
    chain : Chain, optional
        What the playback chain's rings and thumps look like, for the tails.

    Returns
    -------
    list of Repair
        One for each of ``passage.own``, in that order.
    """
    cleaned: dict[int, FloatArray] = {}

    def clean(channel: int) -> FloatArray:
        if channel not in cleaned:
            cleaned[channel] = _without_tails(passage, channel, chain)
        return cleaned[channel]

    offers = fill_from_transfers(passage) if settings.method == "auto" else {}
    repairs = {click: offer.repair(click) for click, offer in offers.items() if offer.plain}
    rest = [click for click in passage.own if click not in repairs]
    for channel in sorted({click.channel for click in rest}):
        own = [click for click in rest if click.channel == channel]
        fills = _fill_cores(passage, channel, own, clean, settings.method)
        lo = passage.sound[0]
        mended = clean(channel).copy()
        for fill in fills:
            mended[lo + fill.run[0] : lo + fill.run[1]] = fill.samples
        for click in own:
            repairs[click] = _decide(passage, click, mended, fills, settings, offers.get(click))
    return [repairs[click] for click in passage.own]


@dataclass(frozen=True, eq=False)
class _Fill:
    """What a missing run is filled with; `run` counts from the first existing frame."""

    run: Run
    samples: FloatArray
    error_energy: float
    method: str
    variance: float = np.nan
    coefficients: FloatArray = field(default_factory=lambda: np.ones(1))

    def surprise_db(self, difference: FloatArray) -> float:
        """Return the power of the observed sound's prediction errors over the expected, in dB."""
        errors = np.convolve(self.coefficients, difference)
        expected = self.variance * difference.size
        return 10 * math.log10(max(float(np.dot(errors, errors)) / expected, 1e-30))


def _without_tails(passage: Passage, channel: int, chain: Chain | None) -> FloatArray:
    """Return the channel with the tails in and beside the own clicks subtracted."""
    samples = np.ascontiguousarray(passage.samples[:, channel])
    size = samples.size
    beside = round(TAILS_BESIDE_S * passage.sample_rate)
    first = passage.own[0].start - beside
    last = max(click.tail for click in passage.own) + beside
    tails = [
        (click.stop - passage.start, min(click.tail - passage.start, size), click.kind)
        for click in sorted(passage.clicks)
        if click.channel == channel
        and click.stop < click.tail
        and click.stop < last
        and click.tail > first
        and 0 <= click.stop - passage.start < size
    ]
    if not tails:
        return samples
    from declick.repair.separate import subtract_tails

    missing = np.zeros(size, dtype=bool)
    for start, stop in passage.cores(channel):
        missing[start:stop] = True
    return subtract_tails(
        samples,
        missing,
        tails,
        sample_rate=passage.sample_rate,
        chain=chain,
        channel=channel,
    )


def _fill_cores(
    passage: Passage,
    channel: int,
    own: Sequence[Click],
    clean: Callable[[int], FloatArray],
    method: str,
) -> list[_Fill]:
    lo, hi = passage.sound
    runs = [(start - lo, stop - lo) for start, stop in passage.cores(channel)]
    cores = [(click.start - passage.start - lo, click.stop - passage.start - lo) for click in own]
    wanted = [run for run in runs if any(run[0] < b and a < run[1] for a, b in cores)]
    sound = clean(channel)[lo:hi]
    if method == "smooth":
        rate = passage.sample_rate
        return [
            _Fill(run, fill_by_smoothing(sound, run, sample_rate=rate), np.nan, "smooth")
            for run in wanted
        ]
    if method == "spline":
        return [_Fill(run, fill_by_spline(sound, runs, run), np.nan, "spline") for run in wanted]
    evidence = None
    if method == "auto":
        clicks = [click for click in passage.clicks if click.channel == channel]
        evidence = gather_evidence(sound, passage.start + lo, clicks)
    groups: dict[tuple[ModelSize, ...], list[Run]] = {}
    for run in wanted:
        told = evidence is not None and evidence.tells_of(run)
        sizes = () if told else model_sizes(run[1] - run[0], passage.sample_rate)
        groups.setdefault(sizes, []).append(run)
    fills: list[_Fill] = []
    for sizes, group in groups.items():
        known = None if sizes else evidence
        fills += _fill_group(passage, channel, runs, group, sizes, known, clean, method)
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
) -> list[_Fill]:
    """Fill runs of one size, or of which something is known, by what promises to be best."""
    lo, hi = passage.sound
    rate = passage.sample_rate
    sound = clean(channel)[lo:hi]
    if evidence is None:
        base = interpolate(sound, runs, group, sizes=sizes, sample_rate=rate)
    else:
        base = interpolate_weighed(sound, runs, group, evidence, sample_rate=rate)
    ar = {fill.run: fill for fill in _fills(base, group, "ar")}
    best = dict(ar)
    short = method == "auto" and max(b - a for a, b in group) <= SHORT_CORE_S * rate

    def offer(fill: _Fill, share: float) -> None:
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
    return list(best.values())


def _fills(result: Interpolation, runs: Sequence[Run], method: str) -> list[_Fill]:
    return [
        _Fill(run, result.samples[slice(*run)], error, method, variance, result.coefficients)
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


def _begins(mended: FloatArray, core: slice, sample_rate: int) -> bool:
    """Return whether the sound is much louder behind a core than before it."""
    reach = round(ATTACK_S * sample_rate)
    before = mended[max(core.start - reach, 0) : core.start]
    behind = mended[core.stop : core.stop + reach]
    if not behind.size or not before.size:
        return False
    return float(np.mean(behind**2)) > 10 ** (ATTACK_DB / 10) * float(np.mean(before**2))


def _asked_surprise_db(
    click: Click, gain_db: float, mended: FloatArray, lost: slice, sample_rate: int
) -> float:
    """Return how surprising damage must be; -inf where its gain says enough."""
    if click.estimate is not None and _begins(mended, lost, sample_rate):
        return ATTACK_SURPRISE_DB
    enough = CERTAIN_GAIN_DB if click.estimate is None else CERTAIN_KNOWN_DB
    return -math.inf if gain_db >= enough else LEAST_SURPRISE_DB


def _is_faint(passage: Passage, click: Click, damage: FloatArray) -> bool:
    """Return whether a long click amid crackle is no louder than a beat, and not beyond doubt."""
    length, rate = click.stop - click.start, passage.sample_rate
    if length <= FAINT_CORE_S * rate or click.confidence >= SURE:
        return False
    near = round(CROWD_S * rate)
    starts = [other.start for other in passage.clicks if other.channel == click.channel]
    if sum(click.start - near < start < click.stop + near for start in starts) < CROWD:
        return False
    first, beside = click.start - passage.start, round(FAINT_BESIDE_S * rate)
    around = passage.samples[max(first - beside, 0) : first + length + beside, click.channel]
    peak = float(np.max(damage[:length] ** 2))
    return peak < 10 ** (FAINT_DB / 10) * float(np.mean(around**2))


def _decide(
    passage: Passage,
    click: Click,
    mended: FloatArray,
    fills: Sequence[_Fill],
    settings: RepairSettings,
    offer: Offer | None = None,
) -> Repair:
    """Make the repair, or leave the click alone where that is expected to be no worse."""
    left = Repair(click, np.zeros(0), "left")
    lo = passage.start + passage.sound[0]
    if click.start < passage.start or click.tail > passage.stop:
        return left  # the passage does not hold it
    span = slice(click.start - passage.start, click.tail - passage.start)
    observed = passage.samples[span, click.channel]
    samples = mended[span].copy()
    changed = float(np.sum((observed - samples) ** 2))
    inside = [f for f in fills if f.run[0] + lo < click.stop and click.start < f.run[1] + lo]
    if not inside and offer is not None:
        return offer.repair(click)
    if not inside:
        return left if changed == 0.0 else Repair(click, samples, "tail")
    fill = inside[0]
    if settings.method != "auto":
        return Repair(click, samples, fill.method)
    share = (click.stop - click.start) / max(fill.run[1] - fill.run[0], 1)
    error = fill.error_energy * min(share, 1.0)
    gain_db = float("nan")
    certain = changed > 0.0 and error == 0.0
    if np.isfinite(error) and error > 0.0:
        gain_db = 10 * math.log10(max(changed / error - 1.0, 1e-3))
        length = click.stop - click.start
        lost = slice(span.start, span.start + length)
        asked_db = _asked_surprise_db(click, gain_db, mended, lost, passage.sample_rate)
        certain = asked_db == -math.inf or (
            gain_db >= LEAST_GAIN_DB and fill.surprise_db((observed - samples)[:length]) >= asked_db
        )
    if offer is not None:
        return offer.beside(Repair(click, samples, fill.method, gain_db), error)
    doubtful = click.confidence < SURE_OF_PRESSING
    if settings.keep_weak and (
        not certain
        or _is_faint(passage, click, observed - samples)
        or (doubtful and is_shared(passage, click, changed))
    ):
        return Repair(click, np.zeros(0), "left", gain_db)
    return Repair(click, samples, fill.method, gain_db)
