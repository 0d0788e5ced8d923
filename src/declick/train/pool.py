"""The examples that are at hand, and balanced batches of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from declick.train.examples import Examples
from declick.train.worn import FAMILIES

# How often what is plainly music is shown, against what is taken for damage.
_LEAST_SHOWN = 0.1


class Pool:
    """The latest excerpts' examples, on the device, to draw balanced batches from.

    Parameters
    ----------
    excerpts, most : int
        Excerpts held, and the most examples of each.
    device : torch.device
    """

    def __init__(self, excerpts: int, most: int, device: torch.device) -> None:
        self.excerpts, self.most, self.device = excerpts, most, device
        self._tensors: dict[str, Tensor] = {}
        self._kind = np.full(excerpts * most, -2, dtype=np.int64)
        self._source = np.zeros(excerpts * most, dtype=np.int64)
        self._names: dict[str, int] = {}
        self._drawn = np.zeros(0, dtype=np.int64)
        self.hardness = np.full(excerpts * most, 0.5, dtype=np.float32)
        """The probability of damage that the network last gave each example."""

    def add(self, number: int, examples: Examples) -> None:
        """Put excerpt `number` in the place of the oldest."""
        start, count = number % self.excerpts * self.most, len(examples.labels)
        rows = {
            **examples.views._asdict(),
            "labels": examples.labels,
            "families": examples.families,
            "tails": examples.tails,
            "cores": examples.cores,
            "damage": examples.damage,
        }
        for name, values in rows.items():
            tensor = torch.from_numpy(np.ascontiguousarray(values))
            if name not in self._tensors:
                shape = (self.excerpts * self.most, *tensor.shape[1:])
                self._tensors[name] = torch.zeros(shape, dtype=tensor.dtype, device=self.device)
            self._tensors[name][start : start + count] = tensor.to(self.device)
        # -1: music. Else: the family, or one more for damage of no known family.
        damaged = (examples.labels == 1).any(axis=1)
        family = examples.families.max(axis=1).astype(np.int64)
        kind = np.where(damaged, np.where(family < 0, len(FAMILIES), family), -1)
        self._kind[start : start + self.most] = -2
        self._kind[start : start + count] = kind
        self.hardness[start : start + self.most] = 0.5
        source = self._names.setdefault(examples.source, len(self._names))
        self._source[start : start + self.most] = source

    def count_damaged(self) -> int:
        """Return how many examples of damage there are."""
        return int(np.count_nonzero(self._kind >= 0))

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """Return half damage, even over the families, and half music, even over the sources.

        Even as far as the square root of their numbers goes: what is rare is not worn out. Music
        that is plainly music to the network is shown less often.
        """
        damaged, music = np.flatnonzero(self._kind >= 0), np.flatnonzero(self._kind == -1)
        half = batch // 2 if len(damaged) else 0
        doubt = _even(self._source[music]) * (_LEAST_SHOWN + self.hardness[music])
        chosen = np.concatenate(
            [
                rng.choice(damaged, half, p=_even(self._kind[damaged])) if half else damaged[:0],
                rng.choice(music, batch - half, p=doubt / doubt.sum()),
            ]
        )
        self._drawn = chosen
        index = torch.from_numpy(chosen).to(self.device)
        drawn = {name: values[index] for name, values in self._tensors.items()}
        # Which channel is left, and which way is up, means nothing to a click.
        return _mirrored(drawn, rng, self.device)

    def learn(self, events: Tensor) -> None:
        """Remember what the network said of the batch that was drawn last."""
        said = torch.sigmoid(events.detach()).amax(dim=1)
        self.hardness[self._drawn] = said.cpu().numpy()


def _even(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.bincount(groups - groups.min())
    weights = 1.0 / np.sqrt(counts[groups - groups.min()])
    return np.asarray(weights / weights.sum())


def _mirrored(
    drawn: dict[str, Tensor], rng: np.random.Generator, device: torch.device
) -> dict[str, Tensor]:
    """Exchange left and right of half of the batch, and turn half of it upside down."""
    count = len(drawn["labels"])
    swap = torch.from_numpy(rng.uniform(size=count) < 0.5).to(device)
    flip = torch.from_numpy(rng.uniform(size=count) < 0.5).to(device)

    def swapped(values: Tensor, order: list[int], signs: list[float] | None = None) -> Tensor:
        other = values[:, order]
        if signs is not None:
            sign = torch.tensor(signs, dtype=values.dtype, device=device)
            other = other * sign.view(1, -1, 1)
        return torch.where(swap.view(-1, *(1,) * (values.ndim - 1)), other, values)

    three, signs = [1, 0, 2], [1.0, 1.0, -1.0]
    drawn["fine"] = swapped(drawn["fine"], [k + 3 * g for g in range(3) for k in three], signs * 3)
    drawn["slow"] = swapped(drawn["slow"], [k + 3 * g for g in range(2) for k in three], signs * 2)
    rows = drawn["coarse"].shape[1]
    order = [*range(rows - 3), rows - 2, rows - 3, rows - 1]
    drawn["coarse"] = swapped(drawn["coarse"], order)
    facts = drawn["facts"].shape[1] // 2
    order = [*range(facts, 2 * facts), *range(facts)]
    drawn["facts"] = swapped(drawn["facts"], order)
    for name in ("labels", "families", "tails", "cores", "damage"):
        drawn[name] = swapped(drawn[name], [1, 0])
    sign = torch.where(flip, -1.0, 1.0).view(-1, 1, 1)
    for name in ("fine", "slow", "damage"):
        drawn[name] = drawn[name].float() * sign
    return drawn
