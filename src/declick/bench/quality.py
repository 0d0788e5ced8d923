"""How a restoration would please a listener: ViSQOL, where it is installed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.signal

from declick.bench.metrics import Event
from declick.clicks import FloatArray

_RATE = 48000  # what ViSQOL's audio mode is made for
_AROUND_S = 0.5
_LONGEST_S = 10.0
_SHORTEST_S = 1.0


def quality_version() -> str | None:
    """Return the version of visqol-python, None if it is not installed."""
    try:
        return importlib.metadata.version("visqol-python")
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _model() -> Any:
    from visqol import VisqolApi

    model = VisqolApi()
    # Both sounds have the same time base to the sample.
    model.create(mode="audio", disable_global_alignment=True, disable_realignment=True)
    return model


def mean_opinion(
    clean: FloatArray, sound: FloatArray, events: Sequence[Event], sample_rate: int
) -> float:
    """Return ViSQOL's MOS-LQO (audio mode), 1 to about 4.75, around events.

    Convention: the stretches within 0.5 s of an event's core, joined (cut alike from both
    sounds), the first 10 s of them, mixed down to mono, at 48 kHz, no realignment. NaN if less
    than 1 s is left.

    Raises
    ------
    ImportError
        If visqol-python is not installed.
    """
    near = np.zeros(len(clean), dtype=bool)
    reach = round(_AROUND_S * sample_rate)
    for event in events:
        near[max(0, event.start - reach) : event.stop + reach] = True
    chosen = np.flatnonzero(near)[: round(_LONGEST_S * sample_rate)]
    if len(chosen) < _SHORTEST_S * sample_rate:
        return float("nan")
    common = int(np.gcd(_RATE, sample_rate))
    both = [
        scipy.signal.resample_poly(
            part[chosen].mean(axis=1), _RATE // common, sample_rate // common
        )
        for part in (clean, sound)
    ]
    return float(_model().measure_from_arrays(*both, _RATE).moslqo)
