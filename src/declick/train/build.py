"""Make a corpus from a recipe: resumable, and the same to the bit wherever the packages are."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from declick.clicks import FloatArray
from declick.errors import DeclickError, MissingExtraError, ReadError
from declick.labels import renamed_when_done
from declick.train.cleanliness import bandwidth, judge
from declick.train.manifest import (
    Entry,
    Manifest,
    Rejected,
    entry_of,
    entry_values,
    save_manifest,
)
from declick.train.packages import Packages
from declick.train.pieces import Piece, all_pieces
from declick.train.recipe import Recipe, read_recipe

_SHORTEST_S = 1.0
_SOUNDS, _NOTES = "sounds", "notes"


def build_corpus(
    recipe: str | Path,
    folder: str | Path,
    *,
    packages: str | Path | None = None,
    folders: Mapping[str, Path] | None = None,
    partial: bool = False,
    only: Sequence[str] = (),
    progress: bool = False,
) -> Manifest:
    """Make a corpus, or go on where it was left.

    Parameters
    ----------
    recipe : str or Path
        TOML of schema ``declick-corpus/1``.
    folder : str or Path
        Gets ``manifest.json`` and FLAC files of 16 bits.
    packages : str or Path, optional
        Holds a folder for each Debian package, as ``dpkg -x`` unpacks them; the installed packages
        otherwise.
    folders : mapping of str to Path, optional
        Folders of scores, by the names that the recipe gives them.
    partial : bool
        Do without what is missing.
    only : sequence of str
        Sources to make; all otherwise. The manifest then lists these alone.
    progress : bool
        Show how far it is.

    Returns
    -------
    Manifest

    Raises
    ------
    ReadError
        If the recipe is not right, or something that it needs is missing; the text says how to
        install it.
    """
    plan = read_recipe(recipe)
    source = Packages(None if packages is None else Path(packages))
    given = {name: Path(path) for name, path in (folders or {}).items()}
    missing = source.missing(plan.packages(), plan.programs)
    absent = sorted({s.folder for s in plan.sources if s.folder} - set(given))
    if not partial and (missing or absent):
        raise ReadError(tell_missing(missing, absent))
    folder = Path(folder)
    for name in (_SOUNDS, _NOTES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pieces = [p for p in all_pieces(plan, source, given) if not only or p.source.name in only]
    _check_groups(pieces)
    results: list[Entry | Rejected] = []
    for piece in tqdm(pieces, disable=not progress, unit="piece", mininterval=5.0):
        results.append(_done(folder, piece) or _make(folder, piece, plan))
    if not only and not missing:
        _clear(folder, {piece.name for piece in pieces})
    manifest = Manifest(
        sample_rate=plan.sample_rate,
        recipe_sha256=plan.sha256,
        weights=plan.weights,
        source_weights={s.name: s.weight for s in plan.sources},
        entries=tuple(item for item in results if isinstance(item, Entry)),
        rejected=tuple(item for item in results if isinstance(item, Rejected)),
        missing=tuple(missing),
    )
    save_manifest(folder, manifest)
    return manifest


def tell_missing(packages: Sequence[str], folders: Sequence[str]) -> str:
    """Return one line that says what is missing and how to get it."""
    parts = []
    if packages:
        parts.append(f"packages are missing: apt-get install {' '.join(packages)}")
    if folders:
        options = " ".join(f"--folder {name}=..." for name in folders)
        parts.append(f"folders of scores are not given: {options}")
    return f"{'; '.join(parts)} (or build without them: --partial)"


def hours(entries: Iterable[Entry], sample_rate: int) -> dict[tuple[str, str], float]:
    """Return the hours that may be drawn, for each split and class."""
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for entry in entries:
        clean = sum(stop - start for start, stop in entry.stretches())
        totals[entry.split, entry.sound_class] += clean / sample_rate / 3600.0
    return dict(sorted(totals.items()))


def _clear(folder: Path, names: set[str]) -> None:
    """Remove what an earlier recipe made and this one does not ask for."""
    for note in (folder / _NOTES).glob("*.json"):
        if note.stem not in names:
            (folder / _SOUNDS / f"{note.stem}.flac").unlink(missing_ok=True)
            note.unlink()


def _check_groups(pieces: Sequence[Piece]) -> None:
    """Refuse pieces of one name, and a group in both splits."""
    splits: dict[str, str] = {}
    names: set[str] = set()
    for piece in pieces:
        if piece.name in names:
            raise ReadError(f"{piece.name}: two pieces have this name; correct the recipe")
        names.add(piece.name)
        if splits.setdefault(piece.group, piece.split) != piece.split:
            raise ReadError(f"{piece.group}: is in both splits; correct the recipe")


def _done(folder: Path, piece: Piece) -> Entry | Rejected | None:
    """Return what an earlier build made of a piece, if it is still there and would be the same."""
    note = folder / _NOTES / f"{piece.name}.json"
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
        if values["fingerprint"] != piece.fingerprint:
            return None
        if "reason" in values:
            return Rejected(**values)
        entry = entry_of(values)
        # What the recipe may change without another sound.
        changed = {"split": piece.split, "group": piece.group}
        with soundfile.SoundFile(folder / entry.path) as file:
            whole = file.frames == entry.frames
        return entry_of(values | changed) if whole else None
    except (OSError, ValueError, KeyError, TypeError, soundfile.SoundFileError):
        return None


def _make(folder: Path, piece: Piece, plan: Recipe) -> Entry | Rejected:
    try:
        samples = _to_16_bits(piece.make(piece.generator(plan.seed)))
    except MissingExtraError:
        raise
    except DeclickError as error:
        return _reject(folder, piece, str(error))
    frames, channels = samples.shape
    if frames < _SHORTEST_S * plan.sample_rate:
        return _reject(folder, piece, "too short")
    known = piece.source.known_clean
    sound = samples / 32768.0
    excluded = judge(sound, plan.sample_rate, plan.limits, known_clean=known)
    band = bandwidth(sound, plan.sample_rate)
    entry = Entry(
        path=f"{_SOUNDS}/{piece.name}.flac",
        source=piece.source.name,
        package=piece.source.package,
        version=piece.version,
        origin=piece.origin,
        licence=piece.source.licence,
        sha256="",
        frames=frames,
        channels=channels,
        group=piece.group,
        split=piece.split,
        sound_class=piece.source.sound_class,
        bandwidth_hz=round(band, 1),
        dull=band < plan.limits.dull_hz,
        fingerprint=piece.fingerprint,
        excluded=excluded,
    )
    clean = sum(stop - start for start, stop in entry.stretches())
    if clean < (1.0 - plan.limits.most_excluded) * frames:
        reasons = sorted({item.reason.lstrip("0123456789 ") for item in excluded})
        return _reject(folder, piece, f"{1 - clean / frames:.0%} left out: {', '.join(reasons)}")
    path = folder / entry.path
    unfinished = path.with_name(f".{path.name}.part")
    soundfile.write(unfinished, samples, plan.sample_rate, format="FLAC", subtype="PCM_16")
    unfinished.replace(path)
    values = entry_values(entry) | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    _note(folder, piece, values)
    return entry_of(values)


def _reject(folder: Path, piece: Piece, reason: str) -> Rejected:
    values = {"name": piece.name, "fingerprint": piece.fingerprint, "reason": reason}
    _note(folder, piece, values)
    (folder / _SOUNDS / f"{piece.name}.flac").unlink(missing_ok=True)
    return Rejected(**values)


def _note(folder: Path, piece: Piece, values: Mapping[str, object]) -> None:
    path = folder / _NOTES / f"{piece.name}.json"
    with renamed_when_done(path, "the note of a piece") as file:
        json.dump(values, file, ensure_ascii=False)


def _to_16_bits(samples: FloatArray) -> NDArray[np.int16]:
    scaled = np.clip(np.rint(samples * 32768.0), -32768, 32767)
    return scaled.astype(np.int16)
