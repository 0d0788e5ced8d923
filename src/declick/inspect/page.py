"""A page to listen to clicks, and to choose what is to be put back: one file, without a server."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick.clicks import FloatArray
from declick.labels import renamed_when_done


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """One click on a page.

    Parameters
    ----------
    number : int
        As in the report.
    title : str
    picture : bytes
        PNG.
    sounds : mapping of str to ndarray, each of shape (frames, channels)
        What there is to listen to, by what the button says; all of one length.
    mended : bool
        Whether there is something to put back.
    """

    number: int
    title: str
    picture: bytes
    sounds: Mapping[str, FloatArray]
    mended: bool


def write_page(
    path: str | Path, exhibits: Iterable[Exhibit], *, title: str, undo: str, sample_rate: int
) -> Path:
    """Write a page of clicks.

    Parameters
    ----------
    path : str or Path
        HTML. Pictures and sounds (16 bit) are in it.
    exhibits : iterable of Exhibit
    title : str
    undo : str
        The command that puts back the clicks whose numbers are added to it.
    sample_rate : int
        In Hz.

    Returns
    -------
    Path

    Raises
    ------
    WriteError
        Where the page cannot be written.
    """
    path = Path(path)
    name = html.escape(title)
    with renamed_when_done(path, "the page") as file:
        file.write(_HEAD.replace("@TITLE@", name))
        for exhibit in exhibits:
            file.write(_section(exhibit, sample_rate))
        file.write(_FOOT.replace("@UNDO@", in_script(undo)))
    return path


def in_script(value: Any) -> str:
    """Return a value as it stands in a page's script: nothing in it looks like the end of that."""
    return json.dumps(value).replace("<", "\\u003c")


def _section(exhibit: Exhibit, sample_rate: int) -> str:
    """Return one click as HTML."""
    title = html.escape(exhibit.title)
    # Floats may be louder than a browser plays: all of one click by as much softer.
    peak = max(float(np.abs(sound).max(initial=0.0)) for sound in exhibit.sounds.values())
    buttons = "".join(
        f'<button data-sound="{_heard(sound / max(peak, 1.0), sample_rate)}">'
        f"{html.escape(name)}</button>"
        for name, sound in exhibit.sounds.items()
    )
    choice = (
        f'<label><input type="checkbox" value="{exhibit.number}"> put it back</label>'
        if exhibit.mended
        else ""
    )
    picture = b64encode(exhibit.picture).decode("ascii")
    return (
        f'<section id="click-{exhibit.number}"><h2>{title}</h2>\n<p>{buttons} {choice}</p>\n'
        f'<img alt="{title}" src="data:image/png;base64,{picture}"></section>\n'
    )


def _heard(samples: FloatArray, sample_rate: int) -> str:
    """Return sound as the address of something that a browser plays."""
    buffer = BytesIO()
    # Of the rates above 65,535 Hz FLAC knows but some.
    name = "FLAC" if sample_rate < 1 << 16 else "WAV"
    soundfile.write(buffer, samples, sample_rate, format=name, subtype="PCM_16")
    return f"data:audio/{name.lower()};base64,{b64encode(buffer.getvalue()).decode('ascii')}"


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1rem auto 6rem;
  padding: 0 1rem; color: #222; background: #fafafa; }
h2 { font-size: 1rem; margin: 2.5em 0 .3em; }
img { width: 100%; border: 1px solid #ddd; }
button { font: inherit; padding: .3em 1em; margin-right: .4em; border: 1px solid #888;
  border-radius: .4em; background: #fff; cursor: pointer; }
button.on { background: #235; color: #fff; }
label { margin-left: 1em; }
footer { position: fixed; bottom: 0; left: 0; right: 0; padding: .6em 1rem; background: #fff;
  border-top: 1px solid #ccc; }
code { user-select: all; white-space: pre-wrap; }
</style>
</head>
<body>
<h1>@TITLE@</h1>
<p>Listen to each click before and after, and to what was taken out: another button goes on from
where the sound is. Mark what is music, and run the line below.</p>
"""

_FOOT = """<footer>To put back: <code id="undo"></code> <button id="copy">Copy</button></footer>
<script>
"use strict";
const undo = @UNDO@;
const player = new Audio();
let on = null;

function stop() {
  player.pause();
  if (on) on.classList.remove("on");
  on = null;
}
for (const button of document.querySelectorAll("button[data-sound]")) {
  button.onclick = () => {
    const again = on === button, beside = on && on.parentNode === button.parentNode;
    const time = beside ? player.currentTime : 0;
    stop();
    if (again) return;
    on = button;
    on.classList.add("on");
    player.src = on.dataset.sound;
    player.currentTime = time;
    player.play();
  };
}
player.onended = stop;
const boxes = [...document.querySelectorAll("input")];
const line = document.getElementById("undo");
const copy = document.getElementById("copy");
function show() {
  const chosen = boxes.filter(box => box.checked).map(box => box.value);
  line.textContent = chosen.length ? undo + chosen.join(",") : "nothing yet";
  copy.disabled = !chosen.length;
}
for (const box of boxes) box.onchange = show;
copy.onclick = () => navigator.clipboard.writeText(line.textContent);
show();
</script>
</body>
</html>
"""
