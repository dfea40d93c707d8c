"""Bench of ``lrn_factor``."""
