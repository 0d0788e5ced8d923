"""Other copies of a record on its own time line: what differs between them, and who is damaged."""
