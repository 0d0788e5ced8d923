"""What makes sound usable, and one line for whoever has some that is not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from declick.clicks import FloatArray
from declick.errors import ReadError
from declick.wording import format_time

MAX_CHANNELS = 8
LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
# The square of a larger sample is too large for a number.
_LARGEST = 1e100
_SUBTYPES = {"i1": "PCM_S8", "u1": "PCM_U8", "i2": "PCM_16", "u2": "PCM_16"}
_SUBTYPES |= {"i4": "PCM_32", "u4": "PCM_32", "f2": "FLOAT", "f4": "FLOAT"}


class Header(Protocol):
    """What is asked of a recording."""

    name: str
    sample_rate: int
    frames: int
    subtype: str


@contextlib.contextmanager
def opening(name: str) -> Iterator[None]:
    """Tell why a file cannot be opened."""
    try:
        yield
    except FileNotFoundError:
        raise ReadError(f"{name}: there is no such file; check the name") from None
    except PermissionError:
        raise ReadError(f"{name}: you may not read this file; change its permissions") from None
    except OSError as error:
        raise ReadError(
            f"{name}: cannot be read ({error.strerror}); check the disk and the name"
        ) from None


def check_header(name: str, rate: int, frames: int, channels: int) -> None:
    """Refuse what cannot be worked on."""
    if frames <= 0:
        raise ReadError(f"{name}: holds no sound (0 frames); make or copy it again")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ReadError(
            f"{name}: has {channels} channels; split it into files of 1 to {MAX_CHANNELS}"
        )
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ReadError(
            f"{name}: has a sample rate of {rate} Hz, declick takes {LOWEST_RATE} to "
            f"{HIGHEST_RATE}; correct the header or resample it"
        )


@contextlib.contextmanager
def decoding(header: Header, position: int) -> Iterator[None]:
    """Tell where a file is damaged, if decoding fails."""
    try:
        yield
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise ReadError(
            f"{header.name}: damaged near {format_time(position / header.sample_rate)} ({reason}); "
            f"copy the file again"
        ) from None


def check_length(header: Header, position: int, count: int, wanted: int) -> None:
    """Refuse a file that ends before its header says."""
    if count < wanted:
        there = position + count
        raise ReadError(
            f"{header.name}: the file is cut short or damaged: its header promises "
            f"{header.frames} frames, {there} could be decoded "
            f"({format_time(there / header.sample_rate)}); copy it again"
        )


def check_finite(header: Header, samples: FloatArray, position: int) -> None:
    """Refuse samples, from the frame `position` on, that are no sound."""
    if header.subtype not in ("FLOAT", "DOUBLE"):
        return
    if max(samples.max(), -samples.min()) <= _LARGEST:
        return
    frame, channel = map(int, np.argwhere(~(np.abs(samples) <= _LARGEST))[0])
    value = float(samples[frame, channel])
    what = "NaN (not a number)" if math.isnan(value) else "infinity"
    if math.isfinite(value):
        what = f"{value:.0e} (no sound)"
    time = format_time((position + frame) / header.sample_rate)
    raise ReadError(
        f"{header.name}: a sample is {what} at {time}, "
        f"channel {channel + 1}; write the file again without it, or as integers"
    )


def as_frames(samples: ArrayLike, name: str) -> NDArray[np.generic]:
    """Return samples from memory with the shape (frames, channels), or refuse them."""
    array = np.asarray(samples)
    if array.dtype.kind not in "iuf":
        raise ReadError(f"{name}: holds {array.dtype}; give integers or floats")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2:
        raise ReadError(
            f"{name}: has {array.ndim} dimensions; give (frames,) or (frames, channels)"
        )
    return array


def subtype_of(kind: np.dtype[np.generic]) -> str:
    """Return the subtype, as soundfile names it, that holds the numbers of an array."""
    return _SUBTYPES.get(f"{kind.kind}{kind.itemsize}", "DOUBLE")


def scale(array: NDArray[np.generic]) -> FloatArray:
    """Return integers as -1..1, floats as they are."""
    samples = array.astype(np.float64)
    if array.dtype.kind == "f":
        return samples
    half = 2.0 ** (8 * array.dtype.itemsize - 1)
    return samples / half - (1.0 if array.dtype.kind == "u" else 0.0)
