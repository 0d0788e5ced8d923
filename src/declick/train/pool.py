"""The examples that are at hand, and balanced batches of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from declick.train.examples import Examples
from declick.train.worn import FAMILIES

# How often what is plainly music is shown, against what is taken for damage.
_LEAST_SHOWN = 0.1
_ABSENT, _MUSIC = -2, -1


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
        # The family of damage, or one more for damage of no known family.
        self._kind = torch.full((excerpts * most,), _ABSENT, dtype=torch.int64, device=device)
        self._source = torch.zeros(excerpts * most, dtype=torch.int64, device=device)
        self._names: dict[str, int] = {}
        self._damaged = np.zeros(excerpts, dtype=np.int64)
        self._drawn = torch.zeros(0, dtype=torch.int64, device=device)
        self.hardness = torch.full((excerpts * most,), 0.5, device=device)
        """The probability of damage that the network last gave each example."""

    def add(self, number: int, examples: Examples) -> None:
        """Put excerpt `number` in the place of the oldest."""
        place, count = number % self.excerpts, len(examples.labels)
        start = place * self.most
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
        damaged = (examples.labels == 1).any(axis=1)
        family = examples.families.max(axis=1).astype(np.int64)
        kind = np.where(damaged, np.where(family < 0, len(FAMILIES), family), _MUSIC)
        self._kind[start : start + self.most] = _ABSENT
        self._kind[start : start + count] = torch.from_numpy(kind).to(self.device)
        self._damaged[place] = np.count_nonzero(damaged)
        self.hardness[start : start + self.most] = 0.5
        source = self._names.setdefault(examples.source, len(self._names))
        self._source[start : start + self.most] = source

    def count_damaged(self) -> int:
        """Return how many examples of damage there are."""
        return int(self._damaged.sum())

    def draw(self, rng: np.random.Generator, batch: int, damaged: float = 0.5) -> dict[str, Tensor]:
        """Return a share of damage, even over the families, and music, even over the sources.

        Even as far as the square root of their numbers goes: what is rare is not worn out. Music
        that is plainly music to the network is shown less often.
        """
        # All of it stays on the device: a GPU that waits for each batch is idle half of the time.
        dice = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        share = int(damaged * batch) if self.count_damaged() else 0
        odds = _even(self._source, self._kind == _MUSIC, len(self._names))
        odds *= _LEAST_SHOWN + self.hardness
        chosen = torch.multinomial(odds, batch - share, replacement=True, generator=dice)
        if share:
            odds = _even(self._kind, self._kind >= 0, len(FAMILIES) + 1)
            drawn = torch.multinomial(odds, share, replacement=True, generator=dice)
            chosen = torch.cat([drawn, chosen])
        self._drawn = chosen
        rows = {name: values[chosen] for name, values in self._tensors.items()}
        # Which channel is left, and which way is up, means nothing to a click.
        return _mirrored(rows, dice)

    def learn(self, events: Tensor) -> None:
        """Remember what the network said of the batch that was drawn last."""
        self.hardness[self._drawn] = torch.sigmoid(events.detach()).amax(dim=1)


def _even(groups: Tensor, among: Tensor, count: int) -> Tensor:
    """Return how often each of those `among` is to be drawn; groups are numbered below `count`."""
    among = among.float()
    groups = groups.clamp_min(0)
    sizes = torch.zeros(count, device=groups.device).index_add_(0, groups, among)
    return among / sizes.clamp_min(1.0).sqrt()[groups]


def _mirrored(drawn: dict[str, Tensor], dice: torch.Generator) -> dict[str, Tensor]:
    """Exchange left and right of half of the batch, and turn half of it upside down."""
    count, device = len(drawn["labels"]), drawn["labels"].device
    swap = torch.rand(count, generator=dice, device=device) < 0.5
    flip = torch.rand(count, generator=dice, device=device) < 0.5

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
