"""Tags and pictures between containers that keep them in different ways.

Fields go by their Vorbis comment names; ID3v2, RIFF INFO, AIFF text chunks and CAF's information
chunk are mapped to and from them.
"""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass, field
from typing import Any, cast

import mutagen.flac
import mutagen.id3
import mutagen.oggopus
import mutagen.oggvorbis

from declick.chunks import RIFF_KINDS
from declick.headers import Payload
from declick.read import Recording

# mutagen is only partly typed.
_flac: Any = mutagen.flac
_id3: Any = mutagen.id3
_ogg: dict[str, Any] = {
    "VORBIS": mutagen.oggvorbis.OggVorbis,
    "OPUS": mutagen.oggopus.OggOpus,
}
_ID3 = {
    "TITLE": "TIT2", "ARTIST": "TPE1", "ALBUM": "TALB", "ALBUMARTIST": "TPE2", "GENRE": "TCON",
    "DATE": "TDRC", "TRACKNUMBER": "TRCK", "DISCNUMBER": "TPOS", "COMPOSER": "TCOM",
    "CONDUCTOR": "TPE3", "LYRICIST": "TEXT", "COPYRIGHT": "TCOP", "ORGANIZATION": "TPUB",
    "ISRC": "TSRC", "BPM": "TBPM", "LANGUAGE": "TLAN", "GROUPING": "TIT1", "SUBTITLE": "TIT3",
    "ENCODED-BY": "TENC", "MEDIA": "TMED",
}  # fmt: skip
_INFO = {
    "TITLE": "INAM", "ARTIST": "IART", "ALBUM": "IPRD", "GENRE": "IGNR", "DATE": "ICRD",
    "TRACKNUMBER": "ITRK", "COMMENT": "ICMT", "COPYRIGHT": "ICOP", "LANGUAGE": "ILNG",
}  # fmt: skip
_CAF = {
    "TITLE": "title", "ARTIST": "artist", "ALBUM": "album", "GENRE": "genre", "DATE": "year",
    "TRACKNUMBER": "track number", "COMMENT": "comments", "COPYRIGHT": "copyright",
    "COMPOSER": "composer",
}  # fmt: skip
_AIFF = {"TITLE": "NAME", "ARTIST": "AUTH", "COPYRIGHT": "(c) ", "COMMENT": "ANNO"}
_LARGEST_FLAC_BLOCK = (1 << 24) - 1


