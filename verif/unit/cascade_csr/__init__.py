"""Bench of ``cascade_csr``."""
