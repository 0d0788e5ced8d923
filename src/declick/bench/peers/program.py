"""What all peers share: checks around a run, and a target that is written whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from declick.bench.peers.aligned import check_aligned
from declick.bench.peers.peer import Cost, PeerError
from declick.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Program(ABC):
    """A peer that is a program: see ``Peer`` for its attributes.

    Attributes
    ----------
    lowest, highest : float
        What the program allows as a setting.
    """

    name: str
    install: str
    setting: str
    default: float
    sweep: tuple[float, ...]
    higher_is_more: bool
    lowest: float = -math.inf
    highest: float = math.inf

    @abstractmethod
    def version(self) -> str | None:
        """Return the version that is installed, or None if there is none."""

    @abstractmethod
    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        """Run the program; the folder of the target is empty and its own."""

    def clean(self, source: Path, target: Path, *, setting: float | None = None) -> Cost:
        """Mend one file; see ``Peer.clean``."""
        (cost,) = self.clean_all([(source, target)], setting=setting)
        return cost

    def clean_all(
        self, pairs: Sequence[tuple[Path, Path]], *, setting: float | None = None
    ) -> list[Cost]:
        """Mend several files; see ``Peer.clean_all``."""
        value = self._checked(setting)
        if self.version() is None:
            raise PeerError(f"{self.name}: not installed; {self.install}")
        with tempfile.TemporaryDirectory(prefix="declick-peer-") as name:
            folder = Path(name)
            drafts = []
            for number, (source, target) in enumerate(pairs):
                check_source(self.name, source)
                (folder / str(number)).mkdir()
                drafts.append((source.resolve(), folder / str(number) / "mended.wav", target))
            costs = self._mend_all([draft[:2] for draft in drafts], value)
            for source, draft, target in drafts:
                check_aligned(self.name, source, draft)
                put(draft, target)
        return costs

    def _mend_all(self, pairs: Sequence[tuple[Path, Path]], setting: float) -> list[Cost]:
        """Run the program on each; overridden where one start can serve many."""
        return [self._mend(source, draft, setting) for source, draft in pairs]

    def _checked(self, setting: float | None) -> float:
        value = self.default if setting is None else setting
        if not self.lowest <= value <= self.highest:
            raise SettingsError(
                f"{self.name}: {self.setting} {value:g} is outside "
                f"{self.lowest:g}..{self.highest:g}"
            )
        return value


def check_source(name: str, source: Path) -> None:
    """Refuse what some peers could not read, so that all are given the same."""
    try:
        info = soundfile.info(source)
    except (OSError, soundfile.LibsndfileError):
        raise PeerError(f"{name}: {source} cannot be read; give a WAV file") from None
    found = (info.format, info.subtype, info.samplerate, info.channels)
    if found != ("WAV", "PCM_24", 44100, 2):
        raise PeerError(
            f"{name}: {source} is {info.format} {info.subtype}, {info.samplerate} Hz, "
            f"{info.channels} channels; peers are given WAV PCM_24, 44100 Hz, 2 channels"
        )


def duration_s(source: Path) -> float:
    """Return the length of a sound file."""
    return float(soundfile.info(source).duration)


def put(draft: Path, target: Path) -> None:
    """Move a finished file to its place, so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    shutil.move(draft, beside)
    beside.replace(target)


def in_share(whole: Cost, sources: Sequence[Path]) -> list[Cost]:
    """Share the cost of one start out among its files, by their length; the peak is each one's."""
    lengths = [duration_s(source) for source in sources]
    total = sum(lengths) or 1.0
    return [
        Cost(
            wall_s=whole.wall_s * length / total,
            cpu_s=whole.cpu_s * length / total,
            peak_mb=whole.peak_mb,
        )
        for length in lengths
    ]


def first_line(command: Sequence[str | Path]) -> str | None:
    """Return the first line that a command says, or None if it cannot be run."""
    try:
        done = subprocess.run(
            [os.fspath(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), "")


def debian_version(package: str) -> str:
    """Return the version of a Debian package: for programs that do not tell it themselves."""
    return first_line(["dpkg-query", "-W", "-f", "${Version}", package]) or "of unknown version"
