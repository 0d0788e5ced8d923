"""The neural detector: the places that stand out, each looked at by a network.

`declick.detect.views` proposes instants and cuts the views; the network (ONNX, run by onnxruntime
on one thread) says whether each is damage, on which channel, and which samples are lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.ar import IntArray, digital_places
from declick.detect.screen import load_screen
from declick.detect.spans import MOST_PRIOR_OF_NETWORK, PLAIN_TO_NETWORK
from declick.detect.views import (
    MIDDLE,
    Float32Array,
    Sight,
    ViewGeometry,
    describe_instants,
    find_instants,
    is_native,
    local_level,
    see,
    view_upright,
)
from declick.errors import MissingExtraError, ReadError

if TYPE_CHECKING:
    import onnxruntime

SCHEMA: Final = "declick-weights/1"
# Weights of a taught sound; see declick.detect.taught.
TAUGHT: Final = "declick-taught/1"
SHIPPED: Final = "surface-2.onnx"
# What it answers: events, families, tails, cores, damage, doubt, spoken.
ANSWERS: Final = 7
# Instants that the network looks at together: always as many, so that an answer does not depend
# on what else there is to look at.
BATCH: Final = 16
# Samples are spoken of from these log odds of damage on: the greatest sensitivity asks for -6.6, of
# a worn record.
LEAST_SPOKEN: Final = -7.0
# Log odds from which a sample counts as lost. A damaged sample that is left in spoils the gap's
# whole interpolation; a sound one that is lost costs next to nothing where the damage is known ...
LEAST_CORE: Final = -5.0
# ... and a little where it is not.
LEAST_CORE_ALONE: Final = -2.5
# Range of the natural logarithm of how far the damage may be off.
DOUBT: Final = (-6.0, 3.0)
# How far from an instant its core may begin or end, in frames, to be its own.
_OWN = 48
# How near to an instant a surer one must know of lost samples, in frames, for both to count.
_NEAR = 24


@dataclass(frozen=True, eq=False)
class Weights:
    """A network that is ready to look.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    slope, offset : float
        The log odds of damage are the network's, times `slope`, plus `offset`.
    card : mapping
        What is known of it.
    """

    session: onnxruntime.InferenceSession
    slope: float
    offset: float
    card: dict[str, Any]

    @property
    def least(self) -> Float32Array:
        """What the network says where the log odds are `LEAST_SPOKEN`; shape (1,)."""
        with np.errstate(divide="ignore"):
            return np.divide([LEAST_SPOKEN - self.offset], self.slope).astype(np.float32)


def shipped_weights() -> Path:
    """Return the path of the weights that ship with the package."""
    return Path(str(files("declick").joinpath("weights", SHIPPED)))


@lru_cache(maxsize=2)
def load_weights(path: Path) -> Weights:
    """Load a network and its card, which lies beside it as .json.

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
        raise MissingExtraError(
            "the neural detector needs onnxruntime: pip install onnxruntime, or use --detector ar"
        ) from None
    if not path.is_file():
        raise ReadError(f"{path}: there is no such file; check the name")
    beside = path.with_suffix(".json")
    try:
        model = path.read_bytes()
        card = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReadError(f"{beside}: is missing; weights need their card beside them") from None
    except (OSError, ValueError) as error:
        raise ReadError(f"{beside}: cannot be read ({error}); export again") from None
    if not isinstance(card, dict):
        raise ReadError(f"{beside}: is no card of weights; export again")
    if card.get("schema") == TAUGHT:
        raise ReadError(
            f"{path}: these weights label sounds and cannot restore; use them with 'declick detect'"
        )
    if card.get("schema") != SCHEMA or card.get("sha256") != hashlib.sha256(model).hexdigest():
        raise ReadError(f"{path}: does not belong to the card beside it; export it again")
    scale = card.get("slope"), card.get("offset")
    if not all(isinstance(value, int | float) and np.isfinite(value) for value in scale):
        raise ReadError(f"{beside}: has no slope and offset; export again")
    try:
        session = start_session(model)
    except Exception as error:  # onnxruntime has a dozen kinds and no base for them
        raise ReadError(f"{path}: is no network that runs ({error}); export again") from None
    if len(session.get_outputs()) != ANSWERS:
        raise ReadError(f"{path}: is of an earlier version; train or tune it again")
    return Weights(session, float(card["slope"]), float(card["offset"]), card)


