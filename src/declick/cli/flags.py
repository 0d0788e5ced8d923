"""Flags made from the settings' own declarations, and settings made from flags and TOML."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from declick.checked import shown
from declick.cli.arguments import number
from declick.errors import SettingsError
from declick.settings import DetectSettings, RepairSettings, Settings

# What somebody has marked is mended, whatever the evidence says.
MARKED: Final[Mapping[str, Mapping[str, Any]]] = {"repair": {"keep_weak": False}}

_GROUPS = {"detect": DetectSettings, "repair": RepairSettings}


def add_settings(
    parser: argparse.ArgumentParser,
    *groups: str,
    base: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Add a flag for every setting of some groups.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    *groups : str
        "detect", "repair".
    base : mapping, optional
        What this command has in place of the defaults; see `settings_of`.
    """
    for group in groups:
        section = parser.add_argument_group(f"how to {group}")
        for item in fields(_GROUPS[group]):
            flag = "--" + item.name.replace("_", "-")
            text = item.metadata["help"]
            usual = (base or {}).get(group, {}).get(item.name, item.default)
            common: dict[str, Any] = {"dest": f"{group}.{item.name}", "default": None}
            if isinstance(item.default, bool):
                action = argparse.BooleanOptionalAction
                default = "yes" if usual else "no"
                section.add_argument(
                    flag, action=action, help=f"{text} (default: {default})", **common
                )
                continue
            low, high = item.metadata["low"], item.metadata["high"]
            reach = f"{low:g}..{high:g}, " if low is not None and high is not None else ""
            section.add_argument(
                flag,
                type=number if isinstance(item.default, float) else type(item.default),
                choices=item.metadata["choices"],
                metavar=None if item.metadata["choices"] else item.name.split("_")[-1].upper(),
                help=f"{text} ({reach}default: {usual if usual != '' else 'none'})",
                **common,
            )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="TOML",
        help="settings from a file, with tables [detect] and [repair]; flags win over it",
    )


def settings_of(
    options: argparse.Namespace, base: Mapping[str, Mapping[str, Any]] | None = None
) -> Settings:
    """Return the settings: defaults, changed by `base`, by the file, and by the flags.

    Parameters
    ----------
    options : argparse.Namespace
    base : mapping, optional
        What this command, or the report of an earlier run, has in place of the defaults, as in
        ``{"repair": {"keep_weak": False}}``. What is not known any more is passed over.

    Raises
    ------
    SettingsError
        If the file cannot be understood or a value is out of range.
    """
    values = known_settings(base or {})
    for group, given in _from_file(options.settings).items():
        values[group] |= given
    for name, value in vars(options).items():
        group, dot, field = name.partition(".")
        if dot and value is not None:
            values[group][field] = value
    return _settings(values)


def known_settings(base: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return those of some settings that there still are, by group.

    Raises
    ------
    SettingsError
        Where one of them is out of range.
    """
    values: dict[str, dict[str, Any]] = {}
    for group in _GROUPS:
        given = base.get(group, {})
        if not isinstance(given, Mapping):
            raise SettingsError(f"{group} is {shown(given)}: it must hold settings")
        values[group] = {name: given[name] for name in _known(group) if name in given}
    _settings(values)
    return values


def _settings(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    return Settings(
        detect=DetectSettings(**values.get("detect", {})),
        repair=RepairSettings(**values.get("repair", {})),
    )


def _known(group: str) -> list[str]:
    return [item.name for item in fields(_GROUPS[group])]


def _from_file(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return the settings of a TOML file by group."""
    if path is None:
        return {}
    try:
        # Some editors begin a file with a byte-order mark.
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path}: not TOML ({error}); write [detect], and below it sensitivity = 0.6"
        ) from None
    for group, table in tables.items():
        if group not in _GROUPS or not isinstance(table, dict):
            raise SettingsError(f"{path}: {group!r} is unknown; there are [detect] and [repair]")
        for name in table:
            if name not in _known(group):
                choices = ", ".join(_known(group))
                raise SettingsError(f"{path}: [{group}] has no {name!r}; it has {choices}")
    try:
        _settings(tables)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return tables
