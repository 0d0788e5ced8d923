"""The network: looks at the views around an instant and says what is damaged there, and how.

A convolutional encoder over the window, patches of samples moved into channels at its input, with
a decoder that speaks of its middle sample by sample; the coarse view and the classical
description join at the narrowest place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from declick.detect.sight import COARSE_ROWS, FACTS, SLOW
from declick.detect.views import COARSE, FINE_ROWS, MIDDLE, SLOW_ROWS, WINDOW
from declick.errors import SettingsError
from declick.train.worn import FAMILIES

PATCH: Final = 8
_LEVELS: Final = 4
# Numbers of a patch.
_INPUTS: Final = FINE_ROWS * PATCH + SLOW_ROWS * (PATCH // SLOW)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """How large the network is.

    Parameters
    ----------
    widths : tuple of int
        Channels at 8, 16, 32 and 64 frames a step.
    blocks : tuple of int
        Residual blocks at each.
    context : int
        Numbers that the coarse view and the description come down to, each.
    written : int
        Residual blocks behind the decoder, for what is said sample by sample.
    wide : int
        Channels of a last stage behind those, which sees the window itself once more; 0: none.
    writer : NetworkSettings, optional
        What is said sample by sample comes from an encoder of its own, of this size, which then
        sees only what may be damage.
    """

    widths: tuple[int, ...] = (48, 64, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 2)
    context: int = 64
    written: int = 3
    wide: int = 0
    writer: NetworkSettings | None = None

    def __post_init__(self) -> None:
        if len(self.widths) != _LEVELS or len(self.blocks) != _LEVELS:
            raise SettingsError(f"widths and blocks need {_LEVELS} numbers each")
        if self.written < 1:
            raise SettingsError(f"written is {self.written}; it must be 1 or more")
        if self.wide and self.wide < self.widths[0]:
            raise SettingsError(f"wide is {self.wide}; it must be 0, or {self.widths[0]} or more")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Return the settings that were written down as plain `values`."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        if known.get("writer") is not None:
            known["writer"] = cls.of(known["writer"])
        return cls(**known)


class Answer(NamedTuple):
    """What the network says of n instants; index 0 is left, 1 right.

    Parameters
    ----------
    events : Tensor, shape (n, 2)
        Log odds of damage at the instant.
    families : Tensor, shape (n, 2, families)
        Log odds against each other, given that it is damage.
    tails : Tensor, shape (n, 2)
        Natural logarithm of 1 + the milliseconds of the tail.
    cores : Tensor, shape (n, 2, MIDDLE)
        Log odds of the music being lost, sample by sample.
    damage : Tensor, shape (n, 2, MIDDLE)
        What was added, as arcsinh of damage over level.
    doubt : Tensor, shape (n, 2, MIDDLE)
        Natural logarithm of how far `damage` is off: the scale of a Laplace distribution.
    """

    events: Tensor
    families: Tensor
    tails: Tensor
    cores: Tensor
    damage: Tensor
    doubt: Tensor


class Verdict(NamedTuple):
    """The first three of an `Answer`: what is said of the instants as a whole."""

    events: Tensor
    families: Tensor
    tails: Tensor


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return torch.relu(x + self.body(x))


def _step(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(
            inside, outside, kernel, stride=stride, padding=(kernel - stride + 1) // 2, bias=False
        ),
        nn.BatchNorm1d(outside),
        nn.ReLU(),
    )


class SurfaceNetwork(nn.Module):
    """Propose-and-verify network; see the module.

    Parameters
    ----------
    settings : NetworkSettings
    judges : bool
        Whether it answers for whole instants, too.
    """

    def __init__(
        self,
        settings: NetworkSettings | None = None,
        *,
        judges: bool = True,
    ) -> None:
        super().__init__()
        self.settings = settings = settings or NetworkSettings()
        widths, context = settings.widths, settings.context
        self.embed = _step(_INPUTS, widths[0], 1)
        self.levels = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(widths, settings.blocks, strict=True)
        )
        self.downs = nn.ModuleList(_step(a, b, 2, stride=2) for a, b in pairwise(widths))
        columns = COARSE // 4
        self.coarse = nn.Sequential(
            _step(COARSE_ROWS, 48, 4, stride=4),
            _step(48, 48, 3),
            _step(48, 64, 2, stride=2),
            _step(64, 64, 3),
            nn.Flatten(),
            nn.Linear(64 * (columns // 2), context),
            nn.ReLU(),
        )
        self.facts = nn.Sequential(
            nn.BatchNorm1d(FACTS),
            nn.Linear(FACTS, context),
            nn.ReLU(),
            nn.Linear(context, context),
            nn.ReLU(),
        )
        self.join = nn.Linear(2 * context, widths[-1])
        near = 4 * widths[-1]
        if judges:
            self.verdict = nn.Sequential(
                nn.Linear(near + 2 * widths[-1] + 2 * context, 160),
                nn.ReLU(),
                nn.Linear(160, 2 * (2 + len(FAMILIES))),
            )
        if settings.writer is not None:
            self.writer = SurfaceNetwork(settings.writer, judges=False)
            return
        self.ups = nn.ModuleList(
            _step(a + b, b, 3) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.refine = Block(widths[0])
        self.more = nn.ModuleList(Block(widths[0]) for _ in range(settings.written - 1))
        last = settings.wide or widths[0]
        if settings.wide:
            self.again = _step(_INPUTS, widths[0], 1)
            self.widen = _step(2 * widths[0], last, 3)
            self.finish = Block(last)
        self.write = nn.Conv1d(last, 4 * PATCH, 1)
        self.doubt = nn.Conv1d(last, 2 * PATCH, 1)

    def forward(self, fine: Tensor, slow: Tensor, coarse: Tensor, facts: Tensor) -> Answer:
        """Look at n instants; the shapes are those of `declick.detect.views.Views`."""
        patches = _patched(fine, slow)
        kept, seen = self.look(self.embed(patches), coarse, facts)
        verdict = self.judge(seen)
        writer = self
        if self.settings.writer is not None:
            writer = self.writer
            kept, _ = writer.look(writer.embed(patches), coarse, facts)
        again = writer.again(middle(patches)) if writer.settings.wide else None
        return Answer(*verdict, *writer.speak(kept, again))

    def look(self, x: Tensor, coarse: Tensor, facts: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the middle of each level, for `speak`, and what `judge` goes by.

        As `forward`, but the window comes embedded, and sounds may be pictures one row high.
        """
        context = torch.cat([self.coarse(coarse), self.facts(facts)], dim=1)
        kept = []
        for number, level in enumerate(self.levels):
            if number == _LEVELS - 1:
                x = x + self.join(context)[(...,) + (None,) * (x.dim() - 2)]
            x = level(x)
            kept.append(middle(x))
            if number < _LEVELS - 1:
                x = self.downs[number](x)
        half = x.shape[-1] // 2
        near = x[..., half - 2 : half + 2].flatten(1)
        seen = [near, x.mean(-1).flatten(1), x.amax(-1).flatten(1), context]
        return kept, torch.cat(seen, dim=1)

    def judge(self, seen: Tensor) -> Verdict:
        """Return what is said of whole instants."""
        verdict = self.verdict(seen).unflatten(1, (2, 2 + len(FAMILIES)))
        return Verdict(verdict[..., 0], verdict[..., 2:], verdict[..., 1])

    def speak(
        self, kept: list[Tensor], again: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return cores, damage and doubt of instants that were looked at; see `Answer`.

        `again` is the middle of the window, embedded by `again`, where there is a wide last stage.
        """
        *sides, x = kept
        for up, side in zip(self.ups, reversed(sides), strict=True):
            doubled = nn.functional.interpolate(x, scale_factor=(1.0,) * (x.dim() - 3) + (2.0,))
            x = up(torch.cat([doubled, side], dim=1))
        x = self.refine(x)
        for block in self.more:
            x = block(x)
        if again is not None:
            x = self.finish(self.widen(torch.cat([x, again], dim=1)))
        written = _unpatched(self.write(x), 4)
        return written[:, :2], written[:, 2:], _unpatched(self.doubt(x), 2)


def _patched(fine: Tensor, slow: Tensor) -> Tensor:
    """Return the window with patches of samples as channels, shape (n, rows * patch, steps)."""
    parts = (fine, PATCH), (slow, PATCH // SLOW)
    return torch.cat(
        [x.unflatten(2, (-1, patch)).transpose(2, 3).flatten(1, 2) for x, patch in parts], dim=1
    )


def _unpatched(columns: Tensor, rows: int) -> Tensor:
    """Move channels back into samples: (n, rows * PATCH, ..., steps) to (n, rows, MIDDLE)."""
    return columns.flatten(2).unflatten(1, (rows, PATCH)).transpose(2, 3).reshape(-1, rows, MIDDLE)


def middle(x: Tensor) -> Tensor:
    """Return the steps of the middle of the window, of as many as `x` has for all of it."""
    steps = x.shape[-1] * MIDDLE // WINDOW
    first = (x.shape[-1] - steps) // 2
    return x[..., first : first + steps]


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers the network has learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
