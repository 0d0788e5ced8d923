"""`align`: from nothing known to the time map, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.align.channels import Wiring, find_gains, find_wiring
from declick.align.coarse import Match, find_matches, ranked, ratios_to_try
from declick.align.listen import RATE, SUM, Heard, listen
from declick.align.model import Alignment
from declick.align.paths import Path, find_paths
from declick.align.refine import refine
from declick.align.verify import confidence_of, longest_held_s, null_of
from declick.align.walk import Walker
from declick.clicks import FloatArray
from declick.errors import NotSameRecordingError
from declick.read import Recording
from declick.settings import AlignSettings

Progress = Callable[[str, float], None]

# Matches of the features whose waveforms are looked at.
_CANDIDATES: Final = 4
# Mean correlation of the waveforms around a match, from which on it is one.
_REAL: Final = 0.12
_PLAIN: Final = 0.2
# One stretch must hold for so long, or for half of what they could have in common: single notes
# of another performance fit by chance.
_FIRM_S: Final = 8.0
# And what lies elsewhere than the longest path, behind a cut, for so long.
_ELSEWHERE_S: Final = 5.0
_SILENT_DB: Final = -90.0


def _ignore(stage: str, share: float) -> None:
    pass


def align(
    a: Recording,
    b: Recording,
    settings: AlignSettings = AlignSettings(),
    progress: Progress = _ignore,
) -> Alignment:
    """Find where each instant of A is in B.

    Parameters
    ----------
    a, b : Recording
        Digitizations of one recording: any sample rates, any beginning, other speeds of the disc,
        and one may be a fragment of the other.
    settings : AlignSettings
    progress : callable
        Called with the name of a stage ("listen", "search", "refine") and the share of it that is
        done.

    Returns
    -------
    Alignment

    Raises
    ------
    NotSameRecordingError
        Where they are not digitizations of the same recording, or it cannot be told.
    ReadError
        Where one cannot be read.
    """
    heard_a = listen(a, SUM, lambda share: progress("listen", 0.5 * share))
    heard_b = listen(b, SUM, lambda share: progress("listen", 0.5 + 0.5 * share))
    for recording, heard in ((a, heard_a), (b, heard_b)):
        _check_audible(recording, heard, settings)
    progress("search", 0.0)
    match, wiring = _first_match(a, b, heard_a, heard_b, settings)
    if wiring.mix_a != SUM:
        heard_a = listen(a, wiring.mix_a)
    if wiring.mix_b != SUM:
        heard_b = listen(b, wiring.mix_b)
    heard_b.sound[:] *= np.float32(wiring.sign * _as_loud(heard_a.sound, heard_b.sound))
    paths = find_paths(heard_a, heard_b, match)
    progress("search", 1.0)
    return _mapped(a, b, heard_a, heard_b, paths, wiring, settings, progress)


def _as_loud(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the power of two, which rounds nothing, that makes the second as loud as the first."""
    level, other = (
        float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) for x in (first, second)
    )
    return float(2.0 ** round(math.log2(level / other))) if min(level, other) > 0.0 else 1.0


def _check_audible(recording: Recording, heard: Heard, settings: AlignSettings) -> None:
    if heard.duration_s < settings.least_overlap_s:
        raise NotSameRecordingError(
            f"{recording.name}: lasts {heard.duration_s:.1f} s; at least "
            f"{settings.least_overlap_s:g} s are needed to align it"
        )
    if not heard.sound.any() or float(np.quantile(heard.level_db, 0.95)) < _SILENT_DB:
        raise NotSameRecordingError(f"{recording.name}: is silent; there is nothing to align")


def _first_match(
    a: Recording, b: Recording, heard_a: Heard, heard_b: Heard, settings: AlignSettings
) -> tuple[Match, Wiring]:
    """Return a match whose waveforms agree."""
    for ratios in ratios_to_try(settings.any_speed):
        best: tuple[float, Match, Wiring] | None = None
        for match in ranked(find_matches(heard_a, heard_b, ratios))[:_CANDIDATES]:
            sharp = Walker(heard_a, heard_b, match.ratio).sharpened(match)
            wiring = find_wiring(a, b, sharp)
            if best is None or wiring.score > best[0]:
                best = wiring.score, sharp, wiring
            if wiring.score > _PLAIN:
                break
        if best is not None and best[0] > _REAL:
            return best[1], best[2]
    raise NotSameRecordingError(
        f"{a.name} and {b.name}: these are not the same recording; nowhere do their waveforms agree"
    )


def _mapped(
    a: Recording,
    b: Recording,
    heard_a: Heard,
    heard_b: Heard,
    paths: list[Path],
    wiring: Wiring,
    settings: AlignSettings,
    progress: Progress,
) -> Alignment:
    place_a: list[FloatArray] = []
    place_b: list[FloatArray] = []
    confidence: list[FloatArray] = []
    null_db: list[FloatArray] = []
    main = max(paths, key=lambda path: len(path.place_a), default=None)
    for number, path in enumerate(paths):
        progress("refine", number / len(paths))
        curve = refine(heard_a.sound, heard_b.sound, path.place_a, path.place_b)
        # Where sound was cut, the stretches before and after it may touch.
        after = curve.place_a > (place_a[-1][-1] if place_a else -np.inf)
        if after.sum() < 2:
            continue
        sure = confidence_of(curve)[after]
        # A phrase that comes again fits at a second place, for a while.
        if path is not main and longest_held_s(sure) < _ELSEWHERE_S:
            continue
        place_a.append(curve.place_a[after])
        place_b.append(curve.place_b[after])
        confidence.append(sure)
        null_db.append(null_of(curve)[after])
    if not place_a:
        raise NotSameRecordingError(
            f"{a.name} and {b.name}: these are not the same recording; they only have a few "
            "moments in common"
        )
    scale_a, scale_b = a.sample_rate / RATE, b.sample_rate / RATE
    places_a, places_b = np.concatenate(place_a), np.concatenate(place_b)
    confidences = np.concatenate(confidence)
    gain, swapped = find_gains(a, b, places_a, places_b, confidences)
    alignment = Alignment(
        sample_rate_a=float(a.sample_rate),
        sample_rate_b=float(b.sample_rate),
        frames_a=places_a * scale_a,
        frames_b=places_b * scale_b,
        confidence=confidences,
        gain=gain,
        swapped=swapped,
        residual_db=np.concatenate(null_db),
    )
    held = [(stop - start) / a.sample_rate for start, stop in alignment.stretches()]
    longest = max(held, default=0.0)
    common = (places_a[-1] - places_a[0]) / RATE
    if longest < max(settings.least_overlap_s, min(_FIRM_S, 0.5 * common)):
        raise NotSameRecordingError(
            f"{a.name} and {b.name}: these are not the same recording; they agree for no more "
            f"than {longest:.1f} s at a time"
        )
    progress("refine", 1.0)
    return alignment
