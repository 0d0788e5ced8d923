"""Write a trained network as ONNX with its card; refuse if it answers otherwise than torch."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from declick.detect.neural import BATCH, SCHEMA, load_weights
from declick.detect.sight import COARSE_ROWS, FACTS, SLOW
from declick.detect.views import COARSE, FINE_ROWS, SLOW_ROWS, WINDOW
from declick.errors import WriteError
from declick.train.folding import WIDENED, WRITER, fold
from declick.train.graph import SurfaceGraph, Told
from declick.train.network import SurfaceNetwork, Verdict, count_parameters

TOLERANCE: Final = 2e-3
"""Greatest difference of any number between ONNX and torch, over 1 + the number's magnitude."""
LARGEST: Final = 5_000_000
"""Bytes of the file."""
INPUTS: Final = ("fine", "slow", "coarse", "facts", "least")


def export(
    network: SurfaceNetwork,
    path: Path,
    *,
    slope: float = 1.0,
    offset: float = 0.0,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write the network to `path` (.onnx) and its card beside it (.json).

    It is made ready to run fast first (`declick.train.graph`); the weights keep their names, so
    that `read_network` gets the network back from the file alone. Those of a writer apart are
    kept in 16 bits: what it says is never as sure as that.

    Parameters
    ----------
    network : SurfaceNetwork
    path : Path
    slope, offset : float
        See `declick.detect.neural.Weights`.
    card : mapping, optional
        Further entries of the card.

    Raises
    ------
    WriteError
        If the file would be too large, or its answers differ from torch by more than `TOLERANCE`.
    """
    network = _rounded(fold(network))
    given = (*_random_views(1), torch.zeros(1))
    path.parent.mkdir(parents=True, exist_ok=True)
    pending = path.with_suffix(".part.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            SurfaceGraph(network),
            given,
            str(pending),
            input_names=list(INPUTS),
            output_names=list(Told._fields),
            dynamo=False,
            opset_version=17,
            # It would give folded weights names of its own.
            do_constant_folding=False,
        )
    _narrow_writer(pending)
    model = pending.read_bytes()
    values = {
        "schema": SCHEMA,
        "sha256": hashlib.sha256(model).hexdigest(),
        "parameters": count_parameters(network),
        "slope": slope,
        "offset": offset,
        **(card or {}),
    }
    pending_card = pending.with_suffix(".json")
    pending_card.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    try:
        error = largest_difference(network, pending)
        if not error <= TOLERANCE:
            raise WriteError(f"{path}: ONNX and torch differ by {error:.2g}; nothing was written")
        if len(model) > LARGEST:
            raise WriteError(f"{path}: {len(model)} bytes are too many; make the network smaller")
        load_weights.cache_clear()
        pending.replace(path)
        pending_card.replace(path.with_suffix(".json"))
    finally:
        pending.unlink(missing_ok=True)
        pending_card.unlink(missing_ok=True)


def _in_16_bits(name: str, dimensions: int) -> bool:
    return name.startswith(WRITER) and dimensions > 1


def _rounded(network: SurfaceNetwork) -> SurfaceNetwork:
    """Return the network, in place, as the file will hold it."""
    with torch.no_grad():
        for name, values in network.named_parameters():
            if _in_16_bits(name, values.dim()):
                values.copy_(values.half().float())
    return network


def _narrow_writer(path: Path) -> None:
    """Keep weights in 16 bits, in place; onnxruntime widens them once, when it loads them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for item in model.graph.initializer:
        if not _in_16_bits(item.name, len(item.dims)):
            continue
        narrow = numpy_helper.to_array(item).astype(np.float16)
        item.CopyFrom(numpy_helper.from_array(narrow, item.name))
        wide = f"{item.name}{WIDENED}"
        for node in model.graph.node:
            node.input[:] = [wide if name == item.name else name for name in node.input]
        casts.append(helper.make_node("Cast", [item.name], [wide], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def largest_difference(network: SurfaceNetwork, path: Path) -> float:
    """Return the greatest difference between the file's answers and those of torch."""
    session = load_weights(path).session
    worst = 0.0
    for seed in range(4):
        given = _random_views(seed)
        with torch.no_grad():
            expected = network(*given)
        peak = expected.events.amax(1)
        # In between, so that rounding cannot matter to which instants are spoken of.
        least = peak.sort().values[BATCH // 2 - 1 : BATCH // 2 + 1].mean()[None]
        spoken = (peak >= least).numpy()
        names = zip(INPUTS, (*given, least), strict=True)
        told = Told(*session.run(None, {name: tensor.numpy() for name, tensor in names}))
        if not np.array_equal(told.spoken, np.flatnonzero(spoken)):
            return float("inf")
        for name, true in expected._asdict().items():
            answer, wanted = getattr(told, name), true.numpy()
            if name not in Verdict._fields:
                wanted = wanted[spoken]
            if answer.shape != wanted.shape or not np.isfinite(answer).all():
                return float("inf")
            worst = max(worst, float(np.max(np.abs(answer - wanted) / (1.0 + np.abs(wanted)))))
    return worst


def _random_views(seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (
        (FINE_ROWS, WINDOW),
        (SLOW_ROWS, WINDOW // SLOW),
        (COARSE_ROWS, COARSE),
        (FACTS,),
    )
    return tuple(torch.randn((BATCH, *shape), generator=generator) for shape in shapes)
