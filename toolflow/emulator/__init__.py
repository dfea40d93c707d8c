"""Bit-exact integer execution of a network under a quantisation scheme."""
