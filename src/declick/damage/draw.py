"""Draw the parameters of wear: seeded, from the ranges that docs/damage.md lists with sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from declick.damage.arrivals import draw_times, draw_turns
from declick.damage.bank import Bank
from declick.damage.families import RANGES, FamilyRanges
from declick.damage.model import Bed, Chain, Damage, Family, Ring, Thump, Wear
from declick.damage.wear_settings import EQUALISATIONS, Range, WearSettings
from declick.errors import SettingsError

__all__ = [
    "RANGES",
    "Bed",
    "Chain",
    "Damage",
    "Family",
    "Ring",
    "Thump",
    "Wear",
    "WearSettings",
    "draw_chain",
    "draw_faint",
    "draw_wear",
    "log_uniform",
]


def draw_chain(rng: np.random.Generator, settings: WearSettings | None = None) -> Chain:
    """Draw the constants of one record player."""
    settings = settings or WearSettings()
    bass_s, turnover_s, treble_s = EQUALISATIONS[settings.equalisation]
    error = settings.speed_error
    return Chain(
        turn_s=settings.turn_s * (1.0 + float(rng.uniform(-error, error))),
        bass_s=bass_s,
        turnover_s=turnover_s,
        treble_s=treble_s,
        low_cut_hz=log_uniform(rng, (20.0, 80.0)),
        pickup_hz=log_uniform(rng, (6e3, 20e3)),
        ring_hz=float(rng.uniform(2500.0, 5500.0)),
        ring_decay_s=float(rng.uniform(0.008, 0.014)),
        knock_hz=float(rng.uniform(2000.0, 4000.0)),
        knock_decay_s=float(rng.uniform(0.2e-3, 0.5e-3)),
        knock_db=float(rng.uniform(-20.0, -6.0)),
        hump_hz=float(rng.uniform(12e3, 15e3)),
        hump_decay_s=float(rng.uniform(0.15e-3, 0.3e-3)),
        hump_db=float(rng.uniform(-36.0, -10.0)),
        thump_hz=float(rng.uniform(60.0, 110.0)),
        arm_hz=float(rng.uniform(7.0, 12.0)),
        thump_fall_s=float(rng.uniform(0.04, 0.08)),
        thump_decay_s=float(rng.uniform(0.025, 0.05)),
    )


def draw_wear(
    rng: np.random.Generator,
    duration_s: float,
    settings: WearSettings | None = None,
    *,
    chain: Chain | None = None,
    bank: Bank | None = None,
) -> Wear:
    """Draw the wear of one record.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state and settings give the same wear.
    duration_s : float
        Length of the music.
    settings : WearSettings, optional
    chain : Chain, optional
        Constants of the record player; drawn if not given.
    bank : Bank, optional
        Real clicks; needed where ``rates_hz`` asks for real ones.

    Raises
    ------
    SettingsError
        If `duration_s` is not positive, or real clicks are asked for and there is no bank.
    """
    settings = settings or WearSettings()
    if not 0 < duration_s < math.inf:
        raise SettingsError(f"duration_s {duration_s}: more than 0 is needed")
    drawn_chain = draw_chain(rng, settings)
    chain = chain or drawn_chain
    record = _draw_record(rng, chain)
    seed = int(rng.integers(0, 2**53))
    damages: list[Damage] = []
    # In the order of Family, not of the mapping: the same rates give the same draw.
    for family in Family:
        rate = settings.rates_hz.get(family, 0.0)
        if family is Family.SCRATCH:
            for number in range(int(rng.poisson(settings.scratches)) if settings.scratches else 0):
                damages += _draw_scratch(rng, number, duration_s, record, settings)
            continue
        if not rate:
            continue
        bursts = family in (Family.TICK, Family.CRACKLE, Family.REAL)
        times = draw_times(
            rng,
            rate,
            duration_s,
            cluster_share=settings.cluster_share if bursts else 0.0,
            cluster_size=settings.cluster_size,
            cluster_spread_s=settings.cluster_spread_s,
            turn_s=chain.turn_s,
            turn_depth=settings.turn_depth,
        )
        if family is Family.REAL:
            if bank is None or not bank.clicks:
                raise SettingsError("real clicks need a bank of them; give one with --bank")
            damages += [_draw_real(rng, float(time), bank) for time in times]
        else:
            damages += [_draw_one(rng, family, float(time), record) for time in times]
    damages = [replace(d, level_db=d.level_db + settings.level_db) for d in damages]
    return Wear(
        seed=seed,
        duration_s=float(duration_s),
        chain=chain,
        damages=tuple(sorted(damages, key=lambda damage: damage.time_s)),
        bed=_draw_bed(rng, settings) if settings.bed else None,
        clip_level=settings.clip_level,
    )


def _draw_bed(rng: np.random.Generator, settings: WearSettings) -> Bed:
    return Bed(
        hiss_db=float(rng.uniform(*settings.hiss_db)),
        rumble_db=float(rng.uniform(*settings.rumble_db)),
        rumble_hz=float(rng.uniform(20.0, 45.0)),
        likeness=float(rng.uniform(0.0, 0.6)),
        hump_db=float(rng.uniform(0.0, 12.0)),
        crackle_hz=float(rng.uniform(*settings.bed_crackle_hz)),
        crackle_db=float(rng.uniform(-45.0, -30.0)),
    )


def draw_faint(bed: Bed, chain: Chain, seed: int, duration_s: float) -> list[Damage]:
    """Draw the faint ticks of a bed; their levels are over the rms level of the whole music."""
    if not bed.crackle_hz:
        return []
    rng = np.random.default_rng([seed, 1])
    record = _draw_record(rng, chain)
    times = draw_times(rng, bed.crackle_hz, duration_s, cluster_share=0.5, turn_s=chain.turn_s)
    return [
        replace(
            _draw_one(rng, Family.CRACKLE, float(time), record),
            level_db=bed.crackle_db + float(rng.normal(0.0, 3.0)),
        )
        for time in times
    ]


def log_uniform(rng: np.random.Generator, between: Range) -> float:
    """Draw a number evenly on a logarithmic scale."""
    return float(np.exp(rng.uniform(math.log(between[0]), math.log(between[1]))))


@dataclass(frozen=True)
class _Record:
    """What the clicks of one record have in common."""

    chain: Chain
    vertical: float
    wall: float


def _draw_record(rng: np.random.Generator, chain: Chain) -> _Record:
    # Of five grooves that were looked at most were hit sideways, one on single walls, one up and
    # down: records differ more than their clicks do.
    vertical, wall, _ = rng.dirichlet((0.6, 0.8, 1.6))
    return _Record(chain, float(vertical), float(wall))


def _draw_sides(
    rng: np.random.Generator, ranges: FamilyRanges, record: _Record
) -> tuple[float, float]:
    """Draw how far each channel is pushed: at an angle around vertical, lateral or one wall.

    A stylus that moves at an angle `a` from lateral moves the walls by cos(a - 45 deg) and
    cos(a + 45 deg).
    """
    vertical = 0.5 * (ranges.vertical + record.vertical)
    wall = 0.5 * (ranges.wall + record.wall)
    side = rng.uniform()
    if side < vertical:
        angle = 90.0 + rng.normal(0.0, 15.0)
    elif side < vertical + wall:
        # Not quite alone: a cartridge parts the channels by some 20-30 dB.
        angle = rng.choice((45.0, -45.0)) + rng.normal(0.0, 4.0)
    else:
        angle = rng.normal(0.0, 15.0)
    radians = np.deg2rad(angle)
    left, right = np.cos(radians - np.pi / 4), np.cos(radians + np.pi / 4)
    greater = max(abs(left), abs(right))
    return float(left / greater), float(right / greater)


def _draw_shape(
    rng: np.random.Generator, halves: tuple[int, int], width_s: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Draw heights and lengths of half waves that alternate and nearly cancel.

    A bump moves the stylus out and back, slowly or at once, and the pick-up hears its velocity.
    Where the stylus does not come back all the way at once, the de-emphasis draws the rest out to
    a weak tail of milliseconds, here up to a third of the peak.
    """
    count = int(rng.integers(halves[0], halves[1] + 1))
    lengths = rng.dirichlet(np.full(count, 1.5)) + 0.04
    lengths /= lengths.sum()
    heights = rng.uniform(0.4, 1.0, count) * (-1.0) ** np.arange(count)
    areas = heights * lengths
    rest = float(rng.normal(0.0, 0.2)) * min(1.0, 0.35e-3 / width_s)
    there, back = float(areas[::2].sum()), float(-areas[1::2].sum())
    heights[1::2] *= np.clip((there - rest) / back, 0.2, 5.0)
    heights *= (-1.0 if rng.uniform() < 0.5 else 1.0) / np.max(np.abs(heights))
    return tuple(map(float, heights)), tuple(map(float, lengths))


