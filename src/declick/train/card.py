"""What the card of new weights tells: what they learnt from, how long, and under which licences."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from declick.train.loop import RECORD, Sources
from declick.train.manifest import NAME as MANIFEST

UNTRAINED: Final = ("scratch", "gouge")
"""Families of damage that no recipe draws: what a network makes of them, it has not been taught."""

LIMITS: Final = (
    "hears 40 to 54 kHz, 2, 4, 8 or 16 times that through a decimated view, and 20 to 40 kHz with "
    "frames put between",
    "looks only where the prediction error stands out: damage that does not is not seen",
    "finds few dropouts: music that is gone, not covered",
)


def describe_run(folder: Path, sources: Sources, name: str) -> dict[str, Any]:
    """Return the entries of the card of weights from a run.

    Parameters
    ----------
    folder : Path
        Of the run.
    sources : Sources
        What it drew from.
    name : str
        Of the weights.
    """
    return {
        "name": name,
        "run": describe_training(folder),
        "music": describe_music(sources.music),
        "untrained_families": list(UNTRAINED),
        "limits": list(LIMITS),
    }


def describe_training(folder: Path) -> dict[str, Any]:
    """Return what a card tells of the training in a folder."""
    run = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return {key: run[key] for key in ("settings", "step", "spent_s", "torch", "device")}


def describe_music(folder: Path) -> dict[str, Any]:
    """Return how much music of what classes and licences a corpus holds."""
    path = folder / MANIFEST
    if not path.exists():
        return {"folder": folder.name}
    manifest = json.loads(path.read_text(encoding="utf-8"))
    heard = [entry for entry in manifest["entries"] if entry["split"] == "train"]
    hours: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    for entry in heard:
        hours[entry["sound_class"]] += entry["seconds"] / 3600
        licences[entry["licence"]] += 1
    return {
        "recipe_sha256": manifest["recipe_sha256"],
        "sounds": len(heard),
        "hours": {key: round(value, 2) for key, value in sorted(hours.items())},
        "licences": dict(sorted(licences.items())),
    }
