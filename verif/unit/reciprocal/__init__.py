"""Bench of ``reciprocal``."""
