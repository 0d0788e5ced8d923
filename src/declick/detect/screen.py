"""A first glance at what stands out: much of it is music, which the network need not look at.

A small network of numbers that are known already, the classical description of an instant. It was
taught by the large one (declick.train.screen), and lets through whatever that might take for
damage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.confidence import FEATURES, towers
from declick.errors import ReadError

Float32Array = NDArray[np.float32]

_PERIODICITY: Final = FEATURES.index("periodicity within 20 ms")
_THIRD: Final = FEATURES.index("height over the third highest rival")
_RETURNS, _AS_HIGH = 0.75, 0.1
PITCH_DOUBT: Final = 3.0

WIDTHS: Final = (2 * len(FEATURES), 64, 32, 1)
"""Numbers in, in between, and out."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The glance.

    Parameters
    ----------
    mean, spread : ndarray of float32, shape (WIDTHS[0],)
        What its numbers are scaled by.
    weights, offsets : tuple of ndarray of float32, shapes (outputs, inputs) and (outputs,)
        One for each layer; between them what is negative counts as 0.
    """

    mean: Float32Array
    spread: Float32Array
    weights: tuple[Float32Array, ...]
    offsets: tuple[Float32Array, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Screen:
        """Return the glance that was written as `values`.

        Raises
        ------
        ReadError
            If it was taught with other features than there are.
        """
        if tuple(values["features"]) != FEATURES:
            raise ReadError("screen.json: was taught with other features; teach it again")

        def array(numbers: list[float]) -> Float32Array:
            return np.asarray(numbers, dtype=np.float32)

        return cls(
            mean=array(values["mean"]),
            spread=array(values["spread"]),
            weights=tuple(array(layer) for layer in values["weights"]),
            offsets=tuple(array(layer) for layer in values["offsets"]),
        )

    def __call__(self, facts: Float32Array) -> NDArray[np.bool_]:
        """Return which instants are worth a look.

        Parameters
        ----------
        facts : ndarray of float32, shape (n, 2 * features)
            From `declick.detect.sight.describe_instants`.
        """
        x = (plainer_first(facts) - self.mean) / self.spread
        last = len(self.weights) - 1
        for number, (weight, offset) in enumerate(zip(self.weights, self.offsets, strict=True)):
            # einsum, unlike BLAS, does not depend on how many there are.
            x = np.einsum("ni,oi->no", x, weight) + offset
            if number < last:
                np.maximum(x, np.float32(0.0), out=x)
        # Beyond what it was taught with it knows nothing.
        return np.asarray((x[:, 0] >= 0.0) | towering_channels(facts).any(axis=1))


def towering_channels(facts: Float32Array) -> NDArray[np.bool_]:
    """Return in which channels instants need no network, shape (n, 2); see `towers`."""
    return towers(facts.reshape(-1, 2, len(FEATURES)))


def pitch_doubt(facts: Float32Array) -> FloatArray:
    """Return by how much less, in log odds, instants are damage that look like pulses of a pitch.

    Others as high before and behind, at the same distance, and three nearby: so go a trumpet and
    a square wave, and damage seldom.

    Parameters
    ----------
    facts : ndarray of float32, shape (n, 2 * features)

    Returns
    -------
    ndarray, shape (n,)
    """
    plainer = plainer_first(facts)
    returns = (plainer[:, _PERIODICITY] > _RETURNS) & (plainer[:, _THIRD] < _AS_HIGH)
    return np.where(returns, PITCH_DOUBT, 0.0)


def plainer_first(facts: Float32Array) -> Float32Array:
    """Return descriptions with that channel first in which the instant stands out more."""
    count = len(FEATURES)
    swapped = facts[:, count] > facts[:, 0]
    return np.where(swapped[:, None], np.roll(facts, count, axis=1), facts)


@cache
def load_screen() -> Screen:
    """Return the one that ships with the package."""
    text = files("declick.detect").joinpath("screen.json").read_text(encoding="utf-8")
    return Screen.of(json.loads(text))
