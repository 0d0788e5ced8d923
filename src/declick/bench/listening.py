"""What is heard in a blind test: the strongest damage of each set, as every tool leaves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from declick.bench.abx import REFERENCE, AbxItem, write_abx
from declick.bench.corpus import GIVEN, RATE, SEED, SIDE, Item, Made, make
from declick.bench.metrics import Event, events_of
from declick.bench.peers import Peer, PeerError
from declick.bench.run import Plan, Say, prepare
from declick.bench.score import read_sound
from declick.clicks import FloatArray
from declick.damage.bank import Bank
from declick.wording import count_of

_PIECES = 2  # of music, for each set


def make_pack(
    plan: Plan, peers: Mapping[str, Peer], target: Path, *, folder: Path, say: Say = print
) -> Path:
    """Mend a few pieces with every tool at its default, and write a listening pack.

    Parameters
    ----------
    plan : Plan
    peers : mapping of str to Peer
        Holds ``plan.tools``; those that are not installed are passed over.
    target : Path
        The folder of the pack.
    folder : Path
        For the sounds in between.
    say : callable
        Gets a line of progress at a time.

    Returns
    -------
    Path
        The key.

    Raises
    ------
    DeclickError
        As `declick.bench.run.measure` and `declick.bench.abx.write_abx` do.
    """
    ready = prepare(plan, peers)
    chosen = choose(ready.items)
    tools = [peers[tool] for tool in plan.tools if peers[tool].version() is not None]
    return write_abx(target, _mended(chosen, tools, ready.bank, folder, say), SEED)


def choose(items: Sequence[Item]) -> list[Item]:
    """Return two pieces of each set that has damage, other ones for each set."""
    chosen: list[Item] = []
    names = dict.fromkeys(item.set for item in items if item.set not in ("control", GIVEN, SIDE))
    for number, name in enumerate(names):
        of_set = [item for item in items if item.set == name]
        for k in range(min(_PIECES, len(of_set))):
            chosen.append(of_set[(_PIECES * number + k) % len(of_set)])
    return chosen


def strongest(clean: FloatArray, worn: FloatArray, events: Sequence[Event]) -> Event:
    """Return the event with the most energy of damage over the music around it."""

    def strength(event: Event) -> float:
        around = slice(max(0, event.start - RATE // 10), event.tail + RATE // 10)
        damage = worn[event.start : event.tail] - clean[event.start : event.tail]
        return float(np.sum(damage**2) / (np.mean(clean[around] ** 2) + 1e-12))

    return max(events, key=strength)


def _mended(
    items: Sequence[Item], tools: Sequence[Peer], bank: Bank | None, folder: Path, say: Say
) -> Iterator[AbxItem]:
    for item in items:
        made = make(item, folder, bank)
        if not made.clicks:
            continue
        sounds = {REFERENCE: read_sound(made.clean), "worn": read_sound(made.worn)}
        for tool in tools:
            restored = _restored(tool, made)
            if restored is not None:
                sounds[tool.name] = restored
        event = strongest(sounds[REFERENCE], sounds["worn"], events_of(made.clicks, RATE))
        say(f"{item.name}: {count_of(len(sounds) - 1, 'sound')} against the clean one")
        yield AbxItem(
            name=item.name, sample_rate=RATE, start=event.start, stop=event.tail, sounds=sounds
        )


def _restored(tool: Peer, made: Made) -> FloatArray | None:
    target = made.worn.with_name(f"{made.item.source}.{tool.name}.wav")
    target.unlink(missing_ok=True)
    try:
        tool.clean(made.worn, target)
        return read_sound(target)
    except PeerError:
        return None
