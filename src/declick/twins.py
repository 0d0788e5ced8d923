"""Whether two recordings are one: a copy that is given twice would outvote the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from declick.errors import SettingsError
from declick.read import Recording

_BLOCK: Final = 1 << 16


def refuse_twins(recordings: Sequence[Recording]) -> None:
    """Refuse recordings of which two hold the same samples, under whatever names.

    Parameters
    ----------
    recordings : sequence of Recording
        Each pair is read up to the first block that differs.

    Raises
    ------
    SettingsError
        For the first pair that is alike.
    """
    for first, second in combinations(recordings, 2):
        if _is_same_file(first, second) or _holds_same_samples(first, second):
            raise SettingsError(
                f"{second.name}: holds the same samples as {first.name}, and two would outvote "
                "the recording; give each copy once"
            )


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