def _draw_one(rng: np.random.Generator, family: Family, time_s: float, record: _Record) -> Damage:
    """Draw one click of a family at a time."""
    ranges, chain = RANGES[family], record.chain
    least, likely, most = np.log(ranges.width_s)
    width_s = math.exp(rng.triangular(least, likely, most))
    shape, lengths = _draw_shape(rng, ranges.halves, width_s)
    left, right = _draw_sides(rng, ranges, record)
    rings = [
        Ring(
            frequency_hz=chain.knock_hz,
            decay_s=chain.knock_decay_s,
            level_db=chain.knock_db + float(rng.normal(0.0, 2.0)),
        ),
        Ring(
            frequency_hz=chain.hump_hz,
            decay_s=chain.hump_decay_s,
            level_db=chain.hump_db + float(rng.normal(0.0, 2.0)),
        ),
    ]
    if family is Family.RING:
        level_db = float(rng.uniform(-14.0, -6.0))
        rings.append(
            Ring(frequency_hz=chain.ring_hz, decay_s=chain.ring_decay_s, level_db=level_db)
        )
    thump = None
    if family is Family.THUMP:
        thump = Thump(
            start_hz=chain.thump_hz,
            end_hz=chain.arm_hz,
            fall_s=chain.thump_fall_s,
            decay_s=chain.thump_decay_s,
            level_db=float(rng.uniform(-6.0, 0.0)),
        )
    lost = family in (Family.GOUGE, Family.DROPOUT)
    return Damage(
        time_s=time_s,
        family=family,
        kind=ranges.kind,
        width_s=width_s,
        level_db=float(rng.triangular(*ranges.level_db)),
        left=left,
        right=right,
        delay_s=float(rng.normal(0.0, 10e-6)),
        shape=shape,
        lengths=lengths,
        rings=() if family is Family.DROPOUT else tuple(rings),
        thump=thump,
        keep=float(rng.uniform(0.0, 0.15)) if lost else 1.0,
        fade_s=min(0.4 * width_s, log_uniform(rng, (0.05e-3, 1e-3))) if lost else 0.0,
    )


