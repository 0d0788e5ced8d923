"""The pieces that a recipe asks for: each has a name, its origin, and a way to make its sound."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from declick.clicks import FloatArray
from declick.errors import ReadError
from declick.train.figures import draw_line, draw_rhythm
from declick.train.hits import Hit, draw_words, trim
from declick.train.hits import draw_rhythm as draw_hits
from declick.train.midi import DRUM_CHANNEL, move, mute, read_score, write_notes
from declick.train.packages import Packages, find
from declick.train.recipe import Font, Recipe, Source
from declick.train.render import accompany, grooves, play_parts, write_chords

# Raised where a change here changes the sound: what is there is then made again.
VERSION = 1
_FULL_SCALE = 0.98
_PROGRAMS = {
    "scores": ("fluidsynth",),
    "styles": ("fluidsynth", "mma"),
    "figures": ("fluidsynth",),
}
_LONGEST_WORD_S = 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """One sound to make.

    Parameters
    ----------
    name : str
        Unique in the corpus; its file name without suffix.
    source : Source
    version : str
        Of the source's package.
    group, split : str
    origin : tuple of str
        Files of the package that it is made from.
    make : callable
        Takes the piece's own generator; returns samples ``(frames, channels)`` at the recipe's
        rate, full scale 1.
    fingerprint : str
        Of everything that its sound depends on.
    """

    name: str
    source: Source
    version: str
    group: str
    split: str
    origin: tuple[str, ...]
    make: Callable[[np.random.Generator], FloatArray]
    fingerprint: str

    def generator(self, seed: int) -> np.random.Generator:
        """Return the piece's own generator: other pieces do not change it."""
        return np.random.default_rng((seed, zlib.crc32(self.name.encode())))


def all_pieces(recipe: Recipe, packages: Packages, folders: Mapping[str, Path]) -> Iterator[Piece]:
    """Yield the pieces of all sources whose packages are there, in the recipe's order.

    Parameters
    ----------
    recipe : Recipe
    packages : Packages
    folders : mapping of str to Path
        Folders of scores, by the names that the recipe gives them.

    Raises
    ------
    ReadError
        If a file that the recipe names is not there.
    """
    makers = {
        "tracks": _tracks,
        "scores": _scores,
        "styles": _styles,
        "figures": _figures,
        "hits": _hits,
        "words": _words,
    }
    for source in recipe.sources:
        needs = [source.package] if source.package else []
        for font in source.fonts:
            needs += [recipe.fonts[font].package]
        if packages.missing(needs, _PROGRAMS.get(source.kind, ())) or (
            source.folder and source.folder not in folders
        ):
            continue
        yield from makers[source.kind](recipe, source, packages, folders)


