"""Compare a rip with its manual repair: where they differ is the damage, if they are a pair."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.signal import butter, sosfiltfilt

from declick.clicks import FloatArray
from declick.read import Recording
from declick.wording import count_of

WINDOW_S, REACH_S = 0.4, 30.0
NEAR_S = 2.0
EVERY_S, FEWEST, MOST = 10.0, 8, 48
BAND_HZ = (100.0, 2500.0)
# Below this correlation two windows do not hold the same sound.
ALIKE, ENOUGH_ALIKE = 0.7, 0.5
WHOLE_FRAME = 0.12
BLOCK_S = 10.0
UNTOUCHED = 0.99
# From this share of equal samples on, the level was not changed.
MOSTLY = 0.5
QUANTILE, QUANTILE_OF_NORMAL = 0.8, 1.2816
OVER_NOISE = 6.0
GAIN_DB = 0.002
ROUNDING = 2.0**-15
FOLLOWS = 0.5
STEADY = 0.05


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """How the second of two recordings came from the first.

    Parameters
    ----------
    offset : int
        Frame ``n`` of the repair is frame ``n + offset`` of the rip.
    fraction : float
        What is left of the offset, in frames; not 0 after resampling.
    speed_ppm : float
        How much faster the repair runs, in millionths.
    edits : tuple of (float, int)
        Seconds of the repair at which sound is missing (frames > 0) or was put in (< 0).
    gains : tuple of float
        Of the repair over the rip, for each channel; negative where it is inverted.
    alike : float
        Median correlation of the places that were compared, 0..1.
    same_share : float
        Share of the samples that are the same after gain and offset.
    untouched : bool
        Whether that is so of nearly all samples in most quarters of a second.
    noise_db : float
        Robust rms of the difference where nothing was repaired, dB of full scale; -200: none.
    residual_db : float
        The same over the rms of the rip.
    lossy : bool
        Whether the difference looks like that of a lossy codec.
    notes : tuple of str
        What was found and is allowed for, a line each.
    faults : tuple of str
        Why the difference is not the damage, a line each; empty for a true pair.
    """

    offset: int = 0
    fraction: float = 0.0
    speed_ppm: float = 0.0
    edits: tuple[tuple[float, int], ...] = ()
    gains: tuple[float, ...] = ()
    alike: float = 0.0
    same_share: float = 0.0
    untouched: bool = False
    noise_db: float = -200.0
    residual_db: float = -200.0
    lossy: bool = False
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def floor(self) -> float:
        """Magnitude above which a difference counts, full scale 1."""
        if self.untouched:
            return 0.0
        return max(OVER_NOISE * float(10.0 ** (self.noise_db / 20.0)), 1.5e-7)

    @property
    def usable(self) -> bool:
        """Whether the difference is the damage."""
        return not self.faults


def compare_pair(before: Recording, after: Recording) -> Pairing:
    """Find out whether one recording is the repair of another.

    An offset of whole frames, a gain, an inversion, and rounding or dither are allowed for.
    Other sample rates or speeds, cuts, lossy codecs, filters and other recordings are faults.

    Parameters
    ----------
    before, after : Recording
        Read block by block.
    """
    if before.sample_rate != after.sample_rate:
        return _at_fault(
            f"it was resampled: {after.sample_rate} Hz, the rip has {before.sample_rate} Hz"
        )
    if before.channels != after.channels:
        return _at_fault(
            f"it has {count_of(after.channels, 'channel')}, the rip has {before.channels}"
        )
    rate = before.sample_rate
    places = _match_windows(before, after)
    alike = float(np.median([place.alike for place in places])) if places else 0.0
    good = [place for place in places if place.alike >= ALIKE]
    if len(good) < max(1, ENOUGH_ALIKE * len(places)):
        return _at_fault(
            "it is another digitization or recording, or runs at another speed by far: only "
            f"{len(good)} of {len(places)} places that were compared are alike "
            f"(median correlation {alike:.2f})",
            alike=alike,
        )
    times = np.array([place.frame for place in good], dtype=np.float64)
    lags = np.array([place.lag for place in good])
    speed_ppm, straight = _speed(times, lags)
    if straight:
        return _at_fault(
            f"it was resampled or runs at another speed: {speed_ppm:+.1f} parts per million "
            f"({lags[-1] - lags[0]:+.1f} frames from {times[0] / rate:.0f} s to "
            f"{times[-1] / rate:.0f} s)",
            alike=alike,
            speed_ppm=speed_ppm,
            offset=round(lags[0]),
        )
    offset = round(float(np.median(lags)))
    edits = _edits(before, after, times, lags)
    if edits:
        where = ", ".join(
            f"{count_of(abs(frames), 'frame')} {'missing' if frames > 0 else 'put in'} "
            f"near {at:.1f} s"
            for at, frames in edits[:5]
        )
        return _at_fault(f"it was cut: {where}", alike=alike, edits=edits, offset=round(lags[0]))
    fraction = float(np.median(lags)) - offset
    if abs(fraction) > WHOLE_FRAME:
        return _at_fault(
            f"it was resampled: it lies {np.median(lags):+.2f} frames off, between two frames",
            alike=alike,
            offset=offset,
            fraction=fraction,
        )
    return _compare_samples(before, after, offset, alike)


def _at_fault(fault: str, **values: object) -> Pairing:
    return Pairing(faults=(fault,), **values)  # type: ignore[arg-type]


# --- where it lies ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    frame: int
    lag: float
    alike: float


def _match_windows(before: Recording, after: Recording) -> list[_Place]:
    """Find windows of the repair in the rip."""
    rate = after.sample_rate
    size = min(round(WINDOW_S * rate), after.frames, before.frames)
    count = int(np.clip(after.frames / rate / EVERY_S, FEWEST, MOST))
    starts = np.unique(np.linspace(0, after.frames - size, count).astype(int))
    reach = round(REACH_S * rate) + abs(before.frames - after.frames)
    near = round(NEAR_S * rate)
    places: list[_Place] = []
    lag = 0.0
    for start in (int(value) for value in starts):
        piece = after.read(start, start + size)
        # Silence tells nothing.
        if float(np.max(np.abs(piece))) < 1e-4:
            continue
        found = None
        if places and places[-1].alike >= ALIKE:
            found = _find(before, piece, start, round(lag), near)
        if found is None or found.alike < ALIKE:
            wide = _find(before, piece, start, 0, reach)
            found = wide if found is None or wide.alike > found.alike else found
        if found.alike >= ALIKE:
            lag = found.lag
        places.append(found)
    return places


def _find(before: Recording, piece: FloatArray, start: int, lag: int, reach: int) -> _Place:
    """Find one window of the repair within `reach` of where it is expected."""
    rate, size = before.sample_rate, len(piece)
    low = max(-size // 2, start + lag - reach)
    high = min(before.frames + size // 2, start + lag + size + reach)
    if high - low < size:
        return _Place(start, float(lag), 0.0)
    sos = butter(2, (BAND_HZ[0], min(BAND_HZ[1], 0.4 * rate)), "bandpass", fs=rate, output="sos")
    wanted = sosfiltfilt(sos, piece, axis=0)
    sound = sosfiltfilt(sos, before.read(low, high), axis=0)
    length = fft.next_fast_len(len(sound) + size, real=True)
    product = np.zeros(length // 2 + 1, dtype=np.complex128)
    for channel in range(piece.shape[1]):
        product += fft.rfft(sound[:, channel], length) * np.conj(
            fft.rfft(wanted[:, channel], length)
        )
    answer = fft.irfft(product, length)[: len(sound) - size + 1]
    energy = np.concatenate(([0.0], np.cumsum(np.sum(sound**2, axis=1))))
    local = energy[size:] - energy[:-size]
    own = float(np.sum(wanted**2))
    alike = np.abs(answer) / np.sqrt(np.maximum(local[: answer.size], 1e-9 * own) * own + 1e-30)
    best = int(np.argmax(alike))
    shift = 0.0
    if 0 < best < alike.size - 1:
        a, b, c = (float(value) for value in alike[best - 1 : best + 2])
        shift = 0.5 * (a - c) / min(a - 2.0 * b + c, -1e-12)
    return _Place(start, low + best + shift - start, min(1.0, float(alike[best])))


def _speed(times: FloatArray, lags: FloatArray) -> tuple[float, bool]:
    """Return the speed in ppm, and whether the lags lie on a slanting line, not on steps."""
    if times.size < 4:
        return 0.0, False
    slope, start = np.polyfit(times, lags, 1)
    spread = float(np.median(np.abs(lags - start - slope * times)))
    moved = abs(float(slope)) * float(times[-1] - times[0])
    still = np.mean(np.abs(np.diff(lags)) < 0.1 * moved / times.size)
    return 1e6 * float(slope), bool(moved > 0.6 and spread < 0.1 * moved and still < 0.3)


def _edits(
    before: Recording, after: Recording, times: FloatArray, lags: FloatArray
) -> tuple[tuple[float, int], ...]:
    """Return where the lag jumps, by how many frames."""
    rate = before.sample_rate
    size = round(WINDOW_S * rate)
    found = []
    for index in range(1, len(lags)):
        early, late = round(float(lags[index - 1])), round(float(lags[index]))
        if early == late:
            continue
        low, high = int(times[index - 1]), int(times[index]) + size
        step = max(256, size // 16)
        place = low
        for start in range(low, high, step):
            stop = min(high, start + step)
            piece = after.read(start, stop)
            first = float(np.sum(np.abs(piece - before.read(start + early, stop + early))))
            second = float(np.sum(np.abs(piece - before.read(start + late, stop + late))))
            place = start
            if first > second:
                break
        found.append((place / rate, late - early))
    return tuple(found)


# --- what is different ------------------------------------------------------------------------


def overlapping_blocks(
    before: Recording, after: Recording, offset: int
) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """Yield blocks of both recordings where they overlap, with their first frame in the rip."""
    size = round(BLOCK_S * before.sample_rate)
    first, last = max(0, offset), min(before.frames, after.frames + offset)
    for start in range(first, last, size):
        stop = min(last, start + size)
        yield start, before.read(start, stop), after.read(start - offset, stop - offset)


def _compare_samples(before: Recording, after: Recording, offset: int, alike: float) -> Pairing:
    """Look at the difference of two recordings that lie on each other."""
    notes: list[str] = []
    rate = before.sample_rate
    if offset:
        notes.append(
            f"it begins {count_of(abs(offset), 'frame')} ({abs(offset) / rate:.3f} s) "
            f"{'after' if offset > 0 else 'before'} the rip"
        )
    gains = _gains(before, after, offset)
    if any(abs(20.0 * math.log10(max(abs(gain), 1e-9))) > GAIN_DB for gain in gains):
        levels = ", ".join(f"{20.0 * math.log10(max(abs(gain), 1e-9)):+.3f} dB" for gain in gains)
        notes.append(f"its level was changed: {levels}")
    else:
        gains = tuple(math.copysign(1.0, gain) for gain in gains)
    if any(gain < 0.0 for gain in gains):
        notes.append("it is inverted")
    same, total = 0, 0
    noises, sounds, equal = [], [], []
    scale = np.array(gains)
    for _, rip, repair in overlapping_blocks(before, after, offset):
        difference = repair - rip * scale
        same += int(np.count_nonzero(difference == 0.0))
        total += difference.size
        for part, own in zip(_cells(difference, rate), _cells(rip, rate), strict=True):
            # Dither leaves most samples as they are: the median would not see it.
            noises.append(float(np.quantile(np.abs(part), QUANTILE)) / QUANTILE_OF_NORMAL)
            equal.append(float(np.mean(part == 0.0)))
            sounds.append(float(np.sqrt(np.mean(own**2))))
    noise, sound = np.array(noises), np.array(sounds)
    heard = sound > 1e-4
    level = float(np.median(noise[heard])) if heard.any() else 0.0
    reference = float(np.median(sound[heard])) if heard.any() else 1.0
    same_share = same / max(1, total)
    residual_db = 20.0 * math.log10(max(level / reference, 1e-10))
    untouched = bool(equal) and (level == 0.0 or float(np.median(equal)) >= UNTOUCHED)
    faults: list[str] = []
    lossy = not after.lossless
    if lossy:
        faults.append(f"it is stored in a lossy codec ({after.subtype})")
    elif not untouched and level > 2.0 * ROUNDING:
        follows = _follows(noise[heard], sound[heard])
        lossy = follows > FOLLOWS
        told = f"{residual_db:.0f} dB of the music, everywhere; "
        faults.append(
            "it went through a lossy codec, or through a filter or an effect: they differ by "
            f"{told}the difference follows the music (correlation of levels {follows:.2f})"
            if lossy
            else f"it was treated all over (noise reduction, a filter?): they differ by {told}"
            f"only {100 * same_share:.0f} % of the samples are the same"
        )
    elif not untouched:
        notes.append(f"it was rounded or dithered anew: noise at {_decibels(level):.0f} dBFS")
    return Pairing(
        offset=offset,
        gains=gains,
        alike=alike,
        same_share=same_share,
        untouched=untouched,
        noise_db=_decibels(level),
        residual_db=max(residual_db, -200.0),
        lossy=lossy,
        notes=tuple(notes),
        faults=tuple(faults),
    )


def _decibels(level: float) -> float:
    return 20.0 * math.log10(max(level, 1e-10))


def _cells(samples: FloatArray, rate: int) -> list[FloatArray]:
    return np.array_split(samples, max(1, round(len(samples) / (0.25 * rate))))


def _follows(noise: FloatArray, sound: FloatArray) -> float:
    """Return how closely the level of the difference follows that of the music, -1..1."""
    if noise.size < 8:
        return 1.0
    levels = np.log(np.maximum([noise, sound], 1e-9))
    spread = np.std(levels, axis=1)
    if np.min(spread) < STEADY:
        # Steady noise follows nothing; steady music leaves the codec as the likelier cause.
        return 1.0 if spread[1] < STEADY else 0.0
    return float(np.corrcoef(levels)[0, 1])


def _gains(before: Recording, after: Recording, offset: int) -> tuple[float, ...]:
    """Return the gain of each channel: the median over cells, which repairs hardly move.

    Where most samples are the same as they stand, it is 1 (or -1), however worn the rip is.
    """
    found: list[FloatArray] = []
    same, inverted, frames = np.zeros(before.channels), np.zeros(before.channels), 0
    for _, rip, repair in overlapping_blocks(before, after, offset):
        same += np.count_nonzero(repair == rip, axis=0)
        inverted += np.count_nonzero(repair == -rip, axis=0)
        frames += len(rip)
        for own, other in zip(
            _cells(rip, before.sample_rate), _cells(repair, before.sample_rate), strict=True
        ):
            energy = np.sum(own**2, axis=0)
            ratio = np.sum(own * other, axis=0) / np.maximum(energy, 1e-30)
            found.append(np.where(energy > 1e-8 * len(own), ratio, np.nan))
    ratios = np.array(found)
    gains = []
    for channel in range(before.channels):
        if max(same[channel], inverted[channel]) >= MOSTLY * frames:
            gains.append(1.0 if same[channel] >= inverted[channel] else -1.0)
            continue
        known = ratios[:, channel][np.isfinite(ratios[:, channel])] if found else np.zeros(0)
        gains.append(float(np.median(known)) if known.size else 1.0)
    return tuple(gains)
