"""Pictures of the damage and of what was done about it (needs the extra ``plot``)."""

from declick.inspect.around import draw_around, title_of
from declick.inspect.comparison import draw_comparison
from declick.inspect.disc import draw_disc_map
from declick.inspect.overview import draw_overview
from declick.inspect.page import Exhibit, write_page

__all__ = [
    "Exhibit",
    "draw_around",
    "draw_comparison",
    "draw_disc_map",
    "draw_overview",
    "title_of",
    "write_page",
]