def _tracks(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    songs: dict[Path, list[Path]] = {}
    for path in packages.files(source.package, source.files, source.drop):
        songs.setdefault(path.parent if source.sum_folders else path, []).append(path)
    for song, paths in songs.items():
        make = partial(_read_song, paths, source.most_s, recipe.sample_rate)
        yield _piece(recipe, source, packages, song.stem, source.package, paths, make)


def _scores(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    if source.folder:
        paths = find(folders[source.folder], source.files, source.drop, what=source.folder)
    else:
        paths = packages.files(source.package, source.files, source.drop)
    for place, path in enumerate(paths):
        font = source.fonts[place % len(source.fonts)]
        make = partial(_play_score, recipe, source, packages, font, path)
        yield _piece(recipe, source, packages, path.stem, "", [path], make, font)


def _styles(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    paths = packages.files(source.package, source.files, source.drop)
    for place in range(len(paths) * source.pieces):
        path, turn = paths[place // source.pieces], place % source.pieces
        font = source.fonts[place % len(source.fonts)]
        make = partial(_play_style, recipe, source, packages, font, path)
        yield _piece(recipe, source, packages, f"{path.stem}-{turn}", "", [path], make, font)


def _figures(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    programs = source.programs or (-1,)
    for program in programs:
        for turn in range(source.pieces):
            font = source.fonts[turn % len(source.fonts)]
            make = partial(_play_figure, recipe, source, packages, font, program)
            name = f"drums-{turn:02d}" if program < 0 else f"program{program:03d}-{turn:02d}"
            yield _piece(recipe, source, packages, name, "", [], make, font)


def _hits(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    yield from _of_folders(recipe, source, packages, draw_hits)


def _words(
    recipe: Recipe, source: Source, packages: Packages, folders: Mapping[str, Path]
) -> Iterator[Piece]:
    yield from _of_folders(recipe, source, packages, draw_words)


def _of_folders(
    recipe: Recipe, source: Source, packages: Packages, draw: Callable[..., FloatArray]
) -> Iterator[Piece]:
    kits: dict[Path, list[Path]] = {}
    for path in packages.files(source.package, source.files, source.drop):
        kits.setdefault(path.parent, []).append(path)
    for kit, paths in kits.items():
        for turn in range(source.pieces):
            make = partial(_draw_from, draw, tuple(paths), source.piece_s, recipe.sample_rate)
            group = f"{source.package}/{kit.name}"
            yield _piece(recipe, source, packages, f"{kit.name}-{turn:02d}", group, paths, make)


def _piece(
    recipe: Recipe,
    source: Source,
    packages: Packages,
    name: str,
    group: str,
    paths: Sequence[Path],
    make: Callable[[np.random.Generator], FloatArray],
    font: str = "",
) -> Piece:
    """Return a piece with its fingerprint; its group is the source's where none is given."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{source.name}-{name}")
    fonts = [recipe.fonts[font]] if font else []
    fonts += [recipe.fonts[item.instead] for item in fonts if item.avoid]
    root = packages.root(source.package) if source.package else Path()
    origin = tuple(
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        for path in paths
    )
    version = packages.version(source.package) if source.package else ""
    made_by = {
        "version": VERSION,
        "seed": recipe.seed,
        "rate": recipe.sample_rate,
        "limits": asdict(recipe.limits),
        "source": asdict(source) | {"files": (), "drop": (), "weight": 0, "valid_groups": ()},
        "package": version,
        "fonts": [_plain(item) | {"version": packages.version(item.package)} for item in fonts],
        "origin": origin,
    }
    folders = {Path(item).parent.name for item in origin}
    valid = bool(folders & set(source.valid_groups))
    group = source.group or group or (source.package or source.name)
    return Piece(
        name=name,
        source=source,
        version=version,
        group=group,
        split="valid" if valid else source.split,
        origin=origin,
        make=make,
        fingerprint=hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16],
    )


def _plain(font: Font) -> dict[str, object]:
    """Return a font's values; a setting that came later counts only where it is set."""
    values = asdict(font)
    if font.drums_channel == DRUM_CHANNEL:
        del values["drums_channel"]
    return values


def _read_song(
    paths: Sequence[Path], most_s: float, sample_rate: int, rng: np.random.Generator
) -> FloatArray:
    """Read the middle of a song, its stems summed."""
    stems = [_read_part(path, most_s, sample_rate, middle=True) for path in paths]
    total = np.zeros((max(stem.shape[0] for stem in stems), max(s.shape[1] for s in stems)))
    for stem in stems:
        total[: stem.shape[0]] += stem
    return _below_full_scale(total)


def _read_part(path: Path, most_s: float, sample_rate: int, *, middle: bool = False) -> FloatArray:
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            most = round(most_s * rate)
            if middle and file.frames > most:
                file.seek((file.frames - most) // 2)
            samples = file.read(most, dtype="float64", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise ReadError(f"{path.name}: cannot be read ({error})") from None
    return _resample(samples[:, :2], rate, sample_rate)


def _resample(samples: FloatArray, rate: int, wanted: int) -> FloatArray:
    if rate == wanted or not samples.size:
        return samples
    divisor = int(np.gcd(rate, wanted))
    result: FloatArray = scipy.signal.resample_poly(
        samples, wanted // divisor, rate // divisor, axis=0
    )
    return result


def _below_full_scale(samples: FloatArray) -> FloatArray:
    """Turn down what lossy coding or a sum has made too loud; nothing is clipped."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * (_FULL_SCALE / peak) if peak > 1.0 else samples


def _play_score(
    recipe: Recipe,
    source: Source,
    packages: Packages,
    font: str,
    path: Path,
    rng: np.random.Generator,
) -> FloatArray:
    return _play(recipe, source, packages, recipe.fonts[font], path.read_bytes(), rng)


def _play_style(
    recipe: Recipe,
    source: Source,
    packages: Packages,
    font: str,
    path: Path,
    rng: np.random.Generator,
) -> FloatArray:
    names = grooves(path)
    if not names:
        raise ReadError(f"{path.name}: defines no groove")
    data = accompany(write_chords(names, rng, 32))
    if source.drums_only:
        data = mute(data, set(range(16)) - {DRUM_CHANNEL})
    return _play(recipe, source, packages, recipe.fonts[font], data, rng)


def _play_figure(
    recipe: Recipe,
    source: Source,
    packages: Packages,
    font: str,
    program: int,
    rng: np.random.Generator,
) -> FloatArray:
    if program < 0:
        data = write_notes(draw_rhythm(rng, source.piece_s), {})
    else:
        data = write_notes(draw_line(rng, program, source.piece_s), {0: program})
    return _play(recipe, source, packages, recipe.fonts[font], data, rng)


def _play(
    recipe: Recipe,
    source: Source,
    packages: Packages,
    font: Font,
    data: bytes,
    rng: np.random.Generator,
) -> FloatArray:
    """Render a score; channels whose programs the font must not play go to another font."""
    score = read_score(data)
    if score.hanging:
        raise ReadError("a note never ends")
    if not score.programs:
        raise ReadError("it has no notes")
    if font.drums_channel != DRUM_CHANNEL:
        if set(score.programs) != {DRUM_CHANNEL}:
            raise ReadError(f"the font {font.name} plays drums alone")
        data = move(data, DRUM_CHANNEL, font.drums_channel)
    elsewhere = frozenset(
        channel
        for channel, programs in score.programs.items()
        if channel != DRUM_CHANNEL and programs & set(font.avoid)
    )
    here = frozenset(score.programs) - elsewhere
    parts = [(font, elsewhere)] if here else []
    if elsewhere:
        parts.append((recipe.fonts[font.instead], here))
    files = [(packages.root(item.package) / item.file, channels) for item, channels in parts]
    samples = play_parts(
        data,
        files,
        sample_rate=recipe.sample_rate,
        longest_s=min(source.most_s, source.piece_s) if source.kind == "figures" else source.most_s,
        wet=bool(rng.random() < 0.6),
    )
    level = 10 ** (float(rng.uniform(-9.0, -0.5)) / 20)
    return np.asarray(samples * (level / np.abs(samples).max()))


@lru_cache(maxsize=2)
def _read_hits(paths: tuple[Path, ...], sample_rate: int) -> tuple[Hit, ...]:
    """Read the recordings of one folder; clipped, empty and unreadable ones are left out."""
    hits = []
    for path in paths:
        try:
            samples = _read_part(path, _LONGEST_WORD_S, sample_rate)
        except ReadError:
            continue
        part = trim(_below_full_scale(samples), sample_rate)
        if part.shape[0]:
            hits.append(Hit(path=path, samples=part))
    if not hits:
        raise ReadError(f"{paths[0].parent.name}: nothing in it can be used")
    return tuple(hits)


def _draw_from(
    draw: Callable[..., FloatArray],
    paths: tuple[Path, ...],
    seconds: float,
    sample_rate: int,
    rng: np.random.Generator,
) -> FloatArray:
    return _below_full_scale(draw(rng, _read_hits(paths, sample_rate), seconds, sample_rate))
