"""Bench of ``top_n``."""