def _draw_scratch(
    rng: np.random.Generator,
    number: int,
    duration_s: float,
    record: _Record,
    settings: WearSettings,
) -> list[Damage]:
    """Draw one scratch: a short train of shocks in each turn, which slowly changes."""
    turn_s = record.chain.turn_s
    turns = max(2, round(log_uniform(rng, settings.scratch_turns)))
    times = draw_turns(
        rng,
        # It may have begun before the music, as long as some of it is heard.
        float(rng.uniform(-0.5 * turns * turn_s, duration_s)),
        turns,
        turn_s=turn_s,
        slant_s=float(rng.normal(0.0, 1.5e-3)),
        jitter_s=1e-4,
    )
    shocks = 1 + int(rng.geometric(0.5))
    gaps_s = np.concatenate([[0.0], np.cumsum(rng.uniform(0.4e-3, 3e-3, shocks - 1))])
    first = [_draw_one(rng, Family.SCRATCH, 0.0, record) for _ in range(shocks)]
    last = [_draw_one(rng, Family.SCRATCH, 0.0, record) for _ in range(shocks)]
    damages: list[Damage] = []
    for turn, time in enumerate(times):
        share = turn / (turns - 1)
        # It begins and ends shallow.
        depth_db = 8.0 * math.sin(math.pi * (turn + 0.5) / turns) - 8.0
        for gap_s, early, late in zip(gaps_s, first, last, strict=True):
            time_s = float(time + gap_s)
            if 0.0 <= time_s < duration_s:
                mixed = _between(early, late, share)
                level_db = mixed.level_db + depth_db + float(rng.normal(0.0, 1.0))
                damages.append(replace(mixed, time_s=time_s, level_db=level_db, scratch=number))
    return damages


def _between(early: Damage, late: Damage, share: float) -> Damage:
    """Return the shock of a scratch part of the way from how it begins to how it ends."""

    def mix(a: float, b: float) -> float:
        return (1.0 - share) * a + share * b

    # The sides and the half waves' lengths stay: it is the same wall, cut by the same thing.
    width_s = math.exp(mix(math.log(early.width_s), math.log(late.width_s)))
    sign = math.copysign(1.0, early.shape[0] * late.shape[0])
    shape = tuple(mix(a, sign * b) for a, b in zip(early.shape, cycle(late.shape), strict=False))
    level_db = mix(early.level_db, late.level_db)
    return replace(early, width_s=width_s, shape=shape, level_db=level_db)


def _draw_real(rng: np.random.Generator, time_s: float, bank: Bank) -> Damage:
    """Choose a real click, and how loud it is."""
    index = int(rng.integers(0, len(bank.clicks)))
    click = bank.clicks[index]
    sign = -1.0 if rng.uniform() < 0.5 else 1.0
    return Damage(
        time_s=time_s,
        family=Family.REAL,
        kind=click.kind,
        width_s=click.width_s,
        level_db=float(rng.uniform(0.0, 20.0)),
        left=sign,
        right=sign,
        shape=(),
        swap=bool(rng.uniform() < 0.5),
        bank_index=index,
    )
