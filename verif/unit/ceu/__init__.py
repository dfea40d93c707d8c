"""Bench of ``ceu``."""
