"""Pictures of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from declick.bench.tables import OWN, Results
from declick.inspect import figure as look

# After Okabe & Ito, told apart by colour-blind eyes, too; and by their marks.
_OTHERS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#777777")
_MARKS = ("s", "^", "D", "v", "P", "X")
SWEEP, GAINS = "bench-sweep.png", "bench-gain.png"


def draw_figures(folder: Path, results: Results) -> list[Path]:
    """Draw all pictures that the results have rows for.

    Parameters
    ----------
    folder : Path
        Where they go; it must exist.
    results : Results

    Returns
    -------
    list of Path

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    WriteError
        Where a picture cannot be written.
    """
    done = []
    curves = {tool: points for tool in results.measured if (points := sweep_of(results, tool))}
    if any(len(points) > 1 for points in curves.values()):
        done.append(_draw_sweep(folder / SWEEP, results, curves))
    if any(name != "control" for name in results.sets):
        done.append(_draw_gains(folder / GAINS, results))
    return done


def sweep_of(results: Results, tool: str) -> list[tuple[float, float, float]]:
    """Return a tool's curve: setting, frames touched a minute on control, gain on worn in dB."""
    points = []
    for setting in results.tools[tool]["sweep"]:
        control = results.row(tool, "control", setting)
        worn = results.row(tool, "worn", setting)
        if control is not None and worn is not None and worn["gain_db"] is not None:
            points.append((float(setting), control["touched_per_min"], worn["gain_db"]))
    return points


def _look_of(results: Results, tool: str) -> dict[str, Any]:
    if tool == OWN:
        return {"color": look.AFTER, "marker": "o", "zorder": 3}
    others = [name for name in results.tools if name != OWN]
    index = others.index(tool) % len(_OTHERS)
    return {"color": _OTHERS[index], "marker": _MARKS[index], "zorder": 2}


def _draw_sweep(
    path: Path, results: Results, curves: dict[str, list[tuple[float, float, float]]]
) -> Path:
    figure = look.new_figure(8.0, 5.0)
    axes = figure.subplots()
    look.style(axes)
    # Nothing touched at all has a place, too, at the left edge.
    axes.set_xscale("symlog", linthresh=10.0)
    axes.axhline(0.0, color=look.FAINT, linewidth=1.0)
    for tool, points in curves.items():
        form = _look_of(results, tool)
        xs, ys = [p[1] for p in points], [p[2] for p in points]
        axes.plot(xs, ys, linewidth=1.6, markersize=5, label=tool, **form)
        default = float(results.tools[tool]["default"])
        for setting, x, y in points:
            if setting == default:
                axes.plot(
                    [x], [y], linestyle="", markersize=11, color=form["color"],
                    marker=form["marker"], zorder=4,
                )  # fmt: skip
    axes.set_xlim(left=-1.0)
    axes.set_xlabel("frames touched per minute of undamaged music", fontsize=10)
    axes.set_ylabel("gain on worn music (dB)", fontsize=10)
    axes.set_title("What each setting gains, and costs (large: default)", fontsize=11, loc="left")
    axes.legend(fontsize=9, frameon=False)
    figure.tight_layout()
    return look.save_png(figure, path)


def _draw_gains(path: Path, results: Results) -> Path:
    names: Sequence[str] = [name for name in results.sets if name != "control"]
    figure = look.new_figure(10.0, 4.6)
    axes = figure.subplots()
    look.style(axes)
    axes.axhline(0.0, color=look.INK, linewidth=1.0)
    tools = results.measured
    for index, tool in enumerate(tools):
        shift = 0.7 * ((index + 0.5) / len(tools) - 0.5)
        xs, ys = [], []
        for place, name in enumerate(names):
            row = results.row(tool, name)
            if row is not None and row["gain_db"] is not None:
                xs.append(place + shift)
                ys.append(row["gain_db"])
        form = _look_of(results, tool)
        axes.vlines(xs, 0.0, ys, color=form["color"], linewidth=2.0, alpha=0.6)
        axes.plot(xs, ys, linestyle="", markersize=6, label=tool, **form)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("SNR gain, median over the music (dB)", fontsize=10)
    axes.legend(
        fontsize=9, frameon=False, ncols=len(tools), loc="lower right", bbox_to_anchor=(1.0, 1.0)
    )
    figure.tight_layout()
    return look.save_png(figure, path)
