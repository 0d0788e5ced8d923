"""Mend a passage: take the tails out, fill the cores, leave alone what is better left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Repair
from declick.dsp.slow_tails import Emphasis, is_clipped
from declick.dsp.tailfit import bridge
from declick.repair.decide import decide
from declick.repair.fill import Fill, fill_cores
from declick.repair.passage import Passage
from declick.repair.separate import subtract_tails
from declick.repair.slow_tails import CLEARANCE_S, Core, find_slow_tails
from declick.repair.solve import Run
from declick.repair.transfer import fill_from_transfers
from declick.settings import RepairSettings

if TYPE_CHECKING:
    from declick.dsp.chain import Chain

FloatArray = NDArray[np.float64]

TAILS_BESIDE_S = 0.025
"""Neighbours' tails are subtracted too where they come this close to the own clicks."""

SWING_S = 1e-3
"""Beside a core, over which the swing of a thump is averaged."""

LONG_S = 2e-3
"""What fills a core longer than this says nothing about a slow tail under it."""

MOST_CLICKS = 8
"""Of a channel in a passage (46 ms), if its slow tails are to be looked for: in denser crackle each
ends before it has told much, and all that looking takes as long again.
"""


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
    channels = {
        channel: [click for click in rest if click.channel == channel]
        for channel in sorted({click.channel for click in rest})
    }

    fills = {
        channel: fill_cores(passage, channel, own, clean, settings.method)
        for channel, own in channels.items()
    }
    slow: dict[int, dict[Run, FloatArray]] = {}
    if settings.method == "auto" and chain is not None and chain.slow_tails is not None:
        slow = {
            channel: _slow_tails(
                passage, channel, clean(channel), fills[channel], repairs, chain.slow_tails
            )
            for channel, own in channels.items()
            if len(own) <= MOST_CLICKS
        }
    # Each channel is filled with the slow tails of all taken out, whichever comes first.
    for channel, tails in slow.items():
        cleaned[channel] = _without(clean(channel), tails, passage)
    mended: dict[int, FloatArray] = {}
    for channel, own in channels.items():
        if slow.get(channel):
            fills[channel] = fill_cores(
                passage, channel, own, clean, settings.method, earlier=fills[channel]
            )
        mended[channel] = _laid(clean(channel), fills[channel], passage)

    def mend(click: Click, *, borne_out: bool = False) -> Repair:
        sound, offer = mended[click.channel], offers.get(click)
        filled = fills[click.channel]
        repair = decide(passage, click, sound, filled, settings, offer, borne_out=borne_out)
        return _with_slow_tail(passage, repair, sound, slow.get(click.channel, {}))

    repairs |= {click: mend(click) for click in rest}
    made = [click for click, repair in repairs.items() if repair.made]
    repairs |= {
        click: mend(click, borne_out=True)
        for click in rest
        if not repairs[click].made and _is_borne_out(click, made)
    }
    return [repairs[click] for click in passage.own]


def _is_borne_out(click: Click, made: Sequence[Click]) -> bool:
    """Return whether one of the clicks that are mended is the same push in another channel."""
    return any(
        other.channel != click.channel
        and 2 * (min(other.stop, click.stop) - max(other.start, click.start))
        > click.stop - click.start
        for other in made
    )


def _laid(sound: FloatArray, fills: Sequence[Fill], passage: Passage) -> FloatArray:
    """Return a channel with its cores filled."""
    lo = passage.sound[0]
    mended = sound.copy()
    for fill in fills:
        mended[lo + fill.run[0] : lo + fill.run[1]] = fill.samples
    return mended


def _without(sound: FloatArray, tails: Mapping[Run, FloatArray], passage: Passage) -> FloatArray:
    """Return a channel with slow tails taken out."""
    lo = passage.sound[0]
    rest = sound.copy()
    for (_, stop), wave in tails.items():
        rest[lo + stop : lo + stop + wave.size] -= wave
    return rest


def _slow_tails(
    passage: Passage,
    channel: int,
    sound: FloatArray,
    fills: Sequence[Fill],
    repairs: Mapping[Click, Repair],
    emphasis: Emphasis,
) -> dict[Run, FloatArray]:
    """Return the slow tails behind the runs that were filled, as far as they are taken out.

    What `repairs` have mended already is the sound beside them.
    """
    lo, hi = passage.sound
    spans = [(start - lo, stop - lo) for start, stop in passage.cores(channel)]
    filled = {fill.run: fill for fill in fills}
    missing = np.zeros(hi - lo, dtype=bool)
    for start, stop in spans:
        missing[start:stop] = (start, stop) not in filled
    observed = passage.samples[lo:hi, channel]
    taken = observed - sound[lo:hi]
    sound = _laid(sound, fills, passage)
    for click, repair in repairs.items():
        if click.channel == channel and repair.made:
            first = click.start - passage.start
            sound[first : first + repair.samples.size] = repair.samples
            missing[first - lo : first - lo + repair.samples.size] = False
    sound = bridge(sound[lo:hi], missing)
    starts = [c.start - passage.start - lo for c in passage.clicks if c.channel == channel]
    clearance, beside = (round(s * passage.sample_rate) for s in (CLEARANCE_S, SWING_S))

    def limit(stop: int) -> int:
        after = min((start for start in starts if start >= stop), default=None)
        return hi - lo if after is None else after - clearance

    def heard(stop: int) -> int:
        long = (a for a, b in spans if a >= stop and b - a > LONG_S * passage.sample_rate)
        return min(long, default=hi - lo)

    def swing(run: Run) -> FloatArray:
        """Return how a thump that was taken out beside a core goes on in it; rings even out."""
        start, stop = run
        before, behind = taken[max(0, start - beside) : start], taken[stop : stop + beside]
        first, last = (float(part.mean()) if part.size else 0.0 for part in (before, behind))
        return np.linspace(first, last, stop - start)

    cores = [
        Core(
            run=run,
            observed=observed[slice(*run)] - swing(run),
            clipped=is_clipped(observed[slice(*run)]),
            error_filter=error_filter,
            heard=heard(run[1]),
            limit=limit(run[1]),
        )
        for run in spans
        if run in filled and (error_filter := filled[run].error_filter) is not None
    ]
    return find_slow_tails(
        sound,
        cores,
        sample_rate=passage.sample_rate,
        emphasis=emphasis,
        contradicted=lambda run, wave: _contradicted(passage, channel, run, wave),
    )


def _contradicted(passage: Passage, channel: int, run: Run, wave: FloatArray) -> bool:
    """Return whether another copy is nearer to the sound with a slow tail than without it."""
    start = passage.sound[0] + run[1]
    here = slice(start, start + wave.size), channel
    observed = passage.samples[here]
    return any(
        float(np.sum((observed - wave - transfer.samples[here]) ** 2))
        > float(np.sum((observed - transfer.samples[here]) ** 2))
        for transfer in passage.transfers
        if transfer.is_witness(here) and transfer.sound[here].all()
    )


def _with_slow_tail(
    passage: Passage, repair: Repair, mended: FloatArray, tails: Mapping[Run, FloatArray]
) -> Repair:
    """Let a repair reach over the slow tail that was taken out behind it."""
    click, offset = repair.click, passage.start + passage.sound[0]
    end = max(
        (stop + wave.size for (_, stop), wave in tails.items() if stop + offset == click.stop),
        default=0,
    )
    if not repair.made or end + offset <= click.tail:
        return repair
    behind = mended[click.tail - passage.start : end + offset - passage.start]
    return replace(repair, samples=np.concatenate((repair.samples, behind)))


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
