"""From weights and pairs to weights of one's own: read, part, tune, calibrate, report."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import torch

from declick.damage.bank import Bank
from declick.detect.neural import NeuralDetector, load_weights
from declick.errors import ReadError
from declick.train.evaluate import calibrate
from declick.train.export import export
from declick.train.folding import fold, read_network
from declick.train.judge import Judgement, judge, summarize
from declick.train.loop import CHECKPOINT, Say, load_network
from declick.train.music import Music
from declick.train.network import SurfaceNetwork
from declick.train.pair_pieces import cut_excerpt
from declick.train.pairs import find_pairs, read_pair
from declick.train.tune import PairMusic, TuneSettings, gather, part_pairs, tune
from declick.train.worn import ExampleSettings, WornExcerpt
from declick.wording import count_of

# Clean excerpts that a base which never was calibrated is calibrated on, tuned.
_CALIBRATION: Final = 30
# False alarms a minute more than before, from which a word is said.
_MORE_FALSE: Final = 2.0
# What is held out is restored up to this long, before and after.
_LONGEST_TEST_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Base:
    """Weights to go on from.

    Parameters
    ----------
    name : str
    network : SurfaceNetwork
        Folded.
    offset : float
        See `declick.detect.neural.Weights`; NaN if it was never calibrated.
    card : dict
        What is known of it.
    """

    name: str
    network: SurfaceNetwork
    offset: float
    card: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning came to.

    Parameters
    ----------
    pairs, held_out : int
        How many pairs were learned from, and how many recordings told the gain.
    before, after : list of Judgement
        What the old and the new weights make of what was held out.
    """

    pairs: int
    held_out: int
    before: list[Judgement]
    after: list[Judgement]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        told = {
            name: {k: _plain(v) for k, v in asdict(summarize(found)).items()}
            for name, found in (("before", self.before), ("after", self.after))
        }
        return {"pairs": self.pairs, "held_out": self.held_out, **told}

    def lines(self) -> list[str]:
        """Return what a person wants to know."""
        old, new = summarize(self.before), summarize(self.after)
        what = f"on {count_of(self.held_out, 'recording')} that it did not learn from"
        lines = [
            f"{what}: the gain was {old.gain_db:.1f} dB and is {new.gain_db:.1f} dB; "
            f"{100 * old.missed_share:.0f} % of clicks were missed, now "
            f"{100 * new.missed_share:.0f} %; false alarms a minute: "
            f"{old.false_per_minute:.1f}, now {new.false_per_minute:.1f}"
        ]
        if not (new.gain_db > old.gain_db or new.missed_share < old.missed_share):
            lines.append("there it is no better than before: keep the old weights")
        if new.false_per_minute > old.false_per_minute + _MORE_FALSE:
            lines.append("it raises more false alarms: try a lower --sensitivity with it")
        return lines


def _plain(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def open_base(given: str) -> Base:
    """Open weights to go on from: an ONNX file, the folder of a training, or a shipped name.

    Raises
    ------
    ReadError
        If there is no such thing, or it cannot be read.
    """
    path = Path(given)
    if path.is_dir() and (path / CHECKPOINT).exists():
        network, state = load_network(path)
        return Base(
            name=path.name, network=fold(network), offset=math.nan, card={"step": state["step"]}
        )
    if not path.is_file():
        shipped = resources.files("declick") / "weights" / f"{given}.onnx"
        if "/" in given or not shipped.is_file():
            raise ReadError(
                f"{given}: there are no such weights; give an .onnx file, the folder of a "
                "training, or the name of shipped weights"
            )
        path = Path(str(shipped))
    weights = load_weights(path)
    return Base(
        name=path.stem, network=read_network(path), offset=weights.offset, card=weights.card
    )


def read_pairs(folder: Path, say: Say) -> list[WornExcerpt]:
    """Read the pairs of a folder; those that are none are passed over, with a word.

    Raises
    ------
    ReadError
        If none is left.
    """
    found = []
    for pair in find_pairs(folder):
        try:
            found.append(read_pair(pair))
        except ReadError as error:
            say(f"passed over: {error}")
    if not found:
        raise ReadError(f"{folder}: none of its pairs can be learned from")
    return found


def tune_weights(
    base: Base,
    pairs: Sequence[WornExcerpt],
    output: Path,
    settings: TuneSettings,
    *,
    music: Music | None = None,
    bank: Bank | None = None,
    threads: int = 1,
    say: Say = print,
) -> Tuned:
    """Tune weights to pairs and write them, with what it gained on held-out pairs in the card.

    Parameters
    ----------
    base : Base
    pairs : sequence of WornExcerpt
    output : Path
        The ONNX file.
    settings : TuneSettings
    music : Music, optional
        The base corpus, so that more of what it knew is kept.
    bank : Bank, optional
        Real clicks to lay on that music.
    threads : int
    say : callable
        Told how it goes.

    Raises
    ------
    ReadError
        If there is nothing to learn.
    WriteError
        If the weights cannot be written.
    """
    torch.set_num_threads(threads)
    learned, held = part_pairs(pairs, settings.held_out)
    lessons = gather(learned, settings, music=music, bank=bank)
    damaged = count_of(lessons.own.count_damaged(), "example")
    say(f"{damaged} of damage in {count_of(len(learned), 'pair')}")
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder) / "old.onnx", Path(folder) / "new.onnx"
        slope = float(base.card.get("slope", 1.0))
        offset = base.offset
        export(base.network, old, slope=slope, offset=0.0 if math.isnan(offset) else offset)
        heard = [_shortened(item) for item in held]
        before = judge(heard, old)
        network = tune(base.network, lessons, settings, say=say)
        export(network, new, slope=slope)
        if math.isnan(offset):
            offset = calibrate(
                _detector(new), PairMusic(held), ExampleSettings(), excerpts=_CALIBRATION
            )
        export(network, new, slope=slope, offset=offset)
        after = judge(heard, new)
    done = Tuned(pairs=len(learned), held_out=len(held), before=before, after=after)
    card = {"from": base.name, "corpus": music is not None, "tuned": done.as_dict()}
    export(network, output, slope=slope, offset=offset, card=card)
    return done


def _detector(path: Path) -> Any:
    def make(sample_rate: float) -> NeuralDetector:
        return NeuralDetector(sample_rate, path)

    return make


def _shortened(item: WornExcerpt) -> WornExcerpt:
    """Return the beginning of a long recording."""
    longest = round(_LONGEST_TEST_S * item.sample_rate)
    return item if len(item.sound) <= longest else cut_excerpt(item, 0, longest)


def with_steps(settings: TuneSettings, steps: int | None) -> TuneSettings:
    """Return the settings with another number of steps, if one is given."""
    return settings if steps is None else replace(settings, steps=steps)
