"""Train the network: one loop, seeded, that goes on from its checkpoint with the same command."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from declick.damage.bank import Bank
from declick.damage.bank_folder import read_bank
from declick.detect.views import Views
from declick.errors import ReadError, SettingsError
from declick.parallel import Workers
from declick.train.examples import Examples, draw_examples
from declick.train.folding import begin_from, fold
from declick.train.loss import losses
from declick.train.music import Music, open_music
from declick.train.network import Answer, NetworkSettings, SurfaceNetwork, count_parameters
from declick.train.oddity import vary_bank
from declick.train.pool import Pool
from declick.train.settings import LoopSettings, TrainSettings
from declick.train.worn import ExampleSettings, without_records
from declick.wording import listed

CHECKPOINT, RECORD = "checkpoint.pt", "run.json"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where sound comes from.

    Parameters
    ----------
    music : Path
        A corpus, or a folder of clean music.
    bank : Path, optional
        Real clicks.
    """

    music: Path
    bank: Path | None = None

    def open(self, settings: ExampleSettings) -> tuple[Music, Bank | None]:
        """Return the music, and the bank without what is held out."""
        bank = read_bank(self.bank) if self.bank else None
        if bank is not None:
            bank = without_records(bank, settings.held_out_records)
            if settings.varied:
                bank = vary_bank(bank, settings.seed, settings.varied)
        return open_music(self.music), bank


# --- examples in the background ----------------------------------------------------------------

_opened: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class _Task:
    """An excerpt to be drawn, by its number."""

    sources: Sources
    settings: ExampleSettings
    number: int


def _draw(task: _Task) -> Examples:
    """Draw the examples of an excerpt (in a worker, which opens the sources once)."""
    if _opened.get("of") != (task.sources, task.settings):
        _opened["music"], _opened["bank"] = task.sources.open(task.settings)
        _opened["of"] = task.sources, task.settings
    return draw_examples(task.number, _opened["music"], _opened["bank"], task.settings)


def stream(
    sources: Sources, settings: ExampleSettings, first: int, workers: int
) -> Generator[Examples, None, None]:
    """Yield the excerpts from number `first` on, without end and in order.

    Parameters
    ----------
    sources : Sources
    settings : ExampleSettings
    first : int
    workers : int
        Processes; 0: this one does the work. The examples are the same.
    """
    tasks = (_Task(sources=sources, settings=settings, number=n) for n in count(first))
    with Workers(workers, apart=workers > 0) as pool:
        yield from pool.map(_draw, tasks)


def train(
    settings: TrainSettings,
    sources: Sources,
    folder: Path,
    *,
    workers: int = 1,
    threads: int = 1,
    seconds: float = math.inf,
    device: str | None = None,
    say: Say = print,
    stop: Callable[[], bool] = lambda: False,
) -> SurfaceNetwork:
    """Train, or go on training; return the network with its averaged weights.

    Parameters
    ----------
    settings : TrainSettings
    sources : Sources
    folder : Path
        Where the checkpoint and the record of the run are; made if need be.
    workers : int
        Processes that draw examples; they change nothing but the time.
    threads : int
        That train, where there is no GPU.
    seconds : float
        Stop, with a checkpoint, after this time.
    device : str, optional
        By default a GPU if there is one.
    say : callable
        Told how it goes.
    stop : callable
        Asked before each step whether to stop, with a checkpoint.

    Raises
    ------
    SettingsError
        If the checkpoint was made with other settings.
    """
    begun = time.monotonic()
    loop = settings.loop
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_num_threads(threads)
    torch.manual_seed(settings.examples.seed)
    network = _begin_network(settings).to(place)
    average: SurfaceNetwork = _begin_network(settings).to(place)
    average.load_state_dict(network.state_dict())
    average.eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=loop.rate, weight_decay=loop.decay, fused=place.type == "cuda"
    )
    folder.mkdir(parents=True, exist_ok=True)
    step, spent, log = 0, 0.0, []
    hardness = None
    state = _load(folder, settings)
    if state is not None:
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, log = state["step"], state["spent_s"], state["log"]
        hardness = state["hardness"].to(place)
        say(f"goes on from step {step}")
    most = settings.examples.most
    pool = Pool(loop.pool, most, place)
    # As many excerpts as have been drawn by now; of them the latest are drawn again.
    number = max(0, _wanted(step, loop) - loop.pool)
    saved = time.monotonic()
    sums: dict[str, float] = {}
    with closing(stream(sources, settings.examples, number, workers)) as excerpts:
        while step < loop.steps and time.monotonic() - begun < seconds and not stop():
            while number < _wanted(step, loop):
                pool.add(number, next(excerpts))
                number += 1
            if hardness is not None:
                pool.hardness, hardness = hardness, None
            parts = take_step(
                network, average, optimizer, pool, settings, step, rate_share(step, loop)
            )
            step += 1
            if step % 10 == 0 or step == loop.steps:
                for name, part in parts.items():
                    value = float(part.detach())
                    sums[name] = 0.9 * sums.get(name, value) + 0.1 * value
            if time.monotonic() - saved > loop.save_every_s or step == loop.steps:
                saved = time.monotonic()
                log.append({"step": step, **{k: round(v, 4) for k, v in sums.items()}})
                say(f"step {step} of {loop.steps}, excerpt {number}; losses: {listed(sums)}")
                _save(folder, settings, sources, network, average, optimizer, pool, step,
                      spent + saved - begun, log)  # fmt: skip
    _save(folder, settings, sources, network, average, optimizer, pool, step,
          spent + time.monotonic() - begun, log)  # fmt: skip
    return average


