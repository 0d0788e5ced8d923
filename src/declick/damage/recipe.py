"""Wear as JSON (schema ``declick-wear/1``): to replay, to change, to share.

Numbers are written in full, so wear that is read back lays the same damage to the bit. What has its
default value is left out. docs/damage.md describes the fields.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from declick.damage.model import Wear
from declick.errors import ReadError
from declick.labels import renamed_when_done

SCHEMA = "declick-wear/1"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What wear was laid on; for the record, and to find the place again.

    Parameters
    ----------
    name : str
        Of the clean recording's file, without folders.
    sample_rate : int
        That the damage was laid at.
    start, frames : int
        The excerpt, in frames at that rate.
    """

    name: str
    sample_rate: int
    start: int = 0
    frames: int = 0


def save_wear(path: str | Path, wear: Wear, *, origin: Origin | None = None) -> None:
    """Write wear as JSON.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    values: dict[str, Any] = {"schema": SCHEMA}
    if origin is not None:
        values["origin"] = _plain(origin)
    values |= _plain(wear)
    damages = values.pop("damages", [])
    # One line for each damage, so that a person can find and change it.
    head = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)[:-2]
    lines = ",\n".join(f"  {json.dumps(damage, allow_nan=False)}" for damage in damages)
    with renamed_when_done(path, "the wear") as file:
        file.write(f'{head},\n "damages": [\n{lines}\n ]\n}}\n')


def load_wear(path: str | Path) -> Wear:
    """Read wear from JSON.

    Raises
    ------
    ReadError
        If it is not there, or is not wear.
    """
    return read_recipe(path)[0]


def read_recipe(path: str | Path) -> tuple[Wear, Origin | None]:
    """Read wear from JSON, and what it was laid on.

    Raises
    ------
    ReadError
        If it is not there, or is not wear.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(
            f"{path}: cannot be read ({error.strerror}); check the name of the wear"
        ) from None
    except (ValueError, RecursionError):
        raise ReadError(f"{path}: is not JSON; give what 'declick damage' wrote") from None
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise ReadError(
            f"{path}: its schema is {str(schema)[:40]!r}, this program reads {SCHEMA!r}; give what "
            "'declick damage' wrote"
        )
    del values["schema"]
    origin = values.pop("origin", None)
    try:
        wear = _read(Wear, values, "wear")
        return wear, None if origin is None else _read(Origin, origin, "origin")
    except ValueError as error:
        raise ReadError(f"{path}: {error}; correct it, or draw the wear again") from None


def _plain(thing: Any) -> Any:
    """Return a dataclass as plain values, without those that are the default."""
    if isinstance(thing, tuple):
        return [_plain(item) for item in thing]
    if isinstance(thing, StrEnum):
        return thing.value
    if not hasattr(thing, "__dataclass_fields__"):
        return thing
    return {
        item.name: _plain(getattr(thing, item.name))
        for item in fields(thing)
        if item.default is MISSING or getattr(thing, item.name) != item.default
    }


def _read(kind: type[T], values: Any, where: str) -> T:
    """Make a dataclass of plain values.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} is no object")
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{where} has {unknown[0][:40]!r}, which nothing here has")
    needed = (name for name, item in known.items() if item.default is MISSING)
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"{where} has no {missing[0]!r}")
    return kind(
        **{name: _value(hints[name], value, f"{where}, {name}") for name, value in values.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return a plain value as the type that is asked for."""
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        hint = next(option for option in get_args(hint) if option is not NoneType)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        inner = get_args(hint)[0]
        return tuple(_value(inner, item, f"{where} {n}") for n, item in enumerate(value))
    if hasattr(hint, "__dataclass_fields__"):
        return _read(hint, value, where)
    if issubclass(hint, StrEnum):
        if value not in list(hint):
            raise ValueError(f"{where} is {str(value)[:40]!r}, not one of {', '.join(hint)}")
        return hint(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{where} is {str(value)[:40]!r}, not a {hint.__name__}")
    return value
