from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from declick.errors import ReadError
from declick.excerpt import Excerpt
from declick.read import Recording


@pytest.mark.parametrize("kind", ["file", "stream", "array", "lossy"])
def test_a_worker_reads_what_this_process_would(tmp_path: Path, kind: str) -> None:
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (5000, 2))
    path = tmp_path / ("a.ogg" if kind == "lossy" else "a.flac")
    soundfile.write(path, sound, 44100)
    if kind == "array":
        recording = Recording.from_array(sound, 44100)
    elif kind == "stream":
        with path.open("rb") as file:
            recording = Recording.from_stream(file)
    else:
        recording = Recording.open(path)
    with recording:
        for start, stop in ((-100, 300), (1000, 1001), (4900, 5200)):
            sent = pickle.loads(pickle.dumps(Excerpt.cut(recording, start, stop)))
            assert sent.channels == 2
            np.testing.assert_array_equal(sent.read(), recording.read(start, stop))


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000), 44100)
    with Recording.open(path) as recording:
        sent = pickle.dumps(Excerpt.cut(recording, 0, 10))
        soundfile.write(path, np.zeros(2000), 44100)
        with pytest.raises(ReadError, match="was changed"):
            pickle.loads(sent).read()
