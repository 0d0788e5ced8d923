"""REPAIR: what the music was."""
