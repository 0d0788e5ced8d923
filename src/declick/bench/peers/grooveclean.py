"""grooveclean: a network finds the clicks; it brings torch, so it lives in a venv of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from declick.bench.peers.peer import Cost
from declick.bench.peers.program import Program, duration_s, first_line, in_share
from declick.bench.peers.running import run

VARIABLE = "DECLICK_GROOVECLEAN"


@dataclass(frozen=True, kw_only=True)
class Grooveclean(Program):
    """Grooveclean on the processor; the default is the point it was trained for."""

    name: str = "grooveclean"
    install: str = "make peers (a venv with torch==2.13.0 and grooveclean==1.2.1)"
    setting: str = "sensitivity"
    default: float = 0.5
    sweep: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    higher_is_more: bool = True
    lowest: float = 0.0
    highest: float = 1.0

    def version(self) -> str | None:
        """Return the version of grooveclean."""
        program = find_grooveclean()
        if program is None:
            return None
        line = first_line([program, "--version"])
        return None if line is None else line.rpartition(" ")[2]

    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        (cost,) = self._mend_all([(source, target)], setting)
        return cost

    def _mend_all(self, pairs: Sequence[tuple[Path, Path]], setting: float) -> list[Cost]:
        """Hand all files to one start: loading torch takes longer than a short file."""
        if not pairs:
            return []
        program = find_grooveclean() or Path("grooveclean")
        folder = pairs[0][1].parent
        given, done = folder / "given", folder / "done"
        given.mkdir()
        for number, (source, _) in enumerate(pairs):
            (given / f"{number:05d}.wav").symlink_to(source)
        sources = [source for source, _ in pairs]
        seconds = sum(duration_s(source) for source in sources)
        command: list[str | Path] = [program, "batch", given, "-o", done, "--device", "cpu"]
        finished = run(
            [*command, "--sensitivity", f"{setting:g}"],
            name=self.name,
            limit_s=120 + 30 * seconds,
        )
        for number, (_, target) in enumerate(pairs):
            mended = done / f"{number:05d}.wav"
            if mended.exists():
                mended.rename(target)
        return in_share(finished.cost, sources)


def find_grooveclean() -> Path | None:
    """Return the program: the one the variable names, the one of ``make peers``, or the PATH's."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    installed = cache / "declick" / "peers" / "grooveclean" / "bin" / "grooveclean"
    if installed.exists():
        return installed
    found = shutil.which("grooveclean")
    return Path(found) if found else None
