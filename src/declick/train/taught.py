"""Teach a small network any short sound, from an Audacity label track.

It looks at band levels, compares them with their mean over a second to each side, and says for
each column whether the sound begins there. Labels set by hand are never quite at the onset: half
way through, each moves to where the network hears it, if that is near.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from declick.detect.taught import (
    BANDS,
    NORM,
    REACH,
    SCHEMA,
    TaughtKind,
    load_taught,
    to_levels,
)
from declick.errors import LabelError, WriteError
from declick.train.lesson_draws import draw_excerpts, draw_strokes
from declick.train.lessons import Lesson, fold_lessons, read_lessons
from declick.train.loop import Say
from declick.train.onsets import Counts, choose_threshold

TOLERANCE: Final = 2e-3
# Sounds drawn that are none of those taught.
_STROKES: Final = 200
# Factors of the 2 * NORM + 1 columns that a level is compared with.
_NEAR: Final = 15
_FAR: Final = (2 * NORM + 1) // _NEAR


@dataclass(frozen=True, kw_only=True)
class TeachSettings:
    """How to teach.

    Parameters
    ----------
    seed : int
    steps, batch : int
        Steps, and the excerpts in each; half of them hold the sound.
    width : int
        Channels of the network.
    rate : float
        Greatest learning rate.
    folds : int
        Networks that learn, each from all but one part of every recording; that part tells how
        good it is. Together they are what is written.
    moved_s : float
        How far a label may be off.
    """

    seed: int = 1
    steps: int = 600
    batch: int = 24
    width: int = 40
    rate: float = 3e-3
    folds: int = 3
    moved_s: float = 0.06


class TaughtNetwork(nn.Module):
    """Four convolutions over time, on levels against their surroundings.

    Parameters
    ----------
    kinds : int
    width : int
    """

    def __init__(self, kinds: int, width: int) -> None:
        super().__init__()
        steps = [(2 * BANDS, 5, 1), (width, 5, 2), (width, 5, 4), (width, 3, 10)]
        self.layers = nn.ModuleList(
            nn.Conv1d(inside, width, kernel, dilation=dilation)
            for inside, kernel, dilation in steps
        )
        self.answer = nn.Conv1d(width, kinds, 1)
        self.register_buffer("far", torch.full((BANDS, 1, _FAR), 1.0 / _FAR))

    def forward(self, levels: Tensor) -> Tensor:
        """Return log odds (n, kinds, columns - 2 * REACH) for levels (n, BANDS, columns)."""
        inner = levels[..., NORM:-NORM]
        # A mean of means: a tenth of the work of one over the whole window.
        around = functional.avg_pool1d(levels, _NEAR, stride=1)
        around = functional.conv1d(around, self.far, dilation=_NEAR, groups=BANDS)
        over_band = inner - around
        over_all = inner - around.mean(dim=1, keepdim=True)
        x = torch.cat([over_band, over_all], dim=1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        # The convolutions reach 24 columns to each side: with `NORM` that is `REACH`.
        said: Tensor = self.answer(x)
        return said


class Together(nn.Module):
    """Networks whose log odds are averaged."""

    def __init__(self, networks: Sequence[TaughtNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, levels: Tensor) -> Tensor:
        """Return log odds (n, kinds, columns - 2 * REACH) for levels (n, BANDS, columns)."""
        said: Tensor = torch.stack([network(levels) for network in self.networks]).mean(dim=0)
        return said


# --- learning ------------------------------------------------------------------------------------


def teach(
    lessons: Sequence[Lesson], kinds: int, settings: TeachSettings, *, say: Say = print
) -> TaughtNetwork:
    """Return a network that has learned the sounds of the lessons.

    Parameters
    ----------
    lessons : sequence of Lesson
    kinds : int
    settings : TeachSettings
    say : callable
        Told how it goes.
    """
    begun = time.monotonic()
    torch.manual_seed(settings.seed)
    network = TaughtNetwork(kinds, settings.width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps
    )
    lessons = list(lessons)
    strokes = draw_strokes(np.random.default_rng(settings.seed), _STROKES)
    for step in range(settings.steps):
        if step in (settings.steps // 3, 2 * settings.steps // 3):
            lessons = [_moved(network, lesson, settings.moved_s) for lesson in lessons]
        rng = np.random.default_rng([settings.seed, step])
        levels, targets = draw_excerpts(rng, lessons, kinds, settings.batch, strokes)
        said = network(torch.from_numpy(levels))
        wanted = torch.from_numpy(targets)
        loss = functional.binary_cross_entropy_with_logits(
            said, wanted, weight=1.0 + 4.0 * wanted, reduction="sum"
        ) / max(1.0, float(wanted.sum()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            taken = time.monotonic() - begun
            say(f"step {step + 1} of {settings.steps}, {taken:.0f} s: {float(loss.detach()):.3f}")
    network.eval()
    return network


def log_odds_of(network: TaughtNetwork, lesson: Lesson) -> NDArray[np.float32]:
    """Return what the network says of each column, shape (kinds, columns)."""
    with torch.no_grad():
        said = network(torch.from_numpy(to_levels(lesson.powers))[None])[0]
    return np.asarray(said.numpy())


def _moved(network: TaughtNetwork, lesson: Lesson, moved_s: float) -> Lesson:
    """Return the lesson with each label where the network hears the onset near it."""
    said = log_odds_of(network, lesson)
    reach = round(moved_s / lesson.hop_s)
    onsets = []
    for row, marked in zip(said, lesson.onsets, strict=True):
        moved = []
        for onset in marked:
            low = max(0, round(onset) - reach)
            piece = row[low : round(onset) + reach + 1]
            # What is nearer is likelier.
            distance = (low + np.arange(piece.size) - onset) / max(1, reach)
            sure = piece - 1.5 * distance**2
            moved.append(float(low + int(np.argmax(sure))) if piece.size else float(onset))
        onsets.append(np.array(moved))
    return Lesson(powers=lesson.powers, onsets=tuple(onsets), hop_s=lesson.hop_s)


def teach_sounds(
    recordings: Sequence[Path],
    labels: Sequence[Path],
    output: Path,
    settings: TeachSettings,
    *,
    threads: int = 1,
    say: Say = print,
) -> dict[str, Counts]:
    """Teach the sounds of label tracks, and write the weights with their card.

    Several networks learn, each from all but one part of the recordings; the parts that they have
    not heard tell how well the sounds are found, and from which confidence on.

    Parameters
    ----------
    recordings, labels : sequence of Path
        As many of each.
    output : Path
        The ONNX file.
    settings : TeachSettings
    threads : int
    say : callable
        Told how it goes.

    Returns
    -------
    dict of str to Counts
        How well each sound was found in what it had not learned from.

    Raises
    ------
    LabelError
        If there are too few labels, or they do not fit.
    """
    torch.set_num_threads(threads)
    lessons, names, length_s = read_lessons(recordings, labels)
    totals = {
        name: sum(len(lesson.onsets[k]) for lesson in lessons) for k, name in enumerate(names)
    }
    few = [name for name, count in totals.items() if count < 8]
    if few:
        raise LabelError(
            f"{labels[0]}: marks {few[0]!r} {totals[few[0]]} times; it takes 8 to learn "
            "anything and 30 to 60 to learn it well"
        )
    say(", ".join(f"{count} of {name!r}" for name, count in totals.items()))
    gaps = np.concatenate(
        [np.diff(np.sort(o)) * lesson.hop_s for lesson in lessons for o in lesson.onsets]
    )
    apart_s = float(np.clip(0.5 * np.min(gaps, initial=0.4), 0.03, 0.15))
    said, held, networks = [], [], []
    for number, (learned, rest) in enumerate(fold_lessons(lessons, settings.folds)):
        say(f"part {number + 1} of {settings.folds} is held out")
        own = replace(settings, seed=settings.seed + number)
        network = teach(learned, len(names), own, say=say)
        networks.append(network)
        said += [log_odds_of(network, lesson) for lesson in rest]
        held += rest
    best = [choose_threshold(said, held, kind, apart_s) for kind in range(len(names))]
    kinds = [
        TaughtKind(name=name, least=round(least, 3), length_s=round(length_s, 4))
        for name, (least, _) in zip(names, best, strict=True)
    ]
    found = {name: counts for name, (_, counts) in zip(names, best, strict=True)}
    card = {
        "labels": totals,
        "held_out": {
            name: {**asdict(counts), "f1": round(counts.f1, 3)} for name, counts in found.items()
        },
    }
    export_taught(Together(networks), output, kinds, apart_s, card=card)
    return found


def export_taught(
    network: nn.Module,
    path: Path,
    kinds: Sequence[TaughtKind],
    apart_s: float,
    *,
    card: dict[str, Any] | None = None,
) -> None:
    """Write a taught network to `path` (.onnx) and its card beside it (.json).

    Raises
    ------
    WriteError
        If its answers differ from torch.
    """
    network = network.eval().cpu()
    generator = torch.Generator().manual_seed(1)
    given = torch.randn((1, BANDS, 2 * REACH + 64), generator=generator)
    path.parent.mkdir(parents=True, exist_ok=True)
    pending = path.with_suffix(".part.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (given,),
            str(pending),
            input_names=["levels"],
            output_names=["log_odds"],
            dynamic_axes={"levels": {2: "columns"}, "log_odds": {2: "answers"}},
            dynamo=False,
            opset_version=17,
        )
    model = pending.read_bytes()
    values = {
        "schema": SCHEMA,
        "sha256": hashlib.sha256(model).hexdigest(),
        "kinds": [asdict(kind) for kind in kinds],
        "apart_s": round(apart_s, 4),
        **(card or {}),
    }
    pending_card = pending.with_suffix(".json")
    pending_card.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    try:
        session = load_taught(pending).session
        other = torch.randn((1, BANDS, 2 * REACH + 200), generator=generator)
        with torch.no_grad():
            expected = network(other).numpy()
        answer = session.run(None, {"levels": other.numpy()})[0]
        if not np.max(np.abs(answer - expected) / (1.0 + np.abs(expected))) <= TOLERANCE:
            raise WriteError(f"{path}: ONNX and torch differ; nothing was written")
        load_taught.cache_clear()
        pending.replace(path)
        pending_card.replace(path.with_suffix(".json"))
    finally:
        pending.unlink(missing_ok=True)
        pending_card.unlink(missing_ok=True)
