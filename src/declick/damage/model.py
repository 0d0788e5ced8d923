"""What wear consists of: everything that is needed to lay the same damage again.

Times in s, frequencies in Hz, levels in dB. All are plain values, so a `Wear` can be written to
JSON, changed by hand and replayed (`declick.damage.recipe`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum

from declick.clicks import Kind


def _check(thing: object, **ranges: tuple[float, float]) -> None:
    """Refuse numbers that are not finite, or outside their range."""
    for item in fields(thing):  # type: ignore[arg-type]
        value = getattr(thing, item.name)
        numbers = value if isinstance(value, tuple) else (value,)
        low, high = ranges.get(item.name, (-math.inf, math.inf))
        for number in numbers:
            if isinstance(number, float) and not (math.isfinite(number) and low <= number <= high):
                name = type(thing).__name__.lower()
                span = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
                raise ValueError(f"a {name}'s {item.name} is {number}; give a number{span}")


class Family(StrEnum):
    """Where damage comes from; finer than `Kind`, which says what is heard of it.

    ring: a pop that sets something in the chain ringing. gouge: the wall is torn, and what is
    heard there is not music. dropout: the music is gone, and little is heard instead. real: a
    click cut from a real record.
    """

    TICK = "tick"
    POP = "pop"
    CRACKLE = "crackle"
    RING = "ring"
    THUMP = "thump"
    SCRATCH = "scratch"
    GOUGE = "gouge"
    DROPOUT = "dropout"
    REAL = "real"


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A damped sinusoid behind a push.

    Parameters
    ----------
    frequency_hz : float
    decay_s : float
        Time in which it falls to 1/e.
    level_db : float
        Its first swing against the push's peak.
    """

    frequency_hz: float
    decay_s: float
    level_db: float

    def __post_init__(self) -> None:
        _check(self, frequency_hz=(0.0, 1e6), decay_s=(1e-6, 10.0), level_db=(-200.0, 60.0))


@dataclass(frozen=True, kw_only=True)
class Thump:
    """A swing of the tone arm behind a push; its frequency falls while it dies.

    Parameters
    ----------
    start_hz, end_hz : float
        The frequency falls from one towards the other...
    fall_s : float
        ...in this time (to 1/e of the way).
    decay_s : float
        Time in which the swing falls to 1/e.
    level_db : float
        Against the push's peak.
    """

    start_hz: float
    end_hz: float
    fall_s: float
    decay_s: float
    level_db: float

    def __post_init__(self) -> None:
        _check(
            self,
            start_hz=(0.0, 1e4),
            end_hz=(0.0, 1e4),
            fall_s=(0.0, 100.0),
            decay_s=(1e-6, 10.0),
            level_db=(-200.0, 60.0),
        )


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One event of damage.

    Parameters
    ----------
    time_s : float
        Onset.
    family : Family
    kind : Kind
        What it is called in the truth.
    width_s : float
        How long the stylus is pushed (for a gouge or a dropout: how long the music is lost).
    level_db : float
        Its peak over the music's local rms level.
    left, right : float
        Share in each channel, -1..1: equal for a lateral push, opposite for a vertical one, one
        of them near 0 where one groove wall is hurt.
    delay_s : float
        How much later the right channel is; either sign.
    shape : tuple of float
        Heights of the push's successive half waves (of the stylus's velocity); empty for no push
        at all.
    lengths : tuple of float
        How they share its width; they add up to 1.
    rings : tuple of Ring
    thump : Thump, optional
    keep : float
        Share of the music that is left while it lasts, 0..1; 1 for damage that only adds.
    fade_s : float
        How long the music takes to go and to come back, where ``keep < 1``; half a cosine.
    scratch : int
        Number of the scratch that this is a part of; -1 for none.
    bank_index : int
        Number of the real click in the bank; -1 for none. Its own sound then takes the place of
        push, rings and thump, and `left` and `right` are gains of its own channels.
    swap : bool
        Whether the channels of a real click are exchanged.
    """

    time_s: float
    family: Family
    kind: Kind
    width_s: float
    level_db: float
    left: float = 1.0
    right: float = 1.0
    delay_s: float = 0.0
    shape: tuple[float, ...] = (1.0,)
    lengths: tuple[float, ...] = (1.0,)
    rings: tuple[Ring, ...] = ()
    thump: Thump | None = None
    keep: float = 1.0
    fade_s: float = 0.0
    scratch: int = -1
    bank_index: int = -1
    swap: bool = False

    def __post_init__(self) -> None:
        _check(
            self,
            width_s=(0.0, 1.0),
            level_db=(-200.0, 120.0),
            left=(-1.0, 1.0),
            right=(-1.0, 1.0),
            delay_s=(-1.0, 1.0),
            lengths=(0.0, 1.0),
            keep=(0.0, 1.0),
            fade_s=(0.0, 1.0),
        )
        if len(self.shape) > len(self.lengths) or (self.shape and sum(self.lengths) > 1.01):
            raise ValueError("a damage needs a length for each half wave, 1 together")


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What one record player adds to each of its clicks.

    Parameters
    ----------
    turn_s : float
        Time of one revolution as it is, not as it should be.
    bass_s, turnover_s, treble_s : float
        Time constants of the de-emphasis; RIAA: 3180, 318 and 75 us. 0 for none.
    low_cut_hz : float
        Where the amplifier's subsonic filter (first order) begins; the IEC's lies at 20 Hz.
    pickup_hz : float
        From where on the pick-up itself hears less (first order); 0 for none.
    ring_hz, ring_decay_s : float
        The long ring ("beep") behind some pops.
    knock_hz, knock_decay_s, knock_db : float
        The short ring of cantilever and shell, and its usual level against the push's peak.
    hump_hz, hump_decay_s, hump_db : float
        The short ring of the stylus on the vinyl, likewise.
    thump_hz, arm_hz, thump_fall_s, thump_decay_s : float
        The arm's swing: its frequency falls from the first to the second.
    """

    turn_s: float = 1.8
    bass_s: float = 3180e-6
    turnover_s: float = 318e-6
    treble_s: float = 75e-6
    low_cut_hz: float = 20.0
    pickup_hz: float = 0.0
    ring_hz: float = 4000.0
    ring_decay_s: float = 0.011
    knock_hz: float = 3000.0
    knock_decay_s: float = 0.35e-3
    knock_db: float = -12.0
    hump_hz: float = 13e3
    hump_decay_s: float = 0.2e-3
    hump_db: float = -18.0
    thump_hz: float = 85.0
    arm_hz: float = 10.0
    thump_fall_s: float = 0.06
    thump_decay_s: float = 0.04

    def __post_init__(self) -> None:
        _check(
            self,
            turn_s=(0.01, 100.0),
            bass_s=(0.0, 1.0),
            turnover_s=(0.0, 1.0),
            treble_s=(0.0, 1.0),
            low_cut_hz=(0.0, 1e4),
            pickup_hz=(0.0, 1e6),
        )


