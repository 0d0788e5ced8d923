"""What a sound is taught by: recordings as energies of bands, and the onsets of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from declick.detect.taught import REACH, Columns, band_powers, hop_of
from declick.errors import LabelError
from declick.labels import read_regions
from declick.read import Recording
from declick.wording import count_of

UNNAMED: Final = "sound"
"""What labels without a text are called."""
_LONGEST_S: Final = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """A recording with its labels.

    Parameters
    ----------
    powers : ndarray of float32, shape (BANDS, columns)
        With `REACH` columns of silence to each side.
    onsets : tuple of ndarray of float64
        For each kind, in columns of the recording.
    hop_s : float
        Seconds of a column.
    """

    powers: Columns
    onsets: tuple[NDArray[np.float64], ...]
    hop_s: float

    @property
    def columns(self) -> int:
        """Columns of the recording."""
        return int(self.powers.shape[1]) - 2 * REACH


def read_lessons(
    recordings: Sequence[Path], labels: Sequence[Path]
) -> tuple[list[Lesson], list[str], float]:
    """Read recordings with their label tracks.

    Returns
    -------
    lessons : list of Lesson
    names : list of str
        The texts of the labels, each a kind.
    length_s : float
        Median length of a label; 0 for points.

    Raises
    ------
    LabelError
        If a label track does not fit, or marks something long.
    ReadError
        If a recording cannot be read.
    """
    if len(recordings) != len(labels):
        raise LabelError(
            f"{count_of(len(recordings), 'recording')} and "
            f"{count_of(len(labels), 'label track')}: give one --labels for each recording, in "
            "their order"
        )
    regions = [read_regions(path) for path in labels]
    names = sorted({text or UNNAMED for found in regions for _, _, text in found})
    lengths = [stop - start for found in regions for start, stop, _ in found]
    lessons = []
    for path, track, found in zip(recordings, labels, regions, strict=True):
        with Recording.open(path) as recording:
            hop = hop_of(recording.sample_rate)
            hop_s = hop / recording.sample_rate
            for start, stop, _ in found:
                if stop - start > _LONGEST_S or start >= recording.duration_s:
                    fault = "lies behind its end; give each recording its own labels"
                    if stop - start > _LONGEST_S:
                        fault = "is longer than 2 s; mark the short sound alone, or delete the line"
                    raise LabelError(f"{track}: the label at {start:.3f} s of {path} {fault}")
            columns = -(-recording.frames // hop)
            lessons.append(
                Lesson(
                    powers=band_powers(recording, -REACH, columns + REACH),
                    onsets=tuple(
                        np.array([s / hop_s for s, _, text in found if (text or UNNAMED) == name])
                        for name in names
                    ),
                    hop_s=hop_s,
                )
            )
    return lessons, names, float(np.median(lengths))


def fold_lessons(lessons: Sequence[Lesson], folds: int) -> list[tuple[list[Lesson], list[Lesson]]]:
    """Return, for each fold, what is learned from and what is held out.

    Each recording is parted in time, so that every part has as many labels.
    """
    parts = [_parted(lesson, folds) for lesson in lessons]
    return [
        (
            [part for own in parts for k, part in enumerate(own) if k != fold],
            [own[fold] for own in parts],
        )
        for fold in range(folds)
    ]


def _parted(lesson: Lesson, folds: int) -> list[Lesson]:
    every = np.sort(np.concatenate(lesson.onsets))
    edges = [0]
    for fold in range(1, folds):
        place = round(len(every) * fold / folds)
        middle = lesson.columns * fold // folds
        if 0 < place < len(every):
            middle = round(0.5 * (every[place - 1] + every[place]))
        edges.append(max(middle, edges[-1]))
    edges.append(lesson.columns)
    return [_part(lesson, low, high) for low, high in pairwise(edges)]


def _part(lesson: Lesson, first: int, last: int) -> Lesson:
    return Lesson(
        powers=lesson.powers[:, first : last + 2 * REACH],
        onsets=tuple(o[(o >= first) & (o < last)] - first for o in lesson.onsets),
        hop_s=lesson.hop_s,
    )
