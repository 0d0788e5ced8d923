"""Worn music, drawn without end: music, what transfers do to it, and wear with its truth.

Excerpt number i depends on the settings and on i alone. Its music is drawn from the corpus, put
through what transfers do (a mono record, an empty top, hiss), and worn with synthetic and real
clicks or left clean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Kind
from declick.damage.apply import Worn, wear
from declick.damage.bank import Bank
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.model import Damage, Wear
from declick.detect.sight import ViewGeometry
from declick.errors import SettingsError
from declick.train.machines import switch
from declick.train.music import Music
from declick.train.oddity import burst, estrange
from declick.train.strokes import strike
from declick.train.turntable import hum, rumble
from declick.train.variation import equalized, vary

FAMILIES: Final = ("tick", "pop", "crackle", "ring", "thump")
"""What the network tells apart; real clicks go by their kind."""

# What is added to the level of clicks that tower, and how long the shortest faults are.
_LOUD_DB: Final = (6.0, 24.0)
_SHORT_FRAMES: Final = (1.0, 4.0)
# Rumble and hum over the music, and over full scale where there is none.
_RUMBLE_DB: Final = (-40.0, 3.0)
_HUM_DB: Final = (-55.0, -10.0)
_OF_SILENCE_DB: Final = -45.0

MODES: Final[Mapping[str, WearSettings]] = {
    "clean": WearSettings(rates_hz={}),
    "tick": WearSettings(rates_hz={Family.TICK: 5.0}),
    "pop": WearSettings(rates_hz={Family.POP: 3.0, Family.RING: 1.0, Family.THUMP: 1.0}),
    "crackle": WearSettings(rates_hz={Family.CRACKLE: 40.0, Family.TICK: 2.0}),
    "shellac": WearSettings(
        rates_hz={Family.CRACKLE: 60.0, Family.TICK: 8.0, Family.POP: 1.0}, turn_s=0.7692
    ),
    "real": WearSettings(rates_hz={Family.REAL: 5.0}),
    "mixed": WearSettings(
        rates_hz={
            Family.TICK: 2.0,
            Family.POP: 1.0,
            Family.CRACKLE: 6.0,
            Family.RING: 0.3,
            Family.THUMP: 0.3,
        }
    ),
    "dropout": WearSettings(rates_hz={Family.DROPOUT: 2.0, Family.TICK: 1.0}),
    # Not trained on: to see what the network makes of what it has never met.
    "scratch": WearSettings(rates_hz={}, scratches=6.0),
    "gouge": WearSettings(rates_hz={Family.GOUGE: 2.0}),
}


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """What examples are drawn from.

    Parameters
    ----------
    seed : int
    seconds : float
        Of an excerpt.
    most : int
        Examples taken of an excerpt.
    damaged : float
        Share of them that goes to damage at most, unless there is too little music.
    modes : mapping of str to float
        How often each of `MODES` is drawn.
    mono, narrow, top, hiss : float
        Shares of excerpts that are mono files, mono records on a stereo cartridge, without their
        top octave, and noisy.
    level_db : tuple of float
        Added to the level of all clicks of an excerpt.
    speed, tone, dryness : float
        Shares of excerpts that are varied so; see `declick.train.variation.vary`.
    strokes : float
        ... that have strokes over them; see `declick.train.strokes`.
    machines : float
        ... that have sounds of machines over them; see `declick.train.machines`.
    lateral, loud, short : float
        ... whose clicks are exactly alike on both channels; tower above the music; are as short as
        faults of a digital chain.
    clipped : float
        ... that were recorded too loud: what is added is clipped, and sometimes the music.
    odd : float
        ... whose clicks lie outside what is known of their families; see `declick.train.oddity`.
    bursts : float
        ... some of whose ticks and pops are static, or humps.
    rumble, hum : float
        ... over a turntable's rumble, over hum; see `declick.train.turntable`.
    dull : float
        ... that lost most of their treble, clicks and all, as on a worn tape.
    varied : int
        How many other clicks are made of each real one.
    held_out_records : tuple of str
        Names of records of the bank whose clicks are for evaluation only.
    """

    seed: int = 1
    seconds: float = 6.0
    most: int = 64
    damaged: float = 0.5
    modes: Mapping[str, float] = field(
        default_factory=lambda: {
            "clean": 0.3,
            "tick": 0.14,
            "pop": 0.16,
            "crackle": 0.08,
            "shellac": 0.06,
            "real": 0.16,
            "mixed": 0.1,
        }
    )
    mono: float = 0.12
    narrow: float = 0.2
    top: float = 0.25
    hiss: float = 0.5
    level_db: tuple[float, float] = (-3.0, 4.0)
    speed: float = 0.0
    tone: float = 0.0
    dryness: float = 0.0
    strokes: float = 0.0
    machines: float = 0.0
    lateral: float = 0.0
    loud: float = 0.0
    short: float = 0.0
    clipped: float = 0.0
    odd: float = 0.0
    bursts: float = 0.0
    rumble: float = 0.0
    hum: float = 0.0
    dull: float = 0.0
    varied: int = 0
    held_out_records: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.modes) - set(MODES)
        if unknown or not self.modes:
            raise SettingsError(f"modes {sorted(unknown)}: choose of {', '.join(MODES)}")


def without_records(bank: Bank, names: tuple[str, ...]) -> Bank:
    """Return the bank without the clicks of some of its records."""
    out = {index for index, record in enumerate(bank.records) if record.name in names}
    return Bank(
        clicks=tuple(click for click in bank.clicks if click.record not in out),
        records=bank.records,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class WornExcerpt:
    """Worn music with its truth, all of shape (frames, 2) but for a mono `sound`.

    Parameters
    ----------
    sound, damage : ndarray
    cores : ndarray of bool
        Where the music is lost.
    laid : Worn
    marks : tuple of (Click, int)
        Each click that has a core, with its index into `FAMILIES` or -1.
    sample_rate : int
    source, mode : str
    unclear : ndarray of bool, shape (frames,), optional
        Where damage without a core is neither damage nor music to learn from.
    """

    sound: FloatArray
    damage: FloatArray
    cores: NDArray[np.bool_]
    laid: Worn
    marks: tuple[tuple[Click, int], ...]
    sample_rate: int
    source: str
    mode: str
    unclear: NDArray[np.bool_] | None = None


def draw_worn(
    rng: np.random.Generator, music: Music, bank: Bank | None, settings: ExampleSettings, split: str
) -> WornExcerpt:
    """Draw music and lay wear on it."""
    names = [name for name in MODES if settings.modes.get(name, 0.0) > 0.0]
    odds = np.array([settings.modes[name] for name in names])
    mode = names[int(rng.choice(len(names), p=odds / odds.sum()))]
    clean, rate, source = music.draw(rng, split, settings.seconds)
    shares = settings.speed, settings.tone, settings.dryness
    if any(shares):
        clean = vary(rng, clean, rate, *shares)
    if settings.strokes and rng.uniform() < settings.strokes:
        clean = strike(rng, clean, rate)
    if settings.machines and rng.uniform() < settings.machines:
        clean = switch(rng, clean, rate)
    geometry = ViewGeometry(rate)
    clean = clean[: len(clean) // geometry.hop * geometry.hop]
    mono = clean.shape[1] == 1 or bool(rng.uniform() < settings.mono)
    clean = _transferred(rng, clean, rate, mono, mode == "shellac", settings)
    clip_level = 1.0
    if settings.clipped and rng.uniform() < settings.clipped:
        clean, clip_level = _recorded_loud(rng, clean)
    drawn = None
    laid = Worn(clean, clean, [], [])
    if mode != "clean" and np.any(clean):
        base = MODES[mode]
        if base.rates_hz.get(Family.REAL) and (bank is None or not bank.clicks):
            base = MODES["mixed"]
        values: dict[str, Any] = {name: getattr(base, name) for name in vars(base)}
        values["level_db"] = float(rng.uniform(*settings.level_db))
        values["bed"] = bool(rng.uniform() < settings.hiss)
        rate_factor = math.exp(rng.uniform(-0.7, 0.7))
        values["rates_hz"] = {k: v * rate_factor for k, v in base.rates_hz.items()}
        values["clip_level"] = clip_level
        drawn = draw_wear(rng, len(clean) / rate, WearSettings(**values), bank=bank)
        drawn = _altered(rng, drawn, settings)
        laid = wear(clean, rate, drawn, bank=bank)
    sound, damage = laid.worn, laid.worn - laid.clean
    edge, most_hiss = 0.0, -4.0
    if mode != "shellac" and rng.uniform() < settings.top:
        edge = rng.uniform(9000, 20000) / rate
    elif settings.dull and rng.uniform() < settings.dull:
        edge, most_hiss = math.exp(rng.uniform(math.log(3500), math.log(9000))) / rate, -3.0
    if edge:
        sound, damage = _low_pass(sound, edge), _low_pass(damage, edge)
        sound = sound + rng.standard_normal(sound.shape) * 10 ** rng.uniform(-5.5, most_hiss)
    sound = _over_turntable(rng, sound, clean, rate, settings)
    damage, cores = stereo_truth(damage, laid.clicks)
    return WornExcerpt(
        sound=sound,
        damage=damage,
        cores=cores,
        laid=laid,
        marks=_marks(laid, drawn, bank),
        sample_rate=rate,
        source=source,
        mode=mode,
    )


def stereo_truth(
    damage: FloatArray, clicks: Sequence[Click]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return damage, and where clicks have their cores, on two channels each, also of mono."""
    cores = np.zeros(damage.shape, dtype=bool)
    for click in clicks:
        cores[click.start : click.stop, click.channel] = True
    if damage.shape[1] == 1:
        damage, cores = np.repeat(damage, 2, axis=1), np.repeat(cores, 2, axis=1)
    return damage, cores


