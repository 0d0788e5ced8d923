"""Where the files of a package are: installed, or unpacked into a folder of the user's choice."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from declick.errors import ReadError


class Packages:
    """Debian packages, to be read from.

    Parameters
    ----------
    folder : Path, optional
        Holds a folder for each package, as ``dpkg -x`` unpacks them; the installed ones otherwise.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    @cached_property
    def _versions(self) -> dict[str, str]:
        """Installed packages and their versions."""
        if shutil.which("dpkg-query") is None:
            return {}
        form = "${db:Status-Abbrev} ${Package} ${Version}\n"
        command = ["dpkg-query", "-W", "-f", form]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        lines = [line.split() for line in answer.splitlines()]
        return {line[1]: line[2] for line in lines if len(line) == 3 and line[0] == "ii"}

    def version(self, package: str) -> str:
        """Return the version of a package; empty if it is not there."""
        if self.folder is None:
            return self._versions.get(package, "")
        root = self.folder / package
        for log in sorted((root / "usr/share/doc" / package).glob("changelog.Debian*")):
            text = gzip.decompress(log.read_bytes()) if log.suffix == ".gz" else log.read_bytes()
            match = re.match(rb"\S+ \(([^)]+)\)", text)
            if match:
                return match.group(1).decode()
        return "unknown" if root.is_dir() else ""

    def missing(self, packages: Iterable[str], programs: Iterable[str] = ()) -> list[str]:
        """Return those that are not there, in alphabetical order.

        Parameters
        ----------
        packages : iterable of str
        programs : iterable of str
            Packages with a program of the same name: they must be installed.
        """
        absent = {package for package in packages if not self.version(package)}
        return sorted(absent | {name for name in programs if shutil.which(name) is None})

    def root(self, package: str) -> Path:
        """Return the folder that the package's paths begin at."""
        return Path("/") if self.folder is None else self.folder / package

    def files(self, package: str, patterns: Iterable[str], drop: Iterable[str] = ()) -> list[Path]:
        """Return files of a package, in alphabetical order.

        Parameters
        ----------
        package : str
        patterns : iterable of str
            Globs below the package's root.
        drop : iterable of str
            Patterns of names, or of the ends of paths, to leave out.

        Raises
        ------
        ReadError
            If a pattern finds nothing.
        """
        root = self.root(package)
        return find(root, patterns, drop, what=f"package {package}")


def find(root: Path, patterns: Iterable[str], drop: Iterable[str], *, what: str) -> list[Path]:
    """Return files below a folder that match patterns, without those to drop.

    Raises
    ------
    ReadError
        If a pattern finds nothing.
    """
    drop = tuple(drop)
    found: set[Path] = set()
    for pattern in patterns:
        matches = [path for path in root.glob(pattern) if path.is_file()]
        if not matches:
            raise ReadError(f"{what}: has no file {pattern}; correct the recipe")
        found.update(matches)

    def dropped(path: Path) -> bool:
        return any(fnmatch(path.name, p) or fnmatch(path.as_posix(), f"*/{p}") for p in drop)

    return sorted((path for path in found if not dropped(path)), key=Path.as_posix)
