"""Gtk Wave Cleaner, in its batch mode; it has no other screen than a real one, and edits in place.

A home without ``~/.cache`` makes it open a box and wait for ever, so it is given one; strings in
the header of a WAV (FFmpeg writes some) do the same, so it is given a plain copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from declick.bench.peers.peer import Cost, PeerError
from declick.bench.peers.program import Program, debian_version, duration_s
from declick.bench.peers.running import last_line, run
from declick.bench.peers.screen import missing, own_home, screen


@dataclass(frozen=True, kw_only=True)
class Gwc(Program):
    """Declick of Gtk Wave Cleaner: its FFT detector, which a fresh start takes.

    The default is that of its button "Declick weak"; "Declick strong" is 5. Decibels over the
    neighbourhood, that is: lower takes more.
    """

    name: str = "gwc"
    install: str = "apt-get install gwc xvfb"
    setting: str = "sensitivity"
    default: float = 3.0
    sweep: tuple[float, ...] = (8.0, 5.0, 4.0, 3.0, 2.0)
    higher_is_more: bool = False
    lowest: float = 0.5
    highest: float = 50.0

    def version(self) -> str | None:
        """Return the version of the Debian package, without which it does not tell its own."""
        if missing(["gtk-wave-cleaner", "Xvfb"]):
            return None
        return debian_version("gwc")

    def _mend(self, source: Path, target: Path, setting: float) -> Cost:
        (cost,) = self._mend_all([(source, target)], setting)
        return cost

    def _mend_all(self, pairs: Sequence[tuple[Path, Path]], setting: float) -> list[Cost]:
        """Start it anew for each file, on one screen."""
        with screen() as variables:
            return [self._mend_on(variables, *pair, setting) for pair in pairs]

    def _mend_on(
        self, variables: dict[str, str], source: Path, target: Path, setting: float
    ) -> Cost:
        samples, sample_rate = soundfile.read(source, dtype="int32", always_2d=True)
        soundfile.write(target, samples, sample_rate, subtype="PCM_24", format="WAV")
        done = run(
            ["gtk-wave-cleaner", target.name, "batchs", "declick", f"{setting:g}", "0", "end"],
            name=self.name,
            limit_s=60 + 10 * duration_s(source),
            idle_limit_s=20,
            env=variables | own_home(target.parent / "home"),
            cwd=target.parent,
        )
        if "clicks repaired" not in done.output:  # it ends well even if it could not read
            raise PeerError(f"{self.name}: repaired nothing ({last_line(done.output)})")
        return done.cost