def start_session(model: bytes) -> onnxruntime.InferenceSession:
    """Return a network that runs on one thread, since workers share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True, eq=False)
class Findings:
    """What the network says of the instants of a tile that may be damage.

    Parameters
    ----------
    frames : ndarray of int, shape (n,)
        Of the tile.
    log_odds : ndarray, shape (n, 2)
        Of damage in the left and the right channel.
    families : ndarray, shape (n, 2, families)
        Log odds of the families against each other.
    tails_ms : ndarray, shape (n, 2)
        Length of what follows the core.
    cores : ndarray, shape (n, 2, MIDDLE)
        Log odds of each sample being lost, from ``frames - MIDDLE // 2`` on.
    damage : ndarray, shape (n, 2, MIDDLE)
        What was added to the music there.
    deviation : ndarray, shape (n, 2, MIDDLE)
        Standard deviation of `damage` from the truth.
    """

    frames: IntArray
    log_odds: FloatArray
    families: Float32Array
    tails_ms: Float32Array
    cores: Float32Array
    damage: Float32Array
    deviation: Float32Array


class Heard(NamedTuple):
    """What the network says of the samples of a tile; arrays of float32, shape (frames, channels).

    Parameters
    ----------
    probability : ndarray
        Of the music being lost.
    damage : ndarray
        What was added to it.
    deviation : ndarray
        Standard deviation of `damage` from the truth; infinite where nothing is known.
    """

    probability: NDArray[np.float32]
    damage: NDArray[np.float32]
    deviation: NDArray[np.float32]


class NeuralDetector:
    """Probability of damage from a network that looks at what stands out.

    Parameters
    ----------
    sample_rate : float
        In Hz; `hears` it.
    weights : Path
        The ONNX file; its card lies beside it.

    Raises
    ------
    ReadError
        See `load_weights`; also where it does not hear the sample rate.
    """

    finds_whole_cores: Final = True
    most_prior: Final = MOST_PRIOR_OF_NETWORK
    plain: Final = PLAIN_TO_NETWORK

    def __init__(self, sample_rate: float, weights: Path) -> None:
        if not hears(sample_rate):
            raise ReadError(
                f"the neural detector hears 40 to 54 kHz and twice or four times that, not "
                f"{sample_rate:g} Hz; use --detector ar"
            )
        self.geometry = ViewGeometry(sample_rate)
        self.factor = int(self.geometry.octave)
        self.weights = load_weights(weights)

    @property
    def context_ms(self) -> float:
        """Reach to each side, in ms."""
        return 1000.0 * self.geometry.context / self.geometry.sample_rate

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability that each sample of a tile is lost to damage; see `hear`."""
        return self.hear(samples).probability

    def hear(self, samples: FloatArray) -> Heard:
        """Listen to a tile.

        Parameters
        ----------
        samples : ndarray, shape (geometry.tile + 2 * geometry.context, channels)
            A tile on the grid of tiles, with its context.

        Returns
        -------
        Heard
            Of the tile without its context.
        """
        context = self.geometry.context
        heard = _silence(samples.shape)
        for first in range(0, samples.shape[1], 2):
            pair = samples[:, first : first + 2]
            live = [k for k in range(pair.shape[1]) if np.any(pair[:, k])]
            if len(live) == 2 and not np.array_equal(pair[:, 0], pair[:, 1]):
                told, into = self._hear(pair), [first, first + 1]
            elif live:
                # What is not there, or there twice, is no second opinion.
                told, into = self._hear(pair[:, live[:1]]), [first + k for k in live]
            else:
                continue
            for whole, part in zip(heard, told, strict=True):
                whole[:, into] = part
        return Heard(*(part[context:-context] for part in heard))

    def _hear(self, pair: FloatArray) -> Heard:
        """Listen to one or two channels of a tile with its context."""
        context = self.geometry.context
        if not np.any(pair[context:-context] != pair[context]):
            return _silence(pair.shape)
        native = ViewGeometry(self.geometry.sample_rate / self.factor)
        sight = see(_decimated(pair, self.factor), native)
        return _paint(pair, self.look(sight, _inside(sight)), self.geometry)

    def look(self, sight: Sight, frames: IntArray) -> Findings:
        """Return what the network says of those of some instants that may be damage."""
        facts = describe_instants(sight, frames)
        worth = load_screen()(facts)
        frames, facts = frames[worth], facts[worth]
        parts = [
            self._ask(sight, frames[start : start + BATCH], facts[start : start + BATCH])
            for start in range(0, len(frames), BATCH)
        ]
        return _joined(parts) if parts else _nothing()

    def _ask(self, sight: Sight, frames: IntArray, facts: Float32Array) -> Findings:
        """Return what the network says of a batch of instants; `facts` describe them."""
        views, swapped, sign = view_upright(sight, frames, facts)
        given = {
            name: np.resize(rows, (BATCH, *rows.shape[1:])) if len(rows) < BATCH else rows
            for name, rows in views._asdict().items()
        }
        told = self.weights.session.run(None, {**given, "least": self.weights.least})
        events, families, tails, cores, damage, doubt, spoken = told
        count = int(np.searchsorted(spoken, len(frames)))
        spoken = spoken[:count]
        swapped, frames = swapped[spoken], frames[spoken]

        def back(answer: Float32Array) -> Float32Array:
            """Return what is said of left and right."""
            reverse = swapped.reshape(-1, *[1] * (answer.ndim - 1))
            return np.where(reverse, answer[:, ::-1], answer)

        level = local_level(sight, frames)[:, :, None]
        damage = back(np.clip(damage[:count], -12.0, 12.0)) * sign[spoken, None, None]
        doubt = np.exp(np.clip(back(doubt[:count]), *DOUBT))
        return Findings(
            frames=frames,
            log_odds=back(events[spoken]).astype(np.float64) * self.weights.slope
            + self.weights.offset,
            families=back(families[spoken]),
            tails_ms=np.expm1(np.clip(back(tails[spoken]), 0.0, 7.0)),
            cores=back(cores[:count]),
            damage=np.sinh(damage) * level,
            # Of a Laplace distribution, carried from arcsinh to the sound itself.
            deviation=np.sqrt(2.0) * doubt * np.cosh(damage) * level,
        )


