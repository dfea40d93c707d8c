"""Bench of ``vector_unit``."""
