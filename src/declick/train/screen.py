"""Teach the glance that comes before the network (`declick.detect.screen`), by that network.

    python -m declick.train.screen recipes/surface-5/settings.toml --music packed --bank bank

Examples are drawn as for the network; what it takes for damage, however faintly, the glance must
let through. Writes src/declick/detect/screen.json, and how much of the music it holds back.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from declick.damage.bank import Bank
from declick.detect import screen as glance
from declick.detect.confidence import FEATURES
from declick.detect.neural import load_weights, shipped_weights
from declick.detect.screen import WIDTHS, plainer_first
from declick.train.examples import draw_examples
from declick.train.folding import read_network
from declick.train.loop import Sources
from declick.train.music import Music
from declick.train.network import SurfaceNetwork
from declick.train.settings import read_settings
from declick.train.worn import ExampleSettings

WANTED: Final = -4.0
"""Log odds from which on the network's answer matters: the default settings ask for -3.6 at least,
of a worn record where another click bears it out."""
LOST: Final = 0.003
"""Share of those that may be held back; most of them lie little above `WANTED`."""
STEPS, BATCH, RATE, DECAY = 5000, 1024, 3e-3, 1e-3
# What must be let through counts so many times more.
_WEIGHT = 5.0
_BEYOND_TRAINING: Final = {"scratch": 0.5, "gouge": 0.5}


class Lessons(NamedTuple):
    """What is known of n instants.

    Parameters
    ----------
    facts : ndarray of float32, shape (n, 2 * features)
        The channel that stands out more comes first.
    log_odds : ndarray of float32, shape (n,)
        Of damage in either channel, as the network says.
    damaged : ndarray of bool, shape (n,)
        Where there is damage in truth.
    """

    facts: NDArray[np.float32]
    log_odds: NDArray[np.float32]
    damaged: NDArray[np.bool_]


class Teacher(NamedTuple):
    """The network, and what its answers are scaled by (`declick.detect.neural.Weights`)."""

    network: SurfaceNetwork
    slope: float
    offset: float

    @classmethod
    def read(cls, path: Path) -> Teacher:
        """Read exported weights."""
        weights = load_weights(path)
        return cls(read_network(path), weights.slope, weights.offset)

    def ask(self, views: tuple[NDArray[np.floating], ...]) -> NDArray[np.float32]:
        """Return the log odds of damage in either channel, shape (n,)."""
        with torch.no_grad():
            given = (torch.from_numpy(part.astype(np.float32)) for part in views)
            events = self.network(*given).events.amax(1).numpy()
        return np.asarray(events * self.slope + self.offset)


def draw_lessons(
    teacher: Teacher,
    music: Music,
    bank: Bank | None,
    settings: ExampleSettings,
    excerpts: int,
    split: str = "train",
) -> Lessons:
    """Let the network look at the examples of some excerpts."""
    parts = []
    for number in range(excerpts):
        drawn = draw_examples(number, music, bank, settings, split)
        if len(drawn.labels):
            facts = plainer_first(drawn.views.facts.astype(np.float32))
            damaged = (drawn.labels == 1).any(axis=1)
            parts.append(Lessons(facts, teacher.ask(drawn.views), damaged))
    return Lessons(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def teach(lessons: Lessons, *, steps: int = STEPS, seed: int = 1) -> nn.Sequential:
    """Return a network that foretells where the large one finds damage; it takes scaled facts."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inside, outside in pairwise(WIDTHS):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    mean, spread = _scale(lessons)
    facts = torch.from_numpy((lessons.facts - mean) / spread)
    # As sure as the network is that it is worth a look.
    truth = torch.sigmoid(torch.from_numpy(lessons.log_odds) - WANTED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(len(facts), (BATCH,))
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(facts[some])[:, 0], truth[some], weight=1.0 + (_WEIGHT - 1.0) * truth[some]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def _scale(lessons: Lessons) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return lessons.facts.mean(axis=0), lessons.facts.std(axis=0) + np.float32(1e-3)


def as_values(network: nn.Sequential, lessons: Lessons, held_out: Lessons) -> dict[str, Any]:
    """Return what screen.json holds: the border at 0 lets through what `LOST` asks for.

    Parameters
    ----------
    network : Sequential
        From `teach`.
    lessons, held_out : Lessons
        What it was taught with, and others, which set the border.
    """
    mean, spread = _scale(lessons)
    with torch.no_grad():
        said = network(torch.from_numpy((held_out.facts - mean) / spread))[:, 0].numpy()
    least = float(np.quantile(said[held_out.log_odds >= WANTED], LOST))
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    offsets = [layer.bias.detach().numpy().astype(np.float64) for layer in linear]
    offsets[-1] = offsets[-1] - least
    return {
        "features": FEATURES,
        "mean": _rounded(mean),
        "spread": _rounded(spread),
        "weights": [_rounded(layer.weight.detach().numpy()) for layer in linear],
        "offsets": [_rounded(offset) for offset in offsets],
    }


def _rounded(values: NDArray[np.floating]) -> Any:
    """Return numbers of five digits, as lists."""
    return np.vectorize(lambda value: float(f"{value:.5g}"))(values).tolist()


def tell(screen: glance.Screen, lessons: Lessons) -> Mapping[str, float]:
    """Return the shares of instants that are let through."""
    passes = screen(lessons.facts)
    wanted = lessons.log_odds >= WANTED
    return {
        "of all": float(passes.mean()),
        "of what the network says nothing of": float(passes[~wanted].mean()),
        "of what it might take for damage": float(passes[wanted].mean()),
        "of damage that it sees": float(passes[wanted & lessons.damaged].mean()),
    }


def main() -> None:
    """Teach, write and tell."""
    parser = argparse.ArgumentParser(description="Teach the glance that comes before the network.")
    parser.add_argument("recipe", type=Path, help="a TOML file, as the network was trained with")
    parser.add_argument("--music", type=Path, required=True, help="a corpus")
    parser.add_argument("--bank", type=Path, help="real clicks")
    parser.add_argument("--weights", type=Path, default=shipped_weights(), help="the teacher")
    parser.add_argument("--excerpts", type=int, default=1000, help="to learn from (default: 1000)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = read_settings(options.recipe).examples
    sources = Sources(music=options.music, bank=options.bank)
    music, bank = sources.open(settings)
    teacher = Teacher.read(options.weights)
    lessons = draw_lessons(teacher, music, bank, settings, options.excerpts)
    held_out = draw_lessons(teacher, music, bank, settings, options.excerpts // 4, "valid")
    values = as_values(teach(lessons), lessons, held_out)
    target = Path(glance.__file__).with_name("screen.json")
    target.write_text(json.dumps(values) + "\n", encoding="utf-8")
    glance.load_screen.cache_clear()
    beyond = replace(settings, modes=_BEYOND_TRAINING)
    unknown = draw_lessons(teacher, music, bank, beyond, options.excerpts // 8, "valid")
    for name, some in (("taught", lessons), ("held out", held_out), ("unknown", unknown)):
        shares = tell(glance.load_screen(), some)
        print(name, *(f"{key}: {100 * value:.2f} %" for key, value in shares.items()), sep="\n  ")


if __name__ == "__main__":
    main()
