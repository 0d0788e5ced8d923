"""Training of the network that hears damage: the corpus, the examples, the loop, the export."""
