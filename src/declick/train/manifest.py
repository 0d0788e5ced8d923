"""What a corpus holds: every sound with its origin, licence and hash, and what not to draw of it.

A corpus is a folder: `manifest.json` and the sound files that it names.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from declick.errors import ReadError
from declick.labels import renamed_when_done

SCHEMA = "declick-corpus/1"
NAME = "manifest.json"
SPLITS = ("train", "valid")
CLASSES = ("music", "percussion", "voice", "synth")


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A stretch that is never drawn.

    Parameters
    ----------
    start, stop : int
        Frames, half-open.
    reason : str
    """

    start: int
    stop: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One sound of a corpus.

    Parameters
    ----------
    path : str
        Of the sound file, in the corpus folder.
    source : str
        Name in the recipe.
    package, version : str
        That it was made from; empty where there was none.
    origin : tuple of str
        Files of the package that it was made from.
    licence : str
    sha256 : str
        Of the sound file.
    frames, channels : int
    group : str
        What may not be divided between the splits: a maker, a kit, a speaker.
    split : {"train", "valid"}
    sound_class : {"music", "percussion", "voice", "synth"}
    bandwidth_hz : float
        Highest frequency within 90 dB of the spectrum's peak.
    dull : bool
        The bandwidth is below the recipe's limit.
    fingerprint : str
        Of the settings that made it; a build goes on where it is the same.
    excluded : tuple of Excluded
    """

    path: str
    source: str
    package: str
    version: str
    origin: tuple[str, ...]
    licence: str
    sha256: str
    frames: int
    channels: int
    group: str
    split: str
    sound_class: str
    bandwidth_hz: float
    dull: bool
    fingerprint: str
    excluded: tuple[Excluded, ...] = ()

    def stretches(self) -> list[tuple[int, int]]:
        """Return what may be drawn: ``[start, stop)`` frames in ascending order."""
        clean, at = [], 0
        for stretch in sorted(self.excluded, key=lambda item: item.start):
            if stretch.start > at:
                clean.append((at, stretch.start))
            at = max(at, stretch.stop)
        if at < self.frames:
            clean.append((at, self.frames))
        return clean


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A sound that was left out as a whole."""

    name: str
    fingerprint: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Where the samples lie in a packed corpus: one stream of int16, cut into `.npy` shards.

    Parameters
    ----------
    shards : tuple of str
        File names, in order.
    shard_samples : int
        Samples in each but the last.
    starts : tuple of int
        First sample of each entry in the stream; its frames follow, channels interleaved.
    """

    shards: tuple[str, ...]
    shard_samples: int
    starts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about a corpus but the sound.

    Parameters
    ----------
    sample_rate : int
    recipe_sha256 : str
    weights : dict of str to float
        Class to its share of the draws.
    source_weights : dict of str to float
        Source to how much its length counts within the class.
    entries : tuple of Entry
    rejected : tuple of Rejected
    missing : tuple of str
        Packages of the recipe that were not there.
    packing : Packing, optional
        Only in a packed corpus.
    """

    sample_rate: int
    recipe_sha256: str
    weights: dict[str, float]
    source_weights: dict[str, float] = field(default_factory=dict)
    entries: tuple[Entry, ...]
    rejected: tuple[Rejected, ...] = ()
    missing: tuple[str, ...] = ()
    packing: Packing | None = None


def save_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write a manifest into its folder."""
    values = {"schema": SCHEMA} | asdict(manifest)
    entries, rejected = values.pop("entries"), values.pop("rejected")
    for entry in entries:
        entry["seconds"] = round(entry["frames"] / manifest.sample_rate, 3)
        entry["excluded"] = [[s["start"], s["stop"], s["reason"]] for s in entry["excluded"]]
    head = json.dumps(values, indent=1, ensure_ascii=False)[:-2]
    parts = []
    for name, items in (("entries", entries), ("rejected", rejected)):
        lines = ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in items)
        parts.append(f' "{name}": [\n{lines}\n ]')
    with renamed_when_done(Path(folder) / NAME, "the manifest") as file:
        file.write(head + ",\n" + ",\n".join(parts) + "\n}\n")


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a corpus folder.

    Raises
    ------
    ReadError
        If it is not there, or is not a manifest that this program knows.
    """
    path = Path(folder) / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read ({error.strerror}); build the corpus first"
        ) from None
    except ValueError:
        raise ReadError(f"{path}: is not JSON; build the corpus again") from None
    if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
        raise ReadError(f"{path}: is not a manifest of schema {SCHEMA}; build the corpus again")
    try:
        entries = tuple(entry_of(entry) for entry in values.pop("entries"))
        rejected = tuple(Rejected(**item) for item in values.pop("rejected"))
        packing = values.pop("packing", None)
        if packing is not None:
            packing = Packing(
                shards=tuple(packing["shards"]),
                shard_samples=packing["shard_samples"],
                starts=tuple(packing["starts"]),
            )
        missing = tuple(values.pop("missing"))
        return Manifest(
            entries=entries, rejected=rejected, missing=missing, packing=packing, **values
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(f"{path}: {error}; build the corpus again") from None


def entry_of(values: dict[str, Any]) -> Entry:
    """Return an entry from its plain values."""
    known = {item.name for item in fields(Entry)}
    plain = {name: value for name, value in values.items() if name in known}
    plain["origin"] = tuple(plain["origin"])
    plain["excluded"] = tuple(
        Excluded(start=start, stop=stop, reason=reason) for start, stop, reason in plain["excluded"]
    )
    return Entry(**plain)


def entry_values(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain values."""
    values = asdict(entry)
    values["excluded"] = [[s.start, s.stop, s.reason] for s in entry.excluded]
    return values
