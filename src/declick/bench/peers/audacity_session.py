"""A real Audacity, driven through mod-script-pipe on a screen that nobody sees.

The names of its pipes are fixed for each user, in /tmp; so it runs in a mount namespace of its
own, where /tmp is a folder of ours. We stay outside and reach the pipes through that folder.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from declick.bench.peers.peer import PeerError
from declick.bench.peers.running import Meter, cpu_s, kill_session, mortal, state
from declick.bench.peers.screen import missing, own_home, screen

MODULE = Path("/usr/lib/audacity/modules/mod-script-pipe.so")
PROGRAMS = ("audacity", "Xvfb", "openbox", "xdotool", "unshare")
_START_S = 120.0
_SETTLE_S = 1.5  # commands sent sooner after the window appears are lost
_REST_S = 1.0  # without work and without a reply for so long: a box is waiting for an answer
_PCM_24 = 3  # as libsndfile counts subtypes
_WAV = 0x10000
# bind mounts: the socket of the screen first, or it would be hidden by the second
_ENTER = 'mount --bind /tmp/.X11-unix "$1/.X11-unix" && mount --rbind "$1" /tmp && exec audacity'


@dataclass(kw_only=True)
class Session:
    """An Audacity that waits for commands.

    Attributes
    ----------
    folder : Path
        What Audacity sees as /tmp; hand files over in it.
    """

    folder: Path
    meter: Meter
    _program: subprocess.Popen[bytes] = field(repr=False)
    _screen: dict[str, str] = field(repr=False)
    _ask: int = -1
    _answer: int = -1

    def do(self, command: str, *, limit_s: float = 60.0, box: bool = False) -> bool:
        """Send a command and wait for the reply.

        Parameters
        ----------
        command : str
            As documented for mod-script-pipe.
        limit_s : float
            How long to wait.
        box : bool
            Whether a message box may appear, which blocks the reply for ever: it is answered with
            Return. Effects say so that they had nothing to do.

        Returns
        -------
        bool
            Whether it succeeded.
        """
        os.write(self._ask, f"{command}\n".encode())
        reply = b""
        limit, rest = time.monotonic() + limit_s, _Rest(self._program.pid)
        while not (b"BatchCommand finished" in reply and reply.endswith(b"\n\n")):
            ready, _, _ = select.select([self._answer], [], [], 0.05)
            if ready:
                reply += os.read(self._answer, 1 << 16)
                continue
            self.meter.look(self._program.pid)
            if self._program.poll() is not None:
                raise PeerError(f"audacity: ended during {command}")
            if time.monotonic() > limit:
                shown = ", ".join(title or "untitled" for title in self.windows().values())
                raise PeerError(
                    f"audacity: no reply to {command} within {limit_s:.0f} s; killed "
                    f"(windows: {shown})"
                )
            if box and rest.lasts() and len(self.windows()) > 1:
                self._xdotool("key", "Return")  # to the window in front, which is the box
        return b"finished: OK" in reply

    def must(self, command: str, *, limit_s: float = 60.0) -> None:
        """Send a command that has to succeed."""
        if not self.do(command, limit_s=limit_s):
            raise PeerError(f"audacity: failed: {command}")

    def cpu_s(self) -> float:
        """Return the processor time that it has used so far."""
        return cpu_s(self._program.pid)

    def windows(self) -> dict[str, str]:
        """Return the visible windows, by number, with their titles."""
        numbers = self._xdotool("search", "--onlyvisible", "--name", ".").split()
        return {number: self._xdotool("getwindowname", number) for number in numbers}

    def _xdotool(self, *words: str) -> str:
        done = subprocess.run(
            ["xdotool", *words],
            env={**os.environ, **self._screen},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout.strip()

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + _START_S
        while self._ask < 0 or "Audacity" not in self.windows().values():
            pipes = sorted(self.folder.glob("audacity_script_pipe.*"))
            if self._ask < 0 and len(pipes) == 2:  # for both directions: opening never blocks
                self._answer, self._ask = (os.open(p, os.O_RDWR | os.O_NONBLOCK) for p in pipes)
            self.meter.look(self._program.pid)
            if self._program.poll() is not None:
                raise PeerError(f"audacity: does not start ({self._log()})")
            if time.monotonic() > limit:
                raise PeerError(f"audacity: no window within {_START_S:.0f} s; killed")
            time.sleep(0.1)
        time.sleep(_SETTLE_S)

    def _log(self) -> str:
        log = self.folder / "audacity.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1][:200] if lines else "it said nothing"

    def _close(self) -> None:
        for pipe in (self._ask, self._answer):
            if pipe >= 0:
                os.close(pipe)
        kill_session(self._program)


class _Rest:
    """Tells whether a program waits for its user: no work done, and no wish to do any.

    Time used alone would not tell it from one that is starved on a busy machine.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._begin()

    def _begin(self) -> None:
        self._since, self._used_s = time.monotonic(), cpu_s(self._pid)
        self._looks = self._active = 0

    def lasts(self) -> bool:
        """Take a look; True once it has rested for a while, then count anew."""
        self._looks += 1
        self._active += state(self._pid) in "RD"
        if time.monotonic() - self._since < _REST_S:
            return False
        worked_s = cpu_s(self._pid) - self._used_s
        rests = worked_s < 0.15 * _REST_S and self._active < 0.25 * self._looks
        self._begin()
        return rests


