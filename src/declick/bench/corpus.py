"""What is mended: damage of each set on clean music, the same for everyone who has the music."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from declick.bench.metrics import events_of
from declick.clicks import Click, FloatArray
from declick.damage.apply import Worn, wear
from declick.damage.bank import Bank
from declick.damage.bank_folder import read_bank
from declick.damage.draw import draw_wear
from declick.damage.harvest import harvest
from declick.damage.sets import SETS
from declick.errors import ReadError
from declick.read import Recording

RATE = 44100
SEED = 1877  # the year of the phonograph
# The long one: all damage of "worn" over many pieces of music in a row.
SIDE = "side"
# Short damage whose places the tools are told.
GIVEN = "given"
LONGEST_GIVEN = 128  # frames; more is refused by Audacity's Repair
_MOST_GIVEN = 12  # places a piece; Audacity takes half a second for each
SPLITS = ("report", "tune")
_SUFFIXES = (".flac", ".wav", ".aif", ".aiff")
_JOINT_S = 0.02

# Settings are tuned on one half of the music and reported on the other; makers of several pieces
# (a drummer and his band, one sample library) are not divided. What is not listed goes by its name.
_LISTED = {
    "report": (
        "bodyperc_palmas_karoryfer",
        "brass_pezel-mutopia",
        "drums_muldjordkit",
        "folkvocal_karissahobbs",
        "harpsichord_scarlatti-mutopia",
        "jazzvibes_macleod",
        "metal_muldjordband",
        "sax_weresax",
        "strings_usarmy-brahms",
    ),
    "tune": (
        "electricguitar_sonicpi",
        "electronic_parrotte-hyperrogue",
        "glockenspiel_banks-mutopia",
        "orchestra_beethoven5-mutopia",
        "piano_joplin-mutopia",
        "tabla_sonicpi",
        "trumpet_sorohanro",
        "vocal_vocadito",
    ),
}
_PERCUSSIVE = (
    "bodyperc",
    "castanet",
    "clap",
    "drum",
    "glockenspiel",
    "harpsichord",
    "marimba",
    "percussion",
    "tabla",
    "xylophone",
)


def split_of(stem: str) -> str:
    """Return which half a piece of music belongs to, by its file name without suffix."""
    for split, stems in _LISTED.items():
        if stem in stems:
            return split
    return SPLITS[hashlib.sha256(stem.encode()).digest()[0] % 2]


def is_percussive(stem: str) -> bool:
    """Return whether a piece is of the music that is hardest to tell from clicks, by its name."""
    return any(word in stem.lower() for word in _PERCUSSIVE)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One sound to be mended.

    Parameters
    ----------
    set : str
        A name of `SETS`, `SIDE`, or `GIVEN`.
    source : str
        Which music, by its name.
    music : tuple of Path
        One file; for the side, all that it is joined from.
    seconds : float
    """

    set: str
    source: str
    music: tuple[Path, ...]
    seconds: float

    @property
    def name(self) -> str:
        """Unique in a corpus."""
        return f"{self.set}/{self.source}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """An item on disk: 24-bit WAV files before and after damage, and the truth."""

    item: Item
    clean: Path
    worn: Path
    clicks: tuple[Click, ...] = field(repr=False)


def list_recordings(folder: Path) -> list[Path]:
    """Return the recordings of a folder, of whatever split.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise ReadError(
            f"{folder}: cannot be read ({error.strerror}); give a folder of clean recordings "
            "with --clean"
        ) from None


def find_music(folder: Path, split: str) -> list[Path]:
    """Return the recordings of a folder that belong to a split, in the order of their names.

    Parameters
    ----------
    folder : Path
    split : str
        "report", "tune" or "all".

    Raises
    ------
    ReadError
        If the folder holds none.
    """
    chosen = [p for p in list_recordings(folder) if split in ("all", split_of(p.stem))]
    stems = [path.stem for path in chosen]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise ReadError(f"{folder}: there are two recordings named {twice}; rename one")
    if not chosen:
        raise ReadError(
            f"{folder}: no clean recordings ({' '.join(_SUFFIXES)}) of the split {split!r} in it; "
            "give another folder with --clean, or --split all"
        )
    return chosen


def list_items(
    music: Sequence[Path], sets: Sequence[str], *, seconds: float, side_s: float
) -> list[Item]:
    """Return all items of a corpus, set by set.

    Parameters
    ----------
    music : sequence of Path
    sets : sequence of str
        Names of `SETS`, `SIDE` and `GIVEN`.
    seconds : float
        Length of each excerpt, cut from the middle of its recording.
    side_s : float
        Length of the side.
    """
    items: list[Item] = []
    for name in sets:
        if name == SIDE:
            items.append(Item(set=SIDE, source="all", music=tuple(music), seconds=side_s))
            continue
        chosen = [p for p in music if name != "percussive" or is_percussive(p.stem)]
        items += [Item(set=name, source=p.stem, music=(p,), seconds=seconds) for p in chosen]
    return items


