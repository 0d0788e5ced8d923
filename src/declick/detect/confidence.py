"""From the description of a place to the probability that it is damage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray

FEATURES: Final = (
    "height over the larger scale",
    "height over the scale before",
    "height over the scale after",
    "height over the highest rival within 25 ms",
    "height over the third highest rival",
    "periodicity within 20 ms",
    "scale after over scale before",
    "score in L-R",
    "score in the other channel",
    "peak over the music's level",
    "height over the peaks 1.5 to 5 ms away",
    "height over its own burst",
    "forward over backward",
    "envelope -9.0 ms",
    "envelope -3.4 ms",
    "envelope -1.4 ms",
    "envelope -0.5 ms",
    "envelope 0 ms",
    "envelope +0.2 ms",
    "envelope +0.6 ms",
    "envelope +1.4 ms",
    "envelope +3.4 ms",
    "envelope +9.0 ms",
)

STEREO_FEATURES: Final = [FEATURES.index(name) for name in FEATURES if "score in" in name]
"""Those that tell nothing on a mono file, or where both channels are the same."""

_SCALE = FEATURES.index("height over the larger scale")
_RIVAL = FEATURES.index("height over the highest rival within 25 ms")
TOWERING: Final = (4.5, 2.5)
"""A place this far (natural logarithm) above the local scale and above its rivals is no music."""
LONELY: Final = (3.4, 1.8, -3.2)
"""Nor is what stands this far above scale and rivals, out of prediction errors that are this far
below it half a millisecond before and behind: no attack comes out of nothing and is gone at once.
"""
SURE: Final = 0.995
"""The least probability of damage of such a place."""
_BESIDE: Final = [FEATURES.index(name) for name in ("envelope -0.5 ms", "envelope +0.6 ms")]


@dataclass(frozen=True)
class ConfidenceModel:
    """A logistic model of the features and their products, fitted by benchmarks/fit_confidence.py.

    Parameters
    ----------
    low, high : ndarray, shape (features,)
        Features are held within what was seen in fitting.
    mean, spread : ndarray, shape (features,)
    linear : ndarray, shape (features,)
    quadratic : ndarray, shape (features, features)
        Upper triangle.
    offset : float
    """

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    spread: FloatArray
    linear: FloatArray
    quadratic: FloatArray
    offset: float

    def __call__(self, described: FloatArray) -> FloatArray:
        """Return the probability of damage, 0..1, for each described place.

        Parameters
        ----------
        described : ndarray, shape (places, features)
        """
        held = np.clip(np.nan_to_num(described), self.low, self.high)
        scaled = (held - self.mean) / self.spread
        # Sums over an axis, which unlike BLAS do not depend on how many places there are.
        products = (scaled[:, :, None] * self.quadratic * scaled[:, None, :]).sum(axis=(1, 2))
        logit = self.offset + (scaled * self.linear).sum(axis=1) + products
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -40.0, 40.0))))


@dataclass(frozen=True)
class ConfidenceModels:
    """The models for places with and without the evidence of a second channel."""

    stereo: ConfidenceModel
    mono: ConfidenceModel

    def __call__(self, described: FloatArray, second: NDArray[np.bool_]) -> FloatArray:
        """Return the probability of damage, 0..1.

        Parameters
        ----------
        described : ndarray, shape (places, features)
        second : ndarray of bool, shape (places,)
            Where L-R and the other channel tell something.
        """
        alone = described.copy()
        alone[:, STEREO_FEATURES] = 0.0
        confidence = np.where(second, self.stereo(described), self.mono(alone))
        # Beyond what was seen in fitting the model knows nothing; this needs no model.
        return np.where(towers(described), np.maximum(confidence, SURE), confidence)


def towers(described: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which places, shape (..., features), are `TOWERING` or `LONELY`."""
    scale, rival = described[..., _SCALE], described[..., _RIVAL]
    high = (scale > TOWERING[0]) & (rival > TOWERING[1])
    beside = described[..., _BESIDE].max(axis=-1)
    lonely = (scale > LONELY[0]) & (rival > LONELY[1]) & (beside < LONELY[2])
    return np.asarray(high | lonely)


@cache
def load_confidence() -> ConfidenceModels:
    """Return the models that ship with the package."""
    text = files("declick.detect").joinpath("confidence.json").read_text(encoding="utf-8")
    values = json.loads(text)
    if tuple(values["features"]) != FEATURES:
        raise RuntimeError("confidence.json was fitted to other features; fit it again")

    def model(part: dict[str, Any]) -> ConfidenceModel:
        arrays = {k: np.asarray(v, dtype=np.float64) for k, v in part.items() if k != "offset"}
        return ConfidenceModel(**arrays, offset=float(part["offset"]))

    return ConfidenceModels(stereo=model(values["stereo"]), mono=model(values["mono"]))
