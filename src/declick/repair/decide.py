"""Decide whether a click is mended, or left alone since that is expected to be no worse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Repair
from declick.repair.fill import Fill
from declick.repair.passage import Passage
from declick.repair.transfer import Offer, is_shared
from declick.settings import RepairSettings

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
the click is less sure, and it must surprise by so much besides ...
"""

SURE_AT_A_NOTE = 0.998
"""... unless the detector is as sure as that. On tuning music, and on other, no such click was the
note itself.
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

LITTLE_TO_GAIN = "little to gain"
AS_EXPECTED = "goes as the music beside it does"
A_NOTE = "a note begins"
A_BEAT = "no louder than a beat"
IN_THE_COPY = "in the other copy, too"
"""Why a click is left alone."""


def _begins(mended: FloatArray, core: slice, sample_rate: int) -> bool:
    """Return whether the sound is much louder behind a core than before it."""
    reach = round(ATTACK_S * sample_rate)
    before = mended[max(core.start - reach, 0) : core.start]
    behind = mended[core.stop : core.stop + reach]
    if not behind.size or not before.size:
        return False
    return float(np.mean(behind**2)) > 10 ** (ATTACK_DB / 10) * float(np.mean(before**2))


def _asked_surprise_db(
    click: Click,
    gain_db: float,
    mended: FloatArray,
    lost: slice,
    sample_rate: int,
    borne_out: bool,
) -> float:
    """Return how surprising damage must be; -inf where its gain says enough."""
    sure = borne_out or click.confidence >= SURE_AT_A_NOTE
    if not sure and click.estimate is not None and _begins(mended, lost, sample_rate):
        return ATTACK_SURPRISE_DB
    enough = CERTAIN_GAIN_DB if click.estimate is None else CERTAIN_KNOWN_DB
    return -math.inf if gain_db >= enough else LEAST_SURPRISE_DB


def _set_swinging(passage: Passage, click: Click) -> bool:
    """Return whether a ring or a thump of its own follows a click, as none follows a note.

    Where that of another reaches up to the click, nobody can tell whose it is.
    """
    return click.stop < click.tail and not any(
        other.channel == click.channel and other.stop < other.tail == click.start
        for other in passage.clicks
    )


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


def decide(
    passage: Passage,
    click: Click,
    mended: FloatArray,
    fills: Sequence[Fill],
    settings: RepairSettings,
    offer: Offer | None = None,
    *,
    borne_out: bool = False,
) -> Repair:
    """Make the repair, or leave the click alone where that is expected to be no worse.

    Parameters
    ----------
    passage : Passage
    click : Click
        One of its own.
    mended : ndarray of float64, shape (frames,)
        The channel with the cores filled and the tails taken out.
    fills : sequence of Fill
        What is known of the cores.
    settings : RepairSettings
    offer : Offer, optional
        What other copies offer.
    borne_out : bool
        Whether the same push is mended in another channel: then no note begins there.
    """
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
    gain_db, why = float("nan"), LITTLE_TO_GAIN
    if changed > 0.0 and error == 0.0:
        why = ""
    elif np.isfinite(error) and error > 0.0:
        gain_db = 10 * math.log10(max(changed / error - 1.0, 1e-3))
        length = click.stop - click.start
        lost = slice(span.start, span.start + length)
        sure = borne_out or _set_swinging(passage, click)
        asked_db = _asked_surprise_db(click, gain_db, mended, lost, passage.sample_rate, sure)
        if asked_db == -math.inf:
            why = ""
        elif gain_db >= LEAST_GAIN_DB:
            surprise_db = fill.surprise_db((observed - samples)[:length])
            reason = A_NOTE if asked_db == ATTACK_SURPRISE_DB else AS_EXPECTED
            why = "" if surprise_db >= asked_db else reason
    if offer is not None:
        return offer.beside(Repair(click, samples, fill.method, gain_db), error)
    if not why and _is_faint(passage, click, observed - samples):
        why = A_BEAT
    if not why and click.confidence < SURE_OF_PRESSING and is_shared(passage, click, changed):
        why = IN_THE_COPY
    if settings.keep_weak and why:
        return Repair(click, np.zeros(0), "left", gain_db, why=why)
    return Repair(click, samples, fill.method, gain_db)
