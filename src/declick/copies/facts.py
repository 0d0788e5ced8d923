"""What a report says of a copy: how it fits, where it was used, and why not elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray, Repair
from declick.copies.guide import Run, runs_of
from declick.copies.lay import Copy
from declick.errors import NotSameRecordingError
from declick.repair.decide import IN_THE_COPY
from declick.repair.transfer import OTHER_WALL, SAME_TRANSFER
from declick.wording import count_of

# Two digitizations have noise of their own: what leaves less than this is one and the same, in dB.
SAME_DB: Final = 10.0 * math.log10(SAME_TRANSFER)
# A copy that leaves more than this of the music does not tell what the music is, in dB.
FITS_DB: Final = -15.0
# One that fits less of the music than this is refused as a whole.
LEAST_FIT: Final = 0.1
# Parts that do not fit are told from this length on.
_TOLD_S: Final = 2.0
# No more parts than this are named to a person.
_NAMED: Final = 3


def fit_share(residual_db: FloatArray) -> float:
    """Return the share of the music, by time, that a copy fits; 0 where nothing was compared."""
    known = residual_db[np.isfinite(residual_db)]
    return float(np.mean(known < FITS_DB)) if known.size else 0.0


def check_fit(copy: Copy, residual_db: FloatArray) -> None:
    """Refuse a copy that fits nowhere.

    Raises
    ------
    NotSameRecordingError
    """
    if fit_share(residual_db) >= LEAST_FIT:
        return
    known = residual_db[np.isfinite(residual_db)]
    left = f"leaves {np.median(known):.0f} dB of the music" if known.size else "is nowhere heard"
    raise NotSameRecordingError(
        f"{copy.name}: {left} when it is matched and taken away (it should be {FITS_DB:.0f} dB "
        "or less): another mastering or performance; restore without it"
    )


def describe_copy(
    copy: Copy, residual_db: FloatArray, hop: int, *, sample_rate: int, used: int
) -> dict[str, Any]:
    """Return what the report says of a copy.

    Parameters
    ----------
    copy : Copy
    residual_db : ndarray of float64, shape (hops,)
        What it leaves of the recording; NaN where there is nothing to compare.
    hop : int
        Frames that each of them stands for.
    sample_rate : int
        In Hz.
    used : int
        Clicks that were mended from it.
    """
    known = residual_db[np.isfinite(residual_db)]
    alignment = copy.alignment
    return {
        "number": copy.number,
        "name": copy.name.rpartition("/")[2],
        "speed": None if alignment is None else round(alignment.speed, 6),
        "swapped": None if alignment is None else alignment.swapped,
        "residual_db": round(float(np.median(known)), 1) if known.size else None,
        "top_hz": round(copy.top_hz) if math.isfinite(copy.top_hz) else None,
        "fits": round(fit_share(residual_db), 3),
        "repairs": used,
        "held_s": [_seconds(run, sample_rate) for run in copy.held],
        "unfit_s": [_seconds(run, sample_rate) for run in _unfit(residual_db, hop, sample_rate)],
    }


def notices_of(copies: Iterable[dict[str, Any]], duration_s: float) -> list[str]:
    """Return what a person should know of the copies: where they were not used, and why."""
    notices = []
    for facts in copies:
        if facts["number"] == 0:
            notices.append(
                "left and right hold the same music: a mono record, whose walls mend each other "
                "(--no-mono-record to leave that)"
            )
            continue
        name = facts["name"]
        left = facts["residual_db"]
        if left is not None and left < SAME_DB and not facts["repairs"]:
            notices.append(
                f"{name}: is the same digitization as the recording, with the same damage: "
                "nothing can be mended from it"
            )
        if facts["top_hz"] is not None:
            notices.append(
                f"{name}: ends at {facts['top_hz'] / 1000:.1f} kHz, where the recording goes on: "
                "they are not compared above"
            )
        missing = _rest(facts["held_s"], duration_s)
        for spans, why in ((missing, "is not there"), (facts["unfit_s"], "does not fit")):
            if spans:
                places = ", ".join(f"{_clock(a)} to {_clock(b)}" for a, b in spans[:_NAMED])
                more = f" and {len(spans) - _NAMED} more" if len(spans) > _NAMED else ""
                notices.append(f"{name}: {why} from {places}{more}: not used there")
    return notices


def notices_of_shared(repairs: Sequence[Repair]) -> list[str]:
    """Return what a person should know where most of the clicks are in another copy, too."""
    shared = sum(not item.made and item.why == IN_THE_COPY for item in repairs)
    if 2 * shared < len(repairs) or not shared:
        return []
    return [
        f"of {count_of(len(repairs), 'click')} {shared} can be heard in another copy, too, and "
        "nothing was changed there: a copy that was made from the same rip is better left out"
    ]


def count_used(repairs: Iterable[tuple[str, tuple[int, ...]]]) -> Counter[int]:
    """Count the repairs that each copy had a part in, by their methods and copies; 0 is a wall."""
    used: Counter[int] = Counter()
    for method, copies in repairs:
        used.update((0,) if method == OTHER_WALL else copies)
    return used


def _unfit(residual_db: FloatArray, hop: int, sample_rate: int) -> list[Run]:
    """Return the stretches in which there is music and the copy does not fit it."""
    bad = residual_db >= FITS_DB
    quiet = ~np.isfinite(residual_db)
    runs = runs_of(_bridged(bad, quiet))
    least = _TOLD_S * sample_rate / hop
    return [(a * hop, b * hop) for a, b in runs if np.count_nonzero(bad[a:b]) >= least]


def _bridged(bad: NDArray[np.bool_], quiet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `bad` with quiet runs between bad ones filled."""
    filled = bad.copy()
    for start, stop in runs_of(quiet):
        if start > 0 and stop < bad.size and bad[start - 1] and bad[stop]:
            filled[start:stop] = True
    return filled


def _rest(held: Sequence[Sequence[float]], duration_s: float) -> list[list[float]]:
    """Return what lies between and beside the held stretches, in seconds."""
    edges = [0.0, *(edge for span in held for edge in span), duration_s]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [[a, b] for a, b in pairs if b - a >= _TOLD_S]


def _seconds(run: Run, sample_rate: int) -> list[float]:
    return [round(run[0] / sample_rate, 3), round(run[1] / sample_rate, 3)]


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    minutes, tenths = divmod(tenths, 600)
    return f"{minutes}:{tenths // 10:02d}" + (f".{tenths % 10}" if tenths % 10 else "")
