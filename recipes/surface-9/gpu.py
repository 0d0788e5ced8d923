"""Train the judge and the writer side by side on one GPU, from examples that all cores draw.

    python recipes/surface-9/gpu.py unpack --parcel parcels/m0 --music music
    python recipes/surface-9/gpu.py feed --workers 14 --music music --bank bank --examples examples
    python recipes/surface-9/gpu.py train --examples examples --minutes 10.7 -o run

`unpack` decodes a parcel (`parcels.py`); `feed` draws from whatever parcels have come so far;
`train` takes what is there, as it comes. Each network's settings are those of `judge.toml` and
`writer.toml` beside this file, or in the folder of another recipe (`--recipe`); what examples there
are, and how many at hand, the judge's say for both, and time ends it, not a number of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import Process
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from declick.clicks import FloatArray
from declick.damage.bank_folder import read_bank
from declick.train.examples import Examples, draw_examples
from declick.train.oddity import vary_bank
from declick.train.worn import without_records

HERE = Path(__file__).parent
_WAITING = 4000  # excerpts that may lie unread


# --- the cores ----------------------------------------------------------------------------------


class Parcels:
    """Music (`declick.train.music.Music`) of the parcels that lie in a folder by now."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._read = folder, set[str]()
        self._pieces: dict[str, list[tuple[Any, str, float]]] = {}
        self._weights: dict[str, float] = {}
        self._rate = 0

    def look(self) -> None:
        """Take in what has come."""
        for path in sorted(self._folder.glob("*.json")):
            if path.name in self._read:
                continue
            self._read.add(path.name)
            values = json.loads(path.read_text(encoding="utf-8"))
            self._rate, self._weights = values["sample_rate"], values["weights"]
            samples = np.load(path.with_suffix(".npy"), mmap_mode="r")
            for name, source, weight, start, frames, channels in values["pieces"]:
                piece = samples[start : start + frames * channels].reshape(frames, channels)
                self._pieces.setdefault(name, []).append((piece, source, weight * frames))

    def draw(
        self, rng: np.random.Generator, split: str, seconds: float
    ) -> tuple[FloatArray, int, str]:
        """Return an excerpt (frames, channels), its sample rate, and the name of its source."""
        names = [name for name in self._weights if name in self._pieces]
        odds = np.array([self._weights[name] for name in names])
        pieces = self._pieces[names[int(rng.choice(len(names), p=odds / odds.sum()))]]
        ends = np.cumsum([weight for _, _, weight in pieces])
        piece, source, _ = pieces[int(np.searchsorted(ends, rng.uniform(0.0, ends[-1])))]
        frames = round(seconds * self._rate)
        start = int(rng.integers(max(1, len(piece) - frames + 1)))
        sound = piece[start : start + frames].astype(np.float64) / 32768.0
        return np.broadcast_to(sound, (len(sound), 2)).copy(), self._rate, source


def unpack(folder: Path, target: Path) -> None:
    """Decode a parcel into one array and its table; the table comes last."""
    values = json.loads((folder / "list.json").read_text(encoding="utf-8"))
    parts, table, at = [], [], 0
    with ProcessPoolExecutor(4) as pool:
        paths = [folder / piece[0] for piece in values["pieces"]]
        decoded = pool.map(_decode, paths, chunksize=8)
        for piece, samples in zip(values["pieces"], decoded, strict=True):
            table.append([*piece[1:], at, *samples.shape])
            parts.append(samples.reshape(-1))
            at += samples.size
    target.parent.mkdir(parents=True, exist_ok=True)
    np.save(target.with_suffix(".npy"), np.concatenate(parts))
    pending = target.with_suffix(".part")
    pending.write_text(json.dumps(values | {"pieces": table}), encoding="utf-8")
    pending.replace(target.with_suffix(".json"))


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _decode(path: Path) -> np.ndarray[Any, Any]:
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


