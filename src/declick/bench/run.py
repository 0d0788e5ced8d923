"""Run tools over a corpus, in turn, and score what they give back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from declick import damage
from declick.bench.corpus import (
    GIVEN,
    SEED,
    SIDE,
    Item,
    Made,
    describe_bank,
    find_music,
    gather_bank,
    list_items,
    list_recordings,
    make,
)
from declick.bench.given import REPAIRERS, regions_of
from declick.bench.journal import Journal
from declick.bench.peers import Cost, Peer, PeerError
from declick.bench.quality import quality_version
from declick.bench.rows import Cell
from declick.bench.score import Task, score
from declick.damage.bank import Bank
from declick.damage.sets import SETS
from declick.errors import SettingsError
from declick.parallel import Workers

ALL_SETS = (*SETS, GIVEN, SIDE)
# At every setting: what a tool gains on a worn record, and what it costs on a clean one.
SWEEP_SETS = ("control", "worn")
# Rooms of `declick.damage` that no sound of the benchmark depends on.
_LAYING_NOTHING = ("dataset", "differences", "pairs")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured.

    Parameters
    ----------
    clean : Path
        A folder of clean recordings.
    groove : Path, optional
        A folder of silent groove to harvest, or a click bank; without it there are no real clicks.
    tools : tuple of str
    sets : tuple of str
        Of `ALL_SETS`.
    split : str
        "report", "tune" or "all".
    seconds : float
        Length of each excerpt.
    side_minutes : float
        Length of the side.
    sweep : bool
        Whether to run every tool at all its settings, on `SWEEP_SETS`.
    jobs : int
        Processes that make and score items; tools run one at a time.
    quality : bool
        Whether to score with ViSQOL, too, where it is installed.
    again : tuple of str
        Tools whose earlier scores are dropped.
    """

    clean: Path
    groove: Path | None = None
    tools: tuple[str, ...] = ()
    sets: tuple[str, ...] = ALL_SETS
    split: str = "report"
    seconds: float = 8.0
    side_minutes: float = 10.0
    sweep: bool = False
    jobs: int = 1
    quality: bool = True
    again: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run has measured.

    Parameters
    ----------
    corpus : dict
        What was mended.
    missing : dict
        Why sets have no items, by set.
    absent : tuple of str
        Tools that were asked for and are not installed.
    cells : list of dict
    """

    corpus: dict[str, Any]
    missing: dict[str, str]
    absent: tuple[str, ...]
    cells: list[Cell]


def measure(
    plan: Plan,
    peers: Mapping[str, Peer],
    *,
    journal: Path,
    folder: Path,
    keep: bool = False,
    resume: bool = False,
    say: Say = print,
) -> Measured:
    """Make the corpus, run every tool on it, and score.

    Within a set the tools run one after the other, each set beginning with another tool, so that
    none of them has the machine's better hours to itself.

    Parameters
    ----------
    plan : Plan
    peers : mapping of str to Peer
        Holds ``plan.tools``; those that are not installed are passed over.
    journal : Path
        Where scores are saved as they come.
    folder : Path
        For the sounds.
    keep : bool
        Whether the sounds are left there.
    resume : bool
        Whether scores in the journal are taken as they are.
    say : callable
        Gets a line of progress at a time.

    Raises
    ------
    DeclickError
        If the music cannot be read, the plan cannot be, or the journal is of another corpus.
    """
    ready = prepare(plan, peers)
    items, bank, missing = ready.items, ready.bank, ready.missing
    if (there := len(list_recordings(plan.clean))) > len(ready.music):
        say(f"{len(ready.music)} of {there} pieces: the {plan.split} half (--split all takes all)")
    wanted = [name for name in plan.sets if name not in missing]
    corpus = {
        "seed": SEED,
        "split": plan.split,
        "seconds": plan.seconds,
        "side_minutes": plan.side_minutes,
        "music": {path.stem: _sha256(path)[:16] for path in ready.music},
        "real_clicks": describe_bank(bank),
        "damage": _damage_hash()[:16],
    }
    book = Journal(journal, corpus, resume=resume)
    for tool in plan.again:
        book.forget(tool)
    versions = {tool: peers[tool].version() for tool in plan.tools}
    tools = [tool for tool in plan.tools if versions[tool] is not None]
    with Workers(plan.jobs) as workers:
        for number, name in enumerate(wanted):
            turn = number % max(1, len(tools))
            runs = [
                (tool, setting)
                for tool in tools[turn:] + tools[:turn]
                if name != GIVEN or tool in REPAIRERS
                for setting in _settings(peers[tool], name, plan.sweep)
            ]
            chosen = [item for item in items if item.set == name]
            todo = {
                (tool, setting): [
                    item
                    for item in chosen
                    if (tool, versions[tool], setting, item.name) not in book
                ]
                for tool, setting in runs
            }
            due = {item.name for some in todo.values() for item in some}
            made = _make_all([item for item in chosen if item.name in due], folder, bank, workers)
            for (tool, setting), some in todo.items():
                if not some:
                    continue
                started = time.monotonic()
                peer = peers[tool]
                known = {cell["item"] for cell in book.cells if cell.get("mos_worn") is not None}
                some_made = [made[item.name] for item in some]
                for cell in _run(peer, setting, some_made, plan, keep, known, workers):
                    book.add({"tool": tool, "version": versions[tool], **cell})
                took = time.monotonic() - started
                say(f"{name}: {tool} at {setting:g}, {len(some)} items, {took:.1f} s")
            if not keep:
                for one in made.values():
                    one.clean.unlink()
                    one.worn.unlink()
    absent = tuple(tool for tool in plan.tools if versions[tool] is None)
    return Measured(corpus=corpus, missing=missing, absent=absent, cells=book.cells)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a plan comes to: the music, the items, the real clicks, and why sets are missing."""

    music: list[Path]
    items: list[Item]
    bank: Bank | None
    missing: dict[str, str]


