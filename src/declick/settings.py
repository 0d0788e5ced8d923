"""Every setting, once: command-line flags, checks and the report are generated from here."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from declick.checked import shown
from declick.errors import SettingsError

DETECTORS = ("auto", "neural", "ar")
METHODS = ("auto", "ar", "copy", "stereo", "spectrum", "smooth", "spline")


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    expert: bool = False,
) -> Any:
    """Declare a dataclass field with its help text and legal range."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "expert": expert}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """Checks every field against the range that it declares."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
            if choices is not None and value not in choices:
                raise SettingsError(
                    f"{item.name} is {shown(value)}: choose one of {', '.join(choices)}"
                )
            if isinstance(item.default, str) and not isinstance(value, str):
                raise SettingsError(f"{item.name} is {shown(value)}: it must be text")
            if isinstance(item.default, bool) and not isinstance(value, bool):
                raise SettingsError(f"{item.name} is {shown(value)}: it must be true or false")
            if isinstance(item.default, bool) or not isinstance(item.default, int | float):
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not abs(value) <= sys.float_info.max:
                raise SettingsError(f"{item.name} is {shown(value)}: give a number")
            if (low is not None and value < low) or (high is not None and value > high):
                wanted = f"at least {low}" if high is None else f"between {low:g} and {high:g}"
                raise SettingsError(f"{item.name} is {value:g}: it must be {wanted}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for the report."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DetectSettings(_Checked):
    """How to find damage."""

    sensitivity: float = setting(
        0.5, "0 takes only the plainest clicks, 1 takes all it can", low=0.0, high=1.0
    )
    detector: str = setting(
        "auto",
        "what tells clicks from music: a network, a linear model, or the network wherever it hears "
        "the sample rate",
        choices=DETECTORS,
    )
    weights: str = setting(
        "", "a network other than the one that ships, an .onnx file", expert=True
    )
    spare_beats: bool = setting(
        True, "leave alone what keeps the beat of a machine, or comes again with all behind it"
    )
    find_tails: bool = setting(True, "look for rings, thumps and slow tails behind the clicks")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector == "ar" and self.weights:
            raise SettingsError("the detector 'ar' takes no weights: leave one of the two out")


@dataclass(frozen=True, kw_only=True)
class RepairSettings(_Checked):
    """How to mend it."""

    method: str = setting("auto", "how lost cores are filled", choices=METHODS)
    keep_weak: bool = setting(
        True, "leave a click alone where no method is expected to beat leaving it"
    )


@dataclass(frozen=True, kw_only=True)
class AlignSettings(_Checked):
    """How to find where one digitization is in another."""

    any_speed: bool = setting(
        True, "also look for a record that was played at the speed of another sort (33, 45, 78)"
    )
    least_overlap_s: float = setting(
        2.0, "seconds that both must have in common", low=1.0, high=600.0, expert=True
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run."""

    detect: DetectSettings = DetectSettings()
    repair: RepairSettings = RepairSettings()

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as nested plain values for the report."""
        return asdict(self)