def feed(worker: int, given: argparse.Namespace) -> None:
    """Draw excerpts without end."""
    from declick.train.settings import read_settings

    settings = read_settings(given.recipe / "judge.toml").examples
    bank = without_records(read_bank(given.bank), settings.held_out_records)
    bank = vary_bank(bank, settings.seed, settings.varied)
    music = Parcels(given.music)
    number = worker
    while True:
        if (number // given.workers) % 20 == 0:
            music.look()
        if not music._pieces or _count(given.examples) > _WAITING:
            time.sleep(0.2)
            music.look()
            continue
        examples = draw_examples(number, music, bank, settings)
        path = given.examples / f"{number:08d}"
        pending = path.with_suffix(".part")
        with pending.open("wb") as file:
            pickle.dump(tuple(examples), file, protocol=5)
        pending.rename(path)
        number += given.workers


# --- the GPU ------------------------------------------------------------------------------------


class Learner:
    """A network, its average and its optimizer."""

    def __init__(self, recipe: Path, name: str, device: Any) -> None:
        import torch

        from declick.train.folding import begin_from
        from declick.train.settings import read_settings

        fed = read_settings(recipe / "judge.toml")
        own = read_settings(recipe / f"{name}.toml")
        loop = replace(own.loop, pool=fed.loop.pool)
        examples = replace(fed.examples, seed=own.examples.seed)
        self.name, self.settings = name, replace(own, examples=examples, loop=loop)
        start = recipe / loop.start
        self.network = begin_from(start, self.settings.network).to(device)
        self.average = begin_from(start, self.settings.network).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=loop.rate,
            weight_decay=loop.decay,
            fused=device.type == "cuda",
        )
        self.step, self.log = 0, list[dict[str, float]]()

    def learn(self, pool: Any, share: float, *, remember: bool) -> dict[str, Any]:
        """Take one step, `share` of the time being over; return the parts of the loss."""
        from declick.train.loop import rate_share, take_step

        timed = replace(self.settings.loop, steps=1_000_000)
        rate = rate_share(round(share * timed.steps), timed)
        networks = self.network, self.average
        parts = take_step(
            *networks, self.optimizer, pool, self.settings, self.step, rate, remember=remember
        )
        self.step += 1
        return {name: part.detach() for name, part in parts.items()}

    def save(self, folder: Path, spent_s: float, excerpts: int) -> None:
        """Write the averaged weights and the record."""
        import torch

        state = {name: values.cpu() for name, values in self.average.state_dict().items()}
        pending = folder / f"{self.name}.part"
        torch.save(state, pending)
        pending.replace(folder / f"{self.name}.pt")
        record = {
            "schema": "declick-run/1",
            "settings": json.loads(json.dumps(asdict(self.settings))),
            "step": self.step,
            "excerpts": excerpts,
            "spent_s": round(spent_s, 1),
            "torch": torch.__version__,
            "device": str(next(self.network.parameters()).device),
            "log": self.log,
        }
        (folder / f"{self.name}.json").write_text(json.dumps(record, indent=1) + "\n")


def train(given: argparse.Namespace) -> None:
    """Train both until the time is over."""
    import torch

    from declick.detect.views import Views
    from declick.train.pool import Pool

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(9)
    judge, writer = (Learner(given.recipe, name, device) for name in ("judge", "writer"))
    pool = Pool(judge.settings.loop.pool, judge.settings.examples.most, device)
    given.output.mkdir(parents=True, exist_ok=True)
    number, said = 0, 0.0
    waiting: list[Path] = []

    def take(most: int) -> int:
        nonlocal number
        if not waiting:
            ready = (path for path in given.examples.iterdir() if not path.suffix)
            waiting.extend(sorted(ready, reverse=True))
        taken = min(most, len(waiting))
        for _ in range(taken):
            path = waiting.pop()
            values = pickle.loads(path.read_bytes())
            path.unlink()
            examples = Examples(*values)
            if len(examples.labels):
                pool.add(number, examples._replace(views=Views(*examples.views)))
                number += 1
        return taken

    while number < given.first:
        if not take(50):
            time.sleep(0.2)
    begun, sums = time.monotonic(), dict[str, float]()
    while (share := (time.monotonic() - begun) / (60.0 * given.minutes)) < 1.0:
        take(4)
        for learner in (judge, writer):
            parts = learner.learn(pool, share, remember=learner is judge)
            if learner.step % 25 == 0:
                for name, value in parts.items():
                    key = f"{learner.name}.{name}"
                    sums[key] = 0.9 * sums.get(key, float(value)) + 0.1 * float(value)
        if time.monotonic() - said > given.every:
            said = time.monotonic()
            for learner in (judge, writer):
                own = {
                    key.partition(".")[2]: round(value, 4)
                    for key, value in sums.items()
                    if key.startswith(learner.name)
                }
                learner.log.append({"step": learner.step, **own})
                learner.save(given.output, said - begun, number)
            print(f"{said - begun:.0f} s, step {judge.step}, excerpts {number}:",
                  _count(given.examples), "waiting",
                  {k: round(v, 3) for k, v in sums.items()}, flush=True)  # fmt: skip
    for learner in (judge, writer):
        learner.save(given.output, time.monotonic() - begun, number)
    (given.output / "done").touch()
    if not math.isfinite(sum(sums.values())):
        raise SystemExit("the losses are not finite")


def main() -> None:
    """Feed, unpack or train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("feed", "unpack", "train"))
    parser.add_argument("--recipe", type=Path, default=HERE)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--parcel", type=Path)
    parser.add_argument("--examples", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--first", type=int, default=300, help="excerpts to begin with")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between records")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.examples:
        given.examples.mkdir(parents=True, exist_ok=True)
    if given.what == "unpack":
        unpack(given.parcel, given.music / given.parcel.name)
    elif given.what == "train":
        train(given)
    else:
        workers = [Process(target=feed, args=(k, given)) for k in range(given.workers)]
        for process in workers:
            process.start()
        for process in workers:
            process.join()


if __name__ == "__main__":
    main()
