"""The chunks of a sound file: where they lie, and what the header promises.

libsndfile decodes the sound; this module knows the containers around it, because libsndfile
silently shortens a truncated file, does not keep the chunks it does not know, and stumbles over
some headers that were written to a pipe. Sources: EBU Tech 3306 (RF64), EBU Tech 3285 (BWF),
ITU-R BS.2088 (BW64), Sony Wave64, Apple AIFF-C (1991) and Core Audio Format, RFC 9639 (FLAC).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

ByteOrder = Literal["<", ">"]

RIFF_KINDS = ("RIFF", "RIFX", "RF64", "BW64")
W64_TAIL = {  # the last 12 bytes of the Wave64 identifiers; the first 4 are the name
    b"riff": bytes.fromhex("2e91cf11a5d628db04c10000"),
    b"wave": bytes.fromhex("f3acd3118cd100c04f8edb8a"),
}
W64_DATA = b"data" + W64_TAIL[b"wave"]
LIMIT_32 = 0xFFFFFFFF
WIDTHS = {  # bytes of a sample
    "PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4,
    "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its name, and the bytes ``[offset, offset + size)`` of its contents.

    `whole` is False where the file ends before the chunk does; `size` is then what is there.
    """

    id: bytes
    offset: int
    size: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """The chunks of a file.

    Parameters
    ----------
    kind : str
        "RIFF", "RIFX", "RF64", "BW64", "W64", "AIFF", "AIFC", "CAF" or "FLAC".
    chunks : tuple of Chunk
        In file order, with the chunk of the samples among them (FLAC: the metadata blocks).
    data : int or None
        Index of the chunk of the samples.
    samples_offset : int
        First byte of the samples.
    samples_bytes : int
        Bytes of samples that are there.
    promised_bytes : int or None
        Bytes of samples that the header promises; None where it was written to a pipe and
        promises nothing.
    """

    kind: str
    chunks: tuple[Chunk, ...]
    data: int | None
    samples_offset: int
    samples_bytes: int
    promised_bytes: int | None

    @property
    def streamed(self) -> bool:
        """Whether the header was written to a pipe, before the length was known."""
        return self.data is not None and self.promised_bytes is None

    @property
    def truncated(self) -> bool:
        """Whether the header promises more samples than the file holds."""
        return self.promised_bytes is not None and self.promised_bytes > self.samples_bytes

    def find(self, *names: bytes) -> Chunk | None:
        """Return the first chunk of one of these names."""
        return next((chunk for chunk in self.chunks if chunk.id in names), None)