def _transferred(
    rng: np.random.Generator,
    clean: FloatArray,
    rate: int,
    mono: bool,
    shellac: bool,
    settings: ExampleSettings,
) -> FloatArray:
    """Return the music as a transfer of some record would have it."""
    if mono:
        clean = clean[:, [int(rng.integers(clean.shape[1]))]]
    elif rng.uniform() < settings.narrow:
        middle = clean.mean(axis=1, keepdims=True)
        clean = middle + (clean - middle) * rng.uniform(0.0, 0.2)
    if clean.shape[1] == 2 and rng.uniform() < 0.5:
        clean = clean[:, ::-1]
    clean = clean * (10 ** (rng.uniform(-18.0, 0.0) / 20) * rng.choice((-1.0, 1.0)))
    loud = (-75.0, -45.0)
    if shellac:
        clean, loud = _low_pass(clean, rng.uniform(3500, 9000) / rate), (-40.0, -20.0)
    if shellac or rng.uniform() < settings.hiss:
        bed = 10 ** (rng.uniform(*loud) / 20) * math.sqrt(float(np.mean(clean**2)))
        clean = clean + rng.standard_normal(clean.shape) * bed
    return np.ascontiguousarray(clean)


def _over_turntable(
    rng: np.random.Generator,
    sound: FloatArray,
    clean: FloatArray,
    rate: int,
    settings: ExampleSettings,
) -> FloatArray:
    """Return worn music with what the turntable adds to it."""
    loudness = math.sqrt(float(np.mean(clean**2))) or 10 ** (_OF_SILENCE_DB / 20)
    for share, make, levels_db in (
        (settings.rumble, rumble, _RUMBLE_DB),
        (settings.hum, hum, _HUM_DB),
    ):
        if share and rng.uniform() < share:
            level = loudness * 10 ** (rng.uniform(*levels_db) / 20)
            sound = sound + level * make(rng, len(sound), sound.shape[1], rate)
    return sound