def prepare(plan: Plan, peers: Mapping[str, Peer]) -> Ready:
    """Check a plan, and list what it is to mend.

    Raises
    ------
    DeclickError
        If the plan cannot be, or the music cannot be read.
    """
    _check(plan, peers)
    music = find_music(plan.clean, plan.split)
    bank = gather_bank(plan.groove) if "real" in plan.sets else None
    missing = {"real": "no bank"} if "real" in plan.sets and bank is None else {}
    wanted = [name for name in plan.sets if name not in missing]
    items = list_items(music, wanted, seconds=plan.seconds, side_s=60 * plan.side_minutes)
    if "percussive" in wanted and not any(item.set == "percussive" for item in items):
        missing["percussive"] = "no percussive music"
    return Ready(music=music, items=items, bank=bank, missing=missing)


def _check(plan: Plan, peers: Mapping[str, Peer]) -> None:
    for words, known, what in (
        (plan.tools + plan.again, peers, "tool"),
        (plan.sets, ALL_SETS, "set"),
    ):
        unknown = [word for word in words if word not in known]
        if unknown:
            raise SettingsError(
                f"there is no {what} {unknown[0]!r}; choose from {', '.join(known)}"
            )
        if not words:
            raise SettingsError(f"give at least one {what}")
    if not 2.0 <= plan.seconds <= 600.0:
        raise SettingsError(f"--seconds {plan.seconds:g}: it must be between 2 and 600")
    if not 0.1 <= plan.side_minutes <= 60.0:
        raise SettingsError(f"--side-minutes {plan.side_minutes:g}: it must be between 0.1 and 60")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage_hash() -> str:
    """Return a hash of the code that lays damage on; scores of other damage do not count."""
    found = Path(damage.__file__).parent.glob("*.py")
    parts = sorted(path for path in found if path.stem not in _LAYING_NOTHING)
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()


def _settings(peer: Peer, name: str, sweep: bool) -> list[float]:
    """Return the default, then the others that a set is to be run at."""
    others = [value for value in peer.sweep if value != peer.default]
    return [peer.default, *(others if sweep and name in SWEEP_SETS else ())]


def _make_all(
    items: Sequence[Item], folder: Path, bank: Bank | None, workers: Workers
) -> dict[str, Made]:
    # Other sets need no bank, which would be sent to every process.
    bank = bank if any(item.set == "real" for item in items) else None
    made = workers.map(partial(make, folder=folder, bank=bank), items)
    return {one.item.name: one for one in made}


def _run(
    peer: Peer,
    setting: float,
    items: Sequence[Made],
    plan: Plan,
    keep: bool,
    known: Set[str],
    workers: Workers,
) -> list[Cell]:
    """Run one tool at one setting on some items, and score.

    Of the items in `known`, the quality of the worn sound has been scored before.
    """
    at_default = setting == peer.default
    label = peer.name if at_default else f"{peer.name}@{setting:g}"
    targets = [made.worn.with_name(f"{made.item.source}.{label}.wav") for made in items]
    for target in targets:
        target.unlink(missing_ok=True)
    if items[0].item.set == GIVEN:
        costs = [_repair(peer.name, one, path) for one, path in zip(items, targets, strict=True)]
    else:
        costs = _mend(peer, setting, list(zip([m.worn for m in items], targets, strict=True)))
    with_quality = plan.quality and at_default and quality_version() is not None
    tasks = [
        Task(
            made=made,
            restored=target,
            with_quality=with_quality and made.item.set not in ("control", GIVEN, SIDE),
            with_worn=made.item.name not in known,
        )
        for made, target, cost in zip(items, targets, costs, strict=True)
        if isinstance(cost, Cost)
    ]
    scores = workers.map(score, tasks)
    cells: list[Cell] = []
    for made, cost in zip(items, costs, strict=True):
        cell: Cell = {"setting": setting, "set": made.item.set, "item": made.item.name}
        if isinstance(cost, Cost):
            cell |= next(scores)
            cell["cost"] = {
                "wall_s": round(cost.wall_s, 3),
                "cpu_s": round(cost.cpu_s, 3),
                "peak_mb": round(cost.peak_mb, 1),
            }
        else:
            cell["error"] = cost
        cells.append(cell)
    if not keep:
        for target in targets:
            target.unlink(missing_ok=True)
    return cells


def _repair(tool: str, made: Made, target: Path) -> Cost | str:
    """Tell a tool the places; return its cost, or what went wrong."""
    try:
        return REPAIRERS[tool](made.worn, target, regions_of(made))
    except PeerError as error:
        return str(error)


def _mend(peer: Peer, setting: float, pairs: list[tuple[Path, Path]]) -> list[Cost | str]:
    """Return the cost of each file, or what went wrong with it."""
    try:
        return list(peer.clean_all(pairs, setting=setting))
    except PeerError as error:
        if len(pairs) == 1:
            return [str(error)]
    # One file that a tool stumbles over does not cost the others.
    return [_mend(peer, setting, [pair])[0] for pair in pairs]
