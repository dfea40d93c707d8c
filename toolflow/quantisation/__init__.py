"""Quantisation: formats, per-layer statistics and the search for a scheme."""