@dataclass(slots=True)
class Tags:
    """What is said about a recording.

    Parameters
    ----------
    fields : dict of str to list of str
        By upper-case Vorbis comment names.
    pictures : list of mutagen.flac.Picture
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    pictures: list[Any] = field(default_factory=list)

    def add(self, name: str, *values: str) -> None:
        """Add values that the field does not hold yet."""
        held = self.fields.setdefault(name.upper(), [])
        held += [value for value in values if value and value not in held]
        if not held:
            del self.fields[name.upper()]

    def __bool__(self) -> bool:
        return bool(self.fields or self.pictures)


def read_tags(recording: Recording) -> Tags:
    """Read the tags and pictures of a recording, wherever its container keeps them.

    Raises
    ------
    Exception
        Of any kind, where they are damaged.
    """
    tags, brief = Tags(), Tags()  # INFO holds less than ID3: it fills what ID3 leaves out
    container = recording.container
    if container is None:
        if recording.subtype in _ogg:
            whole = io.BytesIO(recording.raw_bytes(0, -1))
            _from_vorbis(tags, _ogg[recording.subtype](whole).tags)
        elif recording.format == "MP3":
            _from_id3(tags, recording.raw_bytes(0, _id3_size(recording.raw_bytes(0, 10))))
        return tags
    for index, chunk in enumerate(container.chunks):
        if index == container.data:
            continue
        name, contents = chunk.id, recording.raw_bytes(chunk.offset, chunk.size)
        if container.kind == "FLAC":
            if name == b"\4":
                _from_vorbis(tags, _flac.VCFLACDict(contents))
            elif name == b"\6":
                tags.pictures.append(_flac.Picture(contents))
        elif name in (b"id3 ", b"ID3 "):
            _from_id3(tags, contents)
        elif container.kind in RIFF_KINDS and name == b"LIST" and contents[:4] == b"INFO":
            _from_info(brief, contents, ">" if container.kind == "RIFX" else "<")
        elif container.kind in ("AIFF", "AIFC"):
            for key, text_chunk in _AIFF.items():
                if name == text_chunk.encode():
                    tags.add(key, _text(contents))
        elif container.kind == "CAF" and name == b"info":
            parts = contents[4:].split(b"\0")
            names = {caf: name for name, caf in _CAF.items()}
            for word, value in zip(map(_text, parts[::2]), parts[1::2], strict=False):
                tags.add(names.get(word, word), _text(value))
    tags.fields = brief.fields | tags.fields
    return tags


def _text(contents: bytes) -> str:
    contents = contents.rstrip(b"\0 ")
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError:
        return contents.decode("cp1252", "replace")


def _id3_size(head: bytes) -> int:
    if head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 127
    return size + 10


def _from_vorbis(tags: Tags, comments: Any) -> None:
    for name, value in comments or ():
        if name.upper() == "METADATA_BLOCK_PICTURE":
            tags.pictures.append(_flac.Picture(base64.b64decode(value)))
        else:
            tags.add(name, value)


def _from_info(tags: Tags, contents: bytes, order: str) -> None:
    names = {info: name for name, info in _INFO.items()} | {"IPRT": "TRACKNUMBER"}
    position = 4
    while position + 8 <= len(contents):
        name, size = struct.unpack(order + "4sI", contents[position : position + 8])
        key = names.get(name.decode("latin-1"))
        if key is not None:
            tags.add(key, _text(contents[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2


def _from_id3(tags: Tags, contents: bytes) -> None:
    if contents[:3] != b"ID3":
        return
    names = {frame: name for name, frame in _ID3.items()}
    for frame in _id3.ID3(io.BytesIO(contents)).values():
        kind = frame.FrameID
        if kind == "APIC":
            picture = _flac.Picture()
            picture.data, picture.type, picture.mime = frame.data, frame.type, frame.mime
            picture.desc = frame.desc
            tags.pictures.append(picture)
        elif kind == "TXXX":
            tags.add(frame.desc, *(str(text) for text in frame.text))
        elif kind in ("COMM", "USLT"):
            text = frame.text if isinstance(frame.text, str) else "; ".join(frame.text)
            tags.add("COMMENT" if kind == "COMM" else "LYRICS", text)
        elif kind in ("TRCK", "TPOS"):
            number, _, total = str(frame.text[0]).partition("/")
            word = "TRACK" if kind == "TRCK" else "DISC"
            tags.add(f"{word}NUMBER", number)
            tags.add(f"{word}TOTAL", total)
        elif kind == "TCON":
            tags.add("GENRE", *frame.genres)
        elif kind in names:
            tags.add(names[kind], *(str(text) for text in frame.text))


def tag_chunks(tags: Tags, family: str) -> list[Payload]:
    """Return tags as the chunks of a container.

    Parameters
    ----------
    tags : Tags
    family : str
        "WAVE" (a LIST INFO and an ``id3 `` chunk), "AIFF" (``ID3 ``), "CAF" (``info``, no
        pictures), "FLAC" (metadata blocks) or "W64" (nothing: it has no place for them).
    """
    if not tags or family == "W64":
        return []
    if family == "FLAC":
        return _as_flac(tags)
    if family == "CAF":
        rows = [
            (_CAF.get(name, name.lower()), "; ".join(values))
            for name, values in tags.fields.items()
        ]
        texts = b"".join(f"{key}\0{value}\0".encode() for key, value in rows)
        return [(b"info", struct.pack(">I", len(rows)) + texts)] if rows else []
    if family == "AIFF":
        return [(b"ID3 ", _as_id3(tags))]
    return [*_as_info(tags), (b"id3 ", _as_id3(tags))]


def _as_flac(tags: Tags) -> list[Payload]:
    comments = _flac.VCFLACDict()
    comments.extend((name, value) for name, values in tags.fields.items() for value in values)
    blocks = [(b"\4", cast(bytes, comments.write(framing=False)))]
    blocks += [(b"\6", picture.write()) for picture in tags.pictures]
    return [block for block in blocks if len(block[1]) <= _LARGEST_FLAC_BLOCK]


def _as_info(tags: Tags) -> list[Payload]:
    parts = []
    for name, info in _INFO.items():
        if name in tags.fields:
            text = "; ".join(tags.fields[name]).encode() + b"\0"
            parts.append(info.encode() + struct.pack("<I", len(text)) + text + bytes(len(text) % 2))
    return [(b"LIST", b"INFO" + b"".join(parts))] if parts else []


def _as_id3(tags: Tags) -> bytes:
    id3 = _id3.ID3()
    fields = dict(tags.fields)
    for word in ("TRACK", "DISC"):
        total = fields.pop(f"{word}TOTAL", fields.pop(f"TOTAL{word}S", None))
        number = fields.get(f"{word}NUMBER")
        if total and number and "/" not in number[0]:
            fields[f"{word}NUMBER"] = [f"{number[0]}/{total[0]}"]
    for name, values in fields.items():
        if name == "COMMENT":
            id3.add(_id3.COMM(encoding=3, lang="XXX", desc="", text=values))
        elif name == "LYRICS":
            id3.add(_id3.USLT(encoding=3, lang="XXX", desc="", text="\n".join(values)))
        elif name in _ID3:
            id3.add(getattr(_id3, _ID3[name])(encoding=3, text=values))
        else:
            id3.add(_id3.TXXX(encoding=3, desc=name, text=values))
    for index, picture in enumerate(tags.pictures):
        description = picture.desc or (f"picture {index + 1}" if index else "")
        data, mime, kind = picture.data, picture.mime, picture.type
        id3.add(_id3.APIC(encoding=3, mime=mime, type=kind, desc=description, data=data))
    file = io.BytesIO()
    id3.save(file, v2_version=4, padding=lambda _: 0)
    return file.getvalue()
