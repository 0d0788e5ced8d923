"""What a peer is: a program that mends clicks, run beside us as its users run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from declick.errors import DeclickError


class PeerError(DeclickError):
    """A peer is absent, failed, hung, or gave back something that cannot be compared."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run has cost, of the program and all that it started.

    Attributes
    ----------
    wall_s : float
        Time by the clock, start of the program included.
    cpu_s : float
        Processor time, user and system, summed over the whole process tree.
    peak_mb : float
        Highest resident memory of the whole tree at one time, in MiB, as polled.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


class Peer(Protocol):
    """A program with one setting that says how much it takes away.

    Attributes
    ----------
    name : str
        The key in ``PEERS``.
    install : str
        The line to type that installs it.
    setting : str
        What the program itself calls the setting.
    default : float
        The setting that its users get.
    sweep : tuple of float
        Settings to compare at, from the mildest to the strongest; holds the default.
    higher_is_more : bool
        Whether a higher setting takes more away.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def install(self) -> str: ...  # noqa: D102
    @property
    def setting(self) -> str: ...  # noqa: D102
    @property
    def default(self) -> float: ...  # noqa: D102
    @property
    def sweep(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def higher_is_more(self) -> bool: ...  # noqa: D102

    def version(self) -> str | None:
        """Return the version that is installed, or None if there is none."""

    def clean(self, source: Path, target: Path, *, setting: float | None = None) -> Cost:
        """Mend one file.

        Parameters
        ----------
        source : Path
            WAV PCM_24, 44.1 kHz, stereo; never written to.
        target : Path
            Written as WAV PCM_24, aligned to the source sample by sample and as long.
        setting : float, optional
            In the program's own units; its default if not given.

        Returns
        -------
        Cost
            Of the program, not of our checks around it.

        Raises
        ------
        PeerError
            If it is not installed, fails, hangs, or returns other frames than it was given.
        """
        ...

    def clean_all(
        self, pairs: Sequence[tuple[Path, Path]], *, setting: float | None = None
    ) -> list[Cost]:
        """Mend several files, in one start of the program where it allows that.

        Returns
        -------
        list of Cost
            One a file, in the order of the pairs. Where one start serves many files, its cost is
            shared out: start and end in equal parts, peak memory as of the whole run.
        """
        ...
