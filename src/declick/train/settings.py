"""A training recipe: every number that the weights depend on, in one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from declick.errors import SettingsError
from declick.train.loss import LossSettings
from declick.train.network import NetworkSettings
from declick.train.worn import ExampleSettings


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long, and in what steps.

    Parameters
    ----------
    steps : int
        Batches in all.
    batch : int
        Examples in each.
    damaged : float
        Share of them that is damage.
    excerpts_per_step : float
        New excerpts for each batch.
    pool : int
        Excerpts that examples are drawn from: the latest.
    rate, warm_up, decay : float
        Greatest learning rate; share of the steps in which it rises; weight decay.
    average : float
        The weights that count are averages; the share that a step keeps of them.
    save_every_s : float
        Time between checkpoints.
    bfloat16 : bool
        Multiply numbers of 16 bits: nearly twice as fast on a GPU or a CPU made for them
        (AVX-512 BF16, AMX), slower on others.
    start : str
        Weights to go on from, exported before: an .onnx file. What the network has beyond them
        begins without an effect. Empty: from nothing.
    way : float
        How far what is exported has gone from those to what was learned; see
        `declick.train.folding.go_part_way`.
    """

    steps: int = 20_000
    batch: int = 128
    damaged: float = 0.5
    excerpts_per_step: float = 0.25
    pool: int = 600
    rate: float = 2e-3
    warm_up: float = 0.03
    decay: float = 1e-2
    average: float = 0.998
    save_every_s: float = 60.0
    bfloat16: bool = False
    start: str = ""
    way: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """A whole recipe; see recipes/surface-5/settings.toml."""

    examples: ExampleSettings = field(default_factory=ExampleSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)


def read_settings(path: Path) -> TrainSettings:
    """Read a recipe.

    Raises
    ------
    SettingsError
        If it cannot be read, or has what is not known.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); give a TOML recipe") from None
    made: dict[str, Any] = {}
    kinds: dict[str, Any] = {
        "examples": ExampleSettings,
        "network": NetworkSettings,
        "loss": LossSettings,
        "loop": LoopSettings,
    }
    for name, table in tables.items():
        known = {item.name for item in fields(kinds[name])} if name in kinds else set()
        unknown = set(table) - known if isinstance(table, dict) else {name}
        if name not in kinds or unknown:
            raise SettingsError(f"{path}: [{name}] {sorted(unknown)} is not known")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        made[name] = kinds[name](**values)
    return TrainSettings(**made)
