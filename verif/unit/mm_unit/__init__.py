"""Bench of ``mm_unit``."""
