"""Run a program to its end and say what it has cost; nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from declick.bench.peers.peer import Cost, PeerError

_POLL_S = 0.02
_TICKS_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that has ended well: what it said, and what it has cost."""

    output: str
    cost: Cost


def run(
    command: Sequence[str | Path],
    *,
    name: str,
    limit_s: float,
    idle_limit_s: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Finished:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments.
    name : str
        What errors call it.
    limit_s : float
        Killed after this time by the clock.
    idle_limit_s : float
        Killed when it, with all that it started, has used no processor for so long: a program
        with windows that waits for an answer does that.
    env : mapping, optional
        Variables on top of our own.
    cwd : Path, optional
        Where it runs.

    Returns
    -------
    Finished
        Standard output and error together, and the cost.

    Raises
    ------
    PeerError
        If it cannot be started, exits with another status than 0, or hangs.
    """
    if shutil.which(command[0]) is None:
        raise PeerError(f"{name}: cannot be started (no program {command[0]})")
    with tempfile.TemporaryFile() as said:
        meter = Meter()
        try:
            program = subprocess.Popen(
                [*mortal(), *(os.fspath(word) for word in command)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise PeerError(f"{name}: cannot be started ({error.strerror or error})") from None
        used_s, idle_since = 0.0, time.monotonic()
        try:
            while (ended := _ended(program)) is None:
                now_s = meter.look(program.pid)
                if now_s != used_s:
                    used_s, idle_since = now_s, time.monotonic()
                if meter.wall_s > limit_s:
                    raise PeerError(f"{name}: not ready after {limit_s:.0f} s; killed")
                if time.monotonic() - idle_since > idle_limit_s:
                    raise PeerError(f"{name}: hangs, idle for {idle_limit_s:.0f} s; killed")
                time.sleep(_POLL_S if meter.wall_s > 0.2 else 0.002)
            wall_s = meter.wall_s
        finally:
            kill_session(program)
        status, waited_s = ended
        said.seek(0)
        output = said.read().decode("utf-8", "replace")
    if status != 0:
        raise PeerError(f"{name}: failed with status {status} ({last_line(output)})")
    # A child that nobody waits for, as the server that workers are forked from, is seen alive only.
    spent_s = max(waited_s, meter.cpu_s)
    return Finished(output=output, cost=Cost(wall_s=wall_s, cpu_s=spent_s, peak_mb=meter.peak_mb))


def mortal() -> list[str]:
    """Return words before a command that let it die with us, even if we are killed outright."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def kill_session(program: subprocess.Popen[bytes]) -> None:
    """Kill a program that leads a session of its own, and what is left of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def last_line(output: str) -> str:
    """Return the last line that says something: where programs put their reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _ended(program: subprocess.Popen[bytes]) -> tuple[int, float] | None:
    """Return status and processor time of a program and all its waited-for children, if ended."""
    pid, status, usage = os.wait4(program.pid, os.WNOHANG)
    if pid == 0:
        return None
    program.returncode = os.waitstatus_to_exitcode(status)
    return program.returncode, usage.ru_utime + usage.ru_stime


@dataclass(kw_only=True)
class Meter:
    """Watches a process tree through /proc; where there is none, memory stays 0.

    The kernel's own ``ru_maxrss`` is no use: a child inherits the peak of whoever forked it.
    """

    started: float = field(default_factory=time.monotonic)
    peak_mb: float = 0.0
    cpu_s: float = 0.0

    @property
    def wall_s(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    def look(self, root: int) -> float:
        """Take note of a tree's memory; return the processor time of the living part of it."""
        pids = tree_of(root)
        if len(pids) == 1:
            self.peak_mb = max(self.peak_mb, _memory_mb(pids[0], "status", "VmHWM:"))
        else:  # pages that several share count once
            total = sum(_memory_mb(pid, "smaps_rollup", "Pss:") for pid in pids)
            self.peak_mb = max(self.peak_mb, total)
        now_s = sum(cpu_s(pid) for pid in pids)
        self.cpu_s = max(self.cpu_s, now_s)
        return now_s


def tree_of(root: int) -> list[int]:
    """Return a process and its living descendants."""
    pids, index = [root], 0
    while index < len(pids):
        for tasks in _read(pids[index], "task"):
            pids += [int(child) for child in tasks.split()]
        index += 1
    return pids


def cpu_s(pid: int) -> float:
    """Return the processor time of one process and of its children that have ended."""
    for text in _read(pid, "stat"):
        fields = text.rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_HZ
    return 0.0


def state(pid: int) -> str:
    """Return what a process does, as a letter: R runs or wants to, D waits for a disk, S sleeps."""
    for text in _read(pid, "stat"):
        return text.rpartition(")")[2].split()[0]
    return "X"


def _memory_mb(pid: int, name: str, key: str) -> float:
    for text in _read(pid, name):
        for line in text.splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


def _read(pid: int, name: str) -> list[str]:
    """Read a file of /proc; the children of every thread under the name ``task``."""
    folder = Path(f"/proc/{pid}")
    try:
        if name == "task":
            return [(task / "children").read_text() for task in (folder / "task").iterdir()]
        return [(folder / name).read_text()]
    except (OSError, UnicodeDecodeError):  # it has just ended
        return []
