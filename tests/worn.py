"""A short worn record that several tests share."""

from __future__ import annotations

from functools import cache

import numpy as np

from declick.clicks import Click, FloatArray
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.damage.piece import synthesize_piece

RATE = 44100


@cache
def piece(duration_s: float, seed: int = 1, sample_rate: int = RATE) -> FloatArray:
    """Return clean music, synthesized once; to change it, copy it."""
    sound = synthesize_piece(duration_s, sample_rate=sample_rate, seed=seed)
    sound.flags.writeable = False
    return sound


@cache
def worn_piece(duration_s: float = 5.0) -> tuple[FloatArray, FloatArray, tuple[Click, ...]]:
    """Return clean and worn sound, on a 16-bit grid, and the true clicks."""
    clean = np.round(piece(duration_s) * 32768) / 32768
    rates = {Family.TICK: 3.0, Family.POP: 0.85, Family.RING: 0.15, Family.THUMP: 0.3}
    drawn = draw_wear(np.random.default_rng(4), duration_s, WearSettings(rates_hz=rates))
    laid = wear(clean, RATE, drawn)
    worn = np.clip(np.round(laid.worn * 32768) / 32768, -1.0, 1.0 - 2**-15)
    return clean, worn, tuple(laid.clicks)
