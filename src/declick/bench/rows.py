"""From the scores of single items to the rows of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Cell = dict[str, Any]


def summarize(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return one row from the cells of one tool, setting and set.

    Convention: gains, changes and distances are taken over items (median or mean, as named, of
    those that define them), so that no piece of music outweighs another; counts of events and
    off-target energies are added up first.

    Parameters
    ----------
    cells : sequence of dict
        As `declick.bench.score.score` returns them, with ``item`` and ``cost`` besides; at
        least one.
    """
    hits, events = _total(cells, "hits"), _total(cells, "events")
    false = _total(cells, "false")
    off_target, music = _total(cells, "off_target"), _total(cells, "music")
    gaps: dict[str, list[float]] = {}
    for cell in cells:
        for name, values in cell["gaps"].items():
            gaps.setdefault(name, []).extend(values)
    wall_s = sum(cell["cost"]["wall_s"] for cell in cells)
    seconds = sum(cell["seconds"] for cell in cells)
    return {
        "items": len(cells),
        "events": events,
        "gain_db": _over(cells, "gain_db", np.median),
        "gain_mean_db": _over(cells, "gain_db", np.mean),
        "gain_worst_db": _over(cells, "gain_db", np.min),
        "whole_gain_db": _over(cells, "whole_gain_db", np.median),
        "event_gain_db": _over(cells, "event_gain_db", np.median),
        "improved": _share(_total(cells, "improved"), events),
        "recall": _share(hits, events),
        "precision": _share(hits, None if hits is None or false is None else hits + false),
        "touched_per_min": _over(cells, "touched_per_min", np.mean, 1),
        "off_target_db": (
            round(float(10 * np.log10(off_target / music)), 1) if off_target and music else None
        ),
        "lsd_db": _over(cells, "lsd_db", np.mean),
        "lsd_worn_db": _over(cells, "lsd_worn_db", np.mean),
        "mos": _over(cells, "mos", np.mean),
        "mos_worn": _over(cells, "mos_worn", np.mean),
        "gaps": {
            name: {"median_db": round(float(np.median(gaps[name])), 1), "gaps": len(gaps[name])}
            for name in sorted(gaps, key=_bottom)
        },
        "times_real_time": round(seconds / wall_s, 2) if wall_s else None,
        "cpu_s_per_s": round(sum(cell["cost"]["cpu_s"] for cell in cells) / seconds, 3),
        "peak_mb": round(max(cell["cost"]["peak_mb"] for cell in cells)),
        "by_source": {
            cell["item"].partition("/")[2]: {
                "gain_db": cell["gain_db"],
                "touched_per_min": cell["touched_per_min"],
            }
            for cell in cells
        },
    }


def _bottom(name: str) -> float:
    return float(name.removeprefix("over ").partition("-")[0]) + name.startswith("over") * 1e-6


def _total(cells: Sequence[Cell], key: str) -> Any:
    """Return a sum; None if any part is not defined."""
    values = [cell[key] for cell in cells]
    return None if any(value is None for value in values) else sum(values)


def _over(
    cells: Sequence[Cell], key: str, function: Callable[..., Any], digits: int = 2
) -> float | None:
    values = [cell[key] for cell in cells if cell[key] is not None]
    return round(float(function(values)), digits) if values else None


def _share(part: float | None, whole: float | None) -> float | None:
    return round(part / whole, 4) if part is not None and whole else None
