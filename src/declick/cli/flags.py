"""Flags made from the settings' own declarations, and settings made from flags and TOML."""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from declick.errors import SettingsError
from declick.settings import DetectSettings, RepairSettings, Settings

_GROUPS = {"detect": DetectSettings, "repair": RepairSettings}


def add_settings(parser: argparse.ArgumentParser, *groups: str) -> None:
    """Add a flag for every setting of some groups.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    *groups : str
        "detect", "repair".
    """
    for group in groups:
        section = parser.add_argument_group(f"how to {group}")
        for item in fields(_GROUPS[group]):
            flag = "--" + item.name.replace("_", "-")
            text = item.metadata["help"]
            common: dict[str, Any] = {"dest": f"{group}.{item.name}", "default": None}
            if isinstance(item.default, bool):
                action = argparse.BooleanOptionalAction
                default = "yes" if item.default else "no"
                section.add_argument(
                    flag, action=action, help=f"{text} (default: {default})", **common
                )
                continue
            low, high = item.metadata["low"], item.metadata["high"]
            reach = f"{low:g}..{high:g}, " if low is not None and high is not None else ""
            section.add_argument(
                flag,
                type=type(item.default),
                choices=item.metadata["choices"],
                metavar=None if item.metadata["choices"] else item.name.split("_")[-1].upper(),
                help=f"{text} ({reach}default: {item.default})",
                **common,
            )
    parser.add_argument(
        "--settings", type=Path, metavar="TOML", help="settings from a file; flags go before it"
    )


def settings_of(options: argparse.Namespace, **changed: Any) -> Settings:
    """Return the settings: defaults, changed by the file, changed by the flags.

    Parameters
    ----------
    options : argparse.Namespace
    **changed
        Defaults that this command has of its own, such as ``repair_keep_weak=False``.

    Raises
    ------
    SettingsError
        If the file cannot be understood or a value is out of range.
    """
    values: dict[str, dict[str, Any]] = {group: {} for group in _GROUPS}
    for name, value in changed.items():
        group, _, field = name.partition("_")
        values[group][field] = value
    for group, given in _from_file(options.settings).items():
        values[group] |= given
    for name, value in vars(options).items():
        group, dot, field = name.partition(".")
        if dot and value is not None:
            values[group][field] = value
    settings = Settings()
    return replace(
        settings,
        detect=replace(settings.detect, **values["detect"]),
        repair=replace(settings.repair, **values["repair"]),
    )


def _from_file(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return the settings of a TOML file by group."""
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML ({error})") from None
    for group, table in tables.items():
        if group not in _GROUPS or not isinstance(table, dict):
            raise SettingsError(f"{path}: {group!r} is unknown; there are [detect] and [repair]")
        known = [item.name for item in fields(_GROUPS[group])]
        for name in table:
            if name not in known:
                choices = ", ".join(known)
                raise SettingsError(f"{path}: [{group}] has no {name!r}; it has {choices}")
    return tables
