"""Examples for the network, drawn without end: music, wear, and the instants that stand out of it.

Excerpt number i depends on the settings and on i alone. Its music is drawn from the corpus, put
through what transfers do (a mono record, an empty top, hiss), worn with synthetic and real clicks
or left clean, and looked at as the detector does. Every instant is damage, music, or too near to
weak damage to tell. Clean excerpts give hard negatives: all that ever stands out of a drum kit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.clicks import Click, FloatArray, Kind
from declick.damage.apply import Worn, wear
from declick.damage.bank import Bank
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.model import Damage, Wear
from declick.detect.survey import IntArray
from declick.detect.views import MIDDLE, ViewGeometry, Views, find_instants, local_level, see, view
from declick.errors import ReadError, SettingsError
from declick.train.variation import equalized, vary

FAMILIES: Final = ("tick", "pop", "crackle", "ring", "thump")
"""What the network tells apart; real clicks go by their kind."""
# An instant this close to damage is not clean; frames.
_NEAR = 96
# A core is widened by this for an instant to belong to it; frames.
_WIDENED = 32

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
    # Not trained on: to see what the network makes of what it has never met.
    "scratch": WearSettings(rates_hz={}, scratches=6.0),
    "gouge": WearSettings(rates_hz={Family.GOUGE: 2.0}),
}


class Music(Protocol):
    """Where clean music comes from."""

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt (frames, channels), its sample rate, and the name of its source."""


class FolderMusic:
    """Clean music from any folder of audio files; every fourth is held out as "valid".

    Raises
    ------
    ReadError
        If there is no audio in it.
    """

    def __init__(self, folder: Path) -> None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".flac", ".wav"))
        if not found:
            raise ReadError(f"{folder}: holds no FLAC or WAV files; give a folder of clean music")
        self._paths = {"valid": found[3::4], "train": [p for i, p in enumerate(found) if i % 4 < 3]}

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt of one of the files, each as likely as the others."""
        paths = self._paths[split]
        path = paths[int(rng.integers(len(paths)))]
        info = soundfile.info(path)
        frames = min(info.frames, round(seconds * info.samplerate))
        start = int(rng.integers(info.frames - frames + 1))
        sound, rate = soundfile.read(path, start=start, frames=frames, always_2d=True)
        return sound[:, :2], int(rate), path.stem


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
    modes : mapping of str to float
        How often each of `MODES` is drawn.
    mono, narrow, top, hiss : float
        Shares of excerpts that are mono files, mono records on a stereo cartridge, without their
        top octave, and noisy.
    level_db : tuple of float
        Added to the level of all clicks of an excerpt.
    speed, tone, dryness : float
        Shares of excerpts that are varied so; see `declick.train.variation.vary`.
    held_out_records : tuple of str
        Names of records of the bank whose clicks are for evaluation only.
    """

    seed: int = 1
    seconds: float = 6.0
    most: int = 64
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
    held_out_records: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.modes) - set(MODES)
        if unknown or not self.modes:
            raise SettingsError(f"modes {sorted(unknown)}: choose of {', '.join(MODES)}")


class Examples(NamedTuple):
    """Examples of one excerpt.

    Parameters
    ----------
    views : Views
        What the network is shown of each of n instants.
    labels : ndarray of int8, shape (n, 2)
        1 damage, 0 music, -1 undecided, for left and right.
    families : ndarray of int8, shape (n, 2)
        Index into `FAMILIES`; -1 for none.
    cores : ndarray of bool, shape (n, 2, MIDDLE)
        Where the music is lost.
    damage : ndarray of float16, shape (n, 2, MIDDLE)
        What was added, as arcsinh of the damage over the level that the sound is shown over.
    tails : ndarray of float16, shape (n, 2)
        Natural logarithm of 1 + the milliseconds of the tail behind the core.
    frames : ndarray of int, shape (n,)
        Where they are in the excerpt.
    source : str
    mode : str
    """

    views: Views
    labels: NDArray[np.int8]
    families: NDArray[np.int8]
    cores: NDArray[np.bool_]
    damage: NDArray[np.float16]
    tails: NDArray[np.float16]
    frames: IntArray
    source: str
    mode: str


def without_records(bank: Bank, names: tuple[str, ...]) -> Bank:
    """Return the bank without the clicks of some of its records."""
    out = {index for index, record in enumerate(bank.records) if record.name in names}
    return Bank(
        clicks=tuple(click for click in bank.clicks if click.record not in out),
        records=bank.records,
    )


def draw_examples(
    number: int, music: Music, bank: Bank | None, settings: ExampleSettings, split: str = "train"
) -> Examples:
    """Draw the examples of excerpt `number`; at most `settings.most` of them."""
    rng = np.random.default_rng([settings.seed, split == "valid", number])
    return take_examples(rng, draw_worn(rng, music, bank, settings, split), settings.most)


