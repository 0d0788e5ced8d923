"""Clicks that no table of families lists: other pushes, other players, other records.

The synthesizer draws what is known of clicks, and a bank holds those of a few records. What a
network is to mend comes from players and records that neither has met; a share of its examples
therefore goes beyond both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import scipy.signal

from declick.clicks import Kind
from declick.damage.bank import Bank, BankedClick
from declick.damage.draw import Damage, Family, Ring, Thump, Wear, log_uniform
from declick.damage.model import Chain

# A click of the bank is played at these rates instead of its own, that is faster or slower.
_SPEEDS: Final = ((3, 5), (3, 4), (7, 8), (9, 8), (4, 3), (5, 3))
_SHELF: Final = 0.75

_NEW_PUSH: Final = 0.6
_HALVES: Final = 14
_STRETCH: Final = 0.6
_LONGEST_S: Final = 0.01
_LEVEL_DB: Final = 3.0
# A discharge of static: noise, for some milliseconds; a hump: one dull push.
_BURST_SHARE: Final = (0.1, 0.6)
_STATIC_S: Final = (1.2e-3, 9e-3)
_STATIC_HALF_S: Final = (4e-5, 4e-4)
_HUMP_S: Final = (1e-3, 6e-3)
_KEPT_WHOLE: Final = (Family.REAL, Family.DROPOUT, Family.GOUGE, Family.SCRATCH)


def estrange(rng: np.random.Generator, wear: Wear) -> Wear:
    """Return wear from a player, and of pushes, outside the ranges of the families.

    Parameters
    ----------
    rng : numpy.random.Generator
    wear : Wear
        Real clicks and lost music in it stay what they are.
    """
    damages = tuple(
        d if d.family in _KEPT_WHOLE else _estranged(rng, d, wear.chain) for d in wear.damages
    )
    return replace(wear, chain=_strange_chain(rng, wear.chain), damages=damages)


def _strange_chain(rng: np.random.Generator, chain: Chain) -> Chain:
    """Return a player with an equalization of its own, or with none."""
    bass_s, turnover_s, treble_s = 0.0, 0.0, 0.0
    if rng.uniform() < 0.7:
        bass_s = log_uniform(rng, (1.5e-3, 7e-3))
        turnover_s = log_uniform(rng, (0.15e-3, 0.9e-3))
        treble_s = float(rng.choice((0.0, 1.0))) * log_uniform(rng, (25e-6, 150e-6))
    return replace(
        chain,
        bass_s=bass_s,
        turnover_s=turnover_s,
        treble_s=treble_s,
        low_cut_hz=log_uniform(rng, (5.0, 200.0)),
        pickup_hz=float(rng.choice((0.0, 1.0))) * log_uniform(rng, (3e3, 30e3)),
    )


def _estranged(rng: np.random.Generator, damage: Damage, chain: Chain) -> Damage:
    """Return a click with another push, and with rings and a swing of its own."""
    shape, lengths = damage.shape, damage.lengths
    if rng.uniform() < _NEW_PUSH:
        shape, lengths = _strange_push(rng)
    rings = tuple(
        Ring(
            frequency_hz=_about(rng, ring.frequency_hz, 0.4),
            decay_s=_about(rng, ring.decay_s, 0.5),
            level_db=ring.level_db + float(rng.normal(0.0, 4.0)),
        )
        for ring in damage.rings
    )
    thump = damage.thump
    if thump is not None:
        thump = Thump(
            start_hz=_about(rng, thump.start_hz, 0.4),
            end_hz=_about(rng, chain.arm_hz, 0.4),
            fall_s=_about(rng, thump.fall_s, 0.5),
            decay_s=_about(rng, thump.decay_s, 0.5),
            level_db=thump.level_db + float(rng.normal(0.0, 3.0)),
        )
    return replace(
        damage,
        shape=shape,
        lengths=lengths,
        rings=rings,
        thump=thump,
        width_s=min(_about(rng, damage.width_s, _STRETCH), _LONGEST_S),
        level_db=damage.level_db + float(rng.normal(0.0, _LEVEL_DB)),
    )


def burst(rng: np.random.Generator, wear: Wear) -> Wear:
    """Return wear some of whose ticks and pops are bursts of static, or dull humps, instead."""
    share = rng.uniform(*_BURST_SHARE)
    damages = tuple(
        _burst(rng, d) if d.family in (Family.TICK, Family.POP) and rng.uniform() < share else d
        for d in wear.damages
    )
    return replace(wear, damages=damages)


def _burst(rng: np.random.Generator, damage: Damage) -> Damage:
    if rng.uniform() < 0.35:
        count = int(rng.integers(1, 3))
        heights = rng.uniform(0.4, 1.0, count) * (-1.0) ** np.arange(count)
        width_s = log_uniform(rng, _HUMP_S)
    else:
        width_s = log_uniform(rng, _STATIC_S)
        count = max(4, round(width_s / log_uniform(rng, _STATIC_HALF_S)))
        swell = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** rng.uniform(0.0, 1.5)
        heights = rng.standard_normal(count) * swell
    lengths = rng.dirichlet(np.full(count, 4.0))
    heights /= np.max(np.abs(heights))
    return replace(
        damage,
        family=Family.POP,
        kind=Kind.POP,
        shape=tuple(map(float, heights)),
        lengths=tuple(map(float, lengths)),
        width_s=width_s,
        rings=(),
    )


def _about(rng: np.random.Generator, value: float, spread: float) -> float:
    """Draw a number about a value, by its logarithm."""
    return value * math.exp(rng.normal(0.0, spread))


def _strange_push(rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Draw half waves that need not alternate nor cancel, swelling, fading or neither."""
    count = int(rng.integers(1, _HALVES + 1))
    lengths = rng.dirichlet(np.full(count, log_uniform(rng, (0.7, 20.0)))) + 0.02
    lengths /= lengths.sum()
    place = np.arange(count) / count
    envelope = np.exp(-place * rng.uniform(0.0, 6.0))
    if rng.uniform() < 0.25:
        envelope = envelope[::-1]
    signs = (-1.0) ** np.arange(count)
    if rng.uniform() < 0.5:
        signs = rng.choice((-1.0, 1.0), count)
    heights = envelope * signs * rng.uniform(0.1, 1.0, count)
    heights /= np.max(np.abs(heights))
    return tuple(map(float, heights)), tuple(map(float, lengths))


def vary_bank(bank: Bank, seed: int, times: int) -> Bank:
    """Return a bank with each of its clicks also as other grooves would have had it.

    Parameters
    ----------
    bank : Bank
    seed : int
        The same seed gives the same bank.
    times : int
        How many others are made of each click: slower or faster, duller or brighter.
    """
    rng = np.random.default_rng([seed, len(bank.clicks), times])
    others = [_varied(rng, click) for click in bank.clicks for _ in range(times)]
    return Bank(clicks=(*bank.clicks, *others), records=bank.records)


def _varied(rng: np.random.Generator, click: BankedClick) -> BankedClick:
    up, down = _SPEEDS[int(rng.integers(len(_SPEEDS)))]
    # A shelf of the least phase: nothing is heard before the click begins.
    zero, pole = rng.uniform(-_SHELF, _SHELF, 2)
    heard = scipy.signal.lfilter([1.0, -zero], [1.0, -pole], click.samples, axis=0)
    peaks = np.max(np.abs(click.samples)), np.max(np.abs(heard))
    samples = (heard * (peaks[0] / max(float(peaks[1]), 1e-12))).astype(np.float32)
    return replace(click, samples=samples, sample_rate=round(click.sample_rate * up / down))