def _silence(shape: tuple[int, ...]) -> Heard:
    """Return what is heard where there is nothing."""
    return Heard(
        np.zeros(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.float32),
        np.full(shape, np.inf, dtype=np.float32),
    )


def _joined(parts: Sequence[Findings]) -> Findings:
    """Return findings of instants, one after another, as one."""
    return Findings(
        **{
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in fields(Findings)
        }
    )


def _nothing() -> Findings:
    empty = [np.zeros((0, 2, *more), np.float32) for more in ((), (1,), (MIDDLE,))]
    two, families, middle = empty
    return Findings(
        np.zeros(0, dtype=np.intp), np.zeros((0, 2)), families, two, middle, middle, middle
    )


def hears(sample_rate: float) -> bool:
    """Return whether the network can hear a recording: as it is, or one in two or four samples."""
    return any(is_native(sample_rate / factor) for factor in (1, 2, 4))


def _decimated(samples: FloatArray, factor: int) -> FloatArray:
    """Return one in `factor` frames behind a low pass without delay."""
    if factor == 1:
        return samples
    from scipy.signal import resample_poly  # slow to import, and not always needed

    return np.asarray(resample_poly(samples, 1, factor, axis=0))


def _inside(sight: Sight) -> IntArray:
    """Return the instants of the tile and a little around it."""
    geometry = sight.geometry
    margin = geometry.hop // 4
    frames, _ = find_instants(sight)
    low, high = geometry.context - margin, len(sight.samples) - geometry.context + margin
    return frames[(frames >= low) & (frames < high)]


