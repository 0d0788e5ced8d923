"""Sets of damage with names, as benchmarks and data sets use them."""

from __future__ import annotations

from collections.abc import Mapping

from declick.damage.draw import WearSettings
from declick.damage.model import Family
from declick.errors import SettingsError

SETS: Mapping[str, WearSettings] = {
    "tick": WearSettings(rates_hz={Family.TICK: 3.0}, bed=True),
    "pop": WearSettings(rates_hz={Family.POP: 1.0}, bed=True),
    "crackle": WearSettings(rates_hz={Family.CRACKLE: 60.0}, bed=True),
    "ring": WearSettings(rates_hz={Family.RING: 0.7}, bed=True),
    "thump": WearSettings(rates_hz={Family.THUMP: 0.4}, bed=True),
    "scratch": WearSettings(rates_hz={}, scratches=4.0, bed=True),
    "gouge": WearSettings(rates_hz={Family.GOUGE: 1.0}, bed=True),
    "dropout": WearSettings(rates_hz={Family.DROPOUT: 1.0}, bed=True),
    "real": WearSettings(rates_hz={Family.REAL: 3.0}, bed=True),
    # Ticks alone, lone and everywhere: what is hard is the music that they fall on.
    "percussive": WearSettings(
        rates_hz={Family.TICK: 2.0}, cluster_share=0.0, turn_depth=0.0, bed=True
    ),
    "control": WearSettings(rates_hz={}, bed_crackle_hz=(0.0, 0.0), bed=True),
    "worn": WearSettings(
        rates_hz={
            Family.TICK: 3.0,
            Family.POP: 0.6,
            Family.CRACKLE: 12.0,
            Family.RING: 0.1,
            Family.THUMP: 0.1,
            Family.GOUGE: 0.03,
            Family.DROPOUT: 0.03,
        },
        scratches=1.0,
        bed=True,
    ),
}


def find_set(name: str) -> WearSettings:
    """Return the set of a name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if name not in SETS:
        raise SettingsError(f"there is no set {name!r}; the sets are {', '.join(SETS)}")
    return SETS[name]
