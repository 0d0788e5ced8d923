"""One tool on one item: all its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick.bench import metrics
from declick.bench.corpus import RATE, Made
from declick.bench.quality import mean_opinion
from declick.clicks import FloatArray
from declick.errors import ReadError

# Upper ends of the classes of gap lengths, in ms.
GAPS_MS = (0.35, 0.75, 1.5, 3.0, 7.0, 14.0, math.inf)
# Where gaps are scored: lone events that lose the music.
GAP_SETS = ("tick", "pop", "gouge", "dropout", "given")
IMPROVED_DB = 6.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to score: an item and what a tool made of it.

    Parameters
    ----------
    made : Made
    restored : Path
    with_quality : bool
        Whether to ask ViSQOL, which is slow...
    with_worn : bool
        ...of the worn sound, too, which is the same for every tool.
    """

    made: Made
    restored: Path
    with_quality: bool = False
    with_worn: bool = False


def read_sound(path: Path) -> FloatArray:
    """Return a file's samples, shape (frames, channels)."""
    try:
        sound, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise ReadError(f"{path}: cannot be read ({error})") from None
    if rate != RATE:
        raise ReadError(f"{path}: is of {rate} Hz, not of {RATE}")
    return np.asarray(sound)


def score(task: Task) -> dict[str, Any]:
    """Return the scores of one cell, as plain values; None where one is not defined.

    Returns
    -------
    dict
        ``gain_db``: SNR gain over damaged samples; ``whole_gain_db``: over the whole item;
        ``events``, ``improved``: how many, and how many whose error fell by 6 dB;
        ``event_gain_db``: their median; ``hits``, ``false``; ``touched_per_min``;
        ``off_target``, ``music``: energies; ``lsd_db``, ``lsd_worn_db``; ``mos``, ``mos_worn``;
        ``gaps``: lists of gap SDRs by class of length; ``seconds``.

    Raises
    ------
    ReadError
        If a file cannot be read or does not fit the item.
    """
    made = task.made
    clean, worn, restored = map(read_sound, (made.clean, made.worn, task.restored))
    if restored.shape != worn.shape:
        raise ReadError(f"{task.restored}: has the shape {restored.shape}, not {worn.shape}")
    damaged = metrics.damaged_samples(clean, worn, RATE)
    events = metrics.events_of(made.clicks, RATE)
    gains = metrics.event_gains_db(clean, worn, restored, events)
    found = metrics.found_spans(worn, restored, RATE)
    detected = None if found is None else metrics.count_detected(events, found, damaged, RATE)
    values: dict[str, Any] = {
        "gain_db": _plain(metrics.snr_gain_db(clean, worn, restored, damaged)),
        "whole_gain_db": _plain(metrics.snr_gain_db(clean, worn, restored)),
        "events": len(events),
        "improved": int(np.count_nonzero(gains >= IMPROVED_DB)),
        "event_gain_db": _plain(float(np.median(gains))) if len(gains) else None,
        "hits": None if detected is None else detected.hits,
        "false": None if detected is None else detected.false,
        "touched_per_min": round(metrics.touched_per_minute(worn, restored, RATE), 1),
        "off_target": float(f"{metrics.off_target_energy(worn, restored, damaged):.4g}"),
        "music": float(f"{np.sum(clean**2):.4g}"),
        "lsd_db": _plain(metrics.log_spectral_distance_db(clean, restored, events, RATE)),
        "lsd_worn_db": _plain(metrics.log_spectral_distance_db(clean, worn, events, RATE)),
        "mos": None,
        "mos_worn": None,
        "gaps": _gaps(clean, restored, made) if made.item.set in GAP_SETS else {},
        "seconds": round(len(worn) / RATE, 3),
    }
    if task.with_quality and events:
        values["mos"] = _plain(mean_opinion(clean, restored, events, RATE), 3)
        if task.with_worn:
            values["mos_worn"] = _plain(mean_opinion(clean, worn, events, RATE), 3)
    return values


def gap_class(length_ms: float) -> str:
    """Return the name of the class that a length of gap belongs to, as "0.75-1.5"."""
    index = next(k for k, top in enumerate(GAPS_MS) if length_ms <= top)
    low, high = (0.0, *GAPS_MS)[index], GAPS_MS[index]
    return f"over {low:g}" if math.isinf(high) else f"{low:g}-{high:g}"


def _gaps(clean: FloatArray, restored: FloatArray, made: Made) -> dict[str, list[float]]:
    classes: dict[str, list[float]] = {}
    sdrs = metrics.gap_sdr_db(clean, restored, made.clicks)
    for click, sdr in zip(made.clicks, sdrs, strict=True):
        if math.isfinite(sdr):
            name = gap_class(1000 * (click.stop - click.start) / RATE)
            classes.setdefault(name, []).append(round(float(sdr), 1))
    return classes


def _plain(value: float, digits: int = 2) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
