"""A short worn record that several tests share."""

from __future__ import annotations

from functools import cache

import numpy as np

from declick.clicks import Click, FloatArray, Kind
from declick.damage.piece import synthesize_piece
from declick.damage.synthesize import draw_wear, wear

RATE = 44100


@cache
def worn_piece(duration_s: float = 6.0) -> tuple[FloatArray, FloatArray, tuple[Click, ...]]:
    """Return clean and worn sound, on a 16-bit grid, and the true clicks."""
    clean = np.round(synthesize_piece(duration_s, sample_rate=RATE) * 32768) / 32768
    rates = {Kind.TICK: 3.0, Kind.POP: 1.0, Kind.THUMP: 0.3}
    damages = draw_wear(np.random.default_rng(5), duration_s, rates_hz=rates)
    worn, truth = wear(clean, RATE, damages)
    worn = np.clip(np.round(worn * 32768) / 32768, -1.0, 1.0 - 2**-15)
    return clean, worn, tuple(truth)
