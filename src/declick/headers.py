"""Headers for files of known length: the chunks that go before and after the samples.

Written here and not by libsndfile, so that the chunks of the source can be kept in their order,
a pipe gets a header that tells the truth, and the same input gives the same bytes (libsndfile's
PEAK chunk holds the time of day).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from declick.chunks import LIMIT_32, RIFF_KINDS, W64_DATA, W64_TAIL, WIDTHS, ByteOrder

Payload = tuple[bytes, bytes]  # chunk id, contents

_WAVE_TAGS = {"FLOAT": 3, "DOUBLE": 3, "ALAW": 6, "ULAW": 7}  # else 1, PCM
_AIFC_CODES = {
    "PCM_U8": b"raw ", "FLOAT": b"fl32", "DOUBLE": b"fl64", "ULAW": b"ulaw", "ALAW": b"alaw"
}  # fmt: skip
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
_AIFC_VERSION = 0xA2805140


@dataclass(frozen=True, slots=True)
class Layout:
    """What surrounds the samples.

    Parameters
    ----------
    kind : str
        As `declick.chunks.Container.kind`; a "RIFF" becomes RF64 where it would pass 4 GiB.
    order : {"<", ">"}
        Byte order of the samples.
    before, after : tuple of (id, contents)
        The chunks before and after them. FLAC: `before` holds the blocks after STREAMINFO.
    """

    kind: str
    order: ByteOrder
    before: tuple[Payload, ...]
    after: tuple[Payload, ...] = ()

    def frame(self, data_bytes: int) -> tuple[bytes, bytes]:
        """Return all the bytes before and after `data_bytes` bytes of samples.

        Raises
        ------
        ValueError
            Where an AIFF or a big-endian WAV file would pass 4 GiB.
        """
        return _frame(self.kind, self.before, data_bytes, self.after)


def plain_layout(
    format: str, subtype: str, sample_rate: int, channels: int, frames: int, mask: int = 0
) -> Layout:
    """Lay out a file without metadata.

    Parameters
    ----------
    format, subtype : str
        As soundfile names them: "WAV", "WAVEX", "RF64", "W64", "AIFF" or "CAF", and an
        uncompressed subtype.
    sample_rate, channels, frames : int
    mask : int
        The WAVE channel mask; 0: the channels have no places.
    """
    if format == "AIFF":
        return _plain_aiff(subtype, sample_rate, channels, frames)
    if format == "CAF":
        return Layout("CAF", ">", ((b"desc", caf_description(subtype, sample_rate, channels)),))
    fmt = wave_fmt(subtype, sample_rate, channels, extensible=format == "WAVEX", mask=mask)
    chunks = [(b"fmt ", fmt)]
    if not subtype.startswith("PCM"):
        chunks.append((b"fact", struct.pack("<I", min(frames, LIMIT_32))))
    if format == "W64":
        tail = W64_TAIL[b"wave"]
        chunks = [(name + tail, contents) for name, contents in chunks if name == b"fmt "]
        return Layout("W64", "<", tuple(chunks))
    return Layout("RF64" if format == "RF64" else "RIFF", "<", tuple(chunks))


def wave_fmt(
    subtype: str, sample_rate: int, channels: int, *, extensible: bool, mask: int = 0
) -> bytes:
    """Return the contents of a little-endian ``fmt `` chunk."""
    width, tag = WIDTHS[subtype], _WAVE_TAGS.get(subtype, 1)
    align = channels * width
    rest = struct.pack("<HIIHH", channels, sample_rate, sample_rate * align, align, 8 * width)
    if extensible:
        more = struct.pack("<HHIH", 22, 8 * width, mask, tag) + _SUBFORMAT
        return struct.pack("<H", 0xFFFE) + rest + more
    return struct.pack("<H", tag) + rest + (b"" if tag == 1 else b"\0\0")


def _plain_aiff(subtype: str, sample_rate: int, channels: int, frames: int) -> Layout:
    width, code = WIDTHS[subtype], _AIFC_CODES.get(subtype)
    bits = 16 if subtype in ("ULAW", "ALAW") else 8 * width  # as Apple's tools write them
    common = struct.pack(">HIH", channels, min(frames, LIMIT_32), bits) + _extended(sample_rate)
    if code is None:
        return Layout("AIFF", ">", ((b"COMM", common),))
    version = struct.pack(">I", _AIFC_VERSION)
    return Layout("AIFC", ">", ((b"FVER", version), (b"COMM", common + code + b"\0\0")))


def _extended(number: int) -> bytes:
    """Return a positive integer as an 80-bit IEEE 754 extended float."""
    exponent = number.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, number << (63 - exponent))


def caf_description(subtype: str, sample_rate: int, channels: int) -> bytes:
    """Return the contents of the ``desc`` chunk of an uncompressed CAF file."""
    width = WIDTHS[subtype]
    code = {"ULAW": b"ulaw", "ALAW": b"alaw"}.get(subtype, b"lpcm")
    flags = 1 if subtype in ("FLOAT", "DOUBLE") else 0
    rest = struct.pack(">IIIII", flags, channels * width, 1, channels, 8 * width)
    return struct.pack(">d", sample_rate) + code + rest


def _frame(
    kind: str, before: Sequence[Payload], data_bytes: int, after: Sequence[Payload]
) -> tuple[bytes, bytes]:
    """Lay out a file of known length around its samples.

    Parameters
    ----------
    kind : str
        "RIFF" (becomes RF64 where the file would pass 4 GiB), "RIFX", "RF64", "W64", "AIFF",
        "AIFC" or "CAF".
    before, after : sequence of (id, contents)
        The chunks before and after the samples.
    data_bytes : int
        Bytes of the samples.

    Returns
    -------
    head, foot : bytes
        All that comes before and after the samples.

    Raises
    ------
    ValueError
        Where an AIFF or RIFX file would pass 4 GiB.
    """
    if kind in RIFF_KINDS:
        return _frame_riff(kind, before, data_bytes, after)
    if kind == "W64":
        head = b"".join(_w64_chunk(*chunk) for chunk in before)
        head += W64_DATA + struct.pack("<Q", data_bytes + 24)
        # libsndfile takes the padding for sound, so there is none at the end of the file.
        foot = bytes(-data_bytes % 8 if after else 0) + b"".join(
            _w64_chunk(*chunk) for chunk in after
        )
        start = b"riff" + W64_TAIL[b"riff"]
        total = 40 + len(head) + data_bytes + len(foot)
        return start + struct.pack("<Q", total) + b"wave" + W64_TAIL[b"wave"] + head, foot
    if kind == "CAF":
        head = b"caff\0\1\0\0" + b"".join(_caf_chunk(*chunk) for chunk in before)
        head += b"data" + struct.pack(">qI", data_bytes + 4, 0)
        return head, b"".join(_caf_chunk(*chunk) for chunk in after)
    head = b"".join(_chunk(">", *chunk) for chunk in before)
    foot = bytes(data_bytes % 2) + b"".join(_chunk(">", *chunk) for chunk in after)
    total = 4 + len(head) + 16 + data_bytes + len(foot)
    if total > LIMIT_32:
        raise ValueError("an AIFF file cannot pass 4 GiB")
    head += b"SSND" + struct.pack(">III", data_bytes + 8, 0, 0)
    return b"FORM" + struct.pack(">I", total) + kind.encode() + head, foot


def _frame_riff(
    kind: str, before: Sequence[Payload], data_bytes: int, after: Sequence[Payload]
) -> tuple[bytes, bytes]:
    order: ByteOrder = ">" if kind == "RIFX" else "<"
    head = b"".join(_chunk(order, *chunk) for chunk in before if chunk[0] != b"ds64")
    foot = bytes(data_bytes % 2) + b"".join(_chunk(order, *chunk) for chunk in after)
    total = 4 + len(head) + 8 + data_bytes + len(foot)
    if kind in ("RF64", "BW64") or total > LIMIT_32:
        if kind == "RIFX":
            raise ValueError("a big-endian WAV file cannot pass 4 GiB")
        align = next((struct.unpack("<H", c[12:14])[0] for n, c in before if n == b"fmt "), 1)
        sizes = struct.pack("<QQQI", total + 36, data_bytes, data_bytes // max(1, align), 0)
        name = b"BW64" if kind == "BW64" else b"RF64"
        start = name + struct.pack("<I", LIMIT_32) + b"WAVE" + _chunk("<", b"ds64", sizes)
        return start + head + b"data" + struct.pack("<I", LIMIT_32), foot
    start = kind.encode() + struct.pack(order + "I", total) + b"WAVE"
    return start + head + b"data" + struct.pack(order + "I", data_bytes), foot


def _chunk(order: ByteOrder, name: bytes, contents: bytes) -> bytes:
    size = struct.pack(order + "I", len(contents))
    return name + size + contents + bytes(len(contents) % 2)


def _w64_chunk(name: bytes, contents: bytes) -> bytes:
    return name + struct.pack("<Q", len(contents) + 24) + contents + bytes(-len(contents) % 8)


def _caf_chunk(name: bytes, contents: bytes) -> bytes:
    return name + struct.pack(">q", len(contents)) + contents


def frame_flac(streaminfo: bytes, blocks: Sequence[Payload]) -> bytes:
    """Lay out what comes before the audio frames of a FLAC file."""
    rows = [(b"\0", streaminfo), *blocks]
    parts = [b"fLaC"]
    for index, (kind, contents) in enumerate(rows):
        last = 128 if index == len(rows) - 1 else 0
        parts.append(struct.pack(">I", (kind[0] | last) << 24 | len(contents)) + contents)
    return b"".join(parts)