def take_examples(
    rng: np.random.Generator,
    drawn: WornExcerpt,
    most: int,
    *,
    within: tuple[int, int] | None = None,
) -> Examples:
    """Take examples of a worn excerpt, at most `most`.

    Half of the room, at most, goes to damage; of the rest, half to what stands out most.

    Parameters
    ----------
    rng : numpy.random.Generator
    drawn : WornExcerpt
    most : int
    within : tuple of int, optional
        Frames of the excerpt that instants are taken of; all of them by default.
    """
    sight = see(drawn.sound, ViewGeometry(drawn.sample_rate))
    frames, scores = find_instants(sight)
    half = MIDDLE // 2
    first, last = within or (0, len(drawn.sound))
    inside = (frames >= max(half, first)) & (frames < min(len(drawn.sound) - half, last))
    frames, scores = frames[inside], scores[inside]
    labels, families, tails = label_instants(frames, drawn)
    chosen = _choose(rng, labels, scores, most)
    frames = frames[chosen]
    level = local_level(sight, frames)
    index = frames[:, None] + np.arange(-half, half)
    damage = np.moveaxis(drawn.damage[index], -1, 1) / level[:, :, None]
    return Examples(
        views=view(sight, frames).halved(),
        labels=labels[chosen],
        families=families[chosen],
        cores=np.moveaxis(drawn.cores[index], -1, 1),
        damage=np.arcsinh(damage).astype(np.float16),
        tails=tails[chosen],
        frames=frames,
        source=drawn.source,
        mode=drawn.mode,
    )


def _choose(
    rng: np.random.Generator, labels: NDArray[np.int8], scores: FloatArray, most: int
) -> IntArray:
    damaged = np.flatnonzero((labels == 1).any(axis=1))
    music = np.flatnonzero((labels == 0).any(axis=1) & ~(labels == 1).any(axis=1))
    damaged = rng.permutation(damaged)[: max(most // 2, most - len(music))]
    room = most - len(damaged)
    hardest = music[np.argsort(-scores[music], kind="stable")]
    rest = rng.permutation(hardest[room // 2 :])[: room - room // 2]
    return np.sort(np.concatenate([damaged, hardest[: room // 2], rest]))


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
    geometry = ViewGeometry(rate)
    clean = clean[: len(clean) // geometry.hop * geometry.hop]
    mono = clean.shape[1] == 1 or bool(rng.uniform() < settings.mono)
    clean = _transferred(rng, clean, rate, mono, mode == "shellac", settings)
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
        drawn = draw_wear(rng, len(clean) / rate, WearSettings(**values), bank=bank)
        laid = wear(clean, rate, drawn, bank=bank)
    sound, damage = laid.worn, laid.worn - laid.clean
    if mode != "shellac" and rng.uniform() < settings.top:
        edge = rng.uniform(9000, 20000) / rate
        sound, damage = _low_pass(sound, edge), _low_pass(damage, edge)
        sound = sound + rng.standard_normal(sound.shape) * 10 ** rng.uniform(-5.5, -4)
    cores = np.zeros(sound.shape, dtype=bool)
    for click in laid.clicks:
        cores[click.start : click.stop, click.channel] = True
    if mono:
        damage, cores = np.repeat(damage, 2, axis=1), np.repeat(cores, 2, axis=1)
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


def _low_pass(sound: FloatArray, edge: float) -> FloatArray:
    """Return the sound without what is above `edge` (cycles per frame), without delay."""
    return equalized(sound, lambda frequency: 1.0 / (1.0 + (frequency / edge) ** 16))


def label_instants(
    frames: IntArray, drawn: WornExcerpt
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.float16]]:
    """Return label, family and tail of each instant on both channels, each of shape (n, 2).

    Damage too weak to have a core counts as music: mending it costs more than it gains.
    """
    count = len(frames)
    labels = np.zeros((count, 2), dtype=np.int8)
    families = np.full((count, 2), -1, dtype=np.int8)
    tails = np.zeros((count, 2), dtype=np.float16)
    mono = drawn.laid.worn.shape[1] == 1
    if drawn.unclear is not None and count:
        labels[drawn.unclear[frames]] = -1
    # Beside a core, under its tail, and in the other channel: nobody can tell.
    for click, _ in drawn.marks:
        low, high = np.searchsorted(frames, [click.start - _NEAR, click.tail + _NEAR])
        labels[low:high] = -1
    for click, family in drawn.marks:
        low, high = np.searchsorted(frames, [click.start - _WIDENED, click.stop + _WIDENED])
        channels = slice(0, 2) if mono else slice(click.channel, click.channel + 1)
        labels[low:high, channels] = 1
        families[low:high, channels] = family
        tail_ms = 1000.0 * (click.tail - click.stop) / drawn.sample_rate
        tails[low:high, channels] = math.log1p(tail_ms)
    return labels, families, tails


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
