"""Find the clicks of a ripped record and mend them; leave everything else bit for bit."""

__version__ = "0.1.0"
