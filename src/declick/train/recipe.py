"""What a corpus is to be made from (TOML, schema ``declick-corpus/1``)."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from declick.errors import ReadError, SettingsError
from declick.train.cleanliness import Limits
from declick.train.manifest import CLASSES, SCHEMA, SPLITS
from declick.train.midi import DRUM_CHANNEL

T = TypeVar("T")
KINDS = ("tracks", "scores", "styles", "figures", "hits", "words")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One table ``[[source]]`` of a recipe.

    Parameters
    ----------
    name : str
        Unique; begins the names of its files.
    kind : str
        ``tracks`` (recordings as they are), ``scores`` (MIDI files), ``styles`` (accompaniments of
        MMA over chords drawn here), ``figures`` (lines and rhythms drawn here, as MIDI), ``hits``
        (rhythms drawn here, of recorded hits), ``words`` (recorded words in a row).
    sound_class : str
        "class" in the file.
    licence : str
    package : str
        Empty for what needs none but soundfonts.
    files, drop : tuple of str
        Globs below the package's root; names or ends of paths to leave out.
    split : str
    valid_groups : tuple of str
        Folders that go to the other split, "valid".
    group : str
        The group of all its files, where it is not the package (or the folder, for hits and words).
    known_clean : bool
        Peaks of the prediction error are natural: only digital silence is left out.
    sum_folders : bool
        Files of one folder are stems of one song, to be summed.
    most_s : float
        Longest piece of a file, from its middle (recordings) or its start (renders).
    pieces : int
        Pieces per folder, style or program.
    piece_s : float
        Their length.
    drums_only : bool
        Styles: the drum part alone.
    folder : str
        Scores: name of a folder that the user gives; its files are listed in `files`.
    fonts : tuple of str
        Soundfonts by their names in ``[fonts]``; they take turns.
    programs : tuple of int
        Figures: General MIDI programs from 0; drums where empty.
    weight : float
        How much its length counts within its class.
    """

    name: str
    kind: str
    sound_class: str
    licence: str
    package: str = ""
    files: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    split: str = "train"
    valid_groups: tuple[str, ...] = ()
    group: str = ""
    known_clean: bool = False
    sum_folders: bool = False
    most_s: float = 120.0
    pieces: int = 1
    piece_s: float = 30.0
    drums_only: bool = False
    folder: str = ""
    fonts: tuple[str, ...] = ()
    programs: tuple[int, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Font:
    """A soundfont.

    Parameters
    ----------
    name, package, file, licence : str
    avoid : tuple of int
        General MIDI programs (from 0) that it must not play, since the benchmark's music has them
        from the same samples.
    instead : str
        The font that plays those.
    drums_channel : int
        From 0; 9 in General MIDI. One with another plays drums alone.
    """

    name: str
    package: str
    file: str
    licence: str
    avoid: tuple[int, ...] = ()
    instead: str = ""
    drums_channel: int = DRUM_CHANNEL


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe.

    Parameters
    ----------
    sample_rate, seed : int
    weights : dict of str to float
        Class to its share of the draws.
    limits : Limits
    programs : tuple of str
        The programs that render; their packages have the same names.
    fonts : dict of str to Font
    sources : tuple of Source
    sha256 : str
        Of the file.
    """

    sample_rate: int
    seed: int
    weights: dict[str, float]
    limits: Limits = field(default_factory=Limits)
    programs: tuple[str, ...] = ()
    fonts: dict[str, Font] = field(default_factory=dict)
    sources: tuple[Source, ...]
    sha256: str = ""

    def packages(self) -> list[str]:
        """Return the packages with sounds, scores and fonts, in alphabetical order."""
        names = [source.package for source in self.sources]
        names += [font.package for font in self.fonts.values()]
        return sorted(set(names) - {""})


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    ReadError
        If it is not there, is not TOML, or is not such a recipe.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
        values = tomllib.loads(text.decode())
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); check its name") from None
    except ValueError as error:
        raise ReadError(f"{path}: is not TOML ({error}); correct it") from None
    if values.pop("schema", None) != SCHEMA:
        raise ReadError(f"{path}: its schema is not {SCHEMA}; correct it")
    try:
        recipe = Recipe(
            sample_rate=values.pop("sample_rate"),
            seed=values.pop("seed"),
            weights={name: float(value) for name, value in values.pop("weights").items()},
            limits=_read(Limits, values.pop("limits", {}), "limits"),
            programs=tuple(values.pop("programs", ())),
            fonts={
                name: _read(Font, {"name": name} | font, f"font {name}")
                for name, font in values.pop("fonts", {}).items()
            },
            sources=tuple(_source(table) for table in values.pop("source")),
            sha256=hashlib.sha256(text).hexdigest(),
        )
        if values:
            raise SettingsError(f"unknown: {', '.join(values)}")
        _check(recipe)
    except KeyError as error:
        raise ReadError(f"{path}: {error} is missing; add it") from None
    except (TypeError, ValueError) as error:
        raise ReadError(f"{path}: {error}; correct it") from None
    return recipe


def _source(table: dict[str, Any]) -> Source:
    values = dict(table)
    if "class" in values:
        values["sound_class"] = values.pop("class")
    source = _read(Source, values, f"source {values.get('name', '?')}")
    for value, allowed in (
        (source.kind, KINDS),
        (source.sound_class, CLASSES),
        (source.split, SPLITS),
    ):
        if value not in allowed:
            raise SettingsError(f"source {source.name}: {value!r} is none of {', '.join(allowed)}")
    return source


def _check(recipe: Recipe) -> None:
    names = [source.name for source in recipe.sources]
    if len(set(names)) < len(names):
        raise SettingsError("two sources have the same name")
    unknown = set(recipe.weights) - set(CLASSES)
    if unknown or not any(recipe.weights.values()):
        raise SettingsError(f"weights are for {', '.join(CLASSES)}")
    named = [font for source in recipe.sources for font in source.fonts]
    named += [font.instead for font in recipe.fonts.values() if font.avoid]
    for font in named:
        if font not in recipe.fonts:
            raise SettingsError(f"no font {font!r} is described in [fonts]")


def _read(kind: type[T], values: dict[str, Any], what: str) -> T:
    """Return a dataclass from plain values; lists become tuples."""
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    unknown = set(values) - known
    if unknown:
        raise SettingsError(f"{what}: unknown: {', '.join(sorted(unknown))}")
    hints = get_type_hints(kind)
    plain: dict[str, Any] = {}
    for name, value in values.items():
        plain[name] = tuple(value) if isinstance(value, list) else value
        if hints[name] is float and isinstance(value, int):
            plain[name] = float(value)
        elif hints[name] in (str, int, bool) and type(value) is not hints[name]:
            raise SettingsError(f"{what}: {name} must be a {hints[name].__name__}")
    return kind(**plain)
