"""Pairs of worn and clean sound in a folder that common tools load as it is (audiofolder)."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from declick.clicks import FloatArray
from declick.damage.apply import Worn, wear
from declick.damage.bank import Bank
from declick.damage.draw import WearSettings, draw_wear
from declick.damage.model import Wear
from declick.damage.recipe import Origin, save_wear
from declick.errors import ReadError, SettingsError, WriteError
from declick.labels import renamed_when_done, write_labels
from declick.read import Recording
from declick.soundness import HIGHEST_RATE, LOWEST_RATE
from declick.targets import check_targets

METADATA = "metadata.csv"
_FOLDERS = ("damaged", "clean", "labels", "wear")
# FLAC's own limit.
_HIGHEST_FLAC_RATE = min(655_350, HIGHEST_RATE)
_STEPS = float(2**23)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row of ``metadata.csv``; paths are relative to its folder.

    Parameters
    ----------
    file_name, clean_file_name : str
        The worn sound, and what a perfect repair would return.
    labels, wear : str
        The truth as Audacity labels, and the wear as JSON.
    set : str
        Name of the set; "replay" for wear that was read from JSON.
    seed : int
        That the whole folder was asked for with.
    sample_rate, channels, frames : int
    start : int
        First frame of the excerpt, at `sample_rate`.
    gain_db : float
        By which the music was turned down, as it would not have fitted with its noise.
    damages, clicks : int
        Events that were laid, and clicks of the truth (counted by channel).
    source : str
        Name of the clean recording.
    licence : str
        On what terms the music may be used, as far as the user said so.
    bank_licence : str
        Likewise, of real clicks.
    """

    file_name: str
    clean_file_name: str
    labels: str
    wear: str
    set: str
    seed: int
    sample_rate: int
    channels: int
    frames: int
    start: int
    gain_db: float
    damages: int
    clicks: int
    source: str
    licence: str
    bank_licence: str


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """What pairs are made of.

    Parameters
    ----------
    sets : mapping from str to WearSettings
        What to draw from, each for each excerpt.
    seed : int
        Another seed gives other damage; the same gives the same to each recording, whatever
        else there is.
    sample_rate : int, optional
        The music is brought to it.
    seconds : float
        Recordings that are longer give several pairs.
    licence : str
    """

    sets: dict[str, WearSettings]
    seed: int = 1
    sample_rate: int | None = None
    seconds: float = 120.0
    licence: str = ""

    def __post_init__(self) -> None:
        rate = self.sample_rate
        if rate is not None and not LOWEST_RATE <= rate <= _HIGHEST_FLAC_RATE:
            raise SettingsError(
                f"--sample-rate {rate}: is not from {LOWEST_RATE} to {_HIGHEST_FLAC_RATE} Hz"
            )
        if not 1.0 <= self.seconds <= 3600.0:
            raise SettingsError(f"--seconds {self.seconds:g}: is not from 1 to 3600 s")


def make_pairs(
    sources: Sequence[Path],
    folder: Path,
    settings: DatasetSettings,
    *,
    replay: tuple[Wear, Origin | None] | None = None,
    bank: Bank | None = None,
    overwrite: bool = False,
    notice: Callable[[str], None] = lambda line: None,
) -> list[Pair]:
    """Lay wear over clean recordings and write the pairs.

    Parameters
    ----------
    sources : sequence of Path
        Clean recordings.
    folder : Path
        Gets ``metadata.csv`` and the folders ``damaged``, ``clean``, ``labels`` and ``wear``.
    settings : DatasetSettings
    replay : tuple of Wear and Origin, optional
        Lay this wear at the place that it was laid at, and draw none.
    bank : Bank, optional
        Real clicks.
    overwrite : bool
        Whether files that exist may be replaced.
    notice : callable, optional
        Is told of excerpts that were passed over, as they are silent.

    Returns
    -------
    list of Pair
        The rows of ``metadata.csv``.

    Raises
    ------
    ReadError, WriteError, SettingsError
        If a recording cannot be read, a file not be written, or all the music is silent.
    """
    names = _stems(sources)
    check_targets([folder / METADATA], sources=sources, overwrite=overwrite)
    for name in _FOLDERS:
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                f"{folder / name}: cannot be made ({error.strerror}); give another folder with -o"
            ) from None
    pairs: list[Pair] = []
    for source, stem in zip(sources, names, strict=True):
        for number, (start, rate, music) in enumerate(_excerpts(source, settings, replay)):
            for name in ("replay",) if replay is not None else settings.sets:
                label = f"{stem}-{number:03d}-{name}"
                if not np.any(music):
                    notice(f"{source}: {start / rate:.0f} s on is silent; passed over")
                    continue
                drawn = replay[0] if replay is not None else None
                if drawn is None:
                    # Of its name, so that it does not matter what else there is.
                    key = zlib.crc32(label.encode())
                    rng = np.random.default_rng([settings.seed, key])
                    drawn = draw_wear(rng, len(music) / rate, settings.sets[name], bank=bank)
                try:
                    laid, gain_db = _fit(music, rate, drawn, bank)
                except SettingsError as error:
                    raise SettingsError(f"{source}: {error}") from None
                origin = Origin(name=source.name, sample_rate=rate, start=start, frames=len(music))
                paths = _write(folder, label, laid, rate, drawn, origin, sources, overwrite)
                pairs.append(
                    Pair(
                        file_name=paths[0],
                        clean_file_name=paths[1],
                        labels=paths[2],
                        wear=paths[3],
                        set=name,
                        seed=settings.seed,
                        sample_rate=rate,
                        channels=music.shape[1],
                        frames=len(music),
                        start=start,
                        gain_db=round(gain_db, 4),
                        damages=len({item.damage for item in laid.laid}),
                        clicks=len(laid.clicks),
                        source=source.name,
                        licence=settings.licence,
                        bank_licence=_licence(drawn, bank),
                    )
                )
    if not pairs:
        raise SettingsError("all the music is silent, and damage is laid relative to its level")
    write_metadata(folder / METADATA, pairs)
    return pairs


