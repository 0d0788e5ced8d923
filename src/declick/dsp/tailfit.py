"""Fit the rings and the thump of one tail, with the music around it as the yardstick."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.dsp.rings import LONGEST_S, FittedRing, Ring, fit_ring, search_rings
from declick.dsp.thumps import FittedThump, Swing, fit_thump, low_pass
from declick.dsp.whitening import FloatArray, WhitenedFit, prediction_error_filter

BoolArray = NDArray[np.bool_]

RING_CONTEXT_S = 0.25
THUMP_BEFORE_S, THUMP_AFTER_S = 0.6, 0.4
FOUL_RING_S = 0.08
RING_ORDER_S = 512 / 44100
THUMP_ORDER_S = 0.1
LONGEST_CORE_S = 0.025
SHORTEST_RING_S = 0.003  # that can be fitted
_RIVAL_PUSH = 0.5  # of the push that set a ring going
RING_LEAST = 0.05  # of the level of the music

RING_EVIDENCE = 40.0
SHORT_RING_EVIDENCE, SHORT_RING_S = 150.0, 0.003
CHAIN_EVIDENCE = 25.0
THUMP_EVIDENCE = 40.0
THUMP_LEAST = 0.015  # of the energy of the music
# A tail begins right behind its core, and a thump is at its height within so many s. A note that
# begins later, taken for a tail, would leave so many times the energy there.
LATE_ENERGY = 2.0
RING_FIRST_S, THUMP_FIRST_S = 0.0015, 0.008
LONGEST_THUMP_S = 0.2
CALM_WINDOW_S = 0.032
BRIDGED_SHARE = 0.15  # of the span of the low-pass filter


def bridge(samples: FloatArray, missing: BoolArray) -> FloatArray:
    """Return a copy with straight lines over the missing samples."""
    result = samples.copy()
    if not missing.any():
        return result
    steps = np.diff(missing.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    lost = np.flatnonzero(missing)
    known = np.unique(np.concatenate((starts - 1, stops)))
    known = known[(known >= 0) & (known < samples.size)]
    result[lost] = np.interp(lost, known, samples[known]) if known.size else 0.0
    return result


def clean_stretches(sound: FloatArray, dirty: BoolArray, shortest: int) -> list[FloatArray]:
    """Cut the sound where it is dirty; leave out pieces that say little."""
    steps = np.diff(dirty.astype(np.int8), prepend=1, append=1)
    starts, stops = np.flatnonzero(steps == -1), np.flatnonzero(steps == 1)
    return [
        sound[start:stop]
        for start, stop in zip(starts, stops, strict=True)
        if stop - start >= shortest
    ]


def core_start(missing: BoolArray, stop: int, longest: int) -> int:
    """Return where the run of missing samples that ends at `stop` begins."""
    start = stop
    while start > 0 and missing[start - 1] and stop - start < longest:
        start -= 1
    return start


def is_rival(push: float, first: float, after_s: float) -> bool:
    """Return whether a core so long after another may have set a ring of its own going.

    A weaker one may be the ring itself; so may any that is no harder and leaves no room for a fit.

    Parameters
    ----------
    push, first : float
        Heights of the core, and of the one before it.
    after_s : float
        From the end of that one to the beginning of this.
    """
    return push >= (1.0 if after_s < SHORTEST_RING_S else _RIVAL_PUSH) * first


def _expected_ring(
    fit: WhitenedFit, onset: int, guesses: Sequence[Ring], sample_rate: float
) -> tuple[FittedRing | None, Sequence[Ring]]:
    """Fit the first of the rings of the chain that is there; return the untried ones, too."""
    for index, guess in enumerate(guesses):
        found = fit_ring(fit, onset, guess, sample_rate=sample_rate, freedom=1.5)
        if found is not None and found.evidence >= CHAIN_EVIDENCE:
            return found, guesses[index + 1 :]
    return None, ()


def _fresh_ring(
    fit: WhitenedFit, onset: int, least: float, sample_rate: float
) -> FittedRing | None:
    """Fit the strongest ring that stands out and is at least `least` high."""
    variance = fit.sound_energy / max(fit.frames - fit.lost.size, 1)
    tried = 0.0
    for guess, energy in search_rings(fit, onset, sample_rate=sample_rate, least=least):
        if energy < max(0.4 * RING_EVIDENCE * variance, 0.1 * tried):
            break
        found = fit_ring(fit, onset, guess, sample_rate=sample_rate)
        # What lasts as long as the fit allows is a partial of the music: look further.
        if found is not None and found.ring.decay_s < 0.95 * LONGEST_S:
            # A short ring is a handful of samples: much else looks like it.
            short = found.ring.decay_s < SHORT_RING_S
            least_evidence = SHORT_RING_EVIDENCE if short else RING_EVIDENCE
            return found if found.evidence >= least_evidence else None
        tried = max(tried, energy)
    return None


def fit_tail_rings(
    sound: FloatArray,
    missing: BoolArray,
    stop: int,
    tail: int,
    *,
    sample_rate: float,
    guesses: Sequence[Ring] = (),
    fresh: bool = True,
    dirty: BoolArray | None = None,
    passes: int = 2,
) -> list[FittedRing]:
    """Fit the rings of one tail.

    Parameters
    ----------
    sound : ndarray, shape (frames,)
        Bridged over the cores.
    missing : ndarray of bool, shape (frames,)
        The cores.
    stop, tail : int
        The tail ``[stop, tail)``.
    sample_rate : float
        In Hz.
    guesses : sequence of Ring
        Rings of the chain, tried first.
    fresh : bool
        Whether to look for other rings where those are not there.
    dirty : ndarray of bool, shape (frames,), optional
        Tails that still hold their rings: no yardstick for the music.
    passes : int
        The second learns the music from under the ring, too.

    Returns
    -------
    list of FittedRing
        Empty where nothing stands out.
    """
    order = max(32, round(RING_ORDER_S * sample_rate))
    context = round(RING_CONTEXT_S * sample_rate)
    start = core_start(missing, stop, round(LONGEST_CORE_S * sample_rate))
    before = sound[max(0, start - context) : start]
    end = min(sound.size, tail + order)
    if dirty is not None and dirty[tail:end].any():
        end = tail + int(np.argmax(dirty[tail:end]))
    onset = stop - start

    low, high = start - before.size, min(sound.size, tail + context)
    music = sound[low:high].copy()
    foul = np.zeros(high - low, dtype=bool) if dirty is None else dirty[low:high].copy()
    # A ring is heard no longer long before it is gone from the statistics.
    foul[start - low : max(tail, stop + round(FOUL_RING_S * sample_rate)) - low] = True
    least = RING_LEAST * float(np.sqrt(np.mean(before**2))) if before.size else 0.0
    most = max(1, len(guesses))
    rings: list[FittedRing] = []
    for _ in range(passes):
        error_filter = prediction_error_filter(clean_stretches(music, foul, order // 2), order)
        lost = missing[start:end].copy()
        earlier, expected = rings, guesses
        rings = []
        cleaned = sound[start:end].copy()
        while len(rings) < most:
            fit = WhitenedFit(error_filter, before, cleaned, lost)
            if earlier:
                if len(rings) == len(earlier):
                    break
                guess = earlier[len(rings)].ring
                best = fit_ring(fit, onset, guess, sample_rate=sample_rate, freedom=3.0)
                if best is not None and best.evidence < CHAIN_EVIDENCE:
                    best = None
            else:
                best, expected = _expected_ring(fit, onset, expected, sample_rate)
                if best is None and fresh and not rings:
                    best = _fresh_ring(fit, onset, least, sample_rate)
            if best is None:
                break
            rings.append(best)
            cleaned[onset:] -= best.samples(cleaned.size - onset)
        if not rings:
            # What is left of a ring may pass for music; a plain one of the chain does not.
            rings = [r for r in earlier if guesses and r.evidence >= SHORT_RING_EVIDENCE]
            break
        fit = WhitenedFit(error_filter, before, cleaned, lost)
        cleaned[fit.lost] = fit.interpolate()
        music[start - low : end - low] = cleaned
        foul[start - low : end - low] = False
    first = sound[stop : stop + round(RING_FIRST_S * sample_rate)]
    wave = np.sum([ring.samples(first.size) for ring in rings], axis=0)
    return [] if rings and adds(first, wave, LATE_ENERGY) else rings


def adds(sound: FloatArray, wave: FloatArray, times: float = 1.0) -> bool:
    """Return whether to take a wave out leaves more than so many times the energy of a sound."""
    rest = sound - wave
    return float(rest @ rest) > times * float(sound @ sound)


def _calm_weight(
    error_filter: FloatArray, history: FloatArray, music: FloatArray, window: int
) -> FloatArray:
    """Return how much each sample can be trusted: less where the music is being struck."""
    lost = np.zeros(music.size, dtype=bool)
    power = WhitenedFit(error_filter, history, music, lost).error ** 2
    kernel = np.hanning(min(window, music.size) + 2)[1:-1]
    level = np.convolve(power, kernel, mode="same") / np.convolve(
        np.ones(power.size), kernel, mode="same"
    )
    floor = float(np.median(level)) + 1e-300
    weight: FloatArray = np.sqrt(floor / np.maximum(level, floor))
    return weight


def fit_tail_thump(
    sound: FloatArray,
    missing: BoolArray,
    stop: int,
    tail: int,
    *,
    sample_rate: float,
    dirty: BoolArray | None = None,
    passes: int = 2,
    least: float = THUMP_EVIDENCE,
    expected: Swing | None = None,
) -> FittedThump | None:
    """Fit the thump of one tail, of at least some evidence; where `expected`, one much like it.

    The other parameters are those of `fit_tail_rings`.
    """
    factor, taps = low_pass(sample_rate)
    half = taps.size // 2
    rate = sample_rate / factor
    order = round(THUMP_ORDER_S * rate)
    start = core_start(missing, stop, round(LONGEST_CORE_S * sample_rate))
    # The low-rate samples are counted from the tail, so that no block border moves them.
    core = -(-(stop - start) // factor)
    start = stop - core * factor
    first = -min(round(THUMP_BEFORE_S * rate), (start - half) // factor)
    last = min(
        math.ceil((tail - start) / factor) + round(THUMP_AFTER_S * rate),
        (sound.size - 1 - half - start) // factor,
    )
    if first > -16 or last < 8:
        return None
    places = start + factor * np.arange(first, last + 1)
    spans = sliding_window_view(sound, taps.size)[places[0] - half : places[-1] - half + 1 : factor]
    low = np.einsum("ij,j->i", spans, taps)
    # A bridge over a few samples serves the bass; what a longer core touches is lost.
    touched = np.zeros(places.size, dtype=bool)
    behind = places[-first:] - half
    count = np.concatenate(([0], np.cumsum(missing[behind[0] : behind[-1] + taps.size])))
    behind -= behind[0]
    touched[-first:] = count[behind + taps.size] - count[behind] > BRIDGED_SHARE * taps.size
    reach = (stop + half - places[-first]) // factor + 1
    begin = -first - (half // factor + 1)
    touched[begin : -first + reach] = True
    over = min(low.size, -first + math.ceil((tail - start) / factor))
    end = min(low.size, over + order)
    foul = np.zeros(low.size, dtype=bool) if dirty is None else dirty[places]
    if foul[over:end].any():
        end = over + int(np.argmax(foul[over:end]))
    foul[begin:over] = True
    onset = core - first - begin
    seconds = (places[begin:end] - stop) / sample_rate
    music = low.copy()
    audible = THUMP_LEAST * float(sound[stop:tail] @ sound[stop:tail]) / factor
    best: FittedThump | None = None
    weight: FloatArray | None = None
    for index in range(passes):
        error_filter = prediction_error_filter(clean_stretches(music, foul, order // 2), order)
        lost = touched[begin:end]
        fit = WhitenedFit(error_filter, low[:begin], low[begin:end], lost, weight)
        enough = least if index + 1 == passes else 0.3 * least
        guess = expected or (best.swing if best is not None else None)
        near = expected is not None
        best = fit_thump(fit, onset, rate, guess, near=near, least=enough, least_energy=audible)
        if best is None or best.evidence < enough or best.swing.decay_s > LONGEST_THUMP_S:
            return None
        cleaned = low[begin:end] - best.samples(seconds)
        fit = WhitenedFit(error_filter, low[:begin], cleaned, touched[begin:end])
        cleaned[fit.lost] = fit.interpolate()
        music[begin:end] = cleaned
        if index + 1 < passes:
            window = round(CALM_WINDOW_S * rate)
            weight = _calm_weight(error_filter, low[:begin], cleaned, window)
        foul[begin:end] = False
    if best is None:
        return None
    wave = best.samples(np.arange(tail - stop) / sample_rate)
    rest = sound[stop:tail] - wave
    first = round(THUMP_FIRST_S * sample_rate)
    if adds(sound[stop:tail][:first], wave[:first], LATE_ENERGY):
        return None
    # What nobody hears is no damage, and more likely the music's own.
    return best if float(wave @ wave) > THUMP_LEAST * float(rest @ rest) else None
