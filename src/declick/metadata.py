"""What surrounds the samples, carried over: tags, pictures, cue points, broadcast chunks.

Into the same container every chunk is copied byte for byte and in its order, known or not, except
those that describe the samples themselves. Into another one, tags and pictures are translated;
the chunks of WAV and AIFF are stored in FLAC as its reference encoder does, and come back from it.
"""

from __future__ import annotations

import struct

from declick.chunks import LIMIT_32, RIFF_KINDS, W64_TAIL, WIDTHS, ByteOrder
from declick.headers import Layout, Payload, plain_layout
from declick.read import Recording
from declick.tags import read_tags, tag_chunks

MAX_METADATA_BYTES = 1 << 28
_WAVE_FORMATS = ("WAV", "WAVEX", "RF64")
# Described anew (sizes, counts), or no longer true once a sample has changed (peaks, checksums).
_STALE = {
    "WAVE": (b"ds64", b"PEAK", b"levl", b"MD5 ", b"data"),
    "W64": tuple(name + W64_TAIL[b"wave"] for name in (b"levl", b"data")),
    "AIFF": (b"PEAK", b"SSND"),
    "CAF": (b"peak", b"ovvw", b"data", b"pakt"),
    "FLAC": (b"\0", b"\3"),  # STREAMINFO, SEEKTABLE
}
_BEXT_FIXED = 602  # bytes of a ``bext`` chunk before its coding history
_W64_FACT = b"fact" + W64_TAIL[b"wave"]
_HEADERS = {"WAVE": b"fmt ", "W64": b"fmt " + W64_TAIL[b"wave"], "AIFF": b"COMM", "CAF": b"desc"}


def carry_over(
    recording: Recording, format: str, subtype: str, *, coding_history: str | None = None
) -> tuple[Layout, tuple[str, ...]]:
    """Lay out an output file with the metadata of its source.

    Parameters
    ----------
    recording : Recording
    format, subtype : str
        Of the output.
    coding_history : str, optional
        What to say under "T=" in a new line of the history of a ``bext`` chunk, where there is
        one (EBU R98).

    Returns
    -------
    layout : Layout
    notices : tuple of str
        One line for each thing that could not be carried over.
    """
    plain = plain_layout_for(recording, format, subtype)
    family = _family(format)
    if recording.container is None or family != _source_family(recording):
        return _converted(recording, family, plain, coding_history)
    before, after, notices = _other_chunks(recording, family)
    kind, order = plain.kind, plain.order
    if family in _HEADERS:
        own = _own_header(recording, family, subtype)
        if own is None:
            drop = {_HEADERS[family], b"fact", _W64_FACT, b"FVER", b"kuki"}
            before = [*plain.before, *(chunk for chunk in before if chunk[0] not in drop)]
        else:
            kind, order = _source_kind(recording, format), _source_order(recording)
            before = [own if chunk[0] == own[0] else chunk for chunk in before]
            before = [_fact(chunk, recording.frames, order) for chunk in before]
    if family == "WAVE" and coding_history is not None:
        before = [_with_history(chunk, recording, subtype, coding_history) for chunk in before]
        after = [_with_history(chunk, recording, subtype, coding_history) for chunk in after]
    return Layout(kind, order, tuple(before), tuple(after)), tuple(notices)


def _converted(
    recording: Recording, family: str, plain: Layout, coding_history: str | None
) -> tuple[Layout, tuple[str, ...]]:
    """Lay out a file of another container, with the tags and pictures translated."""
    notices = []
    before, after = list(plain.before), list(plain.after)
    try:
        foreign = _stored_foreign_chunks(recording, family)
        names = {name for name, _ in (*foreign[0], *foreign[1])}
        tags = read_tags(recording)
        before = [*before, *foreign[0]]
        after += foreign[1]
        after += [chunk for chunk in tag_chunks(tags, family) if chunk[0] not in names]
        if family == "WAVE" and coding_history is not None:
            subtype = recording.subtype if recording.subtype in WIDTHS else "PCM_16"
            before = [_with_history(c, recording, subtype, coding_history) for c in before]
        if tags and family == "W64":
            notices.append(f"{recording.name}: W64 has no place for tags; they were left out")
        if tags.pictures and family == "CAF":
            notices.append(f"{recording.name}: CAF has no place for pictures; they were left out")
    except Exception as error:  # mutagen raises anything on damaged tags; the sound goes first
        notices.append(f"{recording.name}: the tags are damaged and were left out ({error})")
    if family == "FLAC":
        before, after = [*before, *after], []
        before += _stored_as_flac_blocks(recording, coding_history, notices)
    return Layout(plain.kind, plain.order, tuple(before), tuple(after)), tuple(notices)


