"""What the network's errors cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from declick.detect.neural import DOUBT
from declick.train.network import Answer

BESIDE: Final = 0.02
"""Weight of samples beside a core, over those in it, for the damage."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """What errors cost.

    Parameters
    ----------
    false_alarm : float
        Music taken for damage, over damage missed.
    events, cores, families, tails, damage : float
        Weights of the answers; damage is asked for where it is, and most where the music is lost.
    """

    false_alarm: float = 3.0
    events: float = 1.0
    cores: float = 1.0
    families: float = 0.1
    tails: float = 0.05
    damage: float = 0.5


def losses(answer: Answer, true: dict[str, Tensor], settings: LossSettings) -> dict[str, Tensor]:
    """Return the parts of the loss, weighted."""
    label = true["labels"].float()
    decided, damaged = (label >= 0).float(), (label > 0).float()
    weight = decided * (damaged + (1.0 - damaged) * settings.false_alarm)
    event = functional.binary_cross_entropy_with_logits(
        answer.events, damaged, weight=weight, reduction="sum"
    ) / decided.sum().clamp_min(1.0)
    count = damaged.sum().clamp_min(1.0)
    inside = functional.binary_cross_entropy_with_logits(
        answer.cores, true["cores"].float(), reduction="none"
    ).mean(-1)
    # A core in music is as wrong as an event there.
    core = ((inside * damaged).sum() / count) + (
        inside * decided * (1 - damaged)
    ).sum() / decided.sum().clamp_min(1.0)
    known = (damaged > 0) & (true["families"] >= 0)
    family = functional.cross_entropy(
        answer.families.flatten(0, 1), true["families"].long().clamp_min(0).flatten(),
        reduction="none",
    )  # fmt: skip
    family = (family * known.flatten()).sum() / known.sum().clamp_min(1)
    tail = (functional.smooth_l1_loss(answer.tails, true["tails"].float(), reduction="none") *
            damaged).sum() / count  # fmt: skip
    # Laplace's log likelihood: how far off it is, and whether it knows.
    doubt = answer.doubt.clamp(*DOUBT)
    missed = (answer.damage - true["damage"].float()).abs() * torch.exp(-doubt) + doubt
    lost = true["cores"].float() + BESIDE
    likely = (missed * lost).sum(-1) / lost.sum(-1)
    damage = (likely * damaged).sum() / count
    return {
        "events": settings.events * event,
        "cores": settings.cores * core,
        "families": settings.families * family,
        "tails": settings.tails * tail,
        "damage": settings.damage * damage,
    }
