"""The network without its batch norms, as the exported file holds it, and back from that file.

A batch norm that no longer learns is a scale and an offset for each channel: they go into the
convolution or the linear layer beside it. What is left has the same names as before, and the file
keeps them, so one file is enough to go on learning from; the norms then stay as they are.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from declick.errors import ReadError, SettingsError
from declick.train.network import Block, NetworkSettings, SurfaceNetwork

WRITER: Final = "writer."
"""How the names of the weights begin that answer sample by sample in a network apart."""
WIDENED: Final = ".wide"
"""How the name ends under which a weight of 16 bits is used."""
# Weights that an older network may lack.
_ADDED: Final = re.compile(r"(writer\.)?(more|doubt|again|widen|finish|levels\.\d\.[1-9])\.")


def fold(network: SurfaceNetwork) -> SurfaceNetwork:
    """Return the network with its batch norms folded into their neighbours.

    It gives the same answers as `network` does in evaluation, up to rounding. A network that is
    folded already comes back as a copy.
    """
    folded: SurfaceNetwork = copy.deepcopy(network).eval().cpu()
    for layers in [item for item in folded.modules() if isinstance(item, nn.Sequential)]:
        for index, layer in enumerate(layers):
            if not isinstance(layer, nn.BatchNorm1d):
                continue
            before = layers[index - 1] if index else None
            if isinstance(before, nn.Conv1d):
                layers[index - 1] = fuse_conv_bn_eval(before, layer)
            else:
                _into_following(layer, layers[index + 1])
            layers[index] = nn.Identity()
    for parameter in folded.parameters():
        parameter.requires_grad_(True)
    return folded


def _into_following(norm: Any, linear: Any) -> None:
    """Put a batch norm into the linear layer behind it."""
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        offset = norm.bias - norm.running_mean * scale
        linear.bias += linear.weight @ offset
        linear.weight *= scale


def read_network(path: Path) -> SurfaceNetwork:
    """Return the folded network of an exported file.

    Raises
    ------
    ReadError
        If the file cannot be read, or is no such network.
    """
    arrays = _read_arrays(path)
    try:
        # What batch norms have been is the same for all numbers of blocks: none are left.
        network = fold(SurfaceNetwork(_settings_of(arrays)))
        state = {
            name: torch.from_numpy(np.array(arrays[name], dtype=np.float32))
            for name in network.state_dict()
        }
        network.load_state_dict(state)
    except (KeyError, RuntimeError, SettingsError) as error:
        reason = str(error).splitlines()[0]
        raise ReadError(
            f"{path}: does not hold the network of this version ({reason}); "
            "export it again, or give the folder of its training"
        ) from None
    return network


def begin_from(path: Path, settings: NetworkSettings) -> SurfaceNetwork:
    """Return a folded network that begins with the weights of an exported one.

    What it has beyond those begins without an effect: further blocks add nothing, a wide last
    stage hands on what it gets, and what they did not answer before is answered alike everywhere.

    Raises
    ------
    ReadError
        If the file cannot be read, or its weights have other shapes.
    """
    arrays = _read_arrays(path)
    network = fold(SurfaceNetwork(settings))
    _add_nothing(network.writer if settings.writer else network)
    try:
        known = network.state_dict()
        for name, begun in known.items():
            if name in arrays or not _ADDED.match(name):
                known[name] = _fitted(name, arrays[name], begun)
        network.load_state_dict(known)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ReadError(f"{path}: does not fit a network of these settings ({reason})") from None
    return network


def _add_nothing(network: SurfaceNetwork) -> None:
    """Let blocks, a wide last stage and the doubt have no effect, in place."""
    with torch.no_grad():
        for block in network.modules():
            if isinstance(block, Block):
                block.body[3].weight.zero_()
                block.body[3].bias.zero_()
        network.doubt.weight.zero_()
        if network.settings.wide:
            conv, same = network.widen[0], network.settings.widths[0]
            conv.weight[:same] = 0.0
            conv.weight[range(same), range(same), 1] = 1.0
            conv.bias[:same] = 0.0


def _fitted(name: str, array: NDArray[Any], begun: Tensor) -> Tensor:
    """Return known weights; of what only a wider last stage tells, nothing is made yet."""
    values = torch.from_numpy(np.array(array, dtype=np.float32))
    if name.endswith(("write.weight", "doubt.weight")):
        values = pad(values, (0, 0, 0, begun.shape[1] - values.shape[1]))
    return values


def join(judge: SurfaceNetwork, writer: SurfaceNetwork) -> SurfaceNetwork:
    """Return one network that judges as one folded network does and writes as another.

    Raises
    ------
    SettingsError
        If one of them has a writer apart already.
    """
    if judge.settings.writer or writer.settings.writer:
        raise SettingsError("only networks that have no writer apart are joined")
    joined = fold(SurfaceNetwork(replace(judge.settings, writer=writer.settings)))
    known = {**judge.state_dict(), **{WRITER + k: v for k, v in writer.state_dict().items()}}
    joined.load_state_dict({name: known[name] for name in joined.state_dict()})
    return joined


def writer_of(joined: SurfaceNetwork) -> SurfaceNetwork:
    """Return the writer of a joined network alone; what it would judge is the judge's.

    Raises
    ------
    SettingsError
        If it has no writer apart.
    """
    if joined.settings.writer is None:
        raise SettingsError("the network has no writer apart")
    alone = fold(SurfaceNetwork(joined.settings.writer))
    alone.load_state_dict({**joined.state_dict(), **joined.writer.state_dict()}, strict=False)
    return alone


def go_part_way(network: SurfaceNetwork, old: SurfaceNetwork, way: float) -> None:
    """Take a network, in place, part of the way from an old one to what it has learned.

    Half way between, a network knows most of either (Wortsman et al., "Robust fine-tuning of
    zero-shot models", 2022).
    """
    with torch.no_grad():
        for new, before in zip(network.parameters(), old.parameters(), strict=True):
            new.lerp_(before, 1.0 - way)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the weights of an exported network by their names."""
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf has errors of its own
        raise ReadError(f"{path}: cannot be read as ONNX ({error})") from None
    arrays = {item.name: _narrow(numpy_helper.to_array(item)) for item in model.graph.initializer}
    for node in model.graph.node:
        # Equal arrays are kept once: biases that are all 0.
        if node.op_type == "Identity" and (kept := node.input[0].removesuffix(WIDENED)) in arrays:
            arrays[node.output[0]] = arrays[kept]
    return arrays


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Return the weights of a convolution without the row that `declick.train.graph` gave them."""
    return array[:, :, 0] if array.ndim == 4 else array


def _settings_of(arrays: Mapping[str, NDArray[Any]]) -> NetworkSettings:
    """Tell the size of the network by the shapes of its weights."""
    downs = [arrays[f"downs.{level}.0.weight"].shape[0] for level in range(3)]
    counts = []
    for level in range(4):
        names = {name.split(".")[2] for name in arrays if name.startswith(f"levels.{level}.")}
        counts.append(len(names))
    more = {name.split(".")[1] for name in arrays if name.startswith("more.")}
    of_writer = {k.removeprefix(WRITER): v for k, v in arrays.items() if k.startswith(WRITER)}
    return NetworkSettings(
        # What a writer apart does, the judge does not.
        written=1 + len(more) if not of_writer else NetworkSettings.written,
        wide=arrays["widen.0.weight"].shape[0] if "widen.0.weight" in arrays else 0,
        writer=_settings_of(of_writer) if of_writer else None,
        widths=(arrays["embed.0.weight"].shape[0], *downs),
        blocks=tuple(counts),
        context=arrays["join.weight"].shape[1] // 2,
    )
