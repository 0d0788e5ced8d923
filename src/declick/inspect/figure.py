"""What all pictures share: the figure, its colours, and how it becomes a PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from declick.clicks import Kind
from declick.errors import MissingExtraError, WriteError
from declick.wording import format_time

Colour = tuple[float, ...]
DPI = 110

# After Okabe & Ito, told apart by colour-blind eyes too; on white and on black.
KIND_COLOURS = {
    Kind.TICK: "#56B4E9",
    Kind.POP: "#E69F00",
    Kind.CRACKLE: "#9A9A9A",
    Kind.THUMP: "#D55E00",
    Kind.SCRATCH: "#00A878",
    Kind.DROPOUT: "#CC79A7",
}
BEFORE, AFTER, REMOVED = "#D55E00", "#0072B2", "#555555"
CORE, TAIL = "#E69F00", "#F0E442"
INK, FAINT = "#222222", "#BBBBBB"


def new_figure(width_in: float, height_in: float, *, face: str = "white") -> Any:
    """Return a matplotlib Figure with an Agg canvas of its own; pyplot's state is not touched.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib: install it with  pip install 'declick[plot]'"
        ) from error
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=face)
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Any, path: str | Path, palette: Sequence[Colour] = ()) -> Path:
    """Write the figure under a temporary name, then rename it.

    With a `palette` (at most 256 colours) every pixel becomes the nearest of it, which keeps a
    picture with spectrograms or thousands of dots small.

    Raises
    ------
    WriteError
        Where the file cannot be written.
    """
    from PIL import Image

    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    pixels = bytes(figure.canvas.buffer_rgba())
    image = Image.frombytes("RGBA", (width, height), pixels).convert("RGB")
    if palette:
        colours = Image.new("P", (1, 1))
        colours.putpalette([round(255 * part) for colour in palette for part in colour])
        image = image.quantize(palette=colours, dither=Image.Dither.NONE)
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True)
    path = Path(path)
    partial = path.with_name(f".{path.name}.part")
    try:
        try:
            partial.write_bytes(png.getvalue())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(
            f"{path}: cannot write the picture ({reason}); choose a folder with room and permission"
        ) from error
    return path


def blends(paper: str, inks: Iterable[str], steps: int) -> list[Colour]:
    """Return each ink over `paper` in `steps` strengths, and the bare paper, for a palette."""
    from matplotlib.colors import to_rgb

    return [
        tuple(share * a + (1 - share) * b for a, b in zip(to_rgb(ink), to_rgb(paper), strict=True))
        for ink in inks
        for share in (step / steps for step in range(steps + 1))
    ]


def spectrogram_palette() -> list[Colour]:
    """Return greys, the inks of the waves, and the colour scale of the spectrograms."""
    from matplotlib import colormaps

    inks = (BEFORE, AFTER, CORE, TAIL, INK)
    papers = ("#FFFFFF", "#F7E2B2", "#FCF9D5")  # plain, core and tail
    colours = [colour for paper in papers for colour in blends(paper, inks, 6)]
    scale = colormaps["magma"]([level / 123 for level in range(124)])[:, :3].tolist()
    return [*blends("white", ["black"], 24), *colours, *map(tuple, scale)]


def name_inside(axes: Any, name: str) -> None:
    """Write what a spectrogram shows into its upper left corner."""
    axes.text(
        0.008, 0.95, name, transform=axes.transAxes, ha="left", va="top", fontsize=10,
        color="white", bbox={"boxstyle": "round,pad=0.25", "facecolor": "black", "linewidth": 0},
        parse_math=False,
    )  # fmt: skip


def style(axes: Any, *, grid: bool = True) -> None:
    """Quiet frame, small readable ticks."""
    axes.tick_params(labelsize=9, colors=INK, length=3)
    for name, spine in axes.spines.items():
        spine.set_color(FAINT)
        spine.set_visible(name in ("left", "bottom"))
    if grid:
        axes.grid(True, color="#E6E6E6", linewidth=0.6)
        axes.set_axisbelow(True)


def time_axis(axes: Any, duration_s: float) -> None:
    """Label the x axis of a picture in seconds as ``m:ss``, with fractions where it is short."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    steps = [1, 2, 5, 10] if duration_s < 60 else [1, 1.2, 1.5, 2, 3, 6, 10]
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=steps))

    def name(time_s: float, _: int) -> str:
        text = format_time(max(0.0, time_s))
        return text.rstrip("0").rstrip(".") if duration_s < 10 else text.split(".")[0]

    axes.xaxis.set_major_formatter(FuncFormatter(name))
