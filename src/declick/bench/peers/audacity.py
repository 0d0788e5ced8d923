"""Audacity: its effect Click Removal, and its effect Repair on regions that somebody points out."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from declick.bench.peers.aligned import check_aligned
from declick.bench.peers.audacity_session import MODULE, PROGRAMS, Session, audacity
from declick.bench.peers.peer import Cost, PeerError
from declick.bench.peers.program import (
    Program,
    check_source,
    debian_version,
    duration_s,
    put,
)
from declick.bench.peers.screen import missing

LONGEST_REPAIR = 128  # frames; Audacity refuses more
_WIDTH = 20
_SESSION_S = 1200.0  # of sound; undo history fills the disk, so start anew after that


@dataclass(frozen=True, kw_only=True)
class Audacity(Program):
    """Click Removal, at its default width of 20."""

    name: str = "audacity"
    install: str = "apt-get install audacity xvfb openbox xdotool"
    setting: str = "threshold"
    default: float = 200.0
    sweep: tuple[float, ...] = (400.0, 200.0, 100.0, 50.0, 25.0)
    higher_is_more: bool = False
    lowest: float = 1.0
    highest: float = 900.0

    def version(self) -> str | None:
        """Return the version of the Debian package: the program tells it only in a window."""
        if missing(PROGRAMS) or not MODULE.exists():
            return None
        return debian_version("audacity")

    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        (cost,) = self._mend_all([(source, target)], setting)
        return cost

    def _mend_all(self, pairs: Sequence[tuple[Path, Path]], setting: float) -> list[Cost]:
        """Mend many in one start, as a user would with a folder of sides."""

        def remove_clicks(session: Session, source: Path) -> None:
            session.must("SelectAll:")
            # it says Failed, after a box, where it finds nothing
            session.do(
                f"ClickRemoval: Threshold={setting:g} Width={_WIDTH}",
                limit_s=60 + 5 * duration_s(source),
                box=True,
            )

        costs: list[Cost] = []
        for batch in _batches(pairs):
            costs += _edit(batch, remove_clicks)
        return costs


def repair_regions(source: Path, target: Path, regions: Sequence[tuple[int, int]]) -> Cost:
    """Let Audacity's Repair interpolate given regions, in both channels.

    Parameters
    ----------
    source, target : Path
        As for ``Peer.clean``.
    regions : sequence of (int, int)
        Half-open frames. What is longer than ``LONGEST_REPAIR`` is passed over, since Audacity
        refuses it. Regions that overlap or touch should be joined before.

    Returns
    -------
    Cost
        Of Audacity, start included.

    Raises
    ------
    PeerError
        As for ``Peer.clean``.
    """
    peer = Audacity()
    if peer.version() is None:
        raise PeerError(f"audacity: not installed; {peer.install}")
    check_source("audacity", source)
    frames = soundfile.info(source).frames

    def repair(session: Session, source: Path) -> None:
        for start, stop in regions:
            if not 0 <= start < stop <= frames:
                raise PeerError(f"audacity: region {start}..{stop} is outside {source}")
            if stop - start > LONGEST_REPAIR:
                continue
            session.must(
                f"Select: Start={start / 44100:.9f} End={stop / 44100:.9f} Track=0 TrackCount=2"
            )
            session.do("Repair:", box=True)

    with tempfile.TemporaryDirectory(prefix="declick-peer-") as name:
        draft = Path(name) / "mended.wav"
        (cost,) = _edit([(source, draft)], repair)
        check_aligned("audacity", source, draft)
        put(draft, target)
    return cost


def _edit(pairs: Sequence[tuple[Path, Path]], edit: Callable[[Session, Path], None]) -> list[Cost]:
    """Import, edit and export files in one start; start and end are shared out equally."""
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="declick-audacity-") as name:
        folder = Path(name)
        with audacity(folder) as session:
            start_wall_s, start_cpu_s = session.meter.wall_s, session.cpu_s()
            for source, draft in pairs:
                began_s, used_s = time.monotonic(), session.cpu_s()
                limit_s = 60 + 2 * duration_s(source)
                shutil.copyfile(source, folder / "given.wav")
                session.must("Import2: Filename=/tmp/given.wav", limit_s=limit_s)
                edit(session, source)
                session.must("SelectAll:")  # it exports what is selected
                session.must("Export2: Filename=/tmp/mended.wav NumChannels=2", limit_s=limit_s)
                session.must("RemoveTracks:")
                costs.append(
                    Cost(
                        wall_s=time.monotonic() - began_s + start_wall_s / len(pairs),
                        cpu_s=session.cpu_s() - used_s + start_cpu_s / len(pairs),
                        peak_mb=session.meter.peak_mb,
                    )
                )
                shutil.move(folder / "mended.wav", draft)
    return costs


def _batches(pairs: Sequence[tuple[Path, Path]]) -> list[list[tuple[Path, Path]]]:
    """Return the pairs in order, cut so that no session holds too much sound."""
    batches: list[list[tuple[Path, Path]]] = []
    held_s = 0.0
    for pair in pairs:
        length_s = duration_s(pair[0])
        if not batches or held_s + length_s > _SESSION_S:
            batches.append([])
            held_s = 0.0
        batches[-1].append(pair)
        held_s += length_s
    return batches
