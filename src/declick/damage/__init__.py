"""Damage of records, drawn with its truth."""
