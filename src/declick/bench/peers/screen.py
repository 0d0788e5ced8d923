"""A screen that nobody sees, for peers that have nothing but windows."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from declick.bench.peers.peer import PeerError
from declick.bench.peers.running import kill_session, mortal

_START_S = 30.0


def missing(programs: Sequence[str]) -> list[str]:
    """Return the programs that are not on the PATH."""
    return [program for program in programs if shutil.which(program) is None]


@contextlib.contextmanager
def screen(*, window_manager: bool = False) -> Iterator[dict[str, str]]:
    """Hold a screen of its own number open.

    Parameters
    ----------
    window_manager : bool
        Whether openbox runs on it: without one, no window gets the keyboard.

    Yields
    ------
    dict
        Variables for the programs that are to appear on it.

    Raises
    ------
    PeerError
        If Xvfb cannot be started.
    """
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24"]
    server = _start([*command, "-nolisten", "tcp"], keep=(writing,))
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], _START_S)
        number = os.read(reading, 16).decode().strip() if ready else ""
        if not number:
            raise PeerError("Xvfb: opens no screen; look whether it runs at all: Xvfb :99")
        wanted = {"DISPLAY": f":{number}", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"}
        wanted |= {"LC_ALL": "C.UTF-8", "PULSE_SERVER": "none", "SDL_AUDIODRIVER": "dummy"}
        manager = _start(["openbox"], env=wanted) if window_manager else None
        try:
            yield wanted
        finally:
            if manager is not None:
                kill_session(manager)
    finally:
        os.close(reading)
        server.terminate()  # killed outright, it would leave its lock behind
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5)
        kill_session(server)


def own_home(folder: Path) -> dict[str, str]:
    """Make a home without history in a folder: settings of a user must not reach a benchmark."""
    variables = {
        "HOME": folder,
        "XDG_CONFIG_HOME": folder / ".config",
        "XDG_DATA_HOME": folder / ".local" / "share",
        "XDG_CACHE_HOME": folder / ".cache",
    }
    for path in variables.values():
        path.mkdir(parents=True, exist_ok=True)
    return {name: str(path) for name, path in variables.items()}


def _start(
    command: list[str], *, env: dict[str, str] | None = None, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    if missing(command[:1]):
        raise PeerError(f"{command[0]}: not installed; apt-get install xvfb openbox")
    return subprocess.Popen(
        [*mortal(), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        pass_fds=keep,
        start_new_session=True,
    )
