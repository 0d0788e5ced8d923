"""The time map between two digitizations of one recording: find it, keep it, resample along it."""

from declick.align.find import align
from declick.align.model import Alignment
from declick.align.resample import resample_along

__all__ = ["Alignment", "align", "resample_along"]
