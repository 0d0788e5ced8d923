"""The benchmark: damage laid on clean music, mended by us and by our peers, and weighed."""
