"""The whole cascade, from its registers to its result records."""
