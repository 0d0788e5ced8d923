"""Fill the cores of a passage's clicks, each by the method that the evidence beside it favours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, Repair
from declick.repair.ar import Run, interpolate, model_size
from declick.repair.passage import Passage
from declick.settings import RepairSettings

FloatArray = NDArray[np.float64]

LEAST_GAIN_DB = 0.0
"""A repair is made only where at least this gain over leaving the sound alone is expected."""


def repair_passage(
    passage: Passage, *, settings: RepairSettings, chain: Any | None = None
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
    repairs: dict[Click, Repair] = {}
    for channel in sorted({click.channel for click in passage.own}):
        own = [click for click in passage.own if click.channel == channel]
        clean = _without_tails(passage, channel, chain)
        for repair in _repair_channel(passage, channel, own, clean, settings):
            repairs[repair.click] = repair
    return [repairs[click] for click in passage.own]


def _without_tails(passage: Passage, channel: int, chain: Any | None) -> FloatArray:
    samples = np.ascontiguousarray(passage.samples[:, channel])
    size = samples.size
    tails = [
        (click.stop - passage.start, min(click.tail - passage.start, size), click.kind)
        for click in sorted(passage.clicks)
        if click.channel == channel
        and click.tail > click.stop
        and 0 <= click.stop - passage.start < size
    ]
    if not tails:
        return samples
    from declick.repair.separate import subtract_tails

    missing = np.zeros(size, dtype=bool)
    for start, stop in passage.cores(channel):
        missing[start:stop] = True
    cleaned: FloatArray = subtract_tails(
        samples, missing, tails, sample_rate=passage.sample_rate, chain=chain
    )
    return cleaned


def _repair_channel(
    passage: Passage,
    channel: int,
    own: Sequence[Click],
    clean: FloatArray,
    settings: RepairSettings,
) -> list[Repair]:
    lo, hi = passage.sound
    runs = [(start - lo, stop - lo) for start, stop in passage.cores(channel)]
    sound = clean[lo:hi]
    by_size: dict[tuple[int, int], list[Run]] = {}
    run_of: dict[Click, Run] = {}
    for click in own:
        start, stop = click.start - passage.start - lo, click.stop - passage.start - lo
        run = next((run for run in runs if run[0] < stop and start < run[1]), None)
        if run is None:
            continue
        run_of[click] = run
        size = model_size(run[1] - run[0], passage.sample_rate)
        group = by_size.setdefault((size.order, size.context), [])
        if run not in group:
            group.append(run)
    filled = sound.copy()
    expected: dict[Run, float] = {}
    for group in by_size.values():
        size = model_size(max(stop - start for start, stop in group), passage.sample_rate)
        result = interpolate(sound, runs, group, size=size, sample_rate=passage.sample_rate)
        for run, error in zip(group, result.error_energy, strict=True):
            filled[slice(*run)] = result.samples[slice(*run)]
            expected[run] = error
    whole = clean.copy()
    whole[lo:hi] = filled
    return [
        _decide(passage, click, whole, expected.get(run_of.get(click, (0, 0))), "ar", settings)
        for click in own
    ]


def _decide(
    passage: Passage,
    click: Click,
    filled: FloatArray,
    error: float | None,
    method: str,
    settings: RepairSettings,
) -> Repair:
    part = slice(max(click.start - passage.start, 0), max(click.tail - passage.start, 0))
    observed = passage.samples[part, click.channel]
    mended = filled[part]
    if mended.size != click.tail - click.start:  # reaches out of the passage: leave it
        return Repair(click, np.zeros(0), "left")
    if error is None:
        return Repair(click, mended.copy(), "tail")
    changed = float(np.sum((observed - mended) ** 2))
    gain_db = float("nan")
    if error > 0.0 and np.isfinite(error):
        gain_db = 10 * np.log10(max(changed - error, 1e-3 * error) / error)
    weak = not np.isnan(gain_db) and gain_db < LEAST_GAIN_DB
    if settings.keep_weak and settings.method == "auto" and (weak or changed == 0.0):
        return Repair(click, np.zeros(0), "left", gain_db)
    return Repair(click, mended.copy(), method, gain_db)
