"""Bench of ``macc``."""
