"""Peers: other programs that mend clicks, and ourselves, all run as programs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from declick.bench.peers.audacity import Audacity, repair_regions
from declick.bench.peers.ffmpeg import Ffmpeg
from declick.bench.peers.grooveclean import Grooveclean
from declick.bench.peers.gwc import Gwc
from declick.bench.peers.ourselves import Declick
from declick.bench.peers.peer import Cost, Peer, PeerError

_ALL: tuple[Peer, ...] = (
    Declick(),
    Declick(name="declick-ar", detector="ar"),
    Ffmpeg(name="ffmpeg-a", method="a"),
    Ffmpeg(name="ffmpeg-s", method="s"),
    Audacity(),
    Gwc(),
    Grooveclean(),
)

PEERS: Mapping[str, Peer] = MappingProxyType({peer.name: peer for peer in _ALL})

__all__ = ["PEERS", "Cost", "Peer", "PeerError", "repair_regions"]
