"""Sounds that somebody taught: a small network that hears energies of bands and finds onsets.

What it was taught on, and how it is called, is in the card beside the weights. It sees the levels
of `BANDS` bands every `HOP_S`; each answer depends on `REACH` columns to each side and on nothing
else, so it does not matter how a recording is cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.neural import TAUGHT, start_session
from declick.errors import MissingExtraError, ReadError
from declick.read import Recording

if TYPE_CHECKING:
    import onnxruntime

SCHEMA: Final = TAUGHT
HOP_S: Final = 256 / 44100
WINDOW_S: Final = 1024 / 44100
BANDS: Final = 48
_LOWEST_HZ: Final = 80.0
_HIGHEST_HZ: Final = 15_000.0
# Levels below this (power of full scale) are silence.
_SILENCE: Final = 1e-9
NORM: Final = 172
"""Columns to each side that a level is compared with: a second."""
REACH: Final = NORM + 24
"""Columns to each side that an answer depends on."""
TILE: Final = 2048
"""Columns that are heard together."""

Columns = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TaughtKind:
    """One sound.

    Parameters
    ----------
    name : str
        The text of its labels.
    least : float
        Log odds from which it is found.
    length_s : float
        Of its labels.
    """

    name: str
    least: float
    length_s: float


@dataclass(frozen=True, order=True)
class Heard:
    """One sound that was found: its onset in s, its name, and how sure that is (0..1)."""

    time_s: float
    name: str
    confidence: float


@dataclass(frozen=True, eq=False)
class TaughtWeights:
    """A taught network, ready to listen.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Band levels (1, BANDS, columns) to log odds (1, kinds, columns - 2 * REACH).
    kinds : tuple of TaughtKind
    apart_s : float
        Two of a kind are no nearer to each other.
    """

    session: onnxruntime.InferenceSession
    kinds: tuple[TaughtKind, ...]
    apart_s: float


def is_taught(weights: Path) -> bool:
    """Return whether weights are those of a taught sound, as their card says."""
    try:
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and card.get("schema") == SCHEMA


@lru_cache(maxsize=2)
def load_taught(path: Path) -> TaughtWeights:
    """Load a taught network and its card, which lies beside it as .json.

    Raises
    ------
    ReadError
        If one of them is not there, or they do not belong together.
    MissingExtraError
        If onnxruntime is not installed.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise MissingExtraError("taught sounds need onnxruntime: pip install onnxruntime") from None
    try:
        model = path.read_bytes()
        card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if card["schema"] != SCHEMA or card["sha256"] != hashlib.sha256(model).hexdigest():
            raise ReadError(f"{path}: does not belong to the card beside it; teach it again")
        kinds = tuple(TaughtKind(**item) for item in card["kinds"])
        apart_s = float(card["apart_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(f"{path}: cannot be read with its card ({error}); teach it again") from None
    return TaughtWeights(start_session(model), kinds, apart_s)


# --- what it hears -------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _bands(sample_rate: float) -> tuple[FloatArray, FloatArray]:
    """Return the taper of a window and the weights of its bins in each band."""
    size = round(WINDOW_S * sample_rate)
    taper = np.hanning(size + 1)[:-1]
    taper /= np.sqrt(np.sum(taper**2) * size)
    hertz = np.arange(size // 2 + 1) * sample_rate / size

    def mel(frequency: Any) -> Any:
        return np.log1p(np.asarray(frequency) / 700.0)

    edges = np.linspace(mel(_LOWEST_HZ), mel(_HIGHEST_HZ), BANDS + 2)
    place = mel(hertz)[None]
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.minimum((place - left) / (middle - left), (right - place) / (right - middle))
    weights = np.maximum(weights, 0.0)
    # The lowest bands are narrower than a bin: the nearest one speaks for them.
    for band in np.flatnonzero(weights.sum(axis=1) == 0.0):
        weights[band, int(np.argmin(np.abs(place[0] - middle[band])))] = 1.0
    return taper, weights


def hop_of(sample_rate: float) -> int:
    """Return the frames of a column."""
    return max(1, round(HOP_S * sample_rate))


def band_powers(recording: Recording, first: int, last: int) -> Columns:
    """Return the power in each band for columns ``[first, last)``, the mean over the channels.

    Parameters
    ----------
    recording : Recording
    first, last : int
        Column k looks at the frames around ``k * hop_of(sample_rate)``; outside the recording
        there is silence.

    Returns
    -------
    ndarray of float32, shape (BANDS, last - first)
    """
    rate = recording.sample_rate
    hop = hop_of(rate)
    taper, weights = _bands(rate)
    size = taper.size
    start = first * hop - size // 2
    samples = recording.read(start, (last - 1) * hop - size // 2 + size)
    windows = sliding_window_view(samples, size, axis=0)[::hop][: last - first]
    powers = np.zeros((BANDS, last - first))
    for channel in range(samples.shape[1]):
        spectrum = scipy.fft.rfft(windows[:, channel] * taper, axis=-1)
        powers += weights @ (spectrum.real**2 + spectrum.imag**2).T
    return np.asarray(powers / samples.shape[1], dtype=np.float32)


def to_levels(powers: Columns) -> Columns:
    """Return levels: half the decimal logarithm of powers."""
    return np.asarray(0.5 * np.log10(powers + _SILENCE), dtype=np.float32)


# --- what it finds -------------------------------------------------------------------------------


def log_odds(recording: Recording, weights: TaughtWeights) -> Iterator[Columns]:
    """Yield the log odds of an onset, tile by tile, each of shape (kinds, columns)."""
    columns = -(-recording.frames // hop_of(recording.sample_rate))
    for first in range(0, columns, TILE):
        powers = band_powers(recording, first - REACH, first + TILE + REACH)
        answer = weights.session.run(None, {"levels": to_levels(powers)[None]})[0][0]
        said: Columns = np.asarray(answer, dtype=np.float32)
        yield said[:, : columns - first]


def listen(recording: Recording, weights: TaughtWeights) -> list[Heard]:
    """Find the taught sounds in a recording.

    Returns
    -------
    list of Heard
        Ascending.

    Raises
    ------
    ReadError
        If the recording cannot be read.
    """
    hop_s = hop_of(recording.sample_rate) / recording.sample_rate
    said = np.concatenate(list(log_odds(recording, weights)), axis=1)
    apart = max(1, round(weights.apart_s / hop_s))
    heard = []
    for row, kind in zip(said, weights.kinds, strict=True):
        for column in pick_peaks(row, kind.least, apart):
            sure = 1.0 / (1.0 + float(np.exp(-np.clip(row[column], -40.0, 40.0))))
            heard.append(Heard(column * hop_s, kind.name, sure))
    return sorted(heard)


def pick_peaks(row: Sequence[float] | NDArray[np.floating], least: float, apart: int) -> list[int]:
    """Return the places of the peaks of at least `least`; of two too near the greater one."""
    values = np.asarray(row, dtype=np.float64)
    places = np.flatnonzero(values >= least)
    kept: list[int] = []
    taken = np.zeros(values.size + 1, dtype=bool)
    for place in places[np.argsort(-values[places], kind="stable")].tolist():
        if not taken[place]:
            kept.append(place)
            taken[max(0, place - apart) : place + apart + 1] = True
    return sorted(kept)
