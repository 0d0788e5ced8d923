"""Tune the network to one turntable, one sort of record: from recordings before and after.

A batch is of the user's pairs, of the user's clicks laid on other music, and of what the network
knew before: worn music of the base corpus or, without it, of the mended sides of the pairs. All of
the network learns, as the pairs tell the damage to the sample, rings included. Then the weights go
back part of the way, which keeps most of what they knew.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch

from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.damage.differences import bank_differences, find_differences
from declick.damage.pairs import Pairing
from declick.detect.views import Views
from declick.errors import ReadError, SettingsError
from declick.read import Recording
from declick.train.examples import Examples, draw_examples, take_examples
from declick.train.folding import go_part_way
from declick.train.loop import Say
from declick.train.loss import LossSettings, losses
from declick.train.music import Music
from declick.train.network import Answer, SurfaceNetwork
from declick.train.pair_pieces import Piece, cut_excerpt, cut_pieces
from declick.train.pairs import with_rings
from declick.train.pool import Pool
from declick.train.worn import ExampleSettings, WornExcerpt, draw_worn
from declick.wording import listed

# Fewer pairs than this are not parted whole: the end of each is held out.
_FEW: Final = 4
# Differences up to this long are clips of clicks; so many of a pair are enough.
_CLIP_S: Final = 0.12
_CLIPS: Final = 150


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How to tune.

    Parameters
    ----------
    seed : int
    steps, batch : int
        Steps, and the examples in each.
    rate : float
        Greatest learning rate.
    shares : tuple of float
        Shares of each batch: the user's pairs, the user's clicks on other music, what it knew.
    way : float
        How far the weights go from the old ones to those that were learned; see
        `declick.train.folding.go_part_way`.
    average : float
        The weights that count are averages; the share that a step keeps of them.
    held_out : float
        Share of the pairs, or of each pair's time, that only tells what was gained.
    piece_s : float
        Length of the pieces that pairs are looked at in.
    most : int
        Examples of a piece.
    pieces, laid, known : int
        Pieces of the pairs, and excerpts of the two others, that are at hand.
    loss : LossSettings
    """

    seed: int = 1
    steps: int = 1000
    batch: int = 64
    rate: float = 1.5e-3
    shares: tuple[float, float, float] = (0.4, 0.35, 0.25)
    way: float = 0.6
    average: float = 0.98
    held_out: float = 0.25
    piece_s: float = 4.0
    most: int = 96
    pieces: int = 160
    laid: int = 120
    known: int = 120
    loss: LossSettings = field(default_factory=lambda: LossSettings(cores=4.0, damage=1.0))

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 4 or not 0.0 < self.held_out < 1.0:
            raise SettingsError("steps: 1 or more; batch: 4 or more; held_out: between 0 and 1")


def part_pairs(
    pairs: Sequence[WornExcerpt], held_out: float
) -> tuple[list[WornExcerpt], list[WornExcerpt]]:
    """Return what is learned from and what is held out.

    Of four pairs or more the last ones are held out whole; of fewer, the end of each.
    """
    if len(pairs) >= _FEW:
        count = max(1, round(held_out * len(pairs)))
        return list(pairs[:-count]), list(pairs[-count:])
    learned, held = [], []
    for pair in pairs:
        edge = round(len(pair.sound) * (1.0 - held_out))
        learned.append(cut_excerpt(pair, 0, edge))
        held.append(cut_excerpt(pair, edge, len(pair.sound)))
    return learned, held


class PairMusic:
    """The mended sides of pairs as clean music.

    Parameters
    ----------
    pairs : sequence of WornExcerpt
    """

    def __init__(self, pairs: Sequence[WornExcerpt]) -> None:
        self._pairs = list(pairs)

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt of one of the pairs, each as likely as the others."""
        pair = self._pairs[int(rng.integers(len(self._pairs)))]
        clean, rate = pair.laid.clean, pair.sample_rate
        frames = min(len(clean), round(seconds * rate))
        start = int(rng.integers(len(clean) - frames + 1))
        return clean[start : start + frames], rate, pair.source


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What is learned from.

    Parameters
    ----------
    own : Pool
        Examples of the user's pairs.
    laid : Pool
        Of the user's clicks, laid on other music.
    known : Pool
        Of what the network knows already.
    """

    own: Pool
    laid: Pool
    known: Pool


