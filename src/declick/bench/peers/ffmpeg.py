"""The filter ``adeclick`` of FFmpeg, in both its ways to overlap windows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from declick.bench.peers.peer import Cost
from declick.bench.peers.program import Program, duration_s, first_line
from declick.bench.peers.running import run


@dataclass(frozen=True, kw_only=True)
class Ffmpeg(Program):
    """FFmpeg adeclick.

    Attributes
    ----------
    method : {'a', 's'}
        Overlap-add, the default of FFmpeg, which modulates all of the sound a little; or
        overlap-save, which leaves what it does not mend alone.
    """

    method: str
    install: str = "apt-get install ffmpeg"
    setting: str = "threshold"
    default: float = 2.0
    sweep: tuple[float, ...] = (8.0, 4.0, 2.0, 1.5, 1.25)
    higher_is_more: bool = False
    lowest: float = 1.0
    highest: float = 100.0

    def version(self) -> str | None:
        """Return the version of FFmpeg."""
        line = first_line(["ffmpeg", "-version"]) if shutil.which("ffmpeg") else None
        return None if line is None else line.removeprefix("ffmpeg version ").split(" ")[0]

    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        command: list[str | Path] = ["ffmpeg", "-nostdin", "-v", "error", "-i", source]
        command += ["-af", f"adeclick=t={setting:g}:m={self.method}", "-c:a", "pcm_s24le"]
        limit_s = 60 + 10 * duration_s(source)
        return run([*command, target], name=self.name, limit_s=limit_s).cost
