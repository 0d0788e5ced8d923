"""declick, run as its users run it: by the same rules as everybody else."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import declick
from declick.bench.peers.peer import Cost
from declick.bench.peers.program import Program, duration_s
from declick.bench.peers.running import run


@dataclass(frozen=True, kw_only=True)
class Declick(Program):
    """The very copy of declick that runs now."""

    name: str = "declick"
    detector: str | None = None
    install: str = "pip install declick"
    setting: str = "sensitivity"
    default: float = 0.5
    sweep: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    higher_is_more: bool = True
    lowest: float = 0.0
    highest: float = 1.0

    def version(self) -> str | None:
        """Return our version."""
        return declick.__version__

    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        command: list[str | Path] = [sys.executable, "-m", "declick", "restore", source, target]
        command += ["--no-report", "--quiet", "--sensitivity", f"{setting:g}"]
        if self.detector is not None:
            command += ["--detector", self.detector]
        # the copy that runs now, installed or not
        ours = str(Path(declick.__file__).parent.parent)
        paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
        return run(
            command,
            name=self.name,
            limit_s=120 + 30 * duration_s(source),
            env={"PYTHONPATH": os.pathsep.join(paths)},
        ).cost
