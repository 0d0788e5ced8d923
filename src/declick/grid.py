"""The grid of values that a subtype can hold: rounding onto it, and packing into bytes."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from declick.chunks import ByteOrder
from declick.clicks import FloatArray

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def snap(samples: FloatArray, subtype: str) -> FloatArray:
    """Round samples to the nearest values that a subtype holds; clip them at its ends.

    Parameters
    ----------
    samples : ndarray of float64
        Full scale is 1.
    subtype : str
        As soundfile names it. Integers round half to even; FLOAT and DOUBLE do not clip at 1.
    """
    if subtype == "DOUBLE":
        return samples.astype(np.float64)
    if subtype == "FLOAT":
        limit = float(np.finfo(np.float32).max)
        return samples.clip(-limit, limit).astype(np.float32).astype(np.float64)
    if subtype in ("ULAW", "ALAW"):
        levels = _companded_levels(subtype)[0]
        middles = (levels[1:] + levels[:-1]) / 2
        return levels[np.searchsorted(middles, samples)]
    return _integers(samples, _BITS[subtype]) / 2.0 ** (_BITS[subtype] - 1)


def pack(samples: FloatArray, subtype: str, order: ByteOrder) -> bytes:
    """Pack samples that lie on the grid of a subtype.

    Parameters
    ----------
    samples : ndarray of float64, shape (frames, channels)
    subtype : str
        An uncompressed one.
    order : {"<", ">"}
        Byte order.
    """
    if subtype in ("FLOAT", "DOUBLE"):
        width = 4 if subtype == "FLOAT" else 8
        return samples.astype(f"{order}f{width}").tobytes()
    if subtype in ("ULAW", "ALAW"):
        levels, codes = _companded_levels(subtype)
        return codes[np.searchsorted(levels, samples)].tobytes()
    integers = _integers(samples, _BITS[subtype])
    if subtype == "PCM_U8":
        return (integers + 128.0).astype(np.uint8).tobytes()
    if subtype == "PCM_24":
        four = integers.astype(f"{order}i4").view(np.uint8).reshape(-1, 4)
        return (four[:, :3] if order == "<" else four[:, 1:]).tobytes()
    return integers.astype(f"{order}i{_BITS[subtype] // 8}").tobytes()


def left_justified(samples: FloatArray, subtype: str) -> NDArray[np.int32]:
    """Return integer samples in the upper bits of 32, as libsndfile takes them."""
    bits = _BITS[subtype]
    return (_integers(samples, bits) * 2.0 ** (32 - bits)).astype(np.int32)


def _integers(samples: FloatArray, bits: int) -> FloatArray:
    half = 2.0 ** (bits - 1)
    scaled = samples * half
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -half, half - 1.0, out=scaled)


@cache
def _companded_levels(subtype: str) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Return the values of a companded subtype in ascending order, and their codes."""
    raw: dict[str, Any] = {"format": "RAW", "channels": 1, "samplerate": 8000, "subtype": subtype}
    values, _ = soundfile.read(io.BytesIO(bytes(range(256))), dtype="float64", **raw)
    levels, codes = np.unique(values[::-1], return_index=True)  # +0 before -0
    return levels, (255 - codes).astype(np.uint8)
