"""The network as the exported file runs it: the same answers, in less time.

onnxruntime has its fast convolutions for pictures alone, so sounds go as pictures one row high.
And most of what is looked at turns out to be music: of that nothing is said sample by sample.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from declick.detect.sight import SLOW
from declick.detect.views import FINE_ROWS, SLOW_ROWS
from declick.train.folding import fold
from declick.train.network import PATCH, SurfaceNetwork, middle


class Told(NamedTuple):
    """What the file answers for n instants; shapes as in `declick.train.network.Answer`.

    Parameters
    ----------
    events, families, tails : Tensor
        Of all instants.
    cores, damage, doubt : Tensor
        Of those alone that may be damage.
    spoken : Tensor of int64
        Which ones these are, ascending; one at least.
    """

    events: Tensor
    families: Tensor
    tails: Tensor
    cores: Tensor
    damage: Tensor
    doubt: Tensor
    spoken: Tensor


class SurfaceGraph(SurfaceNetwork):
    """What is exported; its weights have the names that they have in the network.

    Parameters
    ----------
    network : SurfaceNetwork
        Stays as it is.
    """

    def __init__(self, network: SurfaceNetwork) -> None:
        super().__init__(network.settings)
        for name, part in fold(network).named_children():
            setattr(self, name, _widened(part))
        self.eval()

    def forward(  # type: ignore[override]
        self, fine: Tensor, slow: Tensor, coarse: Tensor, facts: Tensor, least: Tensor
    ) -> Told:
        """Look at n instants; those whose `events` reach `least` (1,) may be damage."""
        kept, seen = self.look(_embedded(self.embed, fine, slow), coarse[:, :, None], facts)
        verdict = self.judge(seen)
        peak = verdict.events.amax(1)
        # One at least: some operators of onnxruntime do not take what is empty.
        spoken = torch.nonzero(peak >= torch.minimum(least, peak.amax()))[:, 0]
        fine, slow = fine[spoken], slow[spoken]
        writer: SurfaceNetwork = self
        if self.settings.writer is not None:
            writer = self.writer
            window = _embedded(writer.embed, fine, slow)
            kept, _ = writer.look(window, coarse[spoken][:, :, None], facts[spoken])
        else:
            kept = [x[spoken] for x in kept]
        again = None
        if writer.settings.wide:
            again = _embedded(writer.again, middle(fine), middle(slow))
        return Told(*verdict, *writer.speak(kept, again), spoken)


def _embedded(embed: nn.Module, fine: Tensor, slow: Tensor) -> Tensor:
    """Return the embedded window; that no patch is moved saves a seventh of the time."""
    conv = embed[0]
    of_fine, of_slow = conv.weight[:, :, 0].split(
        [FINE_ROWS * PATCH, SLOW_ROWS * PATCH // SLOW], dim=1
    )
    x = conv2d(
        fine[:, :, None],
        of_fine.reshape(-1, FINE_ROWS, 1, PATCH),
        conv.bias,
        stride=(1, PATCH),
    ) + conv2d(
        slow[:, :, None],
        of_slow.reshape(-1, SLOW_ROWS, 1, PATCH // SLOW),
        stride=(1, PATCH // SLOW),
    )
    return torch.relu(x)


def _widened(part: nn.Module) -> nn.Module:
    """Return a part of the network, its convolutions made for pictures one row high."""
    if isinstance(part, nn.Conv1d):
        wide = nn.Conv2d(
            part.in_channels,
            part.out_channels,
            (1, *part.kernel_size),
            stride=(1, *part.stride),
            padding=(0, int(part.padding[0])),
            bias=part.bias is not None,
        )
        wide.load_state_dict(
            {
                name: value[:, :, None] if name == "weight" else value
                for name, value in part.state_dict().items()
            }
        )
        return wide
    for name, child in part.named_children():
        setattr(part, name, _widened(child))
    return part
