"""Peers: other programs that mend clicks, and ourselves, all run as programs."""

from __future__ import annotations

from collections.abc import Mapping

from declick.bench.peers.peer import Cost, Peer, PeerError

PEERS: Mapping[str, Peer] = {}

__all__ = ["PEERS", "Cost", "Peer", "PeerError"]
