"""Bench of ``fixedpoint``."""
