"""DETECT: where the damage is."""
