"""Scores of single items, saved one by one, so that a broken run can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from declick.bench.rows import Cell
from declick.errors import ReadError, SettingsError, WriteError

SCHEMA = "declick-bench-cells/1"
Key = tuple[str, str | None, float, str]


def key_of(cell: Cell) -> Key:
    """Return what a cell is of: tool, its version, its setting, the item."""
    return cell["tool"], cell["version"], float(cell["setting"]), cell["item"]


class Journal:
    """Lines of JSON: first what was mended, then a cell a line.

    Parameters
    ----------
    path : Path
    corpus : dict
        Plain values that say what is mended. Cells of another corpus are not mixed in.
    resume : bool
        Whether to go on with a journal that is there; else it is begun anew.

    Raises
    ------
    SettingsError
        If the journal is of another corpus.
    ReadError, WriteError
        If it cannot be read or written.
    """

    def __init__(self, path: Path, corpus: dict[str, Any], *, resume: bool) -> None:
        self.path = path
        self._cells: dict[Key, Cell] = {}
        head = {"schema": SCHEMA, "corpus": corpus}
        lines = list(self._read()) if resume and path.exists() else []
        if lines and lines[0] != head:
            raise SettingsError(
                f"{path}: is of another corpus (other music, split, length or damage); name "
                "another output with -o, or run without --resume to begin anew"
            )
        for cell in lines[1:]:
            self._cells[key_of(cell)] = cell
        try:
            # Written anew, so that a line that was broken off does not stay in the middle.
            with path.open("w", encoding="utf-8") as file:
                for line in (head, *self._cells.values()):
                    file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise WriteError(f"{path}: cannot be written ({error.strerror})") from None

    def _read(self) -> Iterator[dict[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ReadError(f"{self.path}: cannot be read ({error}); begin anew") from None
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                return  # the last one, of a run that was broken off
            try:
                yield json.loads(line)
            except ValueError:
                raise ReadError(f"{self.path}: is not a journal; begin without --resume") from None

    def __contains__(self, key: Key) -> bool:
        return key in self._cells

    def forget(self, tool: str) -> None:
        """Drop a tool's cells: it is to be measured again."""
        self._cells = {key: cell for key, cell in self._cells.items() if key[0] != tool}

    def add(self, cell: Cell) -> None:
        """Save a cell."""
        self._cells[key_of(cell)] = cell
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cell) + "\n")
        except OSError as error:
            raise WriteError(f"{self.path}: cannot be written ({error.strerror})") from None

    @property
    def cells(self) -> list[Cell]:
        """All that is there, in the order in which it was measured."""
        return list(self._cells.values())