def _paint(samples: FloatArray, found: Findings, geometry: ViewGeometry) -> Heard:
    """Return what is said of each sample and channel: in each core, by its event."""
    channels, factor = samples.shape[1], int(geometry.octave)
    least = LEAST_CORE if factor == 1 else LEAST_CORE_ALONE
    # A sample of the network's stands for those around it in the file.
    half = factor // 2
    painted = _silence(samples.shape)
    confidence = 1.0 / (1.0 + np.exp(-np.clip(found.log_odds, -40.0, 40.0)))
    rows, starts, stops, sure, whose = [], [], [], [], []
    for side in range(channels):
        for number in _not_explained(found, side, least):
            frame = int(found.frames[number])
            if confidence[number, side] < 1e-4:
                continue
            for first, last in own_cores(found.cores[number, side], least):
                rows.append(side)
                begin = frame - MIDDLE // 2
                starts.append((begin + first) * factor - half)
                stops.append((begin + last - 1) * factor + half + 1)
                sure.append(confidence[number, side])
                whose.append((number, first, last))
    if not rows:
        return painted
    channel, start, stop = np.array([rows, starts, stops], dtype=np.intp)
    level = np.array(sure)
    digital, alone = digital_places(samples, channel, start, stop, geometry)
    level[digital] = 0.0
    level[alone] = 1.0
    for index in np.argsort(level, kind="stable").tolist():
        side, core = int(channel[index]), slice(int(start[index]), int(stop[index]))
        painted.probability[core, side] = level[index]
        if factor == 1 and not alone[index]:
            number, first, last = whose[index]
            painted.damage[core, side] = found.damage[number, side, first:last]
            painted.deviation[core, side] = found.deviation[number, side, first:last]
    return painted


def _not_explained(found: Findings, side: int, least: float) -> list[int]:
    """Return the instants of a channel that no surer one beside them takes for sound.

    What rings behind a core stands out, too; seen from the core it is known that nothing is lost.
    """
    frames, half = found.frames, MIDDLE // 2
    reach = half - _NEAR
    sure = found.log_odds[:, side]
    low = np.searchsorted(frames, frames - reach)
    high = np.searchsorted(frames, frames + reach, side="right")
    kept: list[int] = []
    explained = np.zeros(len(frames), dtype=bool)
    for number in np.argsort(-sure, kind="stable").tolist():
        if explained[number]:
            continue
        kept.append(number)
        for other in range(low[number], high[number]):
            if explained[other] or sure[other] >= sure[number]:
                continue
            at = int(frames[other] - frames[number]) + half
            lost = found.cores[number, side, at - _NEAR : at + _NEAR + 1]
            explained[other] = lost.max() < least
    return kept


def own_cores(log_odds: Float32Array, least: float) -> list[tuple[int, int]]:
    """Return the runs of lost samples that are the instant's own.

    Those near the middle, where the instant is; where no sample there is lost, what is half as
    likely as the likeliest.
    """
    middle = MIDDLE // 2
    near = slice(middle - _OWN, middle + _OWN + 1)
    least = min(least, float(log_odds[near].max()) - 0.7)
    lost = np.zeros(len(log_odds) + 2, dtype=bool)
    lost[1:-1] = log_odds >= least
    edges = np.flatnonzero(lost[1:] != lost[:-1])
    return [
        (int(first), int(last))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
        if last > near.start and first < near.stop
    ]
