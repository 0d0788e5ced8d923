"""The neural detector: the places that stand out, each looked at by a network.

`declick.detect.sight` proposes instants, `declick.detect.views` cuts the views; the network (ONNX,
run by onnxruntime on one thread) says whether each is damage, on which channel, and which samples
are lost.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.detect.alike import alike_instants, as_both
from declick.detect.confidence import SURE
from declick.detect.findings import (
    Findings,
    Heard,
    cover_flat_tops,
    doubt_ends,
    in_order,
    is_loud,
    joined,
    nothing,
    paint,
    silence,
)
from declick.detect.paces import geometries, pace_of
from declick.detect.places import digital_places, find_edges, within_steps
from declick.detect.rumble import without_rumble
from declick.detect.screen import load_screen, pitch_doubt
from declick.detect.sight import (
    Float32Array,
    Sight,
    describe_instants,
    find_instants,
    see,
    standing_channels,
)
from declick.detect.spans import PLAIN_TO_NETWORK, PRIOR_OF_NETWORK, PRIOR_OF_SPECKS
from declick.detect.spikes import Spikes, find_spikes
from declick.detect.survey import IntArray
from declick.detect.towers import plain_towers
from declick.detect.trains import TRAIN_DOUBT, return_alike
from declick.detect.views import local_level, view_upright
from declick.errors import MissingExtraError, ReadError

if TYPE_CHECKING:
    import onnxruntime

SCHEMA: Final = "declick-weights/1"
# Weights of a taught sound; see declick.detect.taught.
TAUGHT: Final = "declick-taught/1"
SHIPPED: Final = "surface-9.onnx"
# What it answers: events, families, tails, cores, damage, doubt, spoken.
ANSWERS: Final = 7
# Instants that the network looks at together: always as many, so that an answer does not depend
# on what else there is to look at.
BATCH: Final = 16
# Samples are spoken of from these log odds of damage on: the greatest sensitivity asks for -6.6, of
# a worn record.
LEAST_SPOKEN: Final = -7.0
# The core of what towers is where its prediction errors are, and this much to each side where the
# network is sure: it sees the surroundings over a level that the click itself has raised.
TOWER_MARGIN_MS: Final = 0.3
# Beside wrong samples, in frames, nothing that the network says for their sake counts.
BESIDE_SPIKE: Final = 48
# Range of the natural logarithm of how far the damage may be off.
DOUBT: Final = (-6.0, 3.0)


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


class NeuralDetector:
    """Probability of damage from a network that looks at what stands out.

    Parameters
    ----------
    sample_rate : float
        In Hz; the network hears it (`declick.detect.paces`).
    weights : Path
        The ONNX file; its card lies beside it.

    Raises
    ------
    ReadError
        See `load_weights`; also where it does not hear the sample rate.
    """

    finds_whole_cores: Final = True
    prior: Final = PRIOR_OF_NETWORK
    prior_of_specks: Final = PRIOR_OF_SPECKS
    plain: Final = PLAIN_TO_NETWORK

    def __init__(self, sample_rate: float, weights: Path) -> None:
        pace = pace_of(sample_rate)
        if pace is None:
            raise ReadError(
                f"the neural detector hears 20 to 54 kHz and 2, 4, 8 or 16 times 40 to 54 kHz, not "
                f"{sample_rate:g} Hz; use --detector ar"
            )
        self._pace = pace
        self.geometry, self._heard = geometries(sample_rate, pace)
        self.weights = load_weights(weights)

    @property
    def context_ms(self) -> float:
        """Reach to each side, in ms."""
        return 1000.0 * self.geometry.context / self.geometry.sample_rate

    def __call__(self, samples: FloatArray) -> NDArray[np.float32]:
        """Return the probability that each sample of a tile is lost to damage; see `hear`."""
        return self.hear(samples).probability

    def hear(self, samples: FloatArray, ends: tuple[int, int] | None = None) -> Heard:
        """Listen to a tile.

        Parameters
        ----------
        samples : ndarray, shape (geometry.tile + 2 * geometry.context, channels)
            A tile on the grid of tiles, with its context.
        ends : tuple of int, optional
            First frame and stop of the recording, as frames of `samples` or beyond them.

        Returns
        -------
        Heard
            Of the tile without its context.
        """
        context = self.geometry.context
        heard = silence(samples.shape)
        for first in range(0, samples.shape[1], 2):
            pair = samples[:, first : first + 2]
            live = [k for k in range(pair.shape[1]) if np.any(pair[:, k])]
            if len(live) == 2 and not np.array_equal(pair[:, 0], pair[:, 1]):
                told, into = self._hear(pair, ends), [first, first + 1]
            elif live:
                # What is not there, or there twice, is no second opinion.
                told, into = self._hear(pair[:, live[:1]], ends), [first + k for k in live]
            else:
                continue
            for whole, part in zip(heard, told, strict=True):
                whole[:, into] = part
        return Heard(*(part[context:-context] for part in heard))

    def _hear(self, pair: FloatArray, ends: tuple[int, int] | None) -> Heard:
        """Listen to one or two channels of a tile with its context."""
        context = self.geometry.context
        if not np.any(pair[context:-context] != pair[context]):
            return silence(pair.shape)
        resampled = self._pace.resample(pair)
        samples = without_rumble(resampled, self._heard.sample_rate)
        sight = see(samples, self._heard, resampled)
        frames = _inside(sight)
        facts = describe_instants(sight, frames)
        alike = alike_instants(sight, frames)
        findings = self.look(sight, frames[~alike], facts[~alike])
        if alike.any():
            middle, heard_middle = (x.mean(axis=1, keepdims=True) for x in (samples, resampled))
            mean = see(middle, self._heard, heard_middle)
            of_both = self.look(mean, frames[alike], describe_instants(mean, frames[alike]))
            findings = in_order([findings, as_both(of_both, mean, sight)])
        if ends is not None:
            findings = doubt_ends(findings, ends, self._pace)
        heard = paint(pair, resampled, findings, self.geometry, self._pace)
        self._paint_towers(heard, pair, sight, frames, facts)
        cover_flat_tops(heard, pair, self.geometry.sample_rate)
        if self._pace == (1, 1):
            self._paint_spikes(heard, pair, sight, find_spikes(sight, frames, facts))
        return heard

    def _paint_towers(
        self,
        heard: Heard,
        pair: FloatArray,
        sight: Sight,
        frames: IntArray,
        facts: Float32Array,
    ) -> None:
        """Cut out the instants that need no network, some louder than all it has learned from.

        Nothing is known of the damage there, whatever the network says.
        """
        which, channel = np.nonzero(plain_towers(sight, frames, facts)[:, : pair.shape[1]])
        if not len(which):
            return
        start, stop = find_edges(
            sight.around, channel, frames[which] // sight.geometry.cell, sight.geometry
        )
        start, stop = self._pace.in_file(start, stop)
        digital, _ = digital_places(pair, channel, start, stop, self.geometry)
        margin = round(TOWER_MARGIN_MS * 1e-3 * self.geometry.sample_rate)
        for side, first, last in zip(
            channel[~digital], start[~digital], stop[~digital], strict=True
        ):
            core = slice(int(first), int(last))
            row = heard.probability[:, side]
            sure = row[core].max(initial=0.0) >= SURE
            row[core] = np.maximum(row[core], SURE)
            if self._pace.is_whole:
                _trim(row, core, margin if sure else 0)
            # Found or not, the network has not learned to say how high anything like this is.
            heard.deviation[core, side] = np.inf

    def _paint_spikes(self, heard: Heard, pair: FloatArray, sight: Sight, spikes: Spikes) -> None:
        """Cut out wrong samples, whatever the network says: no more, where the rest is whole.

        A groove's click comes with one of the other wall, which the network expects; these do not.
        """
        if not len(spikes.start):
            return
        digital, _ = digital_places(pair, *spikes[:3], self.geometry)
        digital |= within_steps(pair, *spikes[:3])
        for side in range(pair.shape[1]):
            # What is whole but for a sample is no pulse, though a buffer may fail once a period.
            own = np.flatnonzero((spikes.channel == side) & ~spikes.whole & ~digital)
            digital[own] = return_alike(sight, side, spikes.start[own])
        for side, first, last, whole, alone, spared in zip(*spikes, digital, strict=True):
            if spared:
                continue
            core = slice(int(first), int(last))
            row = heard.probability[:, side]
            if whole:
                near = slice(max(int(first) - BESIDE_SPIKE, 0), int(last) + BESIDE_SPIKE)
                for one in (0, 1) if alone and pair.shape[1] == 2 else (side,):
                    _trim(heard.probability[:, one], near, 0)
                    heard.probability[near, one] = 0.0
                heard.deviation[core, side] = np.inf
            row[core] = np.maximum(row[core], SURE)

    def look(self, sight: Sight, frames: IntArray, facts: Float32Array) -> Findings:
        """Return what the network says of those of some instants that may be damage."""
        worth = load_screen()(facts)
        frames, facts = frames[worth], facts[worth]
        parts = [
            self._ask(sight, frames[start : start + BATCH], facts[start : start + BATCH])
            for start in range(0, len(frames), BATCH)
        ]
        return _doubt_trains(joined(parts), sight) if parts else nothing()

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
        cores = np.where(is_loud(damage), back(cores[:count]), -np.inf)
        return Findings(
            frames=frames,
            log_odds=back(events[spoken]).astype(np.float64) * self.weights.slope
            + self.weights.offset
            - pitch_doubt(facts[spoken])[:, None],
            families=back(families[spoken]),
            tails_ms=np.expm1(np.clip(back(tails[spoken]), 0.0, 7.0)),
            cores=cores,
            damage=np.sinh(damage) * level,
            # Of a Laplace distribution, carried from arcsinh to the sound itself.
            deviation=np.sqrt(2.0) * doubt * np.cosh(damage) * level,
        )


def _doubt_trains(found: Findings, sight: Sight) -> Findings:
    """Return findings that doubt the pulses of a train.

    Also in a channel out of which nothing stands there: the network says of both much the same.
    """
    sides = range(1 if sight.mono else 2)
    trains = np.stack([return_alike(sight, side, found.frames) for side in sides], axis=1)
    others = trains[:, ::-1] & ~standing_channels(sight, found.frames)
    return replace(found, log_odds=found.log_odds - TRAIN_DOUBT * (trains | others))


def _trim(probability: NDArray[np.float32], core: slice, margin: int) -> None:
    """Let what was found, in place, reach no further than a margin beyond a core within it."""
    found = probability > 0.0
    before, behind = found[: core.start][::-1], found[core.stop :]
    reach = int(np.argmin(np.append(before, False)))
    probability[core.start - reach : core.start - min(margin, reach)] = 0.0
    reach = int(np.argmin(np.append(behind, False)))
    probability[core.stop + min(margin, reach) : core.stop + reach] = 0.0


def _inside(sight: Sight) -> IntArray:
    """Return the instants of the tile and a little around it."""
    geometry = sight.geometry
    margin = geometry.hop // 4
    frames, _ = find_instants(sight)
    low, high = geometry.context - margin, len(sight.samples) - geometry.context + margin
    return frames[(frames >= low) & (frames < high)]