def _stems(sources: Sequence[Path]) -> list[str]:
    """Return a name for each source, with its ending where two would be alike."""
    stems = [source.stem for source in sources]
    named = [
        source.stem if stems.count(source.stem) == 1 else source.name.replace(".", "-")
        for source in sources
    ]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise SettingsError(f"two recordings are called {twice}; rename one, or do them apart")
    return named


def _excerpts(
    source: Path, settings: DatasetSettings, replay: tuple[Wear, Origin | None] | None
) -> Iterator[tuple[int, int, FloatArray]]:
    """Yield start, sample rate and music of each excerpt."""
    with Recording.open(source) as recording:
        own = recording.sample_rate
        origin = replay[1] if replay is not None else None
        rate = settings.sample_rate or (origin.sample_rate if origin is not None else own)
        if rate > _HIGHEST_FLAC_RATE:
            raise SettingsError(f"{source}: FLAC holds no {rate} Hz; give --sample-rate")
        ratio = Fraction(rate, own)
        if replay is not None:
            first = 0 if origin is None else round(origin.start / ratio)
            count = round(replay[0].duration_s * own)
            if first >= recording.frames:
                raise ReadError(
                    f"{source}: ends before {first / own:.1f} s, where the wear begins; give the "
                    "recording that it was drawn for"
                )
            spans = [(first, min(first + count, recording.frames))]
        else:
            length = max(1, round(settings.seconds * own))
            spans = [
                (first, min(first + length, recording.frames))
                for first in range(0, recording.frames, length)
            ]
            # A short rest would be a pair of its own with hardly a click in it.
            if len(spans) > 1 and spans[-1][1] - spans[-1][0] < 0.25 * length:
                spans[-2:] = [(spans[-2][0], spans[-1][1])]
        for first, last in spans:
            music = recording.read(first, last)
            if ratio != 1:
                from scipy.signal import resample_poly  # half a second to import

                music = np.asarray(resample_poly(music, ratio.numerator, ratio.denominator, axis=0))
            yield round(first * ratio), rate, music


def _fit(music: FloatArray, rate: int, drawn: Wear, bank: Bank | None) -> tuple[Worn, float]:
    """Lay wear; turn the music down first if it would not fit into full scale with its noise."""
    laid = wear(music, rate, drawn, bank=bank)
    peak = float(np.max(np.abs(laid.clean)))
    if peak <= 1.0 - 1.0 / _STEPS:
        return laid, 0.0
    gain = 0.98 / peak
    return wear(music * gain, rate, drawn, bank=bank), 20.0 * float(np.log10(gain))


def _licence(drawn: Wear, bank: Bank | None) -> str:
    if bank is None or all(damage.bank_index < 0 for damage in drawn.damages):
        return ""
    return "; ".join(sorted({record.licence for record in bank.records if record.licence}))


def _write(
    folder: Path,
    label: str,
    laid: Worn,
    rate: int,
    drawn: Wear,
    origin: Origin,
    sources: Sequence[Path],
    overwrite: bool,
) -> list[str]:
    """Write one pair; return the paths within the folder."""
    endings = (".flac", ".flac", ".txt", ".json")
    paths = [f"{name}/{label}{end}" for name, end in zip(_FOLDERS, endings, strict=True)]
    targets = [folder / path for path in paths]
    check_targets(targets, sources=sources, overwrite=overwrite)
    write_flac(targets[0], laid.worn, rate)
    write_flac(targets[1], laid.clean, rate)
    write_labels(targets[2], laid.clicks, rate, channels=laid.worn.shape[1])
    save_wear(targets[3], drawn, origin=origin)
    return paths


def write_flac(path: Path, sound: FloatArray, rate: int) -> None:
    """Write sound at 24 bit; it gets its name once it is whole."""
    steps = np.clip(np.rint(sound * _STEPS), -_STEPS, _STEPS - 1.0).astype(np.int32) << 8
    partial = path.with_name(f".{path.name}.part")
    try:
        try:
            soundfile.write(partial, steps, rate, format="FLAC", subtype="PCM_24")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise WriteError(f"{path}: cannot be written ({error}); make room there") from None


def write_metadata(path: Path, pairs: Sequence[Pair]) -> None:
    """Write the list of pairs, with all that the first one's class has."""
    text = io.StringIO()
    rows = csv.DictWriter(text, [item.name for item in fields(pairs[0])], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(pair) for pair in pairs)
    with renamed_when_done(path, "the list of pairs") as file:
        file.write(text.getvalue())