def scan(file: BinaryIO) -> Container | None:
    """Find the chunks of a seekable file.

    Parameters
    ----------
    file : binary file
        Read from its beginning; the position is left anywhere.

    Returns
    -------
    Container or None
        None for a container that this module does not know (MP3, Ogg, AU, ...), or whose header
        breaks off before the samples.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _scan_riff(file, end, head[:4])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _scan_aiff(file, end, head[8:12].decode())
    if head == b"riff" + W64_TAIL[b"riff"]:
        return _scan_w64(file, end)
    if head[:4] == b"caff":
        return _scan_caf(file, end)
    if head[:4] == b"fLaC" or head[:3] == b"ID3":
        return _scan_flac(file, end)
    return None


def _streamed(size: int) -> bool:
    """Whether a 32-bit data size is one that programs write when they do not know it.

    0xFFFFFFFF (ffmpeg), 0x7FFFF000 (sox), 0x7FFFFFFF and 0x80000000 (others), less their headers.
    """
    return size >= 0xFFFF0000 or 0x7EFF0000 <= size <= 0x80000000


def _walk(file: BinaryIO, end: int, start: int, order: ByteOrder) -> list[Chunk]:
    """Follow a row of 32-bit chunks until it ends or no longer looks like one."""
    chunks = []
    position = start
    while position + 8 <= end:
        file.seek(position)
        name, size = struct.unpack(order + "4sI", file.read(8))
        if not all(32 <= byte < 127 for byte in name):
            break
        here = min(size, end - position - 8)
        chunks.append(Chunk(name, position + 8, here, here == size))
        position += 8 + size + size % 2
    return chunks


def _scan_riff(file: BinaryIO, end: int, magic: bytes) -> Container | None:
    kind = magic.decode()
    order: ByteOrder = ">" if kind == "RIFX" else "<"
    chunks: list[Chunk] = []
    position, wide, ds64 = 12, kind in ("RF64", "BW64"), None
    while position + 8 <= end:
        file.seek(position)
        name, size = struct.unpack(order + "4sI", file.read(8))
        offset = position + 8
        if name == b"ds64" and wide:
            ds64 = offset, *struct.unpack("<QQQ", file.read(24).ljust(24, b"\0"))
        if name == b"data":
            break
        here = min(size, end - offset)
        chunks.append(Chunk(name, offset, here, here == size))
        position = offset + size + size % 2
    else:
        return None
    promised: int | None = size
    if wide and ds64 is not None and size == LIMIT_32:
        promised = ds64[2] if 0 < ds64[2] < 1 << 63 else None
    elif _streamed(size) and offset + size > end:
        promised = None
    after: list[Chunk] = []
    if promised is not None:
        after = _walk(file, end, offset + promised + promised % 2, order)
        if not after and promised % 2:  # a writer that forgot the padding byte
            after = _walk(file, end, offset + promised, order)
        if promised == 0 and not after and end > offset:
            promised = None
    held = end - offset if promised is None else min(promised, end - offset)
    if promised is None:
        held -= held % _block_align(file, chunks, order)
    data = Chunk(b"data", offset, held)
    return Container(kind, (*chunks, data, *after), len(chunks), offset, held, promised)


def _block_align(file: BinaryIO, chunks: Sequence[Chunk], order: ByteOrder) -> int:
    """Bytes of a frame by the ``fmt `` chunk; 1 where there is none."""
    for chunk in chunks:
        if chunk.id[:4] == b"fmt " and chunk.size >= 16:
            file.seek(chunk.offset + 12)
            return max(1, int(struct.unpack(order + "H", file.read(2))[0]))
    return 1


def _scan_aiff(file: BinaryIO, end: int, kind: str) -> Container | None:
    chunks = _walk(file, end, 12, ">")
    data = next((index for index, chunk in enumerate(chunks) if chunk.id == b"SSND"), None)
    if data is None:
        return None
    sound = chunks[data]
    file.seek(sound.offset - 4)
    size, skip = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    offset = sound.offset + 8 + skip
    promised: int | None = size - 8 - skip
    if size == 0 or (_streamed(size) and sound.offset + size > end):
        promised = None
        chunks = chunks[: data + 1]
    held = max(0, end - offset)
    if promised is not None:
        held = min(held, promised)
    chunks[data] = Chunk(b"SSND", sound.offset, offset - sound.offset + held)
    return Container(kind, tuple(chunks), data, offset, held, promised)


def _scan_w64(file: BinaryIO, end: int) -> Container | None:
    chunks: list[Chunk] = []
    position, data, offset, promised, held = 40, None, 0, None, 0
    while position + 24 <= end:
        file.seek(position)
        name, size = struct.unpack("<16sQ", file.read(24))
        contents = position + 24
        here = max(0, min(size - 24, end - contents))
        if name == W64_DATA and data is None:
            data, offset = len(chunks), contents
            if size <= 24 < end - contents or size >= 1 << 62:  # written to a pipe
                held = end - contents
                held -= held % _block_align(file, chunks, "<")
                chunks.append(Chunk(name, contents, held))
                break
            promised, held = size - 24, here
        chunks.append(Chunk(name, contents, here, here == size - 24))
        position += max(24, size + -size % 8)
    if data is None:
        return None
    return Container("W64", tuple(chunks), data, offset, held, promised)


def _scan_caf(file: BinaryIO, end: int) -> Container | None:
    chunks: list[Chunk] = []
    position, data, offset, promised, held = 8, None, 0, None, 0
    while position + 12 <= end:
        file.seek(position)
        name, size = struct.unpack(">4sq", file.read(12))
        contents = position + 12
        if name == b"data" and data is None:
            data, offset = len(chunks), contents + 4  # after the edit count
            if size < 0:
                held = end - offset
                chunks.append(Chunk(name, contents, end - contents))
                break
            promised, held = max(0, size - 4), max(0, min(size - 4, end - offset))
        if size < 0:
            break
        here = min(size, end - contents)
        chunks.append(Chunk(name, contents, here, here == size))
        position = contents + size
    if data is None:
        return None
    return Container("CAF", tuple(chunks), data, offset, held, promised)


def _scan_flac(file: BinaryIO, end: int) -> Container | None:
    start = 0
    file.seek(0)
    head = file.read(10)
    while head[:3] == b"ID3" and len(head) == 10:  # some taggers put ID3 before a FLAC stream
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 127
        start += 10 + length
        file.seek(start)
        head = file.read(10)
    if head[:4] != b"fLaC":
        return None
    position, last, blocks = start + 4, False, []
    while not last and position + 4 <= end:
        file.seek(position)
        (word,) = struct.unpack(">I", file.read(4))
        last, kind, size = bool(word >> 31), word >> 24 & 127, word & 0xFFFFFF
        here = min(size, end - position - 4)
        blocks.append(Chunk(bytes([kind]), position + 4, here, here == size))
        position += 4 + size
    return Container("FLAC", tuple(blocks), None, position, max(0, end - position), None)


def flac_total(container: Container, file: BinaryIO) -> int:
    """Return the number of frames that the STREAMINFO of a FLAC file states; 0: not known."""
    file.seek(container.chunks[0].offset + 13)
    high, low = struct.unpack(">BI", file.read(5))
    return int((high & 15) << 32 | low)
