"""What the wear of a whole record is drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from declick.damage.model import Family
from declick.errors import SettingsError

Range = tuple[float, float]

# Time constants of bass, turnover and treble in s. Before RIAA (1954) electrical 78s turned over
# at 250-500 Hz without a fixed treble cut (IASA TC-04, 5.2).
EQUALISATIONS: Mapping[str, tuple[float, float, float]] = {
    "riaa": (3180e-6, 318e-6, 75e-6),
    "shellac": (3180e-6, 450e-6, 0.0),
    "none": (0.0, 0.0, 0.0),
}


@dataclass(frozen=True, kw_only=True)
class WearSettings:
    """What wear is drawn from; defaults are those of a played, not a ruined, LP.

    Parameters
    ----------
    rates_hz : mapping from Family to float
        Clicks a second, on average; scratches have `scratches`.
    scratches : float
        How many scratches the needle crosses in each turn, on average.
    scratch_turns : Range
        For how many turns a scratch is met, evenly on a logarithmic scale.
    turn_s : float
        Time of one revolution: 1.8 (33 1/3 per minute), 1.3333 (45), 0.7692 (78).
    speed_error : float
        Greatest relative error of the turntable's speed.
    equalisation : str
        "riaa"; "shellac" for electrical recordings before it; "none".
    cluster_share, cluster_size, cluster_spread_s : float
        How ticks, crackle and real clicks come in bursts: `arrivals.draw_times`.
    turn_depth : float
        By how much their rate swings once a turn, 0..1.
    level_db : float
        Added to the level of every click.
    bed : bool
        Whether there is groove noise.
    hiss_db, rumble_db : Range
        Rms level of hiss and rumble against the music's.
    bed_crackle_hz : Range
        Faint ticks a second in the bed.
    clip_level : float
        Where damaged samples are clipped; full scale is 1.

    Raises
    ------
    SettingsError
        Where a value cannot be.
    """

    rates_hz: Mapping[Family, float] = field(
        default_factory=lambda: {
            Family.TICK: 3.0,
            Family.POP: 0.5,
            Family.CRACKLE: 6.0,
            Family.RING: 0.1,
            Family.THUMP: 0.1,
        }
    )
    scratches: float = 0.0
    scratch_turns: Range = (6.0, 40.0)
    turn_s: float = 1.8
    speed_error: float = 0.005
    equalisation: str = "riaa"
    cluster_share: float = 0.5
    cluster_size: float = 5.0
    cluster_spread_s: float = 0.015
    turn_depth: float = 0.4
    level_db: float = 0.0
    bed: bool = False
    hiss_db: Range = (-60.0, -45.0)
    rumble_db: Range = (-60.0, -45.0)
    bed_crackle_hz: Range = (0.0, 10.0)
    clip_level: float = 1.0

    def __post_init__(self) -> None:
        wrong = [family for family, rate in self.rates_hz.items() if not 0 <= rate < math.inf]
        if wrong or Family.SCRATCH in self.rates_hz:
            raise SettingsError(
                f"rates_hz: {(wrong or [Family.SCRATCH])[0]} needs a rate from 0 on "
                "(scratches have a setting of their own)"
            )
        if self.equalisation not in EQUALISATIONS:
            raise SettingsError(f"equalisation {self.equalisation!r}: {', '.join(EQUALISATIONS)}")
        shares = (self.cluster_share, self.turn_depth)
        if not all(0 <= share <= 1 for share in shares) or self.cluster_size < 1:
            raise SettingsError("cluster_share, turn_depth: 0 to 1; cluster_size: 1 or more")
        if not (self.turn_s > 0 and self.clip_level > 0 and self.scratches >= 0):
            raise SettingsError("turn_s, clip_level: more than 0; scratches: 0 or more")
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise SettingsError(f"{item.name}: {value[0]:g} is above {value[1]:g}")
