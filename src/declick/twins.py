"""Whether two recordings are one: a copy that is given twice would outvote the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from declick.errors import SettingsError
from declick.read import Recording

_BLOCK: Final = 1 << 16


def refuse_twins(copies: Sequence[Recording], recording: Recording) -> None:
    """Refuse copies that hold the same samples as another, or the recording, whatever their names.

    Parameters
    ----------
    copies : sequence of Recording
        Each pair is read up to the first block that differs.
    recording : Recording
        What is to be mended from them.

    Raises
    ------
    SettingsError
        For the first pair that is alike.
    """
    for copy in copies:
        if _are_one(copy, recording):
            raise SettingsError(
                f"{copy.name}: holds the same samples as {recording.name}, which cannot be mended "
                "from itself; give another copy of the record, or none"
            )
    for first, second in combinations(copies, 2):
        if _are_one(first, second):
            raise SettingsError(
                f"{second.name}: holds the same samples as {first.name}, and two would outvote "
                "the recording; give each copy once"
            )


def _are_one(first: Recording, second: Recording) -> bool:
    return _is_same_file(first, second) or _holds_same_samples(first, second)


def _is_same_file(first: Recording, second: Recording) -> bool:
    if first.path is None or second.path is None:
        return first is second
    return first.path.resolve() == second.path.resolve()


def _holds_same_samples(first: Recording, second: Recording) -> bool:
    shapes = [(item.sample_rate, item.frames, item.channels) for item in (first, second)]
    return shapes[0] == shapes[1] and all(
        np.array_equal(one.samples, other.samples)
        for one, other in zip(first.blocks(_BLOCK, 0), second.blocks(_BLOCK, 0), strict=True)
    )
