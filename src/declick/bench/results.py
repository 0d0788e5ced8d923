"""The results of a benchmark: one JSON with all that is needed to read it years later."""

from __future__ import annotations

import datetime
import json
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from declick import __version__
from declick.bench import metrics
from declick.bench.peers import Peer
from declick.bench.quality import quality_version
from declick.bench.rows import Cell, summarize
from declick.bench.run import ALL_SETS, Measured
from declick.errors import ReadError, WriteError
from declick.parallel import available_cores

SCHEMA = "declick-bench/1"


def assemble(
    measured: Measured, peers: Mapping[str, Peer], *, command: str, elapsed_s: float
) -> dict[str, Any]:
    """Return the results as plain values.

    Parameters
    ----------
    measured : Measured
    peers : mapping of str to Peer
        All that could run. Those that were asked for and are not installed are listed, too.
    command : str
        That made them.
    elapsed_s : float
        Time that the last part of it took; all tools together count, if they took longer.
    """
    groups: dict[tuple[str, float, str], list[Cell]] = {}
    failures: dict[tuple[str, float, str], str] = {}
    for cell in measured.cells:
        key = cell["tool"], float(cell["setting"]), cell["set"]
        if "error" in cell:
            failures.setdefault(key, cell["error"])
        else:
            groups.setdefault(key, []).append(cell)
    order = {name: index for index, name in enumerate(ALL_SETS)}
    tools = {name: index for index, name in enumerate(peers)}

    def place(key: tuple[str, float, str]) -> tuple[int, int, float]:
        return order[key[2]], tools.get(key[0], len(tools)), key[1]

    rows = [
        {"tool": key[0], "setting": key[1], "set": key[2], **summarize(groups[key])}
        for key in sorted(groups, key=place)
    ]
    at_work_s = sum(cell["cost"]["wall_s"] for cell in measured.cells if "cost" in cell)
    # What was measured counts, not what happens to be installed now.
    versions = {cell["tool"]: cell["version"] for cell in measured.cells}
    return {
        "schema": SCHEMA,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "minutes": round(max(elapsed_s, at_work_s) / 60, 1),
        "declick": __version__,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "visqol-python": quality_version(),
        },
        "machine": describe_machine(),
        "conventions": {
            "epsilon": metrics.EPSILON,
            "fuse_s": metrics.FUSE_S,
            "collar_s": metrics.COLLAR_S,
            "everything": metrics.EVERYTHING,
        },
        "corpus": measured.corpus,
        "missing": measured.missing,
        "tools": {
            name: {
                "version": versions.get(name),
                "install": peer.install,
                "setting": peer.setting,
                "default": peer.default,
                "sweep": list(peer.sweep),
                "higher_is_more": peer.higher_is_more,
            }
            for name, peer in peers.items()
            if name in versions or name in measured.absent
        },
        "failures": [
            {"tool": key[0], "setting": key[1], "set": key[2], "error": text}
            for key, text in failures.items()
        ],
        "rows": rows,
    }


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge times by."""
    processor = platform.processor() or platform.machine()
    memory_gb = None
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
        kilobytes = Path("/proc/meminfo").read_text().split()[1]
        memory_gb = round(int(kilobytes) / 2**20)
    except (OSError, IndexError, ValueError):
        pass  # not Linux
    return {
        "processor": processor,
        "cores": available_cores(),
        "memory_gb": memory_gb,
        "system": f"{platform.system()} {platform.machine()}",
    }


def write_results(path: Path, values: Mapping[str, Any]) -> None:
    """Write results: one row a line, so that changes can be read.

    Raises
    ------
    WriteError
        If they cannot be written.
    """
    pending = path.with_name(path.name + ".tmp")
    try:
        pending.write_text(_to_json(values), encoding="utf-8")
        pending.replace(path)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror})") from None


def _to_json(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        if isinstance(value, list):
            lines = ",\n".join("  " + json.dumps(entry, allow_nan=False) for entry in value)
            parts.append(f' "{key}": [\n{lines}\n ]' if value else f' "{key}": []')
        else:
            parts.append(f' "{key}": {json.dumps(value, allow_nan=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read_results(path: Path) -> dict[str, Any]:
    """Read results.

    Raises
    ------
    ReadError
        If the file is absent, or is not of this schema.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"{path}: cannot be read ({reason}); 'declick bench' makes one") from None
    except ValueError:
        raise ReadError(f"{path}: is not JSON; 'declick bench' makes such a file") from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ReadError(f"{path}: is not of the schema {SCHEMA}; 'declick bench' makes such a file")
    return values


def command_line() -> str:
    """Return what makes these results from nothing: what was typed, but for --resume and such."""
    words = iter(sys.argv[1:])
    kept = ["declick"]
    for word in words:
        if word == "--again":
            next(words, None)
        elif word not in ("--resume", "--overwrite"):
            kept.append(word)
    return shlex.join(kept)