def _stored_as_flac_blocks(
    recording: Recording, coding_history: str | None, notices: list[str]
) -> list[Payload]:
    """Keep the chunks of a WAV or AIFF file as ``flac --keep-foreign-metadata`` does."""
    family = _source_family(recording)
    if family not in ("WAVE", "AIFF") or recording.subtype not in WIDTHS:
        return []
    format = "AIFF" if family == "AIFF" else "WAV"
    layout, more = carry_over(recording, format, recording.subtype, coding_history=coding_history)
    notices += more
    if layout.kind not in ("RIFF", "AIFF", "AIFC"):
        return []
    head, foot = layout.frame(recording.frames * recording.channels * WIDTHS[recording.subtype])
    order: ByteOrder = "<" if layout.kind == "RIFF" else ">"
    pieces, position, whole = [head[:12]], 12, head + foot.lstrip(b"\0")
    while position < len(head):
        name, size = struct.unpack(order + "4sI", head[position : position + 8])
        if name in (b"data", b"SSND"):
            pieces.append(head[position:])
            break
        end = position + 8 + size + size % 2
        pieces.append(head[position:end])
        position = end
    position = len(head)
    while position + 8 <= len(whole):
        size = struct.unpack(order + "I", whole[position + 4 : position + 8])[0]
        end = position + 8 + size + size % 2
        pieces.append(whole[position:end])
        position = end
    name = b"riff" if layout.kind == "RIFF" else b"aiff"
    return [(b"\2", name + piece) for piece in pieces if len(piece) < 1 << 24]


def _stored_foreign_chunks(
    recording: Recording, family: str
) -> tuple[list[Payload], list[Payload]]:
    """Return the WAV or AIFF chunks that a FLAC file holds (see `_stored_as_flac_blocks`)."""
    before: list[Payload] = []
    after: list[Payload] = []
    wanted = {"WAVE": b"riff", "AIFF": b"aiff"}.get(family)
    if recording.container is None or recording.container.kind != "FLAC" or wanted is None:
        return before, after
    into = before
    for block in recording.container.chunks:
        contents = recording.raw_bytes(block.offset, block.size)
        if block.id != b"\2" or contents[:4] != wanted or contents[4:8] in (b"RIFF", b"FORM"):
            continue
        order = "<" if wanted == b"riff" else ">"
        name, size = struct.unpack(order + "4sI", contents[4:12])
        if name in (b"data", b"SSND"):
            into = after
        elif name not in (*_STALE[family], _HEADERS[family], b"fact", b"FVER"):
            into.append((name, contents[12 : 12 + size]))
    return before, after


def _other_chunks(
    recording: Recording, family: str
) -> tuple[list[Payload], list[Payload], list[str]]:
    """Return the chunks before and after the samples that still hold true."""
    container = recording.container
    assert container is not None
    before: list[Payload] = []
    after: list[Payload] = []
    notices = []
    total = 0
    for index, chunk in enumerate(container.chunks):
        name = chunk.id[:4].decode("latin-1").strip()
        total += chunk.size
        if chunk.id in _STALE[family]:
            continue
        if not chunk.whole:
            notices.append(f"{recording.name}: the chunk {name!r} is cut short and was left out")
        elif total > MAX_METADATA_BYTES:
            notices.append(f"{recording.name}: the chunk {name!r} is too long and was left out")
        else:
            early = container.data is None or index < container.data
            contents = recording.raw_bytes(chunk.offset, chunk.size)
            (before if early else after).append((chunk.id, contents))
    return before, after, notices