def gather(
    pairs: Sequence[WornExcerpt],
    settings: TuneSettings,
    *,
    music: Music | None = None,
    bank: Bank | None = None,
    examples: ExampleSettings | None = None,
) -> Lessons:
    """Take the examples of pairs, and of music that is worn as the network knows it.

    Parameters
    ----------
    pairs : sequence of WornExcerpt
        To learn from.
    settings : TuneSettings
    music : Music, optional
        The base corpus; by default the mended sides of the pairs.
    bank : Bank, optional
        Real clicks to lay on that music.
    examples : ExampleSettings, optional
        How that music is worn.

    Raises
    ------
    ReadError
        If the pairs hold no damage that stands out.
    """
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    own = _own_pool(pairs, settings, place)
    examples = replace(examples or ExampleSettings(), seed=settings.seed)
    source = music or PairMusic(pairs)
    theirs = bank_of(pairs)
    elsewhere = replace(examples, modes={"clean": 0.25, "real": 0.75}, level_db=(-6.0, 0.0))
    laid = Pool(settings.laid, examples.most, place)
    for number in range(settings.laid):
        rng = np.random.default_rng([settings.seed, 15, number])
        drawn = draw_worn(rng, source, theirs, elsewhere, "train")
        laid.add(number, take_examples(rng, with_rings(drawn), examples.most))
    known = Pool(settings.known, examples.most, place)
    for number in range(settings.known):
        known.add(number, draw_examples(number, source, bank, examples))
    return Lessons(own=own, laid=laid, known=known)


def bank_of(pairs: Sequence[WornExcerpt]) -> Bank:
    """Return the clicks by which pairs differ, to lay them elsewhere."""
    bank = Bank()
    for pair in pairs:
        rate = pair.sample_rate
        before = Recording.from_array(pair.sound, rate)
        after = Recording.from_array(pair.laid.clean, rate)
        pairing = Pairing(gains=(1.0,) * before.channels, untouched=True)
        found, _ = find_differences(before, after, pairing)
        short = [item for item in found if item.stop - item.start <= _CLIP_S * rate]
        bank = bank.joined(bank_differences(before, after, pairing, short[:_CLIPS])[0])
    return bank


def tune(
    network: SurfaceNetwork, lessons: Lessons, settings: TuneSettings, *, say: Say = print
) -> SurfaceNetwork:
    """Return the network, tuned.

    Parameters
    ----------
    network : SurfaceNetwork
        Folded (`declick.train.folding`); it is not changed.
    lessons : Lessons
    settings : TuneSettings
    say : callable
        Told how it goes.
    """
    begun = time.monotonic()
    torch.manual_seed(settings.seed)
    pools = lessons.own, lessons.laid, lessons.known
    tuned = copy.deepcopy(network).to(lessons.own.device)
    average: SurfaceNetwork = copy.deepcopy(tuned)
    learning = list(tuned.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(learning, lr=settings.rate, weight_decay=0.0)
    # Folded: there is no normalisation that evaluation would change.
    tuned.eval()
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * _rate(step / settings.steps)
        rng = np.random.default_rng([settings.seed, 11, step])
        counts = [round(settings.batch * share) for share in settings.shares]
        batches = [pool.draw(rng, n) for pool, n in zip(pools, counts, strict=True)]
        batch = {name: torch.cat([part[name] for part in batches]) for name in batches[0]}
        answer = Answer(*tuned(*(batch[name].float() for name in Views._fields)))
        for pool, said in zip(pools, answer.events.split(counts), strict=True):
            pool.learn(said)
        parts = losses(answer, batch, settings.loss)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(settings.average, 1.0 - 1.0 / (step + 1))
            for slow, fast in zip(average.parameters(), learning, strict=True):
                slow.lerp_(fast, 1.0 - keep)
        if (step + 1) % 50 == 0 or step + 1 == settings.steps:
            told = listed({name: float(value.detach()) for name, value in parts.items()})
            spent_s = time.monotonic() - begun
            say(f"step {step + 1} of {settings.steps}, {spent_s:.0f} s; losses: {told}")
    average.cpu().eval()
    go_part_way(average, network, settings.way)
    return average


def _rate(share: float) -> float:
    """Return the share of the greatest learning rate: up in a tenth, down in half a cosine."""
    if share < 0.1:
        return 0.1 + 9.0 * share
    return 0.5 * (1.0 + math.cos(math.pi * (share - 0.1) / 0.9))


def _own_pool(pairs: Sequence[WornExcerpt], settings: TuneSettings, place: torch.device) -> Pool:
    """Return the examples of the pairs; of many pieces some, evenly."""
    pieces = [piece for pair in pairs for piece in cut_pieces(with_rings(pair), settings.piece_s)]
    if len(pieces) > settings.pieces:
        chosen = np.linspace(0, len(pieces) - 1, settings.pieces).round().astype(int)
        pieces = [pieces[index] for index in chosen]
    pool = Pool(len(pieces), settings.most, place)
    for number, piece in enumerate(pieces):
        rng = np.random.default_rng([settings.seed, 13, number])
        pool.add(number, _examples(rng, piece, settings.most))
    if not pool.count_damaged():
        raise ReadError("the pairs do not differ by clicks; give recordings before and after")
    return pool


def _examples(rng: np.random.Generator, piece: Piece, most: int) -> Examples:
    return take_examples(rng, piece.excerpt, most, within=piece.within)
