"""Pictures of the damage and of what was done about it (needs the extra ``plot``)."""

from declick.inspect.around import draw_around
from declick.inspect.comparison import draw_comparison
from declick.inspect.disc import draw_disc_map
from declick.inspect.overview import draw_overview

__all__ = ["draw_around", "draw_comparison", "draw_disc_map", "draw_overview"]