@dataclass(frozen=True, kw_only=True)
class Bed:
    """The noise of the groove itself, which no repair takes away.

    Parameters
    ----------
    hiss_db : float
        Rms level of the hiss between 500 Hz and 15 kHz against that of the whole music.
    rumble_db : float
        Likewise, of the rumble, which is opposite in L and R.
    rumble_hz : float
        Where the rumble ends.
    likeness : float
        Correlation of the hiss of L and R, 0..1.
    hump_db : float
        Peak of the hiss where the stylus resonates on the vinyl (`Chain.hump_hz`).
    crackle_hz : float
        Faint ticks a second, on average.
    crackle_db : float
        Their peak against the rms level of the whole music.
    """

    hiss_db: float = -50.0
    rumble_db: float = -50.0
    rumble_hz: float = 30.0
    likeness: float = 0.1
    hump_db: float = 0.0
    crackle_hz: float = 0.0
    crackle_db: float = -40.0

    def __post_init__(self) -> None:
        _check(
            self,
            hiss_db=(-200.0, 60.0),
            rumble_db=(-200.0, 60.0),
            rumble_hz=(10.0, 1e3),
            likeness=(-1.0, 1.0),
            hump_db=(-60.0, 60.0),
            crackle_hz=(0.0, 1e4),
            crackle_db=(-200.0, 60.0),
        )


@dataclass(frozen=True, kw_only=True)
class Wear:
    """Everything that one record has suffered.

    Parameters
    ----------
    seed : int
        Of the bed's noise.
    duration_s : float
        Length of the music that it was drawn for.
    chain : Chain
    damages : tuple of Damage
        In ascending time.
    bed : Bed, optional
    clip_level : float
        Where damaged samples are clipped; full scale is 1.
    """

    seed: int
    duration_s: float
    chain: Chain
    damages: tuple[Damage, ...]
    bed: Bed | None = None
    clip_level: float = 1.0

    def __post_init__(self) -> None:
        _check(self, duration_s=(0.0, 1e6), clip_level=(1e-6, 1e6))
        if self.seed < 0:
            raise ValueError(f"a wear's seed is {self.seed}; give a whole number from 0 on")
