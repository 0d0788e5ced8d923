"""Runs of the command line, and short worn files to run it on."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.cli import main
from worn import RATE, worn_piece

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.out)
        return values

    @property
    def fault(self) -> str:
        """The one line of an error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("declick"), self.err
        return lines[0]


def run(*arguments: str | Path) -> Run:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
    return Run(status, out.getvalue(), err.getvalue())


def worn_sound(duration_s: float = 3.0) -> Array:
    return worn_piece(duration_s)[1]


def write_worn(path: Path, duration_s: float = 3.0, subtype: str | None = None) -> Path:
    soundfile.write(path, worn_sound(duration_s), RATE, subtype=subtype)
    return path


def read(path: Path) -> Array:
    sound: Array = soundfile.read(path, always_2d=True)[0]
    return sound


def entries(report: Path) -> list[dict[str, Any]]:
    clicks: list[dict[str, Any]] = json.loads(report.read_text())["clicks"]
    return clicks


def inside(report: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark the spans of all repairs that were made."""
    mask = np.zeros(shape, dtype=bool)
    for click in entries(report):
        if click["made"]:
            mask[click["start"] : click["tail"], click["channel"]] = True
    return mask


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def wait_until(happened: Callable[[], bool], otherwise: str = "") -> None:
    """Wait, for as long as even a busy machine may take."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