def _begin_network(settings: TrainSettings) -> SurfaceNetwork:
    """Return the network before the first step."""
    if settings.loop.start:
        return begin_from(Path(settings.loop.start), settings.network)
    return SurfaceNetwork(settings.network)


def _wanted(step: int, loop: LoopSettings) -> int:
    """Return how many excerpts have been drawn before a step; it begins with some."""
    return min(loop.pool, 100) + math.floor(step * loop.excerpts_per_step)


def rate_share(step: int, loop: LoopSettings) -> float:
    """Return the share of the greatest learning rate: up in a line, down in half a cosine."""
    rise = max(1.0, loop.warm_up * loop.steps)
    if step < rise:
        return (step + 1) / rise
    share = (step - rise) / max(1.0, loop.steps - rise)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def take_step(
    network: SurfaceNetwork,
    average: SurfaceNetwork,
    optimizer: torch.optim.Optimizer,
    pool: Pool,
    settings: TrainSettings,
    step: int,
    rate: float,
    *,
    remember: bool = True,
) -> dict[str, Tensor]:
    """Learn from one batch, in place.

    Parameters
    ----------
    network, average : SurfaceNetwork
        What learns, and what follows it.
    optimizer : Optimizer
        Of the network's weights.
    pool : Pool
    settings : TrainSettings
    step : int
        How many there were before.
    rate : float
        Share of the greatest learning rate, 0..1.
    remember : bool
        Whether the pool learns how hard the examples are to this network.

    Returns
    -------
    dict of str to Tensor
        The parts of the loss.
    """
    loop = settings.loop
    for group in optimizer.param_groups:
        group["lr"] = loop.rate * rate
    rng = np.random.default_rng([settings.examples.seed, 7, step])
    batch = pool.draw(rng, loop.batch, loop.damaged)
    network.train()
    with torch.autocast(pool.device.type, torch.bfloat16, enabled=loop.bfloat16):
        answer = network(*(batch[name].float() for name in Views._fields))
    answer = Answer(*(part.float() for part in answer))
    if remember:
        pool.learn(answer.events)
    parts = losses(answer, batch, settings.loss)
    total = torch.stack(list(parts.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call,unused-ignore]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    optimizer.step()
    _follow(average, network, min(loop.average, 1.0 - 1.0 / (step + 2)))
    return parts


@torch.no_grad()
def _follow(average: SurfaceNetwork, network: SurfaceNetwork, keep: float) -> None:
    """Draw the average towards the network."""
    own, theirs = average.state_dict().values(), network.state_dict().values()
    pairs = list(zip(own, theirs, strict=True))
    numbers = [pair for pair in pairs if pair[0].dtype.is_floating_point]
    torch._foreach_lerp_([a for a, _ in numbers], [b for _, b in numbers], 1.0 - keep)
    for counted, latest in pairs:
        if not counted.dtype.is_floating_point:
            counted.copy_(latest)


def _as_plain(settings: TrainSettings) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def _load(folder: Path, settings: TrainSettings) -> dict[str, Any] | None:
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["settings"] != _as_plain(settings):
        raise SettingsError(
            f"{path}: was made with other settings; give another folder, or those settings"
        )
    return state


def _save(
    folder: Path,
    settings: TrainSettings,
    sources: Sources,
    network: SurfaceNetwork,
    average: SurfaceNetwork,
    optimizer: torch.optim.Optimizer,
    pool: Pool,
    step: int,
    spent: float,
    log: list[dict[str, float]],
) -> None:
    """Write the checkpoint and the record, each at once."""
    state = {
        "settings": _as_plain(settings),
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "hardness": pool.hardness.cpu(),
        "step": step,
        "spent_s": spent,
        "log": log,
    }
    pending = folder / f"{CHECKPOINT}.part"
    torch.save(state, pending)
    pending.replace(folder / CHECKPOINT)
    record = {
        "schema": "declick-run/1",
        "settings": _as_plain(settings),
        "parameters": count_parameters(network),
        "step": step,
        "spent_s": round(spent, 1),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "device": str(next(network.parameters()).device),
        "log": log,
    }
    pending = folder / f"{RECORD}.part"
    pending.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    pending.replace(folder / RECORD)


def load_network(folder: Path) -> tuple[SurfaceNetwork, dict[str, Any]]:
    """Return the averaged network of a run, and its state.

    Raises
    ------
    ReadError
        If there is no checkpoint.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise ReadError(f"{folder}: holds no {CHECKPOINT}; train first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    network = SurfaceNetwork(NetworkSettings.of(state["settings"]["network"]))
    if state["settings"]["loop"]["start"]:
        network = fold(network)
    network.load_state_dict(state["average"])
    network.eval()
    return network, state
