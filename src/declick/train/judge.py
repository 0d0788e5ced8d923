"""Hear what weights make of worn recordings of which the truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray
from declick.read import Recording
from declick.settings import DetectSettings, RepairSettings
from declick.stages import detect, repair
from declick.train.worn import WornExcerpt

COLLAR_S: Final = 2e-3
"""A click may be found so far beside the true core."""
_JOINED_S: Final = 1e-3
# One step of 16 bits: what moved by less is as it was.
_STEP: Final = 2.0**-15
_ROUNDING: Final = (2.0**-23) ** 2 / 12


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was made of one recording.

    Parameters
    ----------
    name : str
    gain_db : float
        By how much the error fell where damage is; NaN without damage.
    events, missed, false : int
        True events, those without a click found within `COLLAR_S`, and clicks found where no
        damage is.
    seconds : float
    """

    name: str
    gain_db: float
    events: int
    missed: int
    false: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was made of several.

    Parameters
    ----------
    gain_db : float
        Mean of those that have damage; NaN where none has.
    missed_share : float
        Of all events; NaN without any.
    false_per_minute : float
    """

    gain_db: float
    missed_share: float
    false_per_minute: float


def summarize(judgements: Sequence[Judgement]) -> Summary:
    """Return what was made of several recordings together."""
    gains = [item.gain_db for item in judgements if math.isfinite(item.gain_db)]
    events = sum(item.events for item in judgements)
    minutes = sum(item.seconds for item in judgements) / 60.0
    return Summary(
        gain_db=float(np.mean(gains)) if gains else math.nan,
        missed_share=sum(item.missed for item in judgements) / events if events else math.nan,
        false_per_minute=sum(item.false for item in judgements) / max(minutes, 1e-9),
    )


def judge(recordings: Iterable[WornExcerpt], weights: Path) -> list[Judgement]:
    """Restore recordings with the neural detector and these weights, and compare with the truth.

    Gain: energy of the error over the samples that damage has moved, widened by 1 ms, before over
    after, with the rounding noise of 24 bits added to both.
    """
    settings = DetectSettings(detector="neural", weights=str(weights))
    return [_judge(item, settings) for item in recordings]


def _judge(item: WornExcerpt, settings: DetectSettings) -> Judgement:
    recording = Recording.from_array(item.sound, item.sample_rate)
    found = detect(recording, settings)
    restored = item.sound.copy()
    for done in repair(recording, found.clicks, RepairSettings(), chain=found.chain):
        if done.made:
            restored[done.click.start : done.end, done.click.channel] = done.samples
    rate, clean = item.sample_rate, item.laid.clean
    reach = round(_JOINED_S * rate)
    moved = np.abs(item.sound - clean) > _STEP
    damaged = np.asarray(scipy.ndimage.maximum_filter1d(moved, 2 * reach + 1, axis=0))
    events = _events(item.laid.clicks, reach)
    return Judgement(
        name=item.source,
        gain_db=_gain_db(clean, item.sound, restored, damaged),
        events=len(events),
        missed=_missed(events, found.clicks, round(COLLAR_S * rate)),
        false=_false(found.clicks, np.asarray(damaged.any(axis=1)), reach),
        seconds=len(item.sound) / rate,
    )


def _gain_db(
    clean: FloatArray, worn: FloatArray, restored: FloatArray, where: NDArray[np.bool_]
) -> float:
    if not where.any():
        return math.nan
    least = _ROUNDING * float(np.count_nonzero(where))
    before = float(np.sum((worn - clean)[where] ** 2)) + least
    after = float(np.sum((restored - clean)[where] ** 2)) + least
    return 10.0 * math.log10(before / after) if before > 2 * least else math.nan


def _events(clicks: Sequence[Click], reach: int) -> list[tuple[int, int]]:
    """Return the cores of clicks as one list over all channels."""
    events: list[tuple[int, int]] = []
    for click in sorted(clicks):
        if events and click.start - events[-1][1] <= reach:
            events[-1] = (events[-1][0], max(events[-1][1], click.stop))
        else:
            events.append((click.start, click.stop))
    return events


def _missed(events: Sequence[tuple[int, int]], found: Sequence[Click], collar: int) -> int:
    """Return how many events no click was found for."""
    spans = _events(found, 0)
    starts = np.array([start for start, _ in spans])
    stops = np.maximum.accumulate(np.array([stop for _, stop in spans], dtype=np.int64))
    count = 0
    for start, stop in events:
        low = np.searchsorted(stops, start - collar, side="right") if len(spans) else 0
        count += not (low < len(spans) and starts[low] < stop + collar)
    return count


def _false(found: Sequence[Click], damaged: NDArray[np.bool_], reach: int) -> int:
    """Return how many clicks were found where no damage is."""
    before = np.concatenate([[0], np.cumsum(damaged)])
    return sum(bool(before[stop] == before[start]) for start, stop in _events(found, reach))