def _own_header(recording: Recording, family: str, subtype: str) -> Payload | None:
    """Return the source's own description of the samples, if it fits the output."""
    assert recording.container is not None
    name = _HEADERS[family]
    chunk = recording.container.find(name)
    if chunk is None or subtype != recording.subtype:
        return None
    contents = recording.raw_bytes(chunk.offset, chunk.size)
    order, width = _source_order(recording), WIDTHS[subtype]
    align = recording.channels * width
    if family == "AIFF":
        frames = struct.pack(">I", recording.frames)
        bits = struct.unpack(">H", contents[6:8])[0]
        fits = (bits + 7) // 8 == width or subtype in ("ULAW", "ALAW")
        return (name, contents[:2] + frames + contents[6:]) if fits else None
    if family == "CAF":
        return (name, contents) if struct.unpack(">I", contents[16:20])[0] == align else None
    return (name, contents) if struct.unpack(order + "H", contents[12:14])[0] == align else None


def _fact(chunk: Payload, frames: int, order: ByteOrder) -> Payload:
    """Correct the number of frames in a ``fact`` chunk, which a pipe leaves unknown."""
    name, contents = chunk
    if name == b"fact" and len(contents) >= 4:
        return name, struct.pack(order + "I", min(frames, LIMIT_32)) + contents[4:]
    if name == _W64_FACT and len(contents) >= 8:
        return name, struct.pack("<Q", frames) + contents[8:]
    return chunk


def _with_history(
    chunk: Payload, recording: Recording, subtype: str, coding_history: str
) -> Payload:
    """Append a line to the history of a ``bext`` chunk (EBU Tech 3285; the line: EBU R98)."""
    name, contents = chunk
    if name != b"bext" or len(contents) < _BEXT_FIXED:
        return chunk
    mode = {1: "mono", 2: "stereo"}.get(recording.channels, "multitrack")
    line = (
        f"A=PCM,F={recording.sample_rate},W={8 * WIDTHS[subtype]},M={mode},T={coding_history}\r\n"
    )
    history = contents[_BEXT_FIXED:].rstrip(b"\0")
    if history and not history.endswith(b"\n"):
        history += b"\r\n"
    return name, contents[:_BEXT_FIXED] + history + line.encode("ascii", "replace")


def plain_layout_for(recording: Recording, format: str, subtype: str) -> Layout:
    """Lay out an output file without metadata, but with the places of the channels."""
    if format == "FLAC":
        return Layout("FLAC", ">", ())
    return plain_layout(
        format,
        subtype,
        recording.sample_rate,
        recording.channels,
        recording.frames,
        channel_mask(recording),
    )


def channel_mask(recording: Recording) -> int:
    """Return the WAVE channel mask of a recording; 0 where its channels have no places."""
    flac = (0x4, 0x3, 0x7, 0x33, 0x37, 0x3F, 0x70F, 0x63F)  # RFC 9639, section 9.1.3
    if recording.format == "FLAC":
        return flac[recording.channels - 1]
    if recording.container is not None:
        chunk = recording.container.find(b"fmt ", _HEADERS["W64"])
        fmt = recording.raw_bytes(chunk.offset, chunk.size) if chunk is not None else b""
        order = _source_order(recording)
        if len(fmt) >= 40 and struct.unpack(order + "H", fmt[:2])[0] == 0xFFFE:
            return int(struct.unpack(order + "I", fmt[20:24])[0])
    return flac[recording.channels - 1] if recording.channels <= 2 else 0


def _family(format: str) -> str:
    return "WAVE" if format in _WAVE_FORMATS else format


def _source_family(recording: Recording) -> str:
    kind = recording.container.kind if recording.container is not None else ""
    if kind in RIFF_KINDS:
        return "WAVE"
    return "AIFF" if kind == "AIFC" else kind


def _source_kind(recording: Recording, format: str) -> str:
    """Return the kind of container to write into the source's own format."""
    assert recording.container is not None
    kind = recording.container.kind
    if format == "RF64" and kind in ("RIFF", "RIFX"):
        return "RF64"
    if format in ("WAV", "WAVEX") and kind in ("RF64", "BW64"):
        return "RIFF"
    return kind


def _source_order(recording: Recording) -> ByteOrder:
    container = recording.container
    if container is None or container.kind in ("RIFF", "RF64", "BW64", "W64"):
        return "<"
    if container.kind == "AIFC":
        common = container.find(b"COMM")
        code = recording.raw_bytes(common.offset + 18, 4) if common is not None else b""
        return "<" if code == b"sowt" else ">"
    if container.kind == "CAF":
        desc = container.find(b"desc")
        flags = recording.raw_bytes(desc.offset + 12, 4) if desc is not None else b"\0" * 4
        return "<" if flags[3] & 2 else ">"
    return ">"
