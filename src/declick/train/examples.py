"""Examples for the network: the instants that stand out of worn music, and what they are.

Every instant is damage, music, or too near to weak damage to tell. Clean excerpts give hard
negatives: all that ever stands out of a drum kit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.detect.sight import ViewGeometry, find_instants, see
from declick.detect.survey import IntArray
from declick.detect.views import MIDDLE, Views, local_level, view
from declick.train.music import Music
from declick.train.worn import ExampleSettings, WornExcerpt, draw_worn

# An instant this close to damage is not clean; frames.
_NEAR = 96
# A core is widened by this for an instant to belong to it; frames.
_WIDENED = 32


class Examples(NamedTuple):
    """Examples of one excerpt.

    Parameters
    ----------
    views : Views
        What the network is shown of each of n instants.
    labels : ndarray of int8, shape (n, 2)
        1 damage, 0 music, -1 undecided, for left and right.
    families : ndarray of int8, shape (n, 2)
        Index into `FAMILIES`; -1 for none.
    cores : ndarray of bool, shape (n, 2, MIDDLE)
        Where the music is lost.
    damage : ndarray of float16, shape (n, 2, MIDDLE)
        What was added, as arcsinh of the damage over the level that the sound is shown over.
    tails : ndarray of float16, shape (n, 2)
        Natural logarithm of 1 + the milliseconds of the tail behind the core.
    frames : ndarray of int, shape (n,)
        Where they are in the excerpt.
    source : str
    mode : str
    """

    views: Views
    labels: NDArray[np.int8]
    families: NDArray[np.int8]
    cores: NDArray[np.bool_]
    damage: NDArray[np.float16]
    tails: NDArray[np.float16]
    frames: IntArray
    source: str
    mode: str


def draw_examples(
    number: int, music: Music, bank: Bank | None, settings: ExampleSettings, split: str = "train"
) -> Examples:
    """Draw the examples of excerpt `number`; at most `settings.most` of them."""
    rng = np.random.default_rng([settings.seed, split == "valid", number])
    drawn = draw_worn(rng, music, bank, settings, split)
    return take_examples(rng, drawn, settings.most, damaged=settings.damaged)


def take_examples(
    rng: np.random.Generator,
    drawn: WornExcerpt,
    most: int,
    *,
    damaged: float = 0.5,
    within: tuple[int, int] | None = None,
) -> Examples:
    """Take examples of a worn excerpt, at most `most`.

    A share of the room, at most, goes to damage; of the rest, half to what stands out most.

    Parameters
    ----------
    rng : numpy.random.Generator
    drawn : WornExcerpt
    most : int
    damaged : float
        That share; more, where there is too little music.
    within : tuple of int, optional
        Frames of the excerpt that instants are taken of; all of them by default.
    """
    sight = see(drawn.sound, ViewGeometry(drawn.sample_rate))
    frames, scores = find_instants(sight)
    half = MIDDLE // 2
    first, last = within or (0, len(drawn.sound))
    inside = (frames >= max(half, first)) & (frames < min(len(drawn.sound) - half, last))
    frames, scores = frames[inside], scores[inside]
    labels, families, tails = label_instants(frames, drawn)
    chosen = _choose(rng, labels, scores, most, round(damaged * most))
    frames = frames[chosen]
    level = local_level(sight, frames)
    index = frames[:, None] + np.arange(-half, half)
    damage = np.moveaxis(drawn.damage[index], -1, 1) / level[:, :, None]
    return Examples(
        views=view(sight, frames).halved(),
        labels=labels[chosen],
        families=families[chosen],
        cores=np.moveaxis(drawn.cores[index], -1, 1),
        damage=np.arcsinh(damage).astype(np.float16),
        tails=tails[chosen],
        frames=frames,
        source=drawn.source,
        mode=drawn.mode,
    )


def _choose(
    rng: np.random.Generator, labels: NDArray[np.int8], scores: FloatArray, most: int, share: int
) -> IntArray:
    damaged = np.flatnonzero((labels == 1).any(axis=1))
    music = np.flatnonzero((labels == 0).any(axis=1) & ~(labels == 1).any(axis=1))
    damaged = rng.permutation(damaged)[: max(share, most - len(music))]
    room = most - len(damaged)
    hardest = music[np.argsort(-scores[music], kind="stable")]
    rest = rng.permutation(hardest[room // 2 :])[: room - room // 2]
    return np.sort(np.concatenate([damaged, hardest[: room // 2], rest]))


def label_instants(
    frames: IntArray, drawn: WornExcerpt
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.float16]]:
    """Return label, family and tail of each instant on both channels, each of shape (n, 2).

    Damage too weak to have a core counts as music: mending it costs more than it gains.
    """
    count = len(frames)
    labels = np.zeros((count, 2), dtype=np.int8)
    families = np.full((count, 2), -1, dtype=np.int8)
    tails = np.zeros((count, 2), dtype=np.float16)
    mono = drawn.laid.worn.shape[1] == 1
    if drawn.unclear is not None and count:
        labels[drawn.unclear[frames]] = -1
    # Beside a core, under its tail, and in the other channel: nobody can tell.
    for click, _ in drawn.marks:
        low, high = np.searchsorted(frames, [click.start - _NEAR, click.tail + _NEAR])
        labels[low:high] = -1
    for click, family in drawn.marks:
        low, high = np.searchsorted(frames, [click.start - _WIDENED, click.stop + _WIDENED])
        channels = slice(0, 2) if mono else slice(click.channel, click.channel + 1)
        labels[low:high, channels] = 1
        families[low:high, channels] = family
        tail_ms = 1000.0 * (click.tail - click.stop) / drawn.sample_rate
        tails[low:high, channels] = math.log1p(tail_ms)
    return labels, families, tails
