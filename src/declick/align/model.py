"""`Alignment`: which instant of B is which instant of A."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from declick.align.origin import Digitization
from declick.clicks import FloatArray
from declick.errors import ReadError

SCHEMA: Final = "declick-alignment/1"
# From this confidence on, the map holds.
HOLDS: Final = 0.5
# No turntable strays this far from its speed: between such anchors the sound was cut.
_CUT: Final = 0.12


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A time map from frames of A to (fractional) frames of B.

    Parameters
    ----------
    sample_rate_a, sample_rate_b : float
        In Hz.
    frames_a : ndarray of float64, shape (n,)
        Anchors, ascending, in frames of A; n is at least 2.
    frames_b : ndarray of float64, shape (n,)
        Where the same instants are in B, in frames of B. Between anchors: a natural cubic spline,
        broken where the sound of one of them was cut.
    confidence : ndarray of float64, shape (n,)
        0..1, how sure it is that the map is right at the anchor. Below `HOLDS` it does not hold.
    gain : ndarray of float64, shape (n, channels of A)
        B over A, linear, for each channel of A against the channel of B that belongs to it;
        negative where the polarity is opposite.
    swapped : bool
        Whether the left channel of A is the right one of B.
    residual_db : ndarray of float64, shape (n,)
        How much of A is left after B was matched to it and taken away, in dB (-40: a hundredth).
    origin : tuple of Digitization or None
        What A and B are; None where that was not kept.

    Raises
    ------
    ValueError
        Where shapes do not fit, or anchors do not ascend.
    """

    sample_rate_a: float
    sample_rate_b: float
    frames_a: FloatArray = field(repr=False)
    frames_b: FloatArray = field(repr=False)
    confidence: FloatArray = field(repr=False)
    gain: FloatArray = field(repr=False)
    swapped: bool = False
    residual_db: FloatArray = field(repr=False)
    origin: tuple[Digitization, Digitization] | None = None

    def __post_init__(self) -> None:
        count = len(self.frames_a)
        if count < 2 or not (np.diff(self.frames_a) > 0).all():
            raise ValueError("an alignment needs 2 anchors or more that ascend in A")
        lengths = {len(self.frames_b), len(self.confidence), len(self.gain), len(self.residual_db)}
        if lengths != {count} or self.gain.ndim != 2:
            raise ValueError("an alignment needs as many values of each sort as anchors")

    @property
    def channels(self) -> int:
        """Channels of A."""
        return int(self.gain.shape[1])

    @cached_property
    def ratio(self) -> float:
        """Frames of B for each frame of A, the median over the map."""
        return float(np.median(np.diff(self.frames_b) / np.diff(self.frames_a)))

    @property
    def speed(self) -> float:
        """How fast A was played compared with B: above 1, A runs faster."""
        return self.ratio * self.sample_rate_a / self.sample_rate_b

    # --- the map ----------------------------------------------------------------------------

    @cached_property
    def _pieces(self) -> list[tuple[int, int]]:
        """Anchors ``[first, last)`` of each piece without a cut."""
        slopes = np.diff(self.frames_b) / np.diff(self.frames_a)
        cuts = np.flatnonzero(np.abs(slopes / self.ratio - 1.0) > _CUT) + 1
        edges = [0, *(int(cut) for cut in cuts), len(self.frames_a)]
        return list(pairwise(edges))

    @cached_property
    def _splines(self) -> list[CubicSpline[np.float64] | None]:
        return [
            CubicSpline(self.frames_a[i:k], self.frames_b[i:k], bc_type="natural")
            if k - i > 1
            else None
            for i, k in self._pieces
        ]

    def where(self, frames: FloatArray | NDArray[np.int64]) -> FloatArray:
        """Return where frames of A are in B.

        Parameters
        ----------
        frames : ndarray
            In frames of A; fractions and frames outside the map are allowed: it goes on straight.

        Returns
        -------
        ndarray of float64, the same shape
            In frames of B. Each value depends on its own frame alone.
        """
        return self._evaluate(np.asarray(frames, dtype=np.float64))[0]

    def speed_at(self, frames: FloatArray | NDArray[np.int64]) -> FloatArray:
        """Return how many frames of B pass in a frame of A, there."""
        return self._evaluate(np.asarray(frames, dtype=np.float64))[1]

    def _evaluate(self, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        position = np.empty(frames.shape)
        speed = np.full(frames.shape, self.ratio)
        pieces = self._pieces
        # A cut lies half way between the anchors beside it.
        edges = np.array(
            [0.5 * (self.frames_a[i - 1] + self.frames_a[i]) for i, _ in pieces[1:]], dtype=float
        )
        piece = np.searchsorted(edges, frames, side="right")
        for number in np.unique(piece):
            here = piece == number
            first, last = pieces[number][0], pieces[number][1] - 1
            x = frames[here]
            inside = np.clip(x, self.frames_a[first], self.frames_a[last])
            spline = self._splines[number]
            if spline is None:
                position[here] = self.frames_b[first] + (x - inside) * self.ratio
                continue
            position[here] = spline(inside) + (x - inside) * self.ratio
            speed[here] = np.where(x == inside, spline(inside, 1), self.ratio)
        return position, speed

    # --- where it holds ---------------------------------------------------------------------

    def stretches(self) -> list[tuple[int, int]]:
        """Return the stretches ``[start, stop)`` of A, in frames, where the map holds."""
        found: list[tuple[int, int]] = []
        for first, last in self._pieces:
            sure = np.concatenate([[False], self.confidence[first:last] >= HOLDS, [False]])
            edges = np.flatnonzero(np.diff(sure.astype(np.int8)))
            for begin, end in zip(edges[::2], edges[1::2], strict=True):
                start = int(np.ceil(self.frames_a[first + begin]))
                stop = int(np.floor(self.frames_a[first + end - 1])) + 1
                if stop > start:
                    found.append((max(0, start), stop))
        return found

    def holds(self, start: int, stop: int) -> bool:
        """Return whether the map holds on all of ``[start, stop)`` of A, in frames."""
        return any(low <= start and stop <= high for low, high in self._stretches)

    @cached_property
    def _stretches(self) -> list[tuple[int, int]]:
        return self.stretches()

    def gain_at(self, frames: FloatArray | NDArray[np.int64]) -> FloatArray:
        """Return the gain of B over A for each frame of A, shape (frames, channels of A)."""
        x = np.asarray(frames, dtype=np.float64)
        columns = [np.interp(x, self.frames_a, column) for column in self.gain.T]
        return np.stack(columns, axis=-1)

    # --- keeping it -------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the map as JSON, to the last digit."""
        origin = (
            {} if self.origin is None else dict(zip("ab", map(asdict, self.origin), strict=True))
        )
        values = {
            "schema": SCHEMA,
            **origin,
            "sample_rate_a": self.sample_rate_a,
            "sample_rate_b": self.sample_rate_b,
            "swapped": self.swapped,
            "frames_a": self.frames_a.tolist(),
            "frames_b": self.frames_b.tolist(),
            "confidence": self.confidence.tolist(),
            "gain": [row.tolist() for row in self.gain],
            "residual_db": self.residual_db.tolist(),
        }
        return json.dumps(values, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "the map") -> Alignment:
        """Read what `to_json` wrote.

        Raises
        ------
        ReadError
            Where it is something else, or of a later version.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            if values["schema"] != SCHEMA:
                raise ReadError(
                    f"{name}: is of the kind {values['schema']!r}, this version reads {SCHEMA}; "
                    "make it again with 'declick align'"
                )
            arrays = {
                key: np.asarray(values[key], dtype=np.float64)
                for key in ("frames_a", "frames_b", "confidence", "gain", "residual_db")
            }
            return cls(
                sample_rate_a=float(values["sample_rate_a"]),
                sample_rate_b=float(values["sample_rate_b"]),
                swapped=bool(values["swapped"]),
                origin=_origin_of(values),
                **arrays,
            )
        except (KeyError, TypeError, ValueError):
            raise ReadError(
                f"{name}: is not a time map; make one with 'declick align -o'"
            ) from None


def _origin_of(values: dict[str, Any]) -> tuple[Digitization, Digitization] | None:
    """Return what a map says of its two recordings; earlier versions did not say it."""
    if "a" not in values:
        return None
    return Digitization(**values["a"]), Digitization(**values["b"])
