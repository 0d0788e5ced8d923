"""Mend a passage: take the tails out, fill the cores, leave alone what is better left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Repair
from declick.repair.decide import decide
from declick.repair.fill import Fill, fill_cores
from declick.repair.passage import Passage
from declick.repair.separate import fade_out, subtract_tails
from declick.repair.slow_tails import Core, find_slow_tails
from declick.repair.solve import Run
from declick.repair.transfer import fill_from_transfers
from declick.settings import RepairSettings

if TYPE_CHECKING:
    from declick.dsp.chain import Chain

FloatArray = NDArray[np.float64]

TAILS_BESIDE_S = 0.025
"""Neighbours' tails are subtracted too where they come this close to the own clicks."""

APART_S = 1.4e-3
"""A slow tail is taken out up to so long before the next click: each repair stays its own."""


def repair_passage(
    passage: Passage, *, settings: RepairSettings, chain: Chain | None = None
) -> list[Repair]:
    """Mend the own clicks of a passage.

    Tails are subtracted first, so that neither ring nor thump is taken for music; then the cores
    are filled from the cleaned surroundings. Slow tails show by the model that has filled the
    cores: where there are some, the cores are filled once more without them.

    Parameters
    ----------
    passage : Passage
    settings : RepairSettings
    chain : Chain, optional
        What the playback chain adds behind clicks; without it no slow tails are looked for.

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
        fills = fill_cores(passage, channel, own, clean, settings.method)
        mended = _laid(clean(channel), fills, passage)
        tails: dict[Run, FloatArray] = {}
        if settings.method == "auto" and chain is not None and chain.slow_tails:
            tails = _slow_tails(passage, channel, mended, fills)
        if tails:
            cleaned[channel] = _less(clean(channel), tails, passage)
            fills = fill_cores(passage, channel, own, clean, settings.method)
            mended = _laid(clean(channel), fills, passage)
        for click in own:
            repair = decide(passage, click, mended, fills, settings, offers.get(click))
            repairs[click] = _with_slow_tail(passage, repair, mended, tails)
    return [repairs[click] for click in passage.own]


def _laid(sound: FloatArray, fills: Sequence[Fill], passage: Passage) -> FloatArray:
    """Return a channel with its cores filled."""
    lo = passage.sound[0]
    mended = sound.copy()
    for fill in fills:
        mended[lo + fill.run[0] : lo + fill.run[1]] = fill.samples
    return mended


def _less(sound: FloatArray, tails: Mapping[Run, FloatArray], passage: Passage) -> FloatArray:
    """Return a channel with slow tails taken out."""
    lo = passage.sound[0]
    rest = sound.copy()
    for (_, stop), wave in tails.items():
        rest[lo + stop : lo + stop + wave.size] -= wave
    return rest


def _slow_tails(
    passage: Passage, channel: int, mended: FloatArray, fills: Sequence[Fill]
) -> dict[Run, FloatArray]:
    """Return the slow tails behind the runs that were filled."""
    lo, hi = passage.sound
    observed, sound = passage.samples[lo:hi, channel], mended[lo:hi]
    cores = [
        Core(run, float(np.abs(observed - sound)[slice(*run)].max()), fill.coefficients)
        for run, fill in sorted(((fill.run, fill) for fill in fills), key=itemgetter(0))
        if fill.coefficients.size > 1
    ]
    return find_slow_tails(sound, cores, sample_rate=passage.sample_rate)


def _with_slow_tail(
    passage: Passage, repair: Repair, mended: FloatArray, tails: Mapping[Run, FloatArray]
) -> Repair:
    """Let a repair reach over the slow tails behind it, its own and what earlier ones left."""
    click, (lo, hi) = repair.click, passage.sound
    start = click.start - passage.start - lo
    reach = max((run[1] + wave.size for run, wave in tails.items() if run[0] <= start), default=0)
    end = passage.start + lo + min(reach, hi - lo)
    later = [c.start for c in passage.clicks if c.channel == click.channel and c > click]
    if later:
        end = min(end, later[0] - round(APART_S * passage.sample_rate))
    if not repair.made or end <= click.tail:
        return repair
    behind = slice(click.tail - passage.start, end - passage.start)
    observed = passage.samples[behind, click.channel]
    taken = (observed - mended[behind]) * fade_out(end - click.tail, end - click.tail)
    return replace(repair, samples=np.concatenate((repair.samples, observed - taken)))


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