def read_music(path: Path) -> FloatArray:
    """Return a recording as stereo at `RATE`, its peak at 0.5: damage has room above it.

    Raises
    ------
    ReadError
        If it cannot be read, or is silent.
    """
    with Recording.open(path) as recording:
        sound, rate = recording.read(0, recording.frames), recording.sample_rate
    sound = np.repeat(sound, 2, axis=1) if sound.shape[1] == 1 else sound[:, :2]
    if rate != RATE:
        common = math.gcd(RATE, rate)
        sound = scipy.signal.resample_poly(sound, RATE // common, rate // common, axis=0)
    peak = float(np.max(np.abs(sound), initial=0.0))
    if peak < 1e-4:
        raise ReadError(f"{path}: is silent; take it out of the folder of clean recordings")
    return np.asarray(0.5 * sound / peak)


def cut_middle(sound: FloatArray, seconds: float) -> FloatArray:
    """Return the middle of a sound, or all of it if it is shorter."""
    frames = min(len(sound), round(seconds * RATE))
    start = (len(sound) - frames) // 2
    return sound[start : start + frames]


def join(pieces: Sequence[FloatArray], seconds: float) -> FloatArray:
    """Return pieces in a row, over and over, each with short fades, until they fill a time."""
    fade = np.sin(np.linspace(0.0, np.pi / 2, round(_JOINT_S * RATE)))[:, None] ** 2
    side = np.zeros((round(seconds * RATE), 2))
    start = number = 0
    while start < len(side):
        piece = pieces[number % len(pieces)].copy()
        short = min(len(fade), len(piece) // 2)
        piece[:short] *= fade[:short]
        piece[len(piece) - short :] *= fade[:short][::-1]
        stop = min(len(side), start + len(piece))
        side[start:stop] = piece[: stop - start]
        start, number = stop, number + 1
    return side


def make(item: Item, folder: Path, bank: Bank | None) -> Made:
    """Write an item's clean and worn sound into a folder.

    The damage depends on the item's set and music only, whatever else is made.
    """
    pieces = [read_music(path) for path in item.music]
    music = join(pieces, item.seconds) if item.set == SIDE else cut_middle(pieces[0], item.seconds)
    rng = np.random.default_rng([SEED, *(zlib.crc32(w.encode()) for w in (item.set, item.source))])
    # No faint ticks in the bed: whether they are music or damage is a matter of taste, and a tool
    # that mends them should neither gain nor lose by it.
    base = {SIDE: "worn", GIVEN: "tick"}.get(item.set, item.set)
    settings = replace(SETS[base], bed_crackle_hz=(0.0, 0.0))
    bank = bank if item.set == "real" else None
    drawn = draw_wear(rng, len(music) / RATE, settings, bank=bank)
    laid = wear(music, RATE, drawn, bank=bank)
    if item.set == GIVEN:
        laid = _only_short(laid)
    place = folder / item.set
    place.mkdir(parents=True, exist_ok=True)
    clean, worn = (place / f"{item.source}.{name}.wav" for name in ("clean", "worn"))
    soundfile.write(clean, laid.clean, RATE, subtype="PCM_24")
    soundfile.write(worn, laid.worn, RATE, subtype="PCM_24")
    return Made(item=item, clean=clean, worn=worn, clicks=tuple(laid.clicks))


def _only_short(laid: Worn) -> Worn:
    """Keep only short cores, up to twelve of them: these places are hurt, and nothing else."""
    events = [e for e in events_of(laid.clicks, RATE) if e.stop - e.start <= LONGEST_GIVEN]
    step = max(1, len(events) // _MOST_GIVEN)
    chosen = events[::step][:_MOST_GIVEN]
    worn = laid.clean.copy()
    for event in chosen:
        worn[event.start : event.stop] = laid.worn[event.start : event.stop]
    clicks = [Click(e.start, e.stop, e.stop, channel) for e in chosen for channel in (0, 1)]
    return replace(laid, worn=worn, clicks=clicks, laid=[])


def gather_bank(folder: Path | None) -> Bank | None:
    """Return the real clicks of a folder: a bank, or recordings of silent groove to harvest.

    Returns
    -------
    Bank or None
        None if there is no folder, or no click in it.
    """
    if folder is None or not folder.is_dir():
        return None
    if (folder / "bank.json").exists():
        bank = read_bank(folder)
        return bank if bank.clicks else None
    bank = Bank()
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES):
        with Recording.open(path) as recording:
            bank = bank.joined(harvest(recording, [(0, recording.frames)]))
    return bank if bank.clicks else None


def describe_bank(bank: Bank | None) -> Mapping[str, object] | None:
    """Return what the results say of the real clicks."""
    if bank is None:
        return None
    return {"clicks": len(bank.clicks), "records": [record.name for record in bank.records]}