def _recorded_loud(rng: np.random.Generator, clean: FloatArray) -> tuple[FloatArray, float]:
    """Return music, clipped or not, and the level above which nothing is recorded."""
    peak = float(np.max(np.abs(clean), initial=0.0)) or 1.0
    if rng.uniform() < 0.5:
        return clean, peak * math.exp(rng.uniform(0.0, 1.4))
    level = peak * rng.uniform(0.4, 1.0)
    return np.clip(clean, -level, level), level


def _altered(rng: np.random.Generator, drawn: Wear, settings: ExampleSettings) -> Wear:
    """Return wear made rarer than the synthesizer draws it."""
    if settings.odd and rng.uniform() < settings.odd:
        drawn = estrange(rng, drawn)
    if settings.bursts and rng.uniform() < settings.bursts:
        drawn = burst(rng, drawn)
    damages, chain = drawn.damages, drawn.chain
    if settings.lateral and rng.uniform() < settings.lateral:
        sign = float(rng.choice((-1.0, 1.0, 1.0)))
        damages = tuple(
            d if d.family is Family.REAL else replace(d, left=sign, right=1.0, delay_s=0.0)
            for d in damages
        )
    if settings.loud and rng.uniform() < settings.loud:
        more_db = rng.uniform(*_LOUD_DB)
        damages = tuple(replace(d, level_db=d.level_db + more_db) for d in damages)
    if settings.short and rng.uniform() < settings.short:
        frames = rng.uniform(*_SHORT_FRAMES, len(damages))
        # No pick-up has heard them.
        chain = replace(chain, bass_s=0.0, turnover_s=0.0, treble_s=0.0, pickup_hz=0.0)
        damages = tuple(
            d if d.family is Family.REAL else replace(d, width_s=float(n) / 44100.0, rings=())
            for d, n in zip(damages, frames, strict=True)
        )
    return replace(drawn, chain=chain, damages=damages)


def _low_pass(sound: FloatArray, edge: float) -> FloatArray:
    """Return the sound without what is above `edge` (cycles per frame), without delay."""
    return equalized(sound, lambda frequency: 1.0 / (1.0 + (frequency / edge) ** 16))


def _marks(laid: Worn, wear: Wear | None, bank: Bank | None) -> tuple[tuple[Click, int], ...]:
    """Return what was laid and has a core, with its family."""
    if wear is None:
        return ()
    return tuple(
        (item.click, _family(wear.damages[item.damage], bank))
        for item in laid.laid
        if item.click is not None
    )


def _family(damage: Damage, bank: Bank | None) -> int:
    """Return the index of a damage's family; -1 where it is none of those told apart."""
    name = damage.family.value
    if damage.family is Family.REAL and bank is not None:
        click = bank.clicks[damage.bank_index]
        name = "ring" if click.ring_hz > 0 and click.ring_decay_s > 0.005 else click.kind.value
        name = "pop" if damage.kind is Kind.POP and name != "ring" else name
    return FAMILIES.index(name) if name in FAMILIES else -1
