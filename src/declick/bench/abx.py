"""Blind listening: a folder of trials to hear, and what the answers to them are worth.

A trial is three sounds: A and B differ, X is one of them. The listener says which, and which one
sounds better. Who cannot hear a difference is right half of the time; the p value is the chance to
be right so often by guessing. Convention: one-sided exact binomial test, of each pair of sounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from declick.bench.abx_page import page
from declick.errors import ReadError, SettingsError, WriteError

REFERENCE = "clean"
CONTEXT_S = 1.5
_FADE_S = 0.01
_LOUDNESS_DB = -20.0  # RMS of a trial, peaks permitting
_PEAK_DB = -1.0
_BETTER = ("A", "B", "same", None)
_KEY, _ANSWERS = "declick-abx-key/1", "declick-abx-answers/1"

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AbxItem:
    """A place to listen to, as several tools have left it.

    Attributes
    ----------
    name : str
        What it is called in the key; the listener does not see it.
    sample_rate : int
        In Hz.
    start, stop : int
        Half-open frames of the damage within the sounds.
    sounds : mapping of str to array
        ``clean``, the undamaged reference, and the others by name; all of the same shape, (frames,
        channels), aligned; whole files or excerpts.
    """

    name: str
    sample_rate: int
    start: int
    stop: int
    sounds: Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True)
class AbxScore:
    """What the answers say of one pair of sounds.

    Attributes
    ----------
    pair : tuple of str
        Their names.
    trials, correct : int
        How often X was told, and how often rightly.
    p_value : float
        The chance to be right at least so often by guessing.
    preferred : mapping of str to int
        How often each was called the better one; ``same`` if neither.
    """

    pair: tuple[str, str]
    trials: int
    correct: int
    p_value: float
    preferred: Mapping[str, int]


def write_abx(
    folder: Path,
    items: Iterable[AbxItem],
    seed: int,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    context_s: float = CONTEXT_S,
) -> Path:
    """Write a listening pack.

    Parameters
    ----------
    folder : Path
        Made; gets ``index.html`` and FLAC files whose names tell nothing. To be handed to
        listeners as it is.
    items : iterable of AbxItem
        The places.
    seed : int
        Of the order of trials and of what A, B and X are.
    pairs : sequence of (str, str), optional
        What to compare at each place; by default the reference with every other sound of it.
    context_s : float
        How much is heard before and after the damage.

    Returns
    -------
    Path
        The key, ``FOLDER-key.json``: beside the folder, so that it is not handed out with it.

    Raises
    ------
    WriteError
        If the folder is not empty, the key exists, or they cannot be written.
    SettingsError
        If there is nothing to compare, or the sounds of an item differ in shape.
    """
    trials = [(item, pair) for item in items for pair in _pairs_of(item, pairs)]
    if not trials:
        raise SettingsError("nothing to listen to; give at least one event and one tool")
    key = folder.with_name(f"{folder.name}-key.json")
    if key.exists() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise WriteError(f"{folder}: exists already, or its key does; give another name")
    rng = np.random.default_rng(seed)
    pack = f"{seed}-{rng.integers(1 << 40):010x}"
    rows: list[dict[str, Any]] = []
    files: list[dict[str, str]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, index in enumerate(rng.permutation(len(trials)), start=1):
            item, pair = trials[int(index)]
            a, b = pair if rng.integers(2) else pair[::-1]
            x = "AB"[rng.integers(2)]
            heard = dict(zip((a, b), _matched(item, (a, b), context_s), strict=True))
            heard = {"A": heard[a], "B": heard[b]}
            heard["X"] = heard[x]
            names = {letter: f"{number:03d}{letter.lower()}.flac" for letter in "ABX"}
            for letter, name in names.items():
                soundfile.write(folder / name, heard[letter], item.sample_rate, subtype="PCM_24")
            files.append(names)
            rows.append({"trial": number, "item": item.name, "A": a, "B": b, "X": x})
        (folder / "index.html").write_text(page(pack, _ANSWERS, files), encoding="utf-8")
        values = {"schema": _KEY, "pack": pack, "seed": seed, "trials": rows}
        key.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{folder}: cannot be written ({reason}); give another name") from None
    return key


def score_abx(key: Path, answers: Sequence[Path]) -> list[AbxScore]:
    """Weigh the answers of one or several listeners.

    Parameters
    ----------
    key : Path
        As ``write_abx`` made it.
    answers : sequence of Path
        The files that the page saved.

    Returns
    -------
    list of AbxScore
        One for each pair of sounds that anything was answered of, by name.

    Raises
    ------
    ReadError
        If a file is not what it should be, or answers belong to another pack.
    """
    known = _load(key, _KEY)
    trials = {str(row["trial"]): row for row in known["trials"]}
    counts: dict[tuple[str, str], list[int]] = {}
    preferred: dict[tuple[str, str], dict[str, int]] = {}
    for path in answers:
        given = _load(path, _ANSWERS)
        if given.get("pack") != known["pack"]:
            raise ReadError(f"{path}: answers of another pack; score them with its own key")
        for number, answer in given["answers"].items():
            row = trials.get(number)
            better = answer.get("better")
            if row is None or answer.get("X") not in ("A", "B") or better not in _BETTER:
                raise ReadError(f"{path}: no such trial or answer: {number}; save it anew")
            names = sorted((row["A"], row["B"]), key=lambda name: (name == REFERENCE, name))
            pair = (names[0], names[1])
            count = counts.setdefault(pair, [0, 0])
            count[0] += 1
            count[1] += answer["X"] == row["X"]
            liked = preferred.setdefault(pair, {names[0]: 0, names[1]: 0, "same": 0})
            if better is not None:
                liked[row.get(better, "same")] += 1
    return [
        AbxScore(
            pair=pair,
            trials=total,
            correct=correct,
            p_value=p_value(correct, total),
            preferred=preferred[pair],
        )
        for pair, (total, correct) in sorted(counts.items())
    ]


def p_value(correct: int, trials: int) -> float:
    """Return the chance of at least so many right answers by guessing."""
    ways = sum(math.comb(trials, hits) for hits in range(correct, trials + 1))
    return float(ways / 2**trials)


def _pairs_of(item: AbxItem, pairs: Sequence[tuple[str, str]] | None) -> Sequence[tuple[str, str]]:
    shapes = {sound.shape for sound in item.sounds.values()}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise SettingsError(f"{item.name}: its sounds differ in shape; align them first")
    if pairs is None:
        return [(REFERENCE, name) for name in item.sounds if name != REFERENCE]
    for name in {name for pair in pairs for name in pair} - set(item.sounds):
        raise SettingsError(f"{item.name}: there is no sound {name!r} to compare")
    return pairs


def _matched(item: AbxItem, pair: tuple[str, str], context_s: float) -> list[FloatArray]:
    """Cut both sounds around the damage, level the second with the first, and both to a norm."""
    context = round(context_s * item.sample_rate)
    begin = max(0, item.start - context)
    cuts = [item.sounds[name][begin : item.stop + context] for name in pair]
    around = np.ones(len(cuts[0]), dtype=bool)
    around[item.start - begin : item.stop - begin] = False
    levels = [_rms(cut[around]) for cut in cuts]
    if min(levels) > 0:  # louder alone would sound better
        cuts[1] = cuts[1] * (levels[0] / levels[1])
    peak = max((float(np.max(np.abs(cut), initial=0.0)) for cut in cuts), default=0.0)
    level = max(_rms(cut) for cut in cuts)
    if peak > 0:
        gain = min(10 ** (_LOUDNESS_DB / 20) / level, 10 ** (_PEAK_DB / 20) / peak)
        cuts = [cut * gain for cut in cuts]
    return [_faded(cut, round(_FADE_S * item.sample_rate)) for cut in cuts]


def _faded(sound: FloatArray, frames: int) -> FloatArray:
    frames = min(frames, len(sound) // 2)
    window = np.ones((len(sound), 1))
    if frames:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(frames) + 0.5) / frames)
        window[:frames, 0] = ramp
        window[-frames:, 0] = ramp[::-1]
    return sound * window


def _rms(sound: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 0.0


def _load(path: Path, schema: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise ReadError(f"{path}: is not JSON") from None
    if not isinstance(values, dict) or values.get("schema") != schema:
        raise ReadError(f"{path}: is not a file of the schema {schema}")
    return values