@contextlib.contextmanager
def audacity(folder: Path) -> Iterator[Session]:
    """Start Audacity for a while.

    Parameters
    ----------
    folder : Path
        An empty folder, with room for the sound to be worked on three times as 32-bit samples.

    Raises
    ------
    PeerError
        If it does not start, or if it cannot be given a /tmp of its own.
    """
    check_able()
    (folder / ".X11-unix").mkdir()
    (folder / "session").mkdir()
    home = own_home(folder / "home")
    settings = Path(home["XDG_CONFIG_HOME"]) / "audacity" / "audacity.cfg"
    settings.parent.mkdir()
    settings.write_text(_settings(), encoding="utf-8")
    inside = {name: value.replace(str(folder), "/tmp", 1) for name, value in home.items()}
    with screen(window_manager=True) as variables, (folder / "audacity.log").open("wb") as log:
        meter = Meter()
        program = subprocess.Popen(
            [*mortal(), *_namespace(), "sh", "-c", _ENTER, "sh", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables, **inside, "TZ": "UTC", "GTK_OVERLAY_SCROLLING": "0"},
            start_new_session=True,
        )
        session = Session(folder=folder, meter=meter, _program=program, _screen=variables)
        try:
            session._wait_until_ready()
            yield session
        finally:
            session._close()


def check_able() -> None:
    """Raise if anything is missing that a session needs."""
    absent = missing(PROGRAMS)
    if absent:
        raise PeerError(f"audacity: {', '.join(absent)} not installed")
    if not MODULE.exists():
        raise PeerError(f"audacity: {MODULE} is missing; it comes with Debian's audacity")
    done = subprocess.run(
        [*_namespace(), "mount", "--bind", "/tmp", "/tmp"], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise PeerError(
            "audacity: no mount namespace of its own, so its pipes would be shared; "
            "run as root, or allow unprivileged user namespaces"
        )


def _namespace() -> list[str]:
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]


def _settings() -> str:
    """Return settings under which nothing asks a question and nothing is dithered."""
    made = datetime.datetime.fromtimestamp(int(MODULE.stat().st_mtime), tz=datetime.UTC)
    stamp = made.replace(tzinfo=None).isoformat()  # another stamp makes the module "new": a box
    return f"""NewPrefsInitialized=1
PrefsVersion=1.1.1r1
[Version]
Major=3
Minor=2
Micro=4
[Locale]
Language=en
[GUI]
ShowSplashScreen=0
[Update]
UpdateNoticeShown=1
DefaultUpdatesChecking=0
[Module]
mod-script-pipe=1
[ModulePath]
mod-script-pipe={MODULE}
[ModuleDateTime]
mod-script-pipe={stamp}
[Directories]
TempDir=/tmp/session
[Warnings]
FirstProjectSave=0
MixMono=0
MixStereo=0
MixUnknownChannels=0
DropoutDetected=0
CloseTrackWarn=0
[AudioFiles]
ShowId3Dialog=0
[Quality]
DefaultSampleFormatChoice=Format32BitFloat
HQDitherAlgorithmChoice=None
DitherAlgorithmChoice=None
[FileFormats]
SaveProjectWithDependencies=never
ExportFormat_SF1={_WAV + _PCM_24}
[FileFormats/ExportFormat_SF1_Type]
WAV_{_WAV:X}={_PCM_24}
"""
